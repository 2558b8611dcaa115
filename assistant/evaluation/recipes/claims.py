"""The published side of a recipe: printed figures, whether they can exist, and what the author's own outputs say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from assistant.evaluation.metrics.classification import accuracy, macro_f1
from assistant.evaluation.recipes.published import Claim, claim
from assistant.evaluation.recipes.recipe import Recipe
from assistant.evaluation.reports.report import Part
from assistant.evaluation.statistics.intervals import wilson
from assistant.evaluation.statistics.p_values import holm, mcnemar_exact


def published_lines(names: Iterable[str]) -> list[dict[str, Any]]:
    """Return what is known of published claims as plain data: figures as printed, intervals, feasibility."""
    return [_published_line(claim(name)) for name in names]


def _published_line(one: Claim) -> dict[str, Any]:
    sizes = [*one.n, *([one.n_found] if one.n_found else [])]
    accuracy = one.printed.get("accuracy")
    intervals = {}
    for check in one.checked():
        # An interval around a figure that cannot exist would lend it a meaning.
        if accuracy is not None and check.ways:
            intervals[str(check.n)] = list(wilson(round(float(accuracy) * check.n), check.n))
    return {
        "name": one.name,
        "system": one.system,
        "source": one.source,
        "n": sizes,
        "printed": dict(one.printed),
        "accuracy_intervals": intervals,
        "checks": one.sentences(),
        "recomputed": _recomputed(one),
    }


def _recomputed(one: Claim) -> dict[str, float] | None:
    """Return accuracy and macro F1 of the author's own outputs by our metric code, or None if they are not public."""
    if not one.targets:
        return None
    outcomes = one.outcomes()
    targets, answers = [outcome.targets[0] for outcome in outcomes], [outcome.final_answer for outcome in outcomes]
    return {
        "n": len(outcomes),
        "accuracy": accuracy(targets, answers),
        "macro_f1": macro_f1(one.labels, targets, answers),
    }


def author_part(recipe: Recipe) -> Part | None:
    """Return the section with the paired tests of the author's own outputs, Holm over all pairs, or None."""
    right = {name: [bool(outcome.correct) for outcome in claim(name).outcomes()] for name in recipe.compared}
    pairs = list(combinations(right, 2))
    if not pairs:
        return None
    counts = [_discordant(right[a], right[b]) for a, b in pairs]
    p_values = [mcnemar_exact(*one) for one in counts]
    rows = [
        (claim(b).system, claim(a).system, f"{wins} / {losses}", f"{p:.3f}", f"{corrected:.3f}")
        for (a, b), (wins, losses), p, corrected in zip(pairs, counts, p_values, holm(p_values), strict=True)
    ]
    heads = ("System", "Against", "Won / lost", "p (exact McNemar)", "p after Holm")
    n = len(next(iter(right.values())))
    return Part("The author's own outputs in paired tests", (f"{n} samples, {len(pairs)} comparisons.",), heads, rows)


def _discordant(one: Sequence[bool], other: Sequence[bool]) -> tuple[int, int]:
    """Return how many samples only the other, and only the one, has right."""
    both = list(zip(one, other, strict=True))
    return sum(b and not a for a, b in both), sum(a and not b for a, b in both)


def published_part(recipe: Recipe) -> Part | None:
    """Return the section with the published figures, or None if there are none."""
    lines = published_lines(recipe.claims())
    if not lines:
        return None
    rows = [
        (
            line["system"],
            " or ".join(f"{n:,}" for n in line["n"]),
            ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in line["printed"].items()),
            "; ".join(f"{span(interval)} if n = {int(n):,}" for n, interval in line["accuracy_intervals"].items()),
            " ".join(check.split(": ", 1)[1] for check in line["checks"]),
            _again(line["recomputed"]),
        )
        for line in lines
    ]
    heads = (
        "Published system",
        "n",
        "As printed",
        "95 % interval of the accuracy",
        "Can the figures exist?",
        "Recomputed",
    )
    sources = dict.fromkeys(f"Source: {line['source']}." for line in lines)
    return Part("Published", tuple(sources), heads, rows)


def _again(found: Mapping[str, float] | None) -> str:
    if found is None:
        return "–"
    return f"{found['accuracy']:.3f}, macro F1 {found['macro_f1']:.3f}, from the author's {found['n']} outputs"


def span(interval: Sequence[float]) -> str:
    """Return `0.640 to 0.948`."""
    return f"{interval[0]:.3f} to {interval[1]:.3f}"
