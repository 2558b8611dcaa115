"""A sweep over ranks as one report: what each gains over the base, and whether a higher rank gains more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from assistant.evaluation.curves.cells import Cell
from assistant.evaluation.curves.experiment import Experiment
from assistant.evaluation.curves.findings import BETTER, WORSE, Contrast, Found, Point, against_place, points_of
from assistant.evaluation.curves.plots import over_numbers
from assistant.evaluation.curves.report import draws, facts_of, shared_notes, table_of
from assistant.evaluation.curves.ways import ZERO_SHOT
from assistant.evaluation.reports.words import measure_of, points
from assistant.evaluation.studies.report import StudyReport, Table, points_between, with_interval

Contrasts = tuple[Contrast, ...]


def rank_report(experiment: Experiment, found: Found, notes: Sequence[str] = ()) -> StudyReport:
    """Return what a sweep over ranks came to, as far as its cells are done."""
    shown = points_of(found, experiment)
    gains, steps = _made(found, experiment)
    measure = measure_of(experiment.material.task.metric)
    rows, n = max(experiment.numbers), len(experiment.material.test)
    return StudyReport(
        study=experiment.name,
        title=f"Rank of LoRA: {experiment.material.facts['source']}, {rows:,} rows, n = {n:,}",
        verdicts=[*_over_base(gains), *_over_lowest(steps)],
        tables=[_figures(shown, gains, measure), _steps(steps)],
        plots=[over_numbers(_lines(shown), measure=measure, axis="rank", base=_base(shown))],
        notes=[
            f"{draws(experiment.settings.seeds)}. Alpha is twice the rank, all else is equal.",
            *shared_notes(shown, experiment),
            *notes,
        ],
        findings={
            "measure": measure,
            "points": [asdict(one) for one in shown],
            "over_base": [asdict(one) for one in gains],
            "over_lowest_rank": [asdict(one) for one in steps],
        },
        csv=table_of(shown),
        facts=facts_of(experiment, len(found)),
    )


def _made(found: Found, experiment: Experiment) -> tuple[Contrasts, Contrasts]:
    """Return every rank against the base, and against the lowest rank of the same method."""
    places = list(dict.fromkeys(replace(cell, seed=0) for cell in found))
    ranked = [place for place in places if place.rank is not None]
    base = Cell(ZERO_SHOT, 0)
    gains = against_place(base, ranked, found, experiment) if base in places and ranked else ()
    steps: Contrasts = ()
    for method in dict.fromkeys(place.method for place in ranked):
        lowest, *higher = sorted((one for one in ranked if one.method == method), key=lambda one: one.rank or 0)
        steps += against_place(lowest, higher, found, experiment) if higher else ()
    return gains, steps


def _over_base(gains: Contrasts) -> list[str]:
    if not gains:
        return []
    better = [one for one in gains if one.verdict == BETTER]
    least, most = min(gains, key=lambda one: one.difference), max(gains, key=lambda one: one.difference)
    some = f"Measurably over the base: {_ranks(better)}" if better else "No rank gains measurably over the base"
    which = "Every rank gains measurably over the base" if len(better) == len(gains) else some
    return [
        f"{which}; from {points(least.difference)} points (rank {least.rank}) to "
        f"{points(most.difference)} (rank {most.rank}), n = {most.n:,}."
    ]


def _over_lowest(steps: Contrasts) -> list[str]:
    if not steps:
        return []
    better, worse = ([one for one in steps if one.verdict == verdict] for verdict in (BETTER, WORSE))
    if better or worse:
        told = [f"{verdict}: {_ranks(made)}" for verdict, made in ((BETTER, better), (WORSE, worse)) if made]
        return [f"Against the lowest rank, measurably {'; '.join(told)}."]
    widest = max(one.interval.high for one in steps)
    return [
        f"No higher rank is measurably better than the lowest; the intervals leave room for {points(widest)} at most."
    ]


def _ranks(made: Sequence[Contrast]) -> str:
    return f"rank {', '.join(str(one.rank) for one in made)}"


def _figures(shown: Sequence[Point], gains: Contrasts, measure: str) -> Table:
    over = {(one.method, one.rank): one for one in gains}
    heads = ("Rank", "Method", "Parameters learnt", "MB", "CPU s of training", measure, "Over the base", "Verdict")
    rows = []
    for point in shown:
        gain = over.get((point.method, point.rank))
        rows.append(
            (
                "base" if point.rank is None else str(point.rank),
                *(point.method, f"{point.learnt:,}", f"{point.size_mb:.2f}", f"{point.begin_seconds:,.0f}"),
                with_interval(point.score, point.interval),
                f"{points(gain.difference)} ({points_between(gain.interval)})" if gain else "–",
                gain.verdict if gain else "–",
            )
        )
    return Table("Each rank against the base", heads, rows, "Paired by sample, corrected after Holm.")


def _steps(steps: Contrasts) -> Table:
    heads = ("Rank", "Against the lowest", "95 % interval", "Verdict")
    rows = [(str(one.rank), points(one.difference), points_between(one.interval), one.verdict) for one in steps]
    return Table("Each rank against the lowest", heads, rows)


def _lines(shown: Sequence[Point]) -> dict[str, list[tuple[int, float, float, float]]]:
    lines: dict[str, list[tuple[int, float, float, float]]] = {}
    for point in shown:
        if point.rank is not None:
            lines.setdefault(point.method, []).append((point.rank, point.score, *point.interval))
    return lines


def _base(shown: Sequence[Point]) -> float | None:
    return next((point.score for point in shown if point.method == ZERO_SHOT), None)
