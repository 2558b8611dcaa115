"""The k-sweep from question to report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assistant.evaluation.outcomes import Arm
from assistant.evaluation.reports.plots import percent
from assistant.evaluation.reports.words import measure_of, p_value, points
from assistant.evaluation.studies.plots import sweep as sweep_plot
from assistant.evaluation.studies.report import (
    StudyReport,
    Table,
    check_answered,
    comma_separated,
    points_between,
    stopped_note,
    study_facts,
    with_interval,
)
from assistant.evaluation.studies.study import Study
from assistant.evaluation.studies.sweep import (
    COLUMNS,
    NUMBERS,
    SEEDS,
    SELECTED,
    Contrast,
    Point,
    lines,
    plain,
    summarise,
    sweep,
    table,
    verdicts,
)


def sweep_report(
    study: Study,
    arm: Arm,
    numbers: Sequence[int] = NUMBERS,
    selectors: Sequence[str] = SELECTED,
    seeds: Sequence[int] = SEEDS,
    *,
    facts: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> StudyReport:
    """Return the k-sweep of a strategy.

    Raises:
        SettingError: if the strategy does not search; DataError: if the study was stopped too early.
    """
    answered = sweep(study, arm, numbers, selectors, seeds)
    n = check_answered(len(next(iter(answered.values()))[0]))
    found = summarise(arm, answered, study.sampling.seed)
    measure = measure_of(study.task.metric)
    draws = f"Random demonstrations: {len(set(seeds))} draws, one per seed, each the same for all samples."
    return StudyReport(
        study="k-sweep",
        title=f"k-sweep: {arm.name}, task {study.task.name}, n = {n}",
        verdicts=verdicts(found),
        tables=[_points(found.points, measure), _contrasts(found.contrasts)],
        plots=[sweep_plot(lines(found), measure=measure)],
        notes=[draws, *stopped_note(study, n), *notes],
        findings={**plain(found), "measure": measure},
        csv=comma_separated(COLUMNS, table(found)),
        facts=study_facts(study, n, facts or {}),
    )


def _points(found: Sequence[Point], measure: str) -> Table:
    heads = ("k", "Selector", f"{measure} (95 % interval)", "Lowest to highest seed", "Prompt tokens", "Seconds")
    rows = [
        (
            *(str(one.k), one.selector, with_interval(one.score, one.interval)),
            f"{percent(one.lowest_seed)} to {percent(one.highest_seed)}" if one.seeds > 1 else "–",
            *(f"{one.prompt_tokens:,.0f}", f"{one.seconds:.3f}"),
        )
        for one in found
    ]
    return Table(f"{measure} over the number of demonstrations", heads, rows)


def _contrasts(found: Sequence[Contrast]) -> Table:
    heads = ("k", "Selector", "Points", "95 % interval", "p", "p after Holm", "Verdict")
    rows = [
        (
            *(str(one.k), one.selector, points(one.difference), points_between(one.interval)),
            *(p_value(one.p_value), p_value(one.p_holm), one.verdict),
        )
        for one in found
    ]
    note = "The interval resamples samples and random draws; the test flips signs by sample."
    return Table("Each selector against random demonstrations at the same k", heads, rows, note)
