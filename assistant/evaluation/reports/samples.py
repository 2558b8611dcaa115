"""The samples worth reading in a run: flipped ones, sure errors, and those that divide the strategies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from assistant.evaluation.metrics.arms import arms_of
from assistant.evaluation.outcomes import Outcome

Record = Mapping[str, Any]
ByArm = Mapping[str, Sequence[Outcome]]


class Flip(NamedTuple):
    """A sample on which two arms do not come to the same score."""

    before: Outcome
    after: Outcome


class Divided(NamedTuple):
    """A sample, what was meant, and arm → its final answer (None: unreadable)."""

    sample: str
    target: str
    answers: Mapping[str, str | None]
    right: int


def outcomes_by_arm(record: Record) -> dict[str, list[Outcome]]:
    """Return the outcomes behind each row of the leaderboard, by the row's name."""
    outcomes = [Outcome.from_json(one) for one in record.get("samples") or ()]
    calibrations = list(dict.fromkeys(row.get("calibration", "none") for row in record["results"]))
    named = {arm.name: of_arm for arm, of_arm in arms_of(outcomes, calibrations).items()}
    return {row["name"]: named.get(row["name"], []) for row in record["results"]}


def flips(arms: ByArm, pair: Record, most: int) -> list[Flip]:
    """Return up to `most` samples of a comparison whose scores differ, those lost first."""
    before = {(one.sample, one.seed): one for one in arms.get(pair["a"], ())}
    any_seed: dict[str, Outcome] = {}
    for one in arms.get(pair["a"], ()):
        any_seed.setdefault(one.sample, one)
    found: dict[str, Flip] = {}
    for after in arms.get(pair["b"], ()):
        partner = before.get((after.sample, after.seed)) or any_seed.get(after.sample)
        if partner is not None and after.sample not in found and _value(partner) != _value(after):
            found[after.sample] = Flip(partner, after)
    lost = sorted(found.values(), key=lambda flip: _value(flip.after) - _value(flip.before))
    return _both_ends(lost, most)


def _both_ends(flipped: Sequence[Flip], most: int) -> list[Flip]:
    """Half from the losses, half from the wins, and the rest from whichever has more."""
    if len(flipped) <= most:
        return list(flipped)
    wins = sum(_value(flip.after) > _value(flip.before) for flip in flipped)
    shown_wins = min(wins, max(most // 2, most - (len(flipped) - wins)))
    return [*flipped[: most - shown_wins], *flipped[len(flipped) - shown_wins :]]


def worst_errors(outcomes: Sequence[Outcome], most: int) -> list[Outcome]:
    """Return up to `most` errors of one arm, the surest first; without right and wrong, the lowest scores."""
    if any(one.correct is not None for one in outcomes):
        wrong = [one for one in outcomes if not one.correct]
    else:
        wrong = [one for one in outcomes if one.score < 1]
    once = {one.sample: one for one in reversed(wrong)}
    return sorted(once.values(), key=lambda one: (-confidence(one), one.score, one.sample))[:most]


def confidence(outcome: Outcome) -> float:
    """Return the probability of the answered label among the scored labels; 0 where none was scored."""
    scores = outcome.label_scores
    if not scores or outcome.final_answer is None or outcome.final_answer not in scores:
        return 0.0
    highest = max(scores.values())
    if not math.isfinite(highest):
        return 0.0
    return math.exp(scores[outcome.final_answer] - highest) / sum(math.exp(one - highest) for one in scores.values())


def dividing(arms: ByArm, names: Sequence[str], most: int) -> list[Divided]:
    """Return up to `most` samples on which about half of the named arms are right."""
    by_sample: dict[str, dict[str, Outcome]] = {}
    for name in names:
        for one in arms.get(name, ()):
            by_sample.setdefault(one.sample, {}).setdefault(name, one)
    found = []
    for sample, outcomes in by_sample.items():
        right = sum(bool(one.correct) for one in outcomes.values())
        if 0 < right < len(outcomes):
            answers = {name: one.final_answer for name, one in outcomes.items()}
            found.append(Divided(sample, next(iter(outcomes.values())).targets[0], answers, right))
    return sorted(found, key=lambda one: (abs(one.right / len(one.answers) - 0.5), one.sample))[:most]


def _value(outcome: Outcome) -> float:
    return outcome.score if outcome.correct is None else float(outcome.correct)
