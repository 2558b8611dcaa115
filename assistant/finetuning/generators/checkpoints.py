"""Checkpoints that were written to their end.

A kill in the middle of writing leaves half a checkpoint; a mark that is set last tells them apart.
transformers' Trainer keeps the state of optimizer, schedule and random numbers in torch's own
format, and reads it with `weights_only`, which runs no code. The arguments, which it would pickle
and never reads again, are removed. The weights are safetensors, and nothing else leaves the run's folder.
"""

from __future__ import annotations

import shutil
from pathlib import Path

_WHOLE = "whole"
_PICKLED = "training_args.bin"


def mark_whole(folder: Path) -> None:
    """Mark a checkpoint as written to its end."""
    (folder / _PICKLED).unlink(missing_ok=True)
    (folder / _WHOLE).touch()


def checkpoint_at(run: Path, step: int) -> Path:
    """Return where the checkpoint of a step lies."""
    return run / f"checkpoint-{step}"


def last_checkpoint(run: Path) -> Path | None:
    """Return the last whole checkpoint, or None; the torn ones are removed."""
    found = []
    for folder in run.glob("checkpoint-*"):
        number = folder.name.removeprefix("checkpoint-")
        if not number.isdecimal():
            continue
        if (folder / _WHOLE).is_file():
            found.append((int(number), folder))
        else:
            shutil.rmtree(folder)
    return max(found)[1] if found else None


def step_of(checkpoint: Path | None) -> int:
    """Return the step of a checkpoint; 0 for none."""
    return 0 if checkpoint is None else int(checkpoint.name.removeprefix("checkpoint-"))


def remove_checkpoints(run: Path) -> None:
    """Remove all checkpoints of a run."""
    for folder in run.glob("checkpoint-*"):
        shutil.rmtree(folder)
