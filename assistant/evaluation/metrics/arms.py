"""Outcomes sorted by arm, and what went wrong in them counted by its reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from assistant.evaluation.metrics.calibration import calibrated
from assistant.evaluation.outcomes import Arm, Outcome
from assistant.prompting.tasks import Task

REFUSAL = "the reply refuses"
_REFUSES = re.compile(
    r"\b(?:i(?: am|['\u2019]?m) (?:sorry|unable|not able)|i (?:cannot|can['\u2019]?t|won['\u2019]?t)"
    r"|i (?:apologi[sz]e|must decline)|as an ai\b)",
    re.IGNORECASE,
)
_PARTICULARS = re.compile(r"\s*\([^)]*\)|(?<=output) '[^']*'|[:;](?=\s).*", re.DOTALL)


def arms_of(outcomes: Sequence[Outcome], calibrations: Sequence[str] = ("none",)) -> dict[Arm, list[Outcome]]:
    """Return the outcomes of each arm, arms in the order of first appearance.

    An arm that scored labels is followed by its calibrated forms, in the order of `calibrations`.
    """
    raw: dict[Arm, list[Outcome]] = {}
    for one in outcomes:
        raw.setdefault(one.arm, []).append(one)
    arms: dict[Arm, list[Outcome]] = {}
    for arm, of_arm in raw.items():
        arms[arm] = of_arm
        if arm.reading == "labels":
            for calibration in calibrations:
                if calibration != "none":
                    arms[Arm(arm.strategy, arm.reading, calibration)] = list(calibrated(of_arm, calibration))
    return arms


def problems(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Return how many replies could not be read, by reason, most frequent first."""
    return _by_count(_problem(one) for one in outcomes if one.final_answer is None)


def excluded(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Return how many rows were kept out of the prompts, by reason, most frequent first."""
    return _by_count(_plain(reason) for one in outcomes for _, reason, _ in one.excluded)


def longer_than_a_label(outcomes: Iterable[Outcome], task: Task) -> int:
    """Return how many written replies were read as a label and yet have more words than any label."""
    longest = max(len(label.split()) for label in task.labels)
    return sum(
        one.final_answer is not None and one.reading == "generate" and len(one.answer.split()) > longest
        for one in outcomes
    )


def _problem(outcome: Outcome) -> str:
    if _REFUSES.search(outcome.answer):
        return REFUSAL
    return _plain(outcome.problem) or "no reason is known"


def _plain(reason: str) -> str:
    """Return the reason without its particulars, so that equal reasons are counted together."""
    return _PARTICULARS.sub("", reason).strip()


def _by_count(reasons: Iterable[str]) -> dict[str, int]:
    counted = Counter(reasons)
    return dict(sorted(counted.items(), key=lambda entry: (-entry[1], entry[0])))
