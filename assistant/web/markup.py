"""Small pieces of HTML. All text from outside goes through `esc`, and nothing else writes HTML."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping

COLOURS = 6
"""Demonstrations beyond this many repeat the colours."""
BROKEN = "Something went wrong that should not have; the terminal says what. Your message is still in its box."


def esc(text: object) -> str:
    """Return text that shows as itself in HTML, carriage returns included."""
    return html.escape(str(text), quote=True).replace("\r", "&#13;")


def chip(text: object, kind: str = "", title: str = "") -> str:
    """Return a small label."""
    tip = f' title="{esc(title)}"' if title else ""
    return f'<span class="sw-chip {kind}"{tip}>{esc(text)}</span>'


def fold(summary: str, body: str, kind: str = "", *, opened: bool = False) -> str:
    """Return a part that opens on click; both arguments are HTML."""
    return f'<details class="sw-fold {kind}"{" open" if opened else ""}><summary>{summary}</summary>{body}</details>'


def fields(inputs: Mapping[str, str]) -> str:
    """Return the inputs of a demonstration: the text alone, or each with its name."""
    if len(inputs) == 1:
        return f'<p class="sw-text">{esc(next(iter(inputs.values())))}</p>'
    rows = "".join(f"<dt>{esc(name)}</dt><dd>{esc(text)}</dd>" for name, text in inputs.items())
    return f'<dl class="sw-fields">{rows}</dl>'


def notes(sentences: Iterable[str], kind: str = "") -> str:
    """Return sentences as small paragraphs."""
    return "".join(f'<p class="sw-note {kind}">{esc(sentence)}</p>' for sentence in sentences)


def problem(sentence: str) -> str:
    """Return an error as one sentence that screen readers announce."""
    return f'<p class="sw-error" role="alert">{esc(sentence)}</p>' if sentence else ""


def plural(count: int, word: str) -> str:
    """Return `1 token`, `2 tokens`."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"
