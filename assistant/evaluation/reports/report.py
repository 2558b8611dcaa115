"""A run's record as a report: one HTML file that needs nothing else, Markdown, or CSV.

The same record gives the same bytes. Whatever a clock wrote stands in one section, and
`without_timings` takes it out of a record.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from assistant.evaluation.reports import elements, parts, words
from assistant.evaluation.reports.leaderboard_plots import main_measure
from assistant.evaluation.reports.plots import Plot
from assistant.evaluation.reports.words import without_timings

__all__ = ["Part", "csv_report", "html_report", "markdown_report", "markdown_table", "without_timings"]

Record = Mapping[str, Any]
_CSV_COLUMNS = (
    *("name", "strategy", "reading", "calibration", "kind", "n", "answers", "seeds"),
    *("accuracy", "accuracy_low", "accuracy_high", "score", "score_low", "score_high"),
    *("macro_f1", "macro_f1_low", "macro_f1_high", "roc_auc", "brier", "expected_calibration_error"),
    *("exact_match", "token_f1", "rouge1", "rouge2", "rougeL", "bleu", "number_match", "pearson", "spearman"),
    *("parse_failures", "prompt_tokens", "new_tokens", "calls", "seconds", "seconds_median", "seconds_p95"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Part:
    """A section of its own for what only some reports have: a recommendation, an X-ray, an order lottery."""

    title: str
    sentences: Sequence[str] = ()
    heads: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    plots: Sequence[Plot] = ()


def html_report(record: Record, *, title: str = "", lead: Sequence[str] = (), extra: Sequence[Part] = ()) -> str:
    """Return the report as one HTML page without scripts, fonts or images from elsewhere.

    Args:
        record: `run.json`, as read.
        title: Instead of the run's name.
        lead: Sentences instead of the ones that the leaderboard gives.
        extra: Sections that stand right after the leading sentences.
    """
    name = title or record["name"]
    style = files("assistant.evaluation.reports").joinpath("report.css").read_text(encoding="utf-8")
    body = "".join(
        (
            f"<header><h1>{elements.esc(name)}</h1>{_facts(record)}</header>",
            elements.paragraphs(words.warnings(record), "warning"),
            f'<div class="lead">{elements.paragraphs(lead or words.headline(record))}</div>',
            *(_html_part(one) for one in extra),
            parts.leaderboard(record),
            parts.comparisons(record),
            parts.notes(record),
            parts.per_strategy(record),
            parts.problems(record),
            parts.samples(record),
            parts.time(record),
            parts.origins(record),
        )
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{elements.esc(name)} · Shotwise</title><style>{style}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def _facts(record: Record) -> str:
    shown = "".join(
        f"<span>{elements.esc(name)} <b>{elements.esc(value)}</b></span>" for name, value in _named_facts(record)
    )
    return f'<p class="facts">{shown}</p>'


def _named_facts(record: Record) -> list[tuple[str, str]]:
    data, model = record.get("data") or {}, record.get("model") or {}
    facts = [
        ("task", record["task"]["name"]),
        ("data", data.get("source")),
        ("split", data.get("split")),
        ("samples", data.get("n")),
        ("groups", data.get("groups")),
        ("model", model.get("name")),
        ("adapter", model.get("adapter")),
        ("strategies tried", record.get("tried")),
    ]
    return [(name, str(value)) for name, value in facts if value]


def _html_part(part: Part) -> str:
    return elements.section(
        part.title,
        elements.paragraphs(part.sentences),
        elements.table(part.heads, part.rows),
        elements.figures(part.plots),
    )


def markdown_report(record: Record, *, title: str = "", lead: Sequence[str] = (), extra: Sequence[Part] = ()) -> str:
    """Return the report as Markdown: the same words and tables, without plots and prompts."""
    rows, columns = words.ranked(record["results"]), words.columns(record)
    heads = ("Strategy", "n", *(column.heading for column in columns))
    cells = [(row["name"], f"{row['n']:,}", *(column.cell(row) for column in columns)) for row in rows]
    timed = [row for row in rows if "seconds" in row]
    blocks = [
        f"# {_md(title or record['name'])}",
        "; ".join(f"{name} {_md(value)}" for name, value in _named_facts(record)),
        *(f"> {_md(sentence)}" for sentence in words.warnings(record)),
        *(_md(sentence) for sentence in lead or words.headline(record)),
        *(block for one in extra for block in _markdown_part(one)),
        "## Leaderboard",
        _md_table(heads, cells),
        "## Is the difference real?",
        "\n".join(f"- {_md(words.pair_sentence(pair))}" for pair in record.get("pairs") or ()),
        *(_md(sentence) for sentence in (record.get("power") or {}).get("sentences") or ()),
        "## Replies that could not be read",
        _md_table(("Strategy", "Reason", "Replies"), [(a, b, f"{n:,}") for a, b, n in words.failures(record)])
        or "Every reply could be read.",
        "## Leak guard",
        _md_table(("Strategy", "Reason", "Rows"), [(a, b, f"{n:,}") for a, b, n in words.kept_out(record)])
        or "No row had to be kept out of a prompt.",
        "## Notes",
        "\n".join(f"- {_md(note)}" for note in record.get("notes") or ()),
        f"Settings hash: {_md(record.get('settings_hash', ''))}",
    ]
    if timed:
        times = [(row["name"], *map(words.seconds, (row["seconds_median"], row["seconds_p95"]))) for row in timed]
        blocks += ["## Time", _md_table(("Strategy", "Median per answer", "95th percentile"), times)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _markdown_part(part: Part) -> list[str]:
    found = [f"## {_md(part.title)}", *map(_md, part.sentences), _md_table(part.heads, part.rows)]
    return found + [_md(plot.words) for plot in part.plots]


def _md(text: object) -> str:
    """Return the text on one line, with nothing in it that Markdown or HTML would act upon."""
    line = " ".join(str(text).split())
    for mark, harmless in (("\\", "\\\\"), ("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|")):
        line = line.replace(mark, harmless)
    for mark in "`*_[]!":
        line = line.replace(mark, f"\\{mark}")
    return line


def _md_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell if cell == '---' else _md(cell) for cell in line)} |" for line in lines)


def csv_report(record: Record) -> str:
    """Return one line per row of the leaderboard, full precision, with a header; seeds are joined by blanks."""
    written = io.StringIO()
    writer = csv.DictWriter(written, _CSV_COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for row in record["results"]:
        values = dict(row) | {"seeds": " ".join(map(str, row.get("seeds") or ()))}
        for key in ("accuracy", "score", "macro_f1"):
            values[f"{key}_low"], values[f"{key}_high"] = row.get(f"{key}_interval") or (None, None)
        writer.writerow({name: _csv_cell(values.get(name)) for name in _CSV_COLUMNS})
    return written.getvalue()


def _csv_cell(value: object) -> object:
    """Return the value; text that a spreadsheet would take for a formula gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def markdown_table(records: Sequence[Record], titles: Sequence[str] = ()) -> str:
    """Return one table of several runs: a line per strategy, a column per run, percent with 95 % intervals.

    Bold is what its run's paired comparison calls better than that run's baseline.

    Args:
        records: Of one or more runs.
        titles: The columns' headings; by default the runs' names.
    """
    names = list(dict.fromkeys(row["name"] for record in records for row in record["results"]))
    headings = titles or [str(record["name"]) for record in records]
    heads = ["Strategy"]
    for record, heading in zip(records, headings, strict=True):
        sizes = {row["n"] for row in record["results"]}
        heads.append(f"{_md(heading)}: {words.measure_in_text(record)}, n = {max(sizes, default=0):,}")
    lines = [heads, ["---"] * len(heads)]
    lines += [[_md(name), *(_table_cell(record, name) for record in records)] for name in names]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    baselines = ", ".join(dict.fromkeys(_md(record.get("baseline")) for record in records))
    return (
        f"{table}\n\nPercent, with 95 % intervals. **Bold**: better than the baseline ({baselines}) in a paired test "
        "after Holm's correction; anything else is not distinguishable from it, or worse (↓).\n"
    )


def _table_cell(record: Record, name: str) -> str:
    row = next((row for row in record["results"] if row["name"] == name), None)
    measure = main_measure(record["results"])
    if row is None or row.get(measure) is None:
        return words.NOTHING
    low, high = row.get(f"{measure}_interval") or (row[measure], row[measure])
    text = f"{100 * row[measure]:.1f} ({100 * low:.1f}–{100 * high:.1f})"
    verdict = next((pair["verdict"] for pair in record.get("pairs") or () if pair["b"] == name), "")
    return f"**{text}**" if verdict == "better" else f"{text} ↓" if verdict == "worse" else text
