"""An advice as one HTML page that needs nothing else, or as Markdown; the same record gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from assistant.evaluation.advice.sections import Fold, Section, facts, sections, title
from assistant.evaluation.reports import elements

Record = Mapping[str, Any]
_STYLE = """
.lead p:first-child { font-size: 1.2rem; line-height: 1.4; font-weight: 600; letter-spacing: -.01em; }
.lead p { max-width: none; }
.texts { margin: 0; } .texts dt { color: var(--soft); font-size: .85rem; margin-top: 6px; }
.texts dd { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .9rem; }
tbody th { font-weight: 500; }
"""
_MARKS = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "\\|"}


def html_advice(record: Record) -> str:
    """Return the report of an advice as one page without scripts, fonts or images from elsewhere."""
    style = files("assistant.evaluation.reports").joinpath("report.css").read_text(encoding="utf-8") + _STYLE
    found = record["recommendation"]
    shown = "".join(f"<span>{elements.esc(name)} <b>{elements.esc(value)}</b></span>" for name, value in facts(record))
    body = "".join(
        (
            f'<header><h1>{elements.esc(title(record))}</h1><p class="facts">{shown}</p></header>',
            f'<div class="lead">{elements.paragraphs(_unbroken((found["sentence"], *found["more"])))}</div>',
            *map(_html_section, sections(record)),
        )
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{elements.esc(title(record))} · Shotwise</title><style>{style}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def _unbroken(sentences: Sequence[str]) -> list[str]:
    """Return the sentences with no line break before a percent sign."""
    return [sentence.replace(" %", "\u00a0%") for sentence in sentences]


def _html_section(section: Section) -> str:
    folds = (
        elements.fold(name, "".join(_html_fold(one) for one in inside), note) for name, note, inside in section.folds
    )
    return elements.section(
        section.title,
        elements.paragraphs(_unbroken(section.sentences)),
        elements.table(section.heads, section.rows, plain=section.plain),
        elements.paragraphs(section.notes, "soft"),
        elements.figures(section.plots),
        *folds,
    )


def _html_fold(fold: Fold) -> str:
    texts = "".join(f"<dt>{elements.esc(name)}</dt><dd>{elements.esc(text)}</dd>" for name, text in fold.texts)
    return elements.fold(fold.title, f'<dl class="texts">{texts}</dl>', fold.note)


def markdown_advice(record: Record) -> str:
    """Return the report of an advice as Markdown: the same words and tables, plots as words, without prompts."""
    found = record["recommendation"]
    blocks = [
        f"# {_plain(title(record))}",
        f"**{_plain(found['sentence'])}**",
        *map(_plain, found["more"]),
        "; ".join(f"{name}: {_plain(value)}" for name, value in facts(record)),
        *(block for section in sections(record) for block in _markdown_section(section)),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _markdown_section(section: Section) -> list[str]:
    body = [
        *map(_plain, section.sentences),
        _table(section.heads, section.rows),
        *map(_plain, section.notes),
        *(f"*{_plain(plot.words)}*" for plot in section.plots),
        *(block for name, note, inside in section.folds for block in _markdown_folds(name, note, inside)),
    ]
    found = [block for block in body if block]
    return [f"## {_plain(section.title)}", *found] if found else []


def _markdown_folds(name: str, note: str, inside: Sequence[Fold]) -> list[str]:
    noted = [one for one in inside if one.note]
    if not noted:  # settings: a table rather than a list of errors
        return [f"**{_plain(name)}**, {note}", *(_table(("Name", "Value"), one.texts) for one in inside)]
    listed = "\n".join(f"- “{_plain(one.title)}”: {_plain(one.note)}" for one in noted)
    return [f"**{_plain(name)}**: {_plain(note)}", listed]


def _plain(text: object) -> str:
    """Return the text on one line, with nothing in it that Markdown or HTML would act upon."""
    line = " ".join(str(text).split()).replace("\\", "\\\\")
    for mark, harmless in _MARKS.items():
        line = line.replace(mark, harmless)
    for mark in "`*_[]!":
        line = line.replace(mark, f"\\{mark}")
    return line


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [heads, *rows]
    written = [f"| {' | '.join(_plain(cell) for cell in line)} |" for line in lines]
    return "\n".join((written[0], "|" + " --- |" * len(heads), *written[1:]))
