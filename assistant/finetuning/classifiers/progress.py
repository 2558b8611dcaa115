"""How far a training is: told while it runs, and kept line by line, so that an interrupted curve goes on."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FILE = "progress.jsonl"
SPENT = "seconds.json"


@dataclass(frozen=True)
class Progress:
    """Where a training stands."""

    step: int
    steps: int
    """Steps that there would be without early stopping."""
    epoch: float
    """Passes over the rows so far."""
    seconds: float
    """That this process has trained."""
    seconds_left: float | None
    loss: float | None = None
    """Mean over the rows since the last line; None in a line about the rows kept aside."""
    dev_loss: float | None = None
    """On the rows kept aside."""
    dev_accuracy: float | None = None
    rate: float | None = None
    """Learning rate."""

    @property
    def sentence(self) -> str:
        """Return the line in words."""
        left = "" if self.seconds_left is None else f", {_minutes(self.seconds_left)} left"
        if self.dev_loss is not None:
            right = "" if self.dev_accuracy is None else f", accuracy {self.dev_accuracy:.1%}"
            return f"Epoch {self.epoch:g}: loss {self.dev_loss:.4f}{right} on the rows kept aside{left}."
        loss = "" if self.loss is None else f", loss {self.loss:.4f}"
        return f"Step {self.step:,} of {self.steps:,}{loss}{left}."

    def to_json(self) -> dict[str, Any]:
        """Return the line as plain data, without what is not known."""
        return {name: value for name, value in asdict(self).items() if value is not None}


Tell = Callable[[Progress], None]


class Spent:
    """The seconds of a training, those of earlier processes included: as many as its last checkpoint had taken."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before = _seconds_in(folder)
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Return the seconds of all processes so far."""
        return round(self._before + time.monotonic() - self._began, 1)

    def keep(self) -> None:
        """Write them down for the process that goes on."""
        draft = self._folder / f".{SPENT}.tmp"
        draft.write_text(json.dumps(self.seconds), encoding="utf-8")
        os.replace(draft, self._folder / SPENT)


def _seconds_in(folder: Path) -> float:
    try:
        return float(json.loads((folder / SPENT).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return 0.0  # none before, or a training that was begun by a version that kept none


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def append(folder: Path, progress: Progress) -> None:
    """Write one line more."""
    with (folder / FILE).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(progress.to_json()) + "\n")


def read(folder: Path) -> list[dict[str, Any]]:
    """Return all whole lines; a kill can leave half of one at the end."""
    file = folder / FILE
    if not file.is_file():
        return []
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


def thinned(lines: Sequence[Mapping[str, Any]], most: int = 100) -> list[dict[str, Any]]:
    """Return at most `most` lines of the training loss, each the mean of some in a row, and all other lines."""
    losses = [line for line in lines if "loss" in line]
    size = -(-len(losses) // most) or 1
    kept: list[dict[str, Any]] = []
    gathered: list[float] = []
    for line in lines:
        if "loss" not in line:
            kept.append(dict(line))
            continue
        gathered.append(float(line["loss"]))
        if len(gathered) == size or line is losses[-1]:
            kept.append({**line, "loss": round(sum(gathered) / len(gathered), 6)})
            gathered = []
    return kept


def forget_after(folder: Path, step: int) -> None:
    """Drop the lines of steps that a resumed training takes again."""
    kept = [line for line in read(folder) if line["step"] <= step]
    draft = folder / f".{FILE}.tmp"
    draft.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
    os.replace(draft, folder / FILE)
