"""The name, one line about it, and which model stands behind the page."""

from __future__ import annotations

from assistant.web.markup import chip, esc, notes
from assistant.web.service import Status

_LINE = "See which way of asking works for your task, on one local model."


def header_html(status: Status) -> str:
    """Return the header; while the model is loading it says so."""
    if status.state == "ready":
        adapter = chip(f"started with adapter {status.adapter}", "quiet") if status.adapter else ""
        dtype = chip(status.dtype, "quiet") if status.dtype not in ("", "none") else ""
        facts = chip(f"model {status.model}", "on") + adapter + dtype
    elif status.state == "failed":
        facts = f'<span class="sw-error" role="alert">{esc(status.sentence)}</span>'
    else:
        facts = f'<span class="sw-loading" role="status"><span class="sw-spin"></span>{esc(status.sentence)}</span>'
    return (
        f'<div class="sw-header" data-state="{status.state}"><div><h1>Shotwise</h1><p>{_LINE}</p></div>'
        f'<div class="sw-model">{facts}</div></div>{notes(status.notes, "wide")}'
    )
