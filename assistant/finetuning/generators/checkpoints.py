"""Checkpoints that were written to their end.

A kill in the middle of writing leaves half a checkpoint; a mark that is set last tells them apart.
transformers' Trainer keeps the state of optimizer, schedule and random numbers in torch's own
format, and reads it with `weights_only`, which runs no code. The arguments, which it would pickle
and never reads again, are removed. The weights are safetensors, and nothing else leaves the run's folder.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

STATE_FILE = "trainer_state.json"
"""The Trainer's own."""
_WHOLE = "whole"
_SECONDS = "seconds"
_PICKLED = "training_args.bin"


class Clock:
    """What a training has taken, all processes together that had a share in it."""

    def __init__(self, checkpoint: Path | None) -> None:
        self._earlier_s = 0.0 if checkpoint is None else _seconds_of(checkpoint)
        self._begun = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Return the seconds up to the checkpoint that it goes on from, and those since."""
        return self._earlier_s + time.perf_counter() - self._begun


def mark_whole(folder: Path, seconds: float) -> None:
    """Mark a checkpoint as written to its end, so many seconds of training after the beginning."""
    (folder / _PICKLED).unlink(missing_ok=True)
    (folder / _SECONDS).write_text(f"{seconds:.3f}\n", encoding="utf-8")
    (folder / _WHOLE).touch()


def _seconds_of(checkpoint: Path) -> float:
    file = checkpoint / _SECONDS
    return float(file.read_text(encoding="utf-8")) if file.is_file() else 0.0


def checkpoint_at(run: Path, step: int) -> Path:
    """Return where the checkpoint of a step lies."""
    return run / f"checkpoint-{step}"


def last_checkpoint(run: Path) -> Path | None:
    """Return the last whole checkpoint, or None.

    It only looks: what is not whole may be in the middle of being written by another process.
    """
    whole = [folder for folder in _checkpoints(run) if _is_whole(folder)]
    return max(whole, key=step_of) if whole else None


def remove_torn(run: Path) -> None:
    """Remove the checkpoints that were not written to their end; only who holds the run's lock may."""
    for folder in _checkpoints(run):
        if not _is_whole(folder):
            shutil.rmtree(folder)


def _checkpoints(run: Path) -> list[Path]:
    return [folder for folder in run.glob("checkpoint-*") if folder.name.removeprefix("checkpoint-").isdecimal()]


def _is_whole(checkpoint: Path) -> bool:
    return (checkpoint / _WHOLE).is_file()


def step_of(checkpoint: Path | None) -> int:
    """Return the step of a checkpoint; 0 for none."""
    return 0 if checkpoint is None else int(checkpoint.name.removeprefix("checkpoint-"))


def state_of(checkpoint: Path) -> dict[str, Any]:
    """Return what the Trainer wrote about a training when it wrote a checkpoint."""
    state: dict[str, Any] = json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))
    return state


def remove_checkpoints(run: Path) -> None:
    """Remove all checkpoints of a run."""
    for folder in run.glob("checkpoint-*"):
        shutil.rmtree(folder)
