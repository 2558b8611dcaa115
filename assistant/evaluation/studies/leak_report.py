"""The leak X-ray from question to report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from assistant.evaluation.outcomes import Arm
from assistant.evaluation.reports.plots import Plot
from assistant.evaluation.studies.leakage import (
    CEILINGS,
    NearCopy,
    Xray,
    corrected,
    examine,
    near_copies,
    plain,
    verdict,
    xray,
)
from assistant.evaluation.studies.plots import ceilings as ceilings_plot
from assistant.evaluation.studies.report import (
    StudyReport,
    Table,
    check_answered,
    comma_separated,
    stopped_note,
    study_facts,
    with_interval,
)
from assistant.evaluation.studies.study import Study
from assistant.records import Demonstration

_COLUMNS = ("arm", "ceiling", "n", "accuracy", "low", "high", "samples_touched")


def leak_report(
    study: Study,
    arm: Arm,
    ceilings: Sequence[float] = CEILINGS,
    *,
    facts: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> StudyReport:
    """Return the leak X-ray of a strategy and of the vote without a model.

    Raises:
        SettingError: if nothing can leak; DataError: if the study was stopped before its first block was done.
    """
    tau = study.retrieval.guard.cosine
    answered = xray(study, arm, ceilings)
    n = check_answered(len(answered[arm.name][1.0]))
    found = corrected([examine(name, by_ceiling, tau) for name, by_ceiling in answered.items()])
    copies = near_copies(study.samples, answered[arm.name][tau], _rows_by_id(study))
    guard = (
        f"A ceiling of {tau:g} is the leak guard as it is set; at every ceiling below 1 it also keeps out rows with "
        "the sample's id, group or text, and near copies by their letters. 1 is no guard at all."
    )
    return StudyReport(
        study="leaks",
        title=f"Leak X-ray: {arm.name}, task {study.task.name}, n = {n}",
        verdicts=[verdict(one) for one in found],
        tables=[table for one in found for table in (_curve(one), _bands(one))] + [_copies(copies)],
        plots=[_plot(one) for one in found],
        notes=[guard, *stopped_note(study, n), *notes],
        findings={"arms": [plain(one) for one in found], "near_copies": [asdict(copy) for copy in copies]},
        csv=comma_separated(_COLUMNS, [row for one in found for row in _figures(one)]),
        facts=study_facts(study, n, facts or {}),
    )


def _rows_by_id(study: Study) -> Any:
    index = study.open_index()

    def find(identity: str) -> Demonstration | None:
        row = index.row_of(identity)
        return None if row is None else index.demonstration(row)

    return find


def _figures(found: Xray) -> list[tuple[Any, ...]]:
    return [(found.arm, one.tau, one.n, one.accuracy, *one.interval, one.samples_touched) for one in found.ceilings]


def _plot(found: Xray) -> Plot:
    points = [(one.tau, one.accuracy, *one.interval) for one in found.ceilings]
    return ceilings_plot(points, name=found.arm, adjusted=found.share.adjusted if found.share else None)


def _curve(found: Xray) -> Table:
    rows = [
        (
            "no guard" if one.tau >= 1 else f"{one.tau:g}",
            with_interval(one.accuracy, one.interval),
            f"{one.samples_touched:,}",
            ", ".join(f"{kind} {count:,}" for kind, count in one.reasons.items()) or "–",
        )
        for one in found.ceilings
    ]
    heads = ("Ceiling", "Accuracy (95 % interval)", "Samples with a copy", "Rows kept out, by reason")
    return Table(f"{found.arm}: accuracy over the similarity ceiling", heads, rows)


def _bands(found: Xray) -> Table:
    rows = [
        (
            f"{band.low:.2f} to {band.high:.2f}" if band.low >= 0 else f"below {band.high:.2f}",
            f"{band.n:,}",
            with_interval(band.accuracy, band.interval),
        )
        for band in found.bands
    ]
    heads = ("Similarity of the nearest row", "n", "Accuracy (95 % interval)")
    return Table(f"{found.arm}: accuracy by similarity, without a guard", heads, rows)


def _copies(copies: Sequence[NearCopy]) -> Table:
    rows = [
        (
            "–" if one.similarity is None else f"{one.similarity:.3f}",
            *(one.sample, one.sample_text, one.sample_label),
            *(one.row, one.row_text, one.row_label, one.reason),
        )
        for one in copies
    ]
    heads = ("Similarity", "Sample", "Its text", "Its label", "Row", "Text of the row", "Label of the row", "Reason")
    return Table("Near copies that the guard keeps out", heads, rows, folded=True)
