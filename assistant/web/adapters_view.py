"""Adapters and their training as HTML: how far one is, its losses as a drawing, and a card for each that is done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.web.markup import chip, esc, fold, plural
from assistant.web.progress_view import duration
from assistant.web.run_state import RunState, read_json
from assistant.web.samples_view import pick

if TYPE_CHECKING:
    from assistant.finetuning.generators.shelf import Entry

NO_ADAPTERS = """<div class="sw-empty"><strong>No adapter yet</strong>
<p>Train one here, or with <code>shotwise adapter train</code>: it appears here, in Chat and in Compare at
once.</p></div>"""
_WIDTH, _HEIGHT, _LEFT, _BELOW = 640, 190, 44, 24
_MOST_POINTS = 240

Points = Sequence[tuple[float, float]]


def losses(file: Path) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Return (step, loss) of training and of validation from a run's `progress.jsonl`; a torn last line is left out."""
    train: list[tuple[float, float]] = []
    validation: list[tuple[float, float]] = []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        try:
            one = json.loads(line)
        except ValueError:
            continue
        for key, points in (("loss", train), ("validation_loss", validation)):
            if isinstance(one.get(key), int | float):
                points.append((float(one["step"]), float(one[key])))
    return train, validation


def curve_html(train: Points, validation: Points, last: float = 0.0) -> str:
    """Return the losses over the steps as SVG; `last` is the step at which the drawing ends."""
    shown = [*_thinned(train), *validation]
    if not shown:
        return ""
    end = max(last, *(step for step, _ in shown), 1.0)
    top = max(loss for _, loss in shown) * 1.05 or 1.0

    def place(point: tuple[float, float]) -> str:
        across = _LEFT + (_WIDTH - _LEFT - 8) * point[0] / end
        return f"{across:.1f},{8 + (_HEIGHT - _BELOW - 8) * (1 - point[1] / top):.1f}"

    line = " ".join(map(place, _thinned(train)))
    dots = "".join('<circle cx="{}" cy="{}" r="3.5"/>'.format(*place(point).split(",")) for point in validation)
    joined = " ".join(map(place, validation))
    grid = "".join(_grid_line(share, top) for share in (0, 0.5, 1))
    said = f"Loss by step: training {train[-1][1]:.3f} at last" if train else "Loss by step"
    said += f", validation {validation[-1][1]:.3f} at last" if validation else ""
    return (
        f'<svg class="sw-curve" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{esc(said)}">{grid}'
        f'<text x="{_LEFT}" y="{_HEIGHT - 6}">step 0</text>'
        f'<text x="{_WIDTH - 8}" y="{_HEIGHT - 6}" text-anchor="end">{end:,.0f}</text>'
        f'<polyline class="train" points="{line}"/><polyline class="validation" points="{joined}"/>'
        f'<g class="validation">{dots}</g></svg>'
        '<p class="sw-note sw-legend"><i class="train"></i> training, mean over the learnt tokens in nats'
        '<i class="validation"></i> validation</p>'
    )


def _grid_line(share: float, top: float) -> str:
    y = 8 + (_HEIGHT - _BELOW - 8) * (1 - share)
    return (
        f'<g><line x1="{_LEFT}" x2="{_WIDTH - 8}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{top * share:.2f}</text></g>'
    )


def training_html(state: RunState, folder: Path) -> str:
    """Return how far a training is: the bar, its pace, memory and the losses so far."""
    told = read_json(folder / "progress.json")
    train, validation = losses(folder / "progress.jsonl")
    of = float(told.get("of") or 0)
    share = min(1.0, float(told.get("step") or 0) / of) if of else 0.0
    early = state.state == "done" and share < 1
    facts = [f"step {told.get('step') or 0:,} of {of:,.0f}" if of else ""]
    if early:
        facts, share = [f"ended early, at {facts[0]}: the validation loss got no better"], 1.0
    if state.state == "running":
        facts += [
            f"{told['tokens_per_second']:,.0f} tokens/s" if told.get("tokens_per_second") else "",
            f"{duration(told['seconds_left'])} left" if told.get("seconds_left") is not None else "",
        ]
    facts.append(f"{told['peak_mb']:,.0f} MB at most" if told.get("peak_mb") else "")
    best = told.get("best")
    facts.append(f"best validation loss {best:.3f}" if isinstance(best, int | float) else "")
    spin = '<span class="sw-spin"></span>' if state.state == "running" else f"{chip(state.state, 'quiet')} "
    sentence = f'<p class="sw-agreement">{spin}{esc(state.sentence)}</p>'
    if state.state == "failed":
        sentence = f'<p class="sw-error" role="alert">{esc(state.sentence)}</p>'
    percentage = round(100 * share)
    return (
        f'<div class="sw-progress" data-state="{state.state}"><h2 class="sw-side">{esc(state.title or state.name)}</h2>'
        f"{sentence}"
        f'<div class="sw-bar" role="progressbar" aria-label="Progress" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{percentage}"><i style="width:{percentage}%"></i></div>'
        f'<p class="sw-note">{esc(" · ".join(filter(None, facts)))}</p>{curve_html(train, validation, of)}</div>'
    )


