"""How far a training is: told to whoever asked, and kept in the run's folder for other processes to read.

`progress.jsonl` has a line for every step and every validation; `progress.json`, replaced as a whole,
says how it stands: running, stopped, done or failed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

STATE_FILE, CURVE_FILE = "progress.json", "progress.jsonl"
RUNNING, STOPPED, DONE, FAILED = "running", "stopped", "done", "failed"
_LEAST_INTERVAL_S = 0.5


@dataclass(frozen=True)
class Progress:
    """How a training stands."""

    state: str
    sentence: str
    step: int = 0
    of: int = 0
    loss: float | None = None
    """Mean over the tokens learnt in this step, in nats."""
    validation_loss: float | None = None
    """The last one."""
    best: float | None = None
    """The lowest validation loss so far."""
    tokens_per_second: float | None = None
    """Read by this process, prompts included and validations left out."""
    seconds: float = 0.0
    """Of this process."""
    seconds_left: float | None = None
    peak_mb: float = 0.0
    """Most memory held at once: of the GPU if it trains there, else of the process."""
    pid: int = field(default_factory=os.getpid)
    updated: float = field(default_factory=time.time)

    def to_json(self) -> dict[str, Any]:
        """Return the progress as plain data: the contract of `progress.json`."""
        return asdict(self)


Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Curve:
    """Losses by step, in nats per learnt token."""

    train: tuple[tuple[int, float], ...]
    validation: tuple[tuple[int, float], ...]

    @property
    def best(self) -> tuple[int, float] | None:
        """Return step and loss of the best validation, the first of equals; None if there was none."""
        return min(self.validation, key=lambda one: one[1]) if self.validation else None

    def thinned(self, points: int = 200) -> dict[str, list[list[float]]]:
        """Return the curve as plain data, stretches of the training losses averaged so that few points are left."""
        width = max(1, -(-len(self.train) // points))
        stretches = [self.train[at : at + width] for at in range(0, len(self.train), width)]
        means = [[one[-1][0], round(sum(loss for _, loss in one) / len(one), 6)] for one in stretches]
        return {"train": means, "validation": [[step, round(loss, 6)] for step, loss in self.validation]}


def curve_of(history: Sequence[dict[str, Any]]) -> Curve:
    """Return the curve in a trainer's log history."""
    return Curve(
        tuple((int(one["step"]), float(one["loss"])) for one in history if "loss" in one),
        tuple((int(one["step"]), float(one["eval_loss"])) for one in history if "eval_loss" in one),
    )


class Teller:
    """Writes down and tells how far a training is; each step is timed without the validations between."""

    def __init__(self, folder: Path, report: Report | None, cuda: bool) -> None:
        self._folder, self._report, self._cuda = folder, report, cuda
        self._begun = time.perf_counter()
        self._written = float("-inf")
        self._steps, self._tokens, self._busy = 0, 0.0, 0.0
        self.now = Progress(RUNNING, "Beginning.")

    def begin(self, step: int, of: int) -> None:
        """Take note of where it begins; what a broken-off run wrote beyond that is forgotten."""
        file = self._folder / CURVE_FILE
        kept = [line for line in _lines(file) if json.loads(line)["step"] <= step] if step else []
        draft = file.with_name(f".{file.name}.tmp")
        draft.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        os.replace(draft, file)
        losses = [json.loads(line)["validation_loss"] for line in kept if '"validation_loss"' in line]
        last, best = (losses[-1], min(losses)) if losses else (None, None)
        sentence = f"Going on from step {step:,} of {of:,}." if step else f"{of:,} steps."
        self._tell(RUNNING, sentence, step=step, of=of, validation_loss=last, best=best)

    def step(self, step: int, loss: float, seconds: float, tokens: float) -> None:
        """Take note of a step, of what it took, and of the tokens it read."""
        self._steps, self._tokens, self._busy = self._steps + 1, self._tokens + tokens, self._busy + seconds
        pace = self._tokens / self._busy if self._busy else None
        left = (self.now.of - step) * self._busy / self._steps
        record = {"step": step, "of": self.now.of, "loss": loss, "tokens_per_second": _rounded(pace),
                  "seconds_left": _rounded(left), "peak_mb": peak_mb(self._cuda)}  # fmt: skip
        self._append(record)
        sentence = f"Step {step:,} of {self.now.of:,}: loss {loss:.3f}."
        self._tell(
            RUNNING, sentence, step=step, loss=loss, tokens_per_second=_rounded(pace), seconds_left=_rounded(left)
        )

    def validation(self, step: int, loss: float) -> None:
        """Take note of a validation."""
        best = loss if self.now.best is None else min(loss, self.now.best)
        self._append({"step": step, "of": self.now.of, "validation_loss": loss})
        sentence = f"Step {step:,} of {self.now.of:,}: validation loss {loss:.3f}, best {best:.3f}."
        self._tell(RUNNING, sentence, step=step, validation_loss=loss, best=best)

    def end(self, state: str, sentence: str) -> None:
        """Tell that nothing more is done, and why."""
        self._tell(state, sentence, seconds_left=None)

    def _append(self, record: dict[str, Any]) -> None:
        with (self._folder / CURVE_FILE).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")

    def _tell(self, state: str, sentence: str, **changes: Any) -> None:
        known = {**asdict(self.now), **changes}
        known |= {"state": state, "sentence": sentence, "pid": os.getpid(), "updated": time.time()}
        known |= {"seconds": round(time.perf_counter() - self._begun, 3), "peak_mb": peak_mb(self._cuda)}
        self.now = Progress(**known)
        if self._report is not None:
            self._report(self.now)
        if state != RUNNING or time.perf_counter() - self._written >= _LEAST_INTERVAL_S:
            self._written = time.perf_counter()
            draft = self._folder / f".{STATE_FILE}.tmp"
            draft.write_text(json.dumps(self.now.to_json()), encoding="utf-8")
            os.replace(draft, self._folder / STATE_FILE)


def peak_mb(cuda: bool) -> float:
    """Return the most memory that was held at once, in MB (10⁶ bytes)."""
    if cuda:
        import torch

        return round(float(torch.cuda.max_memory_allocated()) / 1e6, 1)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


def _lines(file: Path) -> list[str]:
    """Return the whole lines of a file; the last may have been torn by a kill."""
    if not file.is_file():
        return []
    text = file.read_text(encoding="utf-8")
    return text.split("\n")[:-1]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
