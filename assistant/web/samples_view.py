"""The samples of a run as HTML: the confusion matrix, pages of samples, and those two strategies disagree on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from assistant.web.markup import chip, esc, fields, fold, plural
from assistant.web.opened_run import UNREADABLE, Choice, OpenedRun, cut
from assistant.web.run_plots import plot_links

Record = Mapping[str, Any]
Place = tuple[str, int]
"""A run's name and the number of a row of its leaderboard."""

NO_LABELS = '<p class="sw-lead">This task is answered in free text: there is nothing to confuse.</p>'

PICKING = """
element.addEventListener('click', event => {
  const picked = event.target.closest('[data-pick]');
  if (picked) trigger('pick', JSON.parse(picked.dataset.pick));
});
element.addEventListener('toggle', async event => {
  const fold = event.target, box = fold.querySelector('.sw-prompt');
  if (!fold.open || !fold.dataset.prompt || fold.dataset.asked) return;
  fold.dataset.asked = 'yes';
  box.textContent = await server.prompt_of(fold.dataset.prompt);
}, true);
"""
"""Buttons with `data-pick` tell the server what was picked; a prompt is fetched when its fold is opened."""


def pick(what: Mapping[str, str | int]) -> str:
    """Return the attribute of a button that picks something."""
    return f'data-pick="{esc(json.dumps(what))}"'


def confusion_html(run: OpenedRun, name: str, choice: Choice) -> str:
    """Return the confusion matrix of one row of the run of that name; each cell with samples is a button."""
    confusion = run.row(choice.row).get("confusion") if run.rows else None
    if not confusion:
        return NO_LABELS
    labels, columns, counts = confusion["labels"], confusion["columns"], confusion["counts"]
    head = "".join(f'<th scope="col">{_column(one)}</th>' for one in columns)
    body = "".join(
        f'<tr><th scope="row">{esc(label)}</th>{_cells(label, columns, row, choice)}</tr>'
        for label, row in zip(labels, counts, strict=True)
    )
    return (
        '<div class="sw-scroll" tabindex="0" role="region" aria-label="Confusion matrix">'
        '<table class="sw-confusion"><caption>Rows: what is right. Columns: what was answered. '
        "Choose a cell to see its samples.</caption>"
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        f"{plot_links(name, f'confusion-{choice.row}')}"
    )


def _column(name: str) -> str:
    return f"<em>{esc(name)}</em>" if name == UNREADABLE else esc(name)


def _cells(label: str, columns: Sequence[str], counts: Sequence[int], choice: Choice) -> str:
    total = sum(counts) or 1
    return "".join(
        _cell(label, column, count, count / total, pressed=(choice.target, choice.answer) == (label, column))
        for column, count in zip(columns, counts, strict=True)
    )


def _cell(label: str, column: str, count: int, share: float, *, pressed: bool) -> str:
    if not count:
        return '<td class="sw-none">0</td>'
    kind = "right" if label == column else "wrong"
    said = f"{plural(count, 'sample')} of {label}, answered {column}"
    return (
        f'<td><button type="button" class="sw-cell {kind}" style="--share:{100 * share:.0f}%" aria-label="{esc(said)}" '
        f'aria-pressed="{str(pressed).lower()}" {pick({"target": label, "answer": column})}>{count:,}</button></td>'
    )


def samples_html(run: OpenedRun, name: str, choice: Choice) -> str:
    """Return one page of the chosen samples of the run of that name, with buttons to the others."""
    found = run.chosen(choice)
    page, pages, shown = cut(found, choice.page)
    lead = f'<p class="sw-lead" role="status">{esc(_lead(len(found), choice))}</p>'
    cards = "".join(_sample(run, (name, choice.row), one) for one in shown)
    return f'<div class="sw-samples">{_tools(lead, choice, page, pages)}{cards}{_pager(page, pages)}</div>'


def _lead(count: int, choice: Choice) -> str:
    kinds = {
        "right": "answered right",
        "wrong": "answered wrong",
        "unreadable": "without a final answer",
        "kept-out": "for which rows were kept out",
    }
    parts = [kinds[choice.kind]] if choice.kind in kinds else []
    parts += [f"right is {choice.target}"] if choice.target else []
    parts += [f"answered {choice.answer}"] if choice.answer else []
    return plural(count, "answer") + (f": {', '.join(parts)}" if parts else "")


def _tools(lead: str, choice: Choice, page: int, pages: int) -> str:
    every = f'<button type="button" class="sw-copy" {pick({"target": "", "answer": ""})}>Show all cells</button>'
    return f'<div class="sw-tools">{lead}{every if choice.target or choice.answer else ""}</div>{_pager(page, pages)}'


def _pager(page: int, pages: int) -> str:
    if pages == 1:
        return ""
    buttons = (
        _page_button("Previous", page - 1, usable=page > 0),
        f"<span>Page {page + 1:,} of {pages:,}</span>",
        _page_button("Next", page + 1, usable=page + 1 < pages),
    )
    return f'<nav class="sw-pager" aria-label="Pages">{"".join(buttons)}</nav>'


