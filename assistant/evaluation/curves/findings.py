"""What a curve says: points with intervals, every method against the best prompting, and where tuning breaks even."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from assistant.evaluation.curves.cells import Cell, Scored
from assistant.evaluation.curves.experiment import Experiment
from assistant.evaluation.curves.ways import WAYS
from assistant.evaluation.metrics.text import RIGHT_OR_WRONG
from assistant.evaluation.statistics.intervals import Interval, two_way_bootstrap, wilson
from assistant.evaluation.statistics.p_values import holm
from assistant.evaluation.statistics.paired import Comparison, compare_arms
from assistant.evaluation.statistics.power import ALPHA

Found = Mapping[Cell, Scored]
BETTER, WORSE = "better", "worse"


@dataclass(frozen=True)
class Point:
    """One method at one number of rows (and one rank), over the draws that are done."""

    method: str
    rows: int
    rank: int | None
    n: int
    seeds: int
    score: float
    """Mean of the task's metric over samples and draws."""
    interval: Interval
    """95 %; samples and draws are both resampled."""
    lowest_seed: float
    highest_seed: float
    begin_seconds: float
    """CPU seconds before the first answer, mean of the draws: training, or embedding the rows."""
    seconds_per_1000: float
    """CPU seconds of a thousand answers, mean of the draws."""
    tokens_per_1000: float
    """Prompt tokens of a thousand answers."""
    learnt: int
    size_mb: float
    steps: float
    interrupted: bool
    dropped: int
    """Demonstrations that did not fit into the context, over all answers."""


@dataclass(frozen=True)
class Contrast:
    """A method against a baseline, paired by sample; corrected for all that were made together."""

    method: str
    rows: int
    rank: int | None
    baseline: str
    n: int
    difference: float
    interval: Interval
    p_value: float
    p_holm: float
    verdict: str
    """`better`, `worse`, or that they cannot be told apart."""


def points_of(found: Found, experiment: Experiment) -> tuple[Point, ...]:
    """Return one point for every method, number of rows and rank, method by method in the order of the table."""
    groups, places = _groups(experiment), _by_place(found)
    ordered = sorted(places, key=lambda place: (list(WAYS).index(place.method), place.rows, place.rank or 0))
    return tuple(_point(place, places[place], groups) for place in ordered)


def _by_place(found: Found) -> dict[Cell, list[Scored]]:
    """Return cell without its seed → what came out for each draw."""
    places: dict[Cell, list[Scored]] = {}
    for cell, scored in found.items():
        places.setdefault(replace(cell, seed=0), []).append(scored)
    return places


def _point(place: Cell, many: Sequence[Scored], groups: Sequence[str] | None) -> Point:
    table = _table(many)
    n = table.shape[1]
    by_seed = table.mean(axis=1)
    return Point(
        method=place.method,
        rows=place.rows,
        rank=place.rank,
        n=n,
        seeds=len(many),
        score=float(table.mean()),
        interval=interval_of(table, groups),
        lowest_seed=float(by_seed.min()),
        highest_seed=float(by_seed.max()),
        begin_seconds=_mean([one.begin_seconds for one in many]),
        seconds_per_1000=1000 * _mean([one.answer_seconds for one in many]) / n,
        tokens_per_1000=1000 * _mean([one.prompt_tokens for one in many]) / n,
        learnt=many[0].learnt,
        size_mb=_mean([one.size_mb for one in many]),
        steps=_mean([one.steps for one in many]),
        interrupted=any(one.interrupted for one in many),
        dropped=sum(one.dropped for one in many),
    )


def interval_of(table: NDArray[np.float64], groups: Sequence[str] | None) -> Interval:
    """Return the 95 % interval of the mean of (seeds × samples): Wilson's of one draw of right and wrong."""
    if len(table) == 1 and groups is None and bool(np.isin(table, (0.0, 1.0)).all()):
        return wilson(float(table.sum()), table.size)
    return two_way_bootstrap(table, groups)


