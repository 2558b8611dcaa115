"""What an advice says in words: one sentence to act on, and what has to be known beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assistant.evaluation.reports.leaderboard_plots import cost_per_answer
from assistant.evaluation.reports.words import MEASURES, with_interval
from assistant.evaluation.statistics.paired import Comparison

Row = Mapping[str, Any]
MAJORITY = "majority"


def recommendation(
    test: Sequence[Row],
    pairs: Sequence[Comparison],
    finalists: Sequence[str],
    measure: str,
    untested: Sequence[str] = (),
    metric: str = "accuracy",
) -> dict[str, Any]:
    """Return which arm to use, why in one sentence, and further sentences.

    `kind` is `strategy`, `no difference`, or `no model` where a baseline without one does better.

    Args:
        test: Rows of the leaderboard on test.
        pairs: The chosen arm (the first finalist) compared with every other arm on test.
        finalists: The chosen arm, then its rivals.
        measure: `accuracy` or `score`.
        untested: Arms that the race had not dropped, and that were not among the finalists.
        metric: The task's, which gives a score its name.
    """
    rows = {row["name"]: row for row in test}
    chosen = rows[finalists[0]]
    among = {one.other: one for one in pairs if one.other in finalists}
    figure = "accuracy" if measure == "accuracy" else MEASURES.get(metric, "score")
    kind, use, sentence = _among_strategies(chosen, among, rows, measure, figure)
    without = [one for one in pairs if rows[one.other]["kind"] == "baseline"]
    rest = [f"Still in the race at its end, but not tested: {_listed(untested)}."] if untested else []
    best = max(without, key=lambda one: rows[one.other][measure], default=None)
    if best is not None and best.verdict == "better":
        without_model = (
            f"Use {best.other}, which asks no language model: on {best.n:,} test samples its {figure} is "
            f"{with_interval(rows[best.other], measure)}, better than the chosen strategy, {chosen['name']}, with "
            f"{with_interval(chosen, measure)}."
        )
        return {
            "kind": "no model",
            "use": best.other,
            "sentence": without_model,
            "more": [f"Or else: {sentence}", *rest],
        }
    beside = _beside(best, without, rows, measure) if best is not None else []
    return {"kind": kind, "use": use, "sentence": sentence, "more": [*beside, *rest]}


def _beside(best: Comparison, without: Sequence[Comparison], rows: Mapping[str, Row], measure: str) -> list[str]:
    """Return how the chosen arm compares with the baselines that ask no language model."""
    figure = with_interval(rows[best.other], measure)
    if best.verdict == "worse":
        return [f"Every baseline without a language model is worse; the best of them, {best.other}, reaches {figure}."]
    found = [
        f"Without a language model, {best.other} reaches {figure}: no measurable difference from {best.baseline}, "
        "so the model has not yet shown its worth."
    ]
    for one in without:
        if rows[one.other]["strategy"] == MAJORITY and one.verdict != "worse":
            found.append(
                f"{one.baseline} is not even measurably better than always giving the most frequent answer "
                f"({with_interval(rows[one.other], measure)}): do not rely on it."
            )
    return found


def _among_strategies(
    chosen: Row, among: Mapping[str, Comparison], rows: Mapping[str, Row], measure: str, figure: str
) -> tuple[str, str, str]:
    """Return the kind of recommendation, the arm to use and the sentence, baselines without a model aside."""
    name = chosen["name"]
    better = [other for other, pair in among.items() if pair.verdict == "better"]
    if better:
        use = max(better, key=lambda other: rows[other][measure])
        found = f"{_reaches(rows[use], measure, figure)}, better than {name}, which dev had favoured"
        return "strategy", use, f"Use {use}: {found} ({with_interval(chosen, measure)})."
    ties = [other for other, pair in among.items() if pair.verdict != "worse"]
    if not ties:
        than = f", better than {_listed(list(among))}" if among else ""
        return "strategy", name, f"Use {name}: {_reaches(chosen, measure, figure)}{than}."
    use, reason = _cheapest([name, *ties], rows)
    equals = f"No measurable difference between {_listed([name, *ties])} on {chosen['n']:,} test samples"
    return "no difference", use, f"{equals}; {reason}."


def _cheapest(equals: Sequence[str], rows: Mapping[str, Row]) -> tuple[str, str]:
    """Return which of equally good arms to use (the chosen one stands first), and why."""
    tokens = {name: round(cost_per_answer(rows[name], "tokens")) for name in equals}
    least = min(equals, key=tokens.__getitem__)
    if tokens[equals[0]] == tokens[least]:
        least = equals[0]
    others = [name for name in equals if name != least]
    if all(tokens[name] == tokens[least] for name in others):
        return least, f"they cost the same, so use {least}, which dev favoured"
    most = max(tokens[name] for name in others)
    fewer = "fewer" if len(others) == 1 else "the fewest"
    compared = f"{most:,}" if len(others) == 1 else f"up to {most:,}"
    return least, f"{least} costs {fewer} tokens ({tokens[least]:,} an answer, not {compared}), so use it"


def _reaches(row: Row, measure: str, figure: str) -> str:
    return f"on {row['n']:,} test samples its {figure} is {with_interval(row, measure)}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