def _page_button(text: str, page: int, *, usable: bool) -> str:
    return (
        f'<button type="button" class="sw-copy" {pick({"page": page})}{"" if usable else " disabled"}>{text}</button>'
    )


def _sample(run: OpenedRun, row: Place, outcome: Record) -> str:
    state = _state(outcome)
    ident = f"<code>{esc(outcome['id'])}</code>"
    return (
        f'<article class="sw-sample {state}" data-id="{esc(outcome["id"])}"><header>{_verdict(outcome)}{ident}</header>'
        f"{_text(run, outcome)}{_reply(outcome)}{_evidence(outcome)}{_prompt(row, outcome)}</article>"
    )


def _state(outcome: Record) -> str:
    if outcome["final_answer"] is None:
        return "unreadable"
    return "right" if outcome["correct"] else "wrong" if outcome["correct"] is False else "scored"


def _verdict(outcome: Record) -> str:
    state, targets = _state(outcome), " or ".join(outcome["targets"])
    if state == "scored":
        return chip(f"score {100 * outcome['score']:.1f}", "quiet")
    answer = outcome["final_answer"]
    if state == "right":
        return chip(answer, "final right") + '<span class="sw-under">right</span>'
    if state == "unreadable":
        return (
            chip(f"unreadable: {outcome['problem']}", "warn") + f'<span class="sw-under">right is {esc(targets)}</span>'
        )
    return chip(answer, "final wrong") + f'<span class="sw-under">wrong, right is {esc(targets)}</span>'


def _text(run: OpenedRun, outcome: Record) -> str:
    inputs = run.text(outcome["id"])
    if not inputs:
        return ""
    return f'<div class="sw-clip">{fields(inputs)}</div>'


def _reply(outcome: Record) -> str:
    reply = str(outcome.get("answer") or "").strip()
    if not reply or reply == outcome["final_answer"]:
        return ""
    return f'<p class="sw-text sw-output sw-clip">{esc(reply)}</p>'


def _evidence(outcome: Record) -> str:
    shown = outcome.get("demonstrations") or ()
    kept = outcome.get("excluded") or ()
    parts = []
    if shown:
        rows = "".join(f"<li><code>{esc(one['id'])}</code> {_cosine(one['similarity'])}</li>" for one in shown)
        parts.append(fold(plural(len(shown), "demonstration"), f'<ul class="sw-ids">{rows}</ul>'))
    if kept:
        rows = "".join(
            f"<li><code>{esc(one['id'])}</code> {_cosine(one['similarity'])} {esc(one['reason'])}</li>" for one in kept
        )
        parts.append(fold(f"{plural(len(kept), 'row')} kept out", f'<ul class="sw-ids">{rows}</ul>'))
    return "".join(parts)


def _cosine(similarity: float | None) -> str:
    return "" if similarity is None else f"<b>{similarity:.2f}</b>"


def _prompt(row: Place, outcome: Record) -> str:
    if not outcome.get("prompt"):
        return ""
    key = esc(json.dumps([*row, outcome["id"], outcome["seed"]]))
    return (
        f'<details class="sw-fold" data-prompt="{key}"><summary>Exact prompt · '
        f"{plural(int(outcome.get('prompt_tokens') or 0), 'token')}</summary>"
        '<div class="sw-prompt" tabindex="0" role="region" aria-label="Exact prompt">…</div></details>'
    )


def flipped_html(run: OpenedRun, name: str, rows: tuple[int, int], page: int, titles: tuple[str, str]) -> str:
    """Return a page of the samples that one row has right and the other wrong, both answers side by side."""
    one, other = rows
    if one == other:
        return '<p class="sw-lead">Choose two different strategies.</p>'
    pairs = run.flipped(one, other)
    page, pages, shown = cut(pairs, page)
    if all(left["correct"] is not None for left, _ in pairs):
        wins = sum(left["correct"] for left, _ in pairs)
        lead = (
            f"{plural(len(pairs), 'answer')} differ in being right: {wins} only by {titles[0]}, "
            f"{len(pairs) - wins} only by {titles[1]}."
        )
    else:
        lead = f"{plural(len(pairs), 'answer')} have different scores; the widest gap comes first."
    cards = "".join(_pair(run, ((name, one), (name, other)), pair, titles) for pair in shown)
    return (
        f'<div class="sw-samples"><p class="sw-lead" role="status">{esc(lead)}</p>{_pager(page, pages)}{cards}'
        f"{_pager(page, pages)}</div>"
    )


def _pair(run: OpenedRun, rows: tuple[Place, Place], pair: tuple[Record, Record], titles: tuple[str, str]) -> str:
    sides = "".join(
        f'<div class="sw-half"><h4>{esc(title)}</h4><div>{_verdict(outcome)}</div>{_reply(outcome)}{_evidence(outcome)}'
        f"{_prompt(row, outcome)}</div>"
        for row, outcome, title in zip(rows, pair, titles, strict=True)
    )
    first = pair[0]
    return (
        f'<article class="sw-sample" data-id="{esc(first["id"])}"><header><code>{esc(first["id"])}</code></header>'
        f'{_text(run, first)}<div class="sw-halves">{sides}</div></article>'
    )
