"""What an advice says in words: one sentence to act on, and what has to be known beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
    dropped: Collection[str] = (),
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
        dropped: Arms that the race dropped as clearly worse: a tie on test does not bring them back.
    """
    rows = {row["name"]: row for row in test}
    figure = "accuracy" if measure == "accuracy" else MEASURES.get(metric, "score")
    kind, use, sentence = _among_strategies(rows, pairs, finalists, dropped, (measure, figure))
    rest = [f"Still in the race at its end, but not tested: {_listed(untested)}."] if untested else []
    without = [one for one in pairs if rows[one.other]["kind"] == "baseline"]
    better = _highest([one for one in without if one.verdict == "better"], rows, measure)
    if better is not None:
        without_model = _without_model(better, rows, measure, figure)
        more = [f"Or else: {sentence}", *rest]
        return {"kind": "no model", "use": better.other, "sentence": without_model, "more": more}
    more = [*_cheaper_but_dropped(use, rows, pairs, finalists, dropped), *_beside(without, use, rows, measure), *rest]
    return {"kind": kind, "use": use, "sentence": sentence, "more": more}


def _highest(pairs: Sequence[Comparison], rows: Mapping[str, Row], measure: str) -> Comparison | None:
    return max(pairs, key=lambda one: rows[one.other][measure], default=None)


def _without_model(better: Comparison, rows: Mapping[str, Row], measure: str, figure: str) -> str:
    return (
        f"Use {better.other}, which asks no language model: on {better.n:,} test samples its {figure} is "
        f"{with_interval(rows[better.other], measure)}, better than the chosen strategy, {better.baseline}, with "
        f"{with_interval(rows[better.baseline], measure)}."
    )


def _beside(without: Sequence[Comparison], use: str, rows: Mapping[str, Row], measure: str) -> list[str]:
    """Return how the arm chosen on dev compares with the baselines that ask no language model, none of them better.

    What is to be used may be another arm, which is not measurably different and costs less.
    """
    equal = [one for one in without if one.verdict != "worse"]
    best = _highest(equal or without, rows, measure)
    if best is None:
        return []
    figure = with_interval(rows[best.other], measure)
    if not equal:
        return [f"Every baseline without a language model is worse; the best of them, {best.other}, reaches {figure}."]
    found = [
        f"Without a language model, {best.other} reaches {figure}: no measurable difference from {best.baseline}, "
        "so the model has not yet shown its worth."
    ]
    for one in equal:
        if rows[one.other]["strategy"] == MAJORITY:
            relied = "it" if use == one.baseline else f"it, nor on {use}, which is not measurably different"
            found.append(
                f"{one.baseline} is not even measurably better than always giving the most frequent answer "
                f"({with_interval(rows[one.other], measure)}): do not rely on {relied}."
            )
    return found


def _cheaper_but_dropped(
    use: str, rows: Mapping[str, Row], pairs: Sequence[Comparison], finalists: Sequence[str], dropped: Collection[str]
) -> list[str]:
    """Return a sentence on every finalist that costs less and that dev found worse, and test did not."""
    tokens = {name: cost_per_answer(rows[name], "tokens") for name in finalists}
    return [
        f"{one.other} costs less ({round(tokens[one.other]):,} tokens an answer, not {round(tokens[use]):,}); on dev "
        "it was clearly worse, the test alone cannot tell."
        for one in pairs
        if one.other in finalists
        and one.other in dropped
        and one.verdict not in ("better", "worse")
        and tokens[one.other] < tokens[use]
    ]


def _among_strategies(
    rows: Mapping[str, Row],
    pairs: Sequence[Comparison],
    finalists: Sequence[str],
    dropped: Collection[str],
    measured: tuple[str, str],
) -> tuple[str, str, str]:
    """Return the kind of recommendation, the arm to use and the sentence, baselines without a model aside."""
    measure, figure = measured
    name, chosen = finalists[0], rows[finalists[0]]
    verdicts = {one.other: one.verdict for one in pairs if one.other in finalists}
    better = [other for other, verdict in verdicts.items() if verdict == "better"]
    if better:
        use = max(better, key=lambda other: rows[other][measure])
        found = f"{_reaches(rows[use], measure, figure)}, better than {name}, which dev had favoured"
        return "strategy", use, f"Use {use}: {found} ({with_interval(chosen, measure)})."
    ties = [other for other, verdict in verdicts.items() if verdict != "worse" and other not in dropped]
    if not ties:
        worse = [other for other, verdict in verdicts.items() if verdict == "worse"]
        unsure = [other for other in verdicts if other not in worse]
        than = f", better than {_listed(worse)}" if worse else ""
        on_dev = f"; {_listed(unsure)} did clearly worse on dev" if unsure else ""
        return "strategy", name, f"Use {name}: {_reaches(chosen, measure, figure)}{than}{on_dev}."
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
