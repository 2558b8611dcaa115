"""The order lottery from question to report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assistant.evaluation.outcomes import Arm
from assistant.evaluation.reports.plots import Plot, percent
from assistant.evaluation.studies.lottery import Lottery, OrderRow, lottery, plain, verdict
from assistant.evaluation.studies.orders import score_orders
from assistant.evaluation.studies.plots import orders as orders_plot
from assistant.evaluation.studies.report import (
    StudyReport,
    Table,
    check_answered,
    comma_separated,
    comparison_table,
    stopped_note,
    study_facts,
)
from assistant.evaluation.studies.study import Study


def order_report(
    study: Study, arm: Arm, *, facts: Mapping[str, Any] | None = None, notes: Sequence[str] = ()
) -> StudyReport:
    """Return the order lottery of a strategy.

    Raises:
        SettingError: if there are no orders, or too many; DataError: if the study was stopped too early.
    """
    records = score_orders(study, arm)
    n = check_answered(len(records))
    found = lottery(arm.strategy, study.retrieval.k, study.task.labels, records, study.sampling.seed)
    left_out = f"{found.left_out} samples were shown fewer than {found.k} demonstrations and are left out."
    return StudyReport(
        study="orders",
        title=f"Order lottery: {arm.strategy}, k = {found.k}, task {study.task.name}, n = {found.n}",
        verdicts=[verdict(found)],
        tables=[
            _orders(found.rows),
            comparison_table("The mean of all orders against the shown order", [found.comparison]),
        ],
        plots=[_plot(found)],
        notes=[*([left_out] if found.left_out else []), *stopped_note(study, n), *notes],
        findings=plain(found),
        csv=comma_separated(
            ("order", "accuracy", "shown"), [(_name(row), row.accuracy, row.shown) for row in found.rows]
        ),
        facts=study_facts(study, n, facts or {}),
    )


def _orders(rows: Sequence[OrderRow]) -> Table:
    cells = [(_name(row), percent(row.accuracy), "shown" if row.shown else "") for row in rows]
    note = (
        "Numbers are ranks: 1 is the best hit, or the first of the task's demonstrations. The last stands right "
        "before the question."
    )
    return Table("Accuracy of every order", ("Order", "Accuracy", "Shown"), cells, note)


def _name(row: OrderRow) -> str:
    return " ".join(map(str, row.order))


def _plot(found: Lottery) -> Plot:
    accuracies = [row.accuracy for row in found.rows]
    shown, percentile = found.shown_accuracy, found.percentile
    return orders_plot(accuracies, shown, percentile, name=found.strategy, ensemble=found.ensemble_accuracy)
