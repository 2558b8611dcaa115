"""What HTML reports are made of. Whatever comes from outside passes through `esc`."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from assistant.evaluation.reports.plots import Plot

_ONE_PIECE = re.compile(r"\d %|< \d|\([^()]{1,20}\)")


def esc(text: object) -> str:
    """Return the text as HTML that shows it and does nothing else."""
    return html.escape(str(text))


def section(title: str, *parts: str, anchor: str = "") -> str:
    """Return a section of the page, or nothing if it has no content."""
    body = "".join(parts)
    mark = f' id="{esc(anchor)}"' if anchor else ""
    return f"<section{mark}><h2>{esc(title)}</h2>{body}</section>" if body else ""


def paragraphs(sentences: Iterable[str], style: str = "") -> str:
    """Return each sentence as a paragraph."""
    kind = f' class="{style}"' if style else ""
    return "".join(f"<p{kind}>{esc(sentence)}</p>" for sentence in sentences)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, plain: Sequence[bool] = ()) -> str:
    """Return a table of text; the first cell of a row names it, and on a phone each row becomes a card."""
    lines = []
    for place, row in enumerate(rows):
        named = zip(heads[1:], map(_together, row[1:]), strict=True)
        cells = "".join(f'<td data-head="{esc(head)}">{esc(cell)}</td>' for head, cell in named)
        kind = ' class="plain"' if place < len(plain) and plain[place] else ""
        lines.append(f'<tr{kind}><th scope="row">{esc(row[0])}</th>{cells}</tr>')
    if not lines:
        return ""
    head = "".join(f'<th scope="col">{esc(one)}</th>' for one in heads)
    return (
        f'<div class="scroll stack"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
    )


def _together(cell: str) -> str:
    """Return the cell with blanks that do not break inside `83.3 %` and inside short brackets."""
    return _ONE_PIECE.sub(lambda found: found[0].replace(" ", "\u00a0"), cell)


def fold(title: str, body: str, note: str = "", *, shown: bool = False) -> str:
    """Return a part that is folded away until it is asked for."""
    beside = f' <span class="soft">{esc(note)}</span>' if note else ""
    state = " open" if shown else ""
    return f'<details{state}><summary>{esc(title)}{beside}</summary><div class="inner">{body}</div></details>'


def figures(plots: Iterable[Plot]) -> str:
    """Return the plots beside each other."""
    drawn = "".join(f"<figure>{plot.svg()}</figure>" for plot in plots)
    return f'<div class="plots">{drawn}</div>' if drawn else ""


def cut(text: str, longest: int) -> str:
    """Return the text, cut with a mark where it is too long to be shown."""
    return text if len(text) <= longest else f"{text[:longest]} … ({len(text) - longest:,} more characters)"
