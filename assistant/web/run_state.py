"""How far a run is, read from its folder; a process that is gone without a word counts as interrupted."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from assistant.evaluation.running.progress import ArmProgress

State = Literal["running", "stopped", "interrupted", "done", "failed"]

CONSOLE = "console.txt"
STARTED = "--- started\n"
"""Stands in the console's file wherever a process begins."""
STOPPED = "Stopped; what is done is kept."
REPORT = "Writing the report …"
_AFTER = {"adapter": "Saved. It answers held-out rows now, and so does its base …"}
"""What a process does that goes on after it has said that it is done, by the kind of its run."""
_NO_FAILURES = (0, 130, -signal.SIGINT, -signal.SIGTERM, -signal.SIGKILL)
"""Exit codes of a process that did what it was told: 130 is how a command says that it was stopped."""
_SILENT_S = 900.0
"""A process we did not start counts as gone after this long without a sign: its number may be another's by now."""


@dataclass(frozen=True)
class RunState:
    """How far a run is, in numbers and in one sentence."""

    name: str
    kind: str
    title: str
    state: State
    sentence: str
    created: float
    """Unix seconds."""
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    seconds_left: float | None = None
    arms: tuple[ArmProgress, ...] = ()
    ours: bool = False
    """Whether this server started its process."""
    stopping: bool = False
    can_go_on: bool = False
    has_figures: bool = False

    def being_stopped(self) -> RunState:
        """Return the state of a run that was asked to stop."""
        if self.state == "running":
            what = "this step" if self.kind == "adapter" else "what is being answered"
            return replace(self, stopping=True, sentence=f"Stopping: {what} is finished first …")
        if self.state == "interrupted":
            return replace(self, state="stopped", sentence=STOPPED)
        return self


def read_state(folder: Path, code: int | None, since: float | None) -> RunState | None:
    """Return the state of the run in a folder, or None if there is none.

    `since` is when this server last started a process for it (None: never), `code` that process's exit
    code, None while it lives.
    """
    job, progress = read_json(folder / "job.json"), read_json(folder / "progress.json")
    finished = any((folder / name).is_file() for name in ("run.json", "advice.json"))
    if not job and not progress and not finished:
        return None
    ours = since is not None
    if since is not None and float(progress.get("updated") or 0) < since:
        # What an earlier process of this run said of itself says nothing about this one.
        progress = {**progress, "state": None}
    kind = str(job.get("kind") or _kind(folder))
    state, sentence = _judged(folder, progress, code, ours=ours, finished=finished, after=_AFTER.get(kind, REPORT))
    return RunState(
        name=folder.name,
        kind=kind,
        title=str(job.get("title", "")),
        state=state,
        sentence=sentence,
        created=float(job.get("created") or folder.stat().st_mtime),
        done=int(progress.get("done") or progress.get("step") or 0),
        total=int(progress.get("total") or progress.get("of") or 0),
        seconds=float(progress.get("seconds") or 0.0),
        seconds_left=progress.get("seconds_left") if state == "running" else None,
        arms=tuple(_arm(one) for one in progress.get("arms") or ()),
        ours=ours,
        has_figures=finished,
        can_go_on=bool(job.get("arguments")) and state in ("stopped", "interrupted", "failed"),
    )


def _kind(folder: Path) -> str:
    """Return what a run that was started elsewhere is: an evaluation, an advice, or the training of an adapter."""
    if (folder / "progress.jsonl").is_file():
        return "adapter"
    return "advise" if (folder / "advice.json").is_file() else "evaluate"


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty if it is missing, torn or no object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def alive(progress: Mapping[str, Any]) -> bool:
    """Return whether the process that wrote this progress still lives, as far as can be told from outside."""
    pid = progress.get("pid")
    if progress.get("state") != "running" or not isinstance(pid, int) or pid <= 0:
        return False
    if time.time() - float(progress.get("updated") or 0) > _SILENT_S:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _judged(
    folder: Path, progress: Mapping[str, Any], code: int | None, *, ours: bool, finished: bool, after: str
) -> tuple[State, str]:
    said = progress.get("state")
    sentence = str(progress.get("sentence") or "")
    if ours and code is None:
        if said is None:
            return "running", last_words(folder) or "Starting: the model is being loaded …"
        return "running", sentence if said == "running" else after
    if said == "stopped":
        return "stopped", STOPPED
    if said in ("done", "failed"):
        return said, sentence
    if not ours and alive(progress):
        return "running", sentence
    if not progress and not ours and finished:
        return "done", ""
    if ours and code not in (None, *_NO_FAILURES):
        return "failed", last_words(folder) or f"The process ended with code {code}."
    return "interrupted", "It ended before it was done."


def last_words(folder: Path) -> str:
    """Return the last line that the process of a run said, since it was last started."""
    try:
        with (folder / CONSOLE).open("rb") as console:
            console.seek(0, os.SEEK_END)
            console.seek(max(0, console.tell() - 4096))
            text = console.read().decode("utf-8", "replace")
    except OSError:
        return ""
    # A bar of progress writes over itself.
    lines = [line.strip() for line in text.rpartition(STARTED)[2].replace("\r", "\n").splitlines()]
    return next((line for line in reversed(lines) if line), "")[:500]


def _arm(record: Mapping[str, Any]) -> ArmProgress:
    # It comes with the statistics, which the page can do without until there is a run.
    from assistant.evaluation.running.progress import ArmProgress

    interval = record.get("interval")
    return ArmProgress(
        name=str(record.get("name", "")),
        done=int(record.get("done") or 0),
        total=int(record.get("total") or 0),
        accuracy=record.get("accuracy"),
        interval=None if not interval else (float(interval[0]), float(interval[1])),
    )
