"""What a study found, as one report: Markdown, one self-contained HTML page, a JSON record, a CSV table."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from assistant.errors import DataError
from assistant.evaluation.reports import elements as parts
from assistant.evaluation.reports.plots import Plot, percent
from assistant.evaluation.reports.words import p_value, points
from assistant.evaluation.statistics.intervals import Interval
from assistant.evaluation.statistics.paired import Comparison
from assistant.evaluation.studies.study import Study

FORMAT = 1
_TAG_OR_ENTITY = re.compile(r"<(?=[A-Za-z/!?])|&(?=#|\w+;)")


@dataclass(frozen=True)
class Table:
    """Rows of text under their heads; a `folded` one is opened by a click."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    folded: bool = False


@dataclass(frozen=True)
class StudyReport:
    """A study in words, tables and plots, with the record that programs read."""

    study: str
    title: str
    verdicts: Sequence[str]
    tables: Sequence[Table]
    plots: Sequence[Plot]
    notes: Sequence[str]
    findings: Mapping[str, Any]
    csv: str
    """The figures as a table for programs."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Task, data, model, index, settings, versions: what the findings hold for."""

    @property
    def finished(self) -> bool:
        """Return whether all samples were answered."""
        return bool(self.facts.get("finished", True))

    def to_json(self) -> dict[str, Any]:
        """Return the record: facts, verdicts, findings and notes."""
        return {
            "format": FORMAT,
            "study": self.study,
            **self.facts,
            "verdicts": list(self.verdicts),
            "findings": dict(self.findings),
            "notes": list(self.notes),
        }


def _named_facts(report: StudyReport) -> list[tuple[str, str]]:
    """Return the facts that stand under the title: who was asked about what."""
    data, model, index = (report.facts.get(name) or {} for name in ("data", "model", "index"))
    rows = f"{index['rows']:,} rows" if index.get("rows") else None
    named = [
        *(("data", data.get("source")), ("split", data.get("split")), ("samples", report.facts.get("n"))),
        *(("model", model.get("name")), ("adapter", model.get("adapter")), ("index", rows)),
        ("settings", str(report.facts.get("settings_hash", ""))[:12]),
    ]
    return [(name, str(value)) for name, value in named if value]


def markdown(report: StudyReport) -> str:
    """Return the report as Markdown; of a folded table only how long it is."""
    facts = "; ".join(f"{name} {_one_line(value)}" for name, value in _named_facts(report))
    blocks = [f"# {_one_line(report.title)}", *([facts] if facts else []), *map(_one_line, report.verdicts)]
    for table in report.tables:
        if table.folded:
            blocks.append(f"{table.title}: {len(table.rows)}; the HTML and JSON reports list them.")
        elif table.rows:
            blocks += [f"## {table.title}", _markdown_table(table), *([table.note] if table.note else [])]
    blocks += ["## Notes", "\n".join(f"- {_one_line(note)}" for note in report.notes)] if report.notes else []
    return "\n\n".join(blocks) + "\n"


def _markdown_table(table: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(map(_one_line, cells)) + " |"

    return "\n".join([line(table.heads), line(["---"] * len(table.heads)), *map(line, table.rows)])


def _one_line(text: str) -> str:
    """Return the text on one line, with nothing in it that would end a cell or begin a tag."""
    line = " ".join(text.split())
    return _TAG_OR_ENTITY.sub(lambda found: html.escape(found[0]), line).replace("|", "\\|")


def section(report: StudyReport) -> str:
    """Return the report as parts of an HTML page: verdicts, plots, tables, notes."""
    body = [
        f'<div class="lead">{parts.paragraphs(report.verdicts)}</div>',
        parts.figures(report.plots),
        *(_html_table(table) for table in report.tables if table.rows),
        parts.section("Notes", parts.paragraphs(report.notes, "soft")),
    ]
    return "".join(body)


def page(report: StudyReport) -> str:
    """Return the report as one HTML file that loads nothing from anywhere and runs no script."""
    style = files("assistant.evaluation.reports").joinpath("report.css").read_text(encoding="utf-8")
    title = parts.esc(report.title)
    named = (f"<span>{parts.esc(name)} <b>{parts.esc(value)}</b></span>" for name, value in _named_facts(report))
    facts = f'<p class="facts">{"".join(named)}</p>'
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{title} · Shotwise</title><style>{style}</style></head>"
        f"<body><main><header><h1>{title}</h1>{facts}</header>{section(report)}</main></body></html>\n"
    )


def _html_table(table: Table) -> str:
    body = parts.table(table.heads, table.rows) + parts.paragraphs([table.note] if table.note else [], "soft")
    if table.folded:
        return parts.fold(table.title, body, f"{len(table.rows)}")
    return parts.section(table.title, body)


def comma_separated(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table as CSV; numbers with six significant digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(map(_csv_cell, row) for row in rows)
    return text.getvalue()


def _csv_cell(value: object) -> object:
    """Return the value; text that a spreadsheet would take for a formula gets an apostrophe in front."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value


def comparison_table(title: str, made: Sequence[Comparison]) -> Table:
    """Return paired comparisons with one baseline as a table."""
    heads = ("Compared", "n", "Points", "95 % interval", "Better on", "Worse on", "p", "p after Holm", "Verdict")
    rows = [
        (
            *(one.other, f"{one.n:,}", points(one.difference), points_between(one.interval)),
            *(str(one.wins), str(one.losses), p_value(one.p_value), p_value(one.p_holm), one.verdict),
        )
        for one in made
    ]
    return Table(title, heads, rows)


def with_interval(value: float, interval: Interval) -> str:
    """Return `83.3 % (77.5 to 87.9)`."""
    return f"{percent(value)} ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def points_between(interval: Interval) -> str:
    """Return `-1.5 to +3.0`."""
    return f"{points(interval.low)} to {points(interval.high)}"


def check_answered(n: int) -> int:
    """Return the number of samples that were answered.

    Raises:
        DataError: if there are none.
    """
    if not n:
        raise DataError(
            "The study was stopped before its first samples were answered in every way.",
            "Give the same command again: it goes on where it was.",
        )
    return n


def stopped_note(study: Study, n: int) -> list[str]:
    """Return a note if only some of the samples were answered."""
    if n == len(study.samples):
        return []
    return [f"Stopped early: all figures are of the first {n} of {len(study.samples)} samples."]


def study_facts(study: Study, n: int, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the findings hold for, the task and the number of samples before all else."""
    task = {"name": study.task.name, "labels": list(study.task.labels), "metric": study.task.metric}
    return {"finished": n == len(study.samples), "n": n, "task": task, **facts}
