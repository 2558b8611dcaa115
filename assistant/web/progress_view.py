"""How far a run is, and the list of all runs, as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from assistant.web.leaderboard_view import percent, when
from assistant.web.markup import chip, esc, plural
from assistant.web.run_state import RunState
from assistant.web.samples_view import pick

if TYPE_CHECKING:
    from assistant.evaluation.running.progress import ArmProgress

_KINDS = {"running": "on", "done": "quiet", "failed": "warn", "stopped": "warn", "interrupted": "warn"}

NO_RUNS = '<p class="sw-lead">No evaluation yet. The first one appears here.</p>'


def duration(seconds: float | None) -> str:
    """Return a time in words: `40 seconds`, `about 3 minutes`, `about 2 hours`."""
    if seconds is None:
        return ""
    if seconds < 90:
        return plural(max(1, round(seconds)), "second")
    if seconds < 90 * 60:
        return f"about {plural(round(seconds / 60), 'minute')}"
    return f"about {plural(round(seconds / 3600), 'hour')}"


def progress_html(state: RunState) -> str:
    """Return the bar, the time left, and the running accuracy of every strategy."""
    share = state.done / state.total if state.total else 0.0
    percentage = round(100 * share)
    counted = f"{state.done:,} of {plural(state.total, 'answer')}" if state.total else ""
    left = f"{duration(state.seconds_left)} left" if state.seconds_left is not None else ""
    facts = " · ".join(part for part in (counted, left) if part)
    # A running one changes every second or so: nobody wants that read out.
    announced = "" if state.state == "running" else ' role="status"'
    spin = '<span class="sw-spin"></span>' if state.state == "running" else ""
    word = "" if state.state == "running" else chip(state.state, _KINDS[state.state])
    sentence = f'<p class="sw-agreement"{announced}>{spin}{word} {esc(state.sentence)}</p>'
    if state.state == "failed":
        sentence = f'<p class="sw-error" role="alert">{esc(state.sentence)}</p>'
    bar = (
        f'<div class="sw-bar" role="progressbar" aria-label="Progress" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{percentage}"><i style="width:{percentage}%"></i></div>'
    )
    arms = "".join(_arm(arm) for arm in state.arms)
    table = f'<ul class="sw-arms">{arms}</ul>' if arms else ""
    return (
        f'<div class="sw-progress" data-state="{state.state}"><h2 class="sw-side">{esc(state.name)}</h2>{sentence}{bar}'
        f'<p class="sw-note">{esc(facts)}</p>{table}</div>'
    )


def _arm(arm: ArmProgress) -> str:
    accuracy = f"<b>{percent(arm.accuracy)}</b>" if arm.accuracy is not None else ""
    if arm.interval:
        low, high = (f"{100 * one:.0f}" for one in arm.interval)
        accuracy += f' <span class="sw-range">{low} to {high}</span>'
    counted = f'<span class="sw-under">{arm.done:,} of {arm.total:,}</span>'
    return f'<li><span class="sw-arm-name">{esc(arm.name)}</span>{counted}<span>{accuracy}</span></li>'


def runs_html(runs: Sequence[RunState], shown: str = "") -> str:
    """Return the list of runs, the newest first; each is a button."""
    if not runs:
        return NO_RUNS
    return f'<ul class="sw-runs">{"".join(_run(run, current=run.name == shown) for run in runs)}</ul>'


def _run(run: RunState, *, current: bool) -> str:
    share = f"{100 * run.done / run.total:.0f} %" if run.total and run.state != "done" else ""
    state = chip(f"{run.state} {share}".strip(), _KINDS[run.state])
    return (
        f'<li><button type="button" class="sw-run" title="{esc(run.title)}" aria-current="{str(current).lower()}" '
        f'{pick({"run": run.name})}><span class="sw-run-name">{esc(run.name)}</span>'
        f'{state}<span class="sw-under">{esc(when(run.created))}</span></button></li>'
    )
