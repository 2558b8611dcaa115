"""A curve as one report: the sentence about the break-even, the chart, what every method scores, and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from assistant.evaluation.curves.experiment import Experiment
from assistant.evaluation.curves.findings import (
    BETTER,
    Contrast,
    Found,
    Point,
    against_prompting,
    best_prompting,
    break_even,
    points_of,
)
from assistant.evaluation.curves.plots import over_numbers
from assistant.evaluation.curves.ways import STATIC, VOTE, WAYS, ZERO_SHOT
from assistant.evaluation.reports.plots import percent
from assistant.evaluation.reports.words import measure_of, p_value, points
from assistant.evaluation.running.record import versions
from assistant.evaluation.studies.report import StudyReport, Table, comma_separated, points_between, with_interval

COLUMNS = (
    *("method", "rows", "rank", "n", "seeds", "score", "low", "high", "lowest_seed", "highest_seed"),
    *("begin_cpu_seconds", "cpu_seconds_per_1000", "prompt_tokens_per_1000", "parameters", "size_mb", "steps"),
)


def curve_report(experiment: Experiment, found: Found, notes: Sequence[str] = ()) -> StudyReport:
    """Return what a learning curve came to, as far as its cells are done."""
    shown = points_of(found, experiment)
    made = against_prompting(found, shown, experiment)
    measure = measure_of(experiment.material.task.metric)
    return StudyReport(
        study=experiment.name,
        title=f"Prompt or tune: {experiment.material.facts['source']}, n = {len(experiment.material.test):,}",
        verdicts=[*verdicts(shown, made, experiment), *_vote(shown)],
        tables=[_overview(shown, measure), _costs(shown), _contrasts(made)],
        plots=[_chart(shown, measure)],
        notes=[*_notes(shown, experiment), *notes],
        findings={
            "measure": measure,
            "points": [asdict(one) for one in shown],
            "contrasts": [asdict(one) for one in made],
            "break_even": {name: one.rows if one else None for name, one in _reached(shown, made).items()},
        },
        csv=table_of(shown),
        facts=facts_of(experiment, len(found)),
    )


def verdicts(shown: Sequence[Point], made: Sequence[Contrast], experiment: Experiment) -> list[str]:
    """Return in one sentence from how many rows on which tuning beats the best prompting."""
    reached = _reached(shown, made)
    if not reached or not any(WAYS[point.method].kind == "prompt" for point in shown):
        return []
    n = len(experiment.material.test)
    even = sorted((one for one in reached.values() if one is not None), key=lambda one: (one.rows, -one.difference))
    never = [name for name, one in reached.items() if one is None]
    some = {name: where for name in never if (where := _better_at(made, name))}
    if not even and not some:
        return [f"{_up_to(made, reached)} no tuning beats the best prompting measurably (n = {n:,})."]
    never = [name for name in never if name not in some]
    parts = [
        *(_from_there_on(one, made) for one in even),
        *(f"{name} at {where}, but not at the highest number" for name, where in some.items()),
        *([f"{_listed(never)} at none of the measured numbers"] if never else []),
    ]
    if even:
        parts[0] = f"From {even[0].rows:,} labelled rows on, tuning beats the best prompting: {_by(even[0], made)}"
    else:
        parts[0] = f"Tuning beats the best prompting at some numbers of rows only: {parts[0]}"
    return [f"{'; '.join(parts)} (n = {n:,}, paired, corrected for {len(made)} comparisons)."]


def _up_to(made: Sequence[Contrast], tuned: Iterable[str]) -> str:
    """Return up to how many rows tuning was held against prompting, and which methods not as far."""
    own = {name: max(one.rows for one in made if one.method == name) for name in tuned}
    most = max(own.values())
    less = [f"{name} up to {rows:,}" for name, rows in own.items() if rows < most]
    return f"Up to {most:,} labelled rows{f' ({_listed(less)})' if less else ''}"


def _by(one: Contrast, made: Sequence[Contrast]) -> str:
    gap = f"{points(one.difference)} points ({points_between(one.interval)})"
    return f"{one.method} by {gap} over {one.baseline} there{_as_far_as(one, made)}"


def _from_there_on(one: Contrast, made: Sequence[Contrast]) -> str:
    return f"{one.method} from {one.rows:,} rows on{_as_far_as(one, made)}"


def _as_far_as(one: Contrast, made: Sequence[Contrast]) -> str:
    """Return up to where a method was measured, if others were measured further."""
    own, most = max(other.rows for other in made if other.method == one.method), max(other.rows for other in made)
    return f" (measured up to {own:,})" if own < most else ""


def _better_at(made: Sequence[Contrast], method: str) -> str:
    """Return at which numbers of rows a method beats the best prompting, in words."""
    where = [f"{one.rows:,}" for one in made if one.method == method and one.verdict == BETTER]
    return f"{_listed(where)} rows" if where else ""


def _reached(shown: Sequence[Point], made: Sequence[Contrast]) -> dict[str, Contrast | None]:
    """Return for every tuning that was held against a prompting where it breaks even, or None."""
    tuned = dict.fromkeys(point.method for point in shown if WAYS[point.method].trains)
    compared = {one.method for one in made}
    return {name: break_even(made, name) for name in tuned if name in compared}


def _vote(shown: Sequence[Point]) -> list[str]:
    """Return how far the vote of the nearest rows gets without a language model, beside the best prompting."""
    votes = [point for point in shown if point.method == VOTE]
    best = best_prompting(shown, votes[-1].rows) if votes else None
    if best is None:
        return []
    return [
        f"With {votes[-1].rows:,} rows the vote of the nearest, without a language model, reaches "
        f"{with_interval(votes[-1].score, votes[-1].interval)}; the best prompting, {best.method}, "
        f"{with_interval(best.score, best.interval)}."
    ]


def _overview(shown: Sequence[Point], measure: str) -> Table:
    """Return methods × numbers of rows."""
    numbers = sorted({point.rows for point in shown})
    by_method: dict[str, dict[int, Point]] = {}
    for point in shown:
        by_method.setdefault(point.method, {})[point.rows] = point
    rows = [
        (name, *(with_interval(of[one].score, of[one].interval) if one in of else "–" for one in numbers))
        for name, of in by_method.items()
    ]
    heads = ("Method", *(f"{number:,} rows" for number in numbers))
    return Table(f"{measure} by labelled rows (95 % intervals)", heads, rows)


def _costs(shown: Sequence[Point]) -> Table:
    heads = (
        *("Method", "Rows", "Lowest to highest draw", "CPU s before the first answer", "CPU s per 1,000 answers"),
        *("Prompt tokens per 1,000", "Parameters learnt"),
    )
    rows = [
        (
            *(point.method, f"{point.rows:,}"),
            f"{percent(point.lowest_seed)} to {percent(point.highest_seed)}" if point.seeds > 1 else "–",
            *(f"{point.begin_seconds:,.1f}", f"{point.seconds_per_1000:,.1f}"),
            f"{point.tokens_per_1000:,.0f}" if point.tokens_per_1000 else "–",
            f"{point.learnt:,}" if point.learnt else "–",
        )
        for point in shown
    ]
    note = (
        "CPU seconds of all threads together, on this machine: before the first answer is training, or embedding "
        "the rows; loading a model is not counted."
    )
    return Table("What it costs", heads, rows, note)


def _contrasts(made: Sequence[Contrast]) -> Table:
    heads = ("Method", "Rows", "Best prompting", "Points", "95 % interval", "p after Holm", "Verdict")
    rows = [
        (
            *(one.method, f"{one.rows:,}", one.baseline, points(one.difference), points_between(one.interval)),
            *(p_value(one.p_holm), one.verdict),
        )
        for one in made
    ]
    note = "Paired by sample; intervals resample samples and draws. The best prompting is that of the highest mean."
    return Table("Against the best prompting with the same rows", heads, rows, note)


def _chart(shown: Sequence[Point], measure: str) -> Any:
    curves: dict[str, list[tuple[int, float, float, float]]] = {}
    for point in shown:
        if point.method != ZERO_SHOT:
            curves.setdefault(point.method, []).append((point.rows, point.score, *point.interval))
    base = next((point.score for point in shown if point.method == ZERO_SHOT), None)
    return over_numbers(curves, measure=measure, axis="labelled rows", base=base)


def _notes(shown: Sequence[Point], experiment: Experiment) -> Iterator[str]:
    settings = experiment.settings
    yield (
        f"{draws(settings.seeds)}. All methods have the same rows, and the draw of few is part of that of many. "
        "What a training sets apart to see when to stop counts among its rows; the dev part is not used."
    )
    if any(point.method == STATIC for point in shown):
        yield f"{STATIC} shows the first {settings.k} rows of a draw, however many there are: its line is level."
    yield from shared_notes(shown, experiment)


def draws(seeds: int) -> str:
    """Return how often the rows were drawn, in words."""
    return (
        f"{seeds} draws of the rows" if seeds > 1 else "The rows were drawn once: another draw may come out otherwise"
    )


def shared_notes(shown: Sequence[Point], experiment: Experiment) -> Iterator[str]:
    """Yield what has to be known about rows, trainings and cells of any curve."""
    wished, there = max(experiment.settings.rows), max(experiment.numbers)
    if there < wished:
        yield f"There are {there:,} rows to draw from: that stands for {wished:,}."
    if any(point.interrupted for point in shown):
        yield "A training was interrupted: of its seconds only those of its last process are counted."
    dropped = {f"{point.method}, {point.rows:,} rows": point.dropped for point in shown if point.dropped}
    if dropped:
        counts = "; ".join(f"{name}: {count:,}" for name, count in dropped.items())
        yield f"Demonstrations that did not fit into the context and were dropped, over all answers: {counts}."
    missing = len(experiment.cells) - sum(point.seeds for point in shown)
    if missing:
        yield f"Stopped early: {missing} of {len(experiment.cells)} cells are missing."
    yield from experiment.material.notes


def table_of(shown: Sequence[Point]) -> str:
    """Return all points as CSV."""
    rows = [
        (
            *(one.method, one.rows, one.rank, one.n, one.seeds, one.score, *one.interval),
            *(one.lowest_seed, one.highest_seed, one.begin_seconds, one.seconds_per_1000, one.tokens_per_1000),
            *(one.learnt, one.size_mb, one.steps),
        )
        for one in shown
    ]
    return comma_separated(COLUMNS, rows)


def facts_of(experiment: Experiment, done: int) -> dict[str, Any]:
    """Return what the figures hold for."""
    task = experiment.material.task
    return {
        "finished": done == len(experiment.cells),
        "n": len(experiment.material.test),
        "cells": {"done": done, "of": len(experiment.cells)},
        "task": {"name": task.name, "labels": list(task.labels), "metric": task.metric},
        "settings": experiment.settings.to_json(),
        "settings_hash": experiment.mark,
        "reading": experiment.reading,
        "data": {**experiment.material.facts, **experiment.material.digest},
        "model": experiment.facts,
        "versions": versions(),
    }


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