def best_prompting(points: Sequence[Point], rows: int) -> Point | None:
    """Return the prompting of the highest mean with at most so many rows: zero-shot needs none."""
    known = [point for point in points if WAYS[point.method].kind == "prompt" and point.rows in (0, rows)]
    return max(known, key=lambda point: point.score, default=None)


def against_prompting(found: Found, points: Sequence[Point], experiment: Experiment) -> tuple[Contrast, ...]:
    """Return every vote and every tuning against the best prompting with the same rows.

    The best prompting is chosen on the rows that are answered, which favours it a little. Where a prompting that
    was asked for is not measured yet, nothing is held against the others.

    Source: Miller 2024 (paired differences); Holm 1979.
    """
    places = _by_place(found)
    raw: list[tuple[Cell, Comparison]] = []
    asked = {way.name for way in experiment.settings.ways if way.kind == "prompt"}
    for rows in sorted({point.rows for point in points if point.rows}):
        best = best_prompting(points, rows)
        others = [place for place in places if place.rows == rows and place.way.kind != "prompt"]
        complete = asked <= {place.method for place in places if place.rows == rows}
        if best is not None and others and complete:
            raw += _compared(Cell(best.method, best.rows), others, places, experiment)
    return _corrected(raw)


def against_place(baseline: Cell, others: Sequence[Cell], found: Found, experiment: Experiment) -> tuple[Contrast, ...]:
    """Return places against one of them, corrected for all comparisons made here."""
    return _corrected(_compared(baseline, others, _by_place(found), experiment))


def _compared(
    baseline: Cell, others: Sequence[Cell], places: Mapping[Cell, Sequence[Scored]], experiment: Experiment
) -> list[tuple[Cell, Comparison]]:
    names = {place.words: place for place in others}
    ids = [sample.id for sample in experiment.material.test]
    groups = {sample.id: sample.group for sample in experiment.material.test}
    scores = {place.words: _scores(places[place], ids) for place in (baseline, *others)}
    binary = experiment.material.task.metric in RIGHT_OR_WRONG
    made = compare_arms(baseline.words, scores, groups=groups, binary=binary)
    return [(names[one.other], replace(one, baseline=baseline.method)) for one in made]


def _scores(many: Sequence[Scored], ids: Sequence[str]) -> dict[str, float | Mapping[int, float]]:
    """Return sample id → seed → score; of one draw the score alone."""
    if len(many) == 1:
        return dict(zip(ids, many[0].scores, strict=True))
    return {sample: {one.seed: one.scores[at] for one in many} for at, sample in enumerate(ids)}


def _corrected(raw: Sequence[tuple[Cell, Comparison]]) -> tuple[Contrast, ...]:
    corrected = holm([one.p_value for _, one in raw])
    return tuple(
        Contrast(
            *(place.method, place.rows, place.rank, one.baseline, one.n, one.difference, one.interval),
            *(one.p_value, p_holm, _verdict(one, p_holm)),
        )
        for (place, one), p_holm in zip(raw, corrected, strict=True)
    )


def _verdict(one: Comparison, p_holm: float) -> str:
    if p_holm < ALPHA and one.interval.excludes(0.0):
        return BETTER if one.difference > 0 else WORSE
    return "not distinguishable"


def break_even(contrasts: Sequence[Contrast], method: str) -> Contrast | None:
    """Return the contrast from whose number of rows on a method beats the best prompting at every larger one too."""
    own = sorted((one for one in contrasts if one.method == method), key=lambda one: -one.rows)
    reached = None
    for one in own:
        if one.verdict != BETTER:
            break
        reached = one
    return reached


def _table(many: Sequence[Scored]) -> NDArray[np.float64]:
    return np.array([one.scores for one in many], dtype=np.float64)


def _groups(experiment: Experiment) -> list[str] | None:
    names = [sample.group for sample in experiment.material.test]
    return names if any(names) else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
