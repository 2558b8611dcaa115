"""The label-name doctor from question to report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assistant.evaluation.outcomes import Arm
from assistant.evaluation.reports.leaderboard_plots import forest
from assistant.evaluation.reports.plots import Plot, percent
from assistant.evaluation.reports.words import points
from assistant.evaluation.statistics.paired import Comparison
from assistant.evaluation.studies.label_names import Diagnosis, consult, diagnose, plain, verdict
from assistant.evaluation.studies.namings import Names, namings
from assistant.evaluation.studies.report import (
    StudyReport,
    Table,
    check_answered,
    comma_separated,
    comparison_table,
    points_between,
    stopped_note,
    study_facts,
    with_interval,
)
from assistant.evaluation.studies.study import Study
from assistant.prompting.strategies import find_strategy

_PARTS = ("accuracy", "understanding", "mapping", "leaning", "unreadable", "renaming")
_COLUMNS = ("names", "kind", "n", *(f"{part}{end}" for part in _PARTS for end in ("", "_low", "_high")))
_MOST_AGREED = 3


def name_report(
    study: Study,
    arm: Arm,
    alternatives: Sequence[Names] = (),
    *,
    facts: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> StudyReport:
    """Return what the label-name doctor says about a strategy.

    Raises:
        SettingError: if the labels cannot be renamed; DataError: if the study was stopped too early.
    """
    tried = namings(study.task, find_strategy(arm.strategy), alternatives)
    outcomes = consult(study, arm, tried)
    n = check_answered(len(outcomes[tried[0].title]))
    found = diagnose(arm, study.task.labels, tried, outcomes, study.sampling.seed)
    unexplained = any(naming.kind == "unexplained" for naming in tried)
    wording = (
        "Names other than the task's are asked in a wording that explains none, because the explaining ones give "
        "the old names away; 'unexplained' is the task's names in that wording."
    )
    return StudyReport(
        study="label-names",
        title=f"Label-name doctor: {arm.name}, task {study.task.name}, n = {n}",
        verdicts=[verdict(found), *_meanings(found.diagnoses), _agreed(found.diagnoses)],
        tables=[
            _split(found.diagnoses),
            comparison_table(_against(found.comparisons), found.comparisons),
        ],
        plots=[_plot(found.diagnoses)],
        notes=[*([wording] if unexplained else []), *stopped_note(study, n), *notes],
        findings=plain(found),
        csv=comma_separated(_COLUMNS, [_figures(one) for one in found.diagnoses]),
        facts=study_facts(study, n, facts or {}),
    )


def _split(diagnoses: Sequence[Diagnosis]) -> Table:
    heads = (
        *("Names", "Kind", "Accuracy (95 % interval)", "Text not understood", "Wrong name said"),
        *("Leaning to a label", "Unreadable", "Other names would change"),
    )
    rows = [
        (
            *(_title(one), one.naming.kind),
            *(with_interval(part.share, part.interval) for part in (one.accuracy, one.understanding)),
            *(with_interval(part.share, part.interval) for part in (one.mapping, one.leaning)),
            percent(one.unreadable.share),
            f"{points(one.renaming.share)} points ({points_between(one.renaming.interval)})",
        )
        for one in diagnoses
    ]
    note = (
        "The error is split in this order: what could not be read; what a re-mapping of the said names repairs ('wrong "
        "name said'); what goes away once labels are as probable as they are frequent ('leaning to a label', only "
        "where labels are scored); the rest is 'text not understood'. Every repair, and the best other names, are "
        "chosen on one half of the samples and judged on the other; below 0 it does harm."
    )
    return Table("Names by accuracy, and what the error consists of", heads, rows, note)


def _against(made: Sequence[Comparison]) -> str:
    return f"Every naming against the names {made[0].baseline}" if made else "Comparisons"


def _title(one: Diagnosis) -> str:
    names = ", ".join(one.naming.names)
    return f"{names} ({one.naming.title})" if one.naming.kind in ("own", "unexplained") else names


def _meanings(diagnoses: Sequence[Diagnosis]) -> list[str]:
    """Return whether permuted names are still used in their old meaning, if any were tried."""
    permuted = [one for one in diagnoses if one.naming.kind == "permuted"]
    if not permuted:
        return []
    kept = sum(one.mapping.interval.low > 0 for one in permuted)
    if not kept:
        return ["Permuted names are not measurably used in their old meaning."]
    most = max(permuted, key=lambda one: one.mapping.share)
    return [
        f"Permuted names keep their old meaning for the model, whatever the prompt makes of them, in {kept} of "
        f"{len(permuted)} permutations: re-mapping them repairs up to "
        f"{with_interval(most.mapping.share, most.mapping.interval)} of the answers."
    ]


def _agreed(diagnoses: Sequence[Diagnosis]) -> str:
    """Return which names the model agrees with, best first."""
    best = [f"{_title(one)} {percent(one.accuracy.share)}" for one in diagnoses[:_MOST_AGREED]]
    return f"The model agrees most with these names: {'; '.join(best)}."


def _plot(diagnoses: Sequence[Diagnosis]) -> Plot:
    rows = [
        {
            "name": _title(one),
            "accuracy": one.accuracy.share,
            "accuracy_interval": list(one.accuracy.interval),
            "kind": "strategy",
        }
        for one in diagnoses
    ]
    return forest(rows)


def _figures(one: Diagnosis) -> tuple[Any, ...]:
    parts = [getattr(one, part) for part in _PARTS]
    numbers = [number for part in parts for number in (part.share, *part.interval)]
    return (", ".join(one.naming.names), one.naming.kind, one.n, *numbers)
