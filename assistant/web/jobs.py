"""Evaluations that run beside the page: one process at a time, everything about them on disk.

A job lives in its run folder: `job.json` says what was asked for, `progress.json` how far it is,
`console.txt` what it said. Reloading the page or closing the browser does not touch it; it ends
with the server, however that ends, and can go on from where it was.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assistant import paths
from assistant.errors import SettingError
from assistant.web.run_state import CONSOLE, STARTED, RunState, alive, read_json, read_state
from assistant.web.tether import GRACE_S

_PROGRAM = (sys.executable, "-m", "assistant.web.tether")
_SHOWN_RUNS = 200
_WAIT_S = 10.0


class Jobs:
    """The processes of this server, by the name of their run."""

    def __init__(self, program: Sequence[str] = _PROGRAM) -> None:
        self._program = tuple(program)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._since: dict[str, float] = {}
        self._asked_to_stop: set[str] = set()
        self._lock = threading.Lock()

    def start(self, name: str, arguments: Sequence[str], *, kind: str = "evaluate", title: str = "") -> None:
        """Start a new run; `arguments` are those of `shotwise`.

        Raises:
            SettingError: if the name is taken or unfit, another run is not done yet, or a value cannot be passed on.
        """
        folder = _folder(name)
        if any("\0" in one for one in arguments):
            raise SettingError("Some value holds a character that cannot be passed on.")
        with self._lock:
            self._check_free()
            try:
                folder.mkdir(parents=True)
            except FileExistsError as error:
                raise SettingError(f"There is a run named '{name}' already.", "Choose another name.") from error
            asked = {"kind": kind, "title": title, "arguments": list(arguments), "created": time.time()}
            (folder / "job.json").write_text(json.dumps(asked, indent=1), encoding="utf-8")
            self._launch(name, arguments)

    def go_on(self, name: str) -> None:
        """Start a run again where it was stopped or broken off.

        Raises:
            SettingError: if it was not started here, is not at rest, or another run is not done yet.
        """
        with self._lock:
            self._wait_for(name)
            self._check_free()
            asked = read_json(_folder(name) / "job.json")
            if not asked.get("arguments"):
                raise SettingError(f"The run '{name}' was not started on this page.", "Type its command again.")
            self._launch(name, asked["arguments"])

    def stop(self, name: str) -> None:
        """Ask a run of this server to stop; what it has done is kept."""
        process = self._processes.get(name)
        if process is None or process.poll() is not None:
            return
        self._asked_to_stop.add(name)
        _signal(process, signal.SIGTERM)
        last = threading.Timer(GRACE_S, _kill, [process])
        last.daemon = True
        last.start()

    def state(self, name: str) -> RunState | None:
        """Return how far a run is, or None if there is none of that name."""
        try:
            folder = _folder(name)
        except SettingError:
            return None
        process = self._processes.get(name)
        code = None if process is None else process.poll()
        state = read_state(folder, code, self._since.get(name))
        if state is None or name not in self._asked_to_stop:
            return state
        return state.being_stopped()

    def runs(self) -> list[RunState]:
        """Return all runs on disk, the newest first."""
        if not paths.runs().is_dir():
            return []
        folders = [one for one in paths.runs().iterdir() if _is_run(one)]
        folders.sort(key=lambda one: one.stat().st_mtime, reverse=True)
        found = [self.state(one.name) for one in folders[:_SHOWN_RUNS]]
        return sorted((one for one in found if one), key=lambda one: one.created, reverse=True)

    def running(self) -> str | None:
        """Return the name of the run that is not done yet, if there is one."""
        return next((name for name, process in list(self._processes.items()) if process.poll() is None), None)

    def close(self) -> None:
        """End all runs of this server and wait for them; what they have done is kept."""
        for name in list(self._processes):
            self.stop(name)
        for process in list(self._processes.values()):
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                _kill(process)
                process.wait()
        self._let_go()

    def _check_free(self) -> None:
        busy = self.running()
        if busy is not None:
            raise SettingError(f"The run '{busy}' is not done yet, and there is room for one.", "Stop it, or wait.")

    def _wait_for(self, name: str) -> None:
        process = self._processes.get(name)
        if process is not None:
            try:
                process.wait(_WAIT_S if name in self._asked_to_stop else 0)
            except subprocess.TimeoutExpired as error:
                raise SettingError(f"The run '{name}' has not stopped yet.", "Try again in a moment.") from error
        elif alive(read_json(_folder(name) / "progress.json")):
            raise SettingError(f"The run '{name}' goes on in another process.")

    def _launch(self, name: str, arguments: Sequence[str]) -> None:
        self._let_go()
        self._asked_to_stop.discard(name)
        self._since[name] = time.time()
        with (_folder(name) / CONSOLE).open("ab") as console:
            console.write(STARTED.encode())
            console.flush()
            # An argument list and never a shell: nothing a visitor types is interpreted.
            self._processes[name] = subprocess.Popen(  # noqa: S603
                [*self._program, *arguments],
                stdin=subprocess.PIPE,
                stdout=console,
                stderr=subprocess.STDOUT,
                env=_environment(),
                start_new_session=True,
            )

    def _let_go(self) -> None:
        """Close the tethers of processes that have ended."""
        for process in list(self._processes.values()):
            if process.poll() is not None and process.stdin is not None:
                process.stdin.close()


def _is_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("job.json", "progress.json", "run.json", "advice.json"))


def _folder(name: str) -> Path:
    return paths.runs() / paths.checked_name(name, "evaluation")


def _environment() -> Mapping[str, Any]:
    return os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to the process and its children: it leads a group of its own."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            process.poll()


def _kill(process: subprocess.Popen[bytes]) -> None:
    _signal(process, signal.SIGKILL)