def cards_html(entries: Sequence[tuple[Entry, Mapping[str, Any]]], unfit: Mapping[str, str]) -> str:
    """Return a card for each adapter with its record; `unfit` says of those that do not fit the model why."""
    if not entries:
        return NO_ADAPTERS
    return f'<div class="sw-cards">{"".join(_card(entry, record, unfit) for entry, record in entries)}</div>'


def _card(entry: Entry, record: Mapping[str, Any], unfit: Mapping[str, str]) -> str:
    chips = chip(entry.method or "?", "on") + chip(f"base {entry.base or 'not named'}", "quiet")
    chips += chip(f"task {entry.task}", "quiet") if entry.task else ""
    chips += chip(f"{entry.size_mb:,.1f} MB", "quiet")
    why = entry.problem or unfit.get(entry.name, "")
    body = "".join(f"<dt>{esc(name)}</dt><dd>{esc(text)}</dd>" for name, text in _facts(record))
    told = f'<dl class="sw-fields sw-facts-list">{body}</dl>' if body else ""
    curve = record.get("curve") or {}
    drawn = curve_html(_pairs(curve.get("train")), _pairs(curve.get("validation")), float(record.get("steps") or 0))
    head = f"<header><h3>{esc(entry.name)}</h3>{chips}</header>"
    losses_fold = fold("Losses", drawn) if drawn else ""
    return (
        f'<article class="sw-card sw-adapter" data-adapter="{esc(entry.name)}">{head}{told}{losses_fold}'
        f"<footer>{_use(entry, why)}</footer></article>"
    )


def _use(entry: Entry, why: str) -> str:
    if entry.whole:
        return (
            f'<p class="sw-note">A model of its own: <code>shotwise serve --model adapters/{esc(entry.name)}</code></p>'
        )
    if why:
        return f'<p class="sw-note">{chip("does not fit", "warn")} {esc(why)}</p>'
    return "".join(
        f'<button type="button" class="sw-copy" {pick({"adapter": entry.name, "to": to})}>{title}</button>'
        for to, title in (("compare", "Compare with base"), ("chat", "Use in Chat"))
    )


def _facts(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a reader wants to know of a training, by name."""
    if not record:
        return [("Training", "not recorded: it was not made by shotwise adapter train")]
    settings, rows, counts, best = record["settings"], record["rows"], record["parameters"], record.get("best")
    source, template = record["data"].get("source", "-"), str(record.get("chat_template_sha256", ""))[:8]
    share = counts["trainable"] / counts["total"]
    facts = [
        ("Data", f"{source}: {plural(rows['learnt'], 'row')}, {rows['validation']:,} set apart"),
        *(
            ("Also", f"{one['data'].get('source', '-')} ({one['task']['name']}), weight {one['weight']:g}")
            for one in record.get("also") or ()
        ),
        ("Prompts", f"{settings['strategy']}, wording {settings['wording']}, chat template {template}"),
        ("Learnt", f"{counts['trainable']:,} of {counts['total']:,} parameters ({share:.2%})"),
        (
            "Training",
            f"{plural(record['steps'], 'step')}, learning rate {settings['learning_rate']:g}, seed {record['seed']}, "
            f"{duration(record.get('seconds'))}",
        ),
    ]
    if best:
        facts.append(("Kept", f"weights of step {best['step']:,}, validation loss {best['validation_loss']:.3f}"))
    for one in record.get("scores") or ():
        low, high = one["interval"]
        gain = f"{100 * one['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
        both = f"{100 * one['tuned']:.1f} %, its base {100 * one['base']:.1f} %"
        score = f"{both}, difference {gain} points, n = {one['n']}"
        facts.append((f"Score on {one['source']}", score))
    return facts


def _pairs(points: Any) -> list[tuple[float, float]]:
    return [(float(step), float(loss)) for step, loss in points or ()]


def _thinned(points: Points) -> list[tuple[float, float]]:
    """Return few enough points: stretches of the curve by their mean."""
    width = max(1, -(-len(points) // _MOST_POINTS))
    stretches = [points[at : at + width] for at in range(0, len(points), width)]
    return [(one[-1][0], sum(loss for _, loss in one) / len(one)) for one in stretches]
