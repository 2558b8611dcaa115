"""How far an evaluation is, for the terminal and for other processes that look at the run's folder."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from assistant.evaluation.outcomes import Arm, Outcome
from assistant.evaluation.running.plan import Block, Plan
from assistant.evaluation.statistics.intervals import wilson

FILE = "progress.json"
LOG = "log.txt"
RUNNING, STOPPED, DONE, FAILED = "running", "stopped", "done", "failed"
_LEAST_INTERVAL_S = 0.5


@dataclass(frozen=True)
class ArmProgress:
    """How far one arm is; accuracy over what it has answered, None where nothing is right or wrong."""

    name: str
    done: int
    total: int
    accuracy: float | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Progress:
    """How far an evaluation is: answers `done` of `total`, seconds spent by this process and left."""

    state: str
    sentence: str
    done: int
    total: int
    seconds: float = 0.0
    seconds_left: float | None = None
    arms: tuple[ArmProgress, ...] = ()
    pid: int = field(default_factory=os.getpid)
    updated: float = field(default_factory=time.time)

    def to_json(self) -> dict[str, Any]:
        """Return the progress as plain data: the contract of `progress.json`."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]


Report = Callable[[Progress], None]


class Tally:
    """Counts what is answered, tells how far the plan is, and keeps `progress.json` fresh."""

    def __init__(self, plan: Plan, folder: Path, report: Report | None) -> None:
        self._plan, self._folder, self._report = plan, folder, report
        self._begun = time.perf_counter()
        self._written = float("-inf")
        self._done: dict[Arm, int] = dict.fromkeys(plan.arms, 0)
        self._right: dict[Arm, int] = dict.fromkeys(plan.arms, 0)
        self._judged: dict[Arm, int] = dict.fromkeys(plan.arms, 0)
        self._timed: dict[Arm, tuple[int, float]] = {}
        self._totals = {arm: len(plan.samples) * len(plan.seeds_of(arm)) for arm in plan.arms}

    def add(self, arm: Arm, outcomes: Sequence[Outcome], seconds: float | None = None) -> None:
        """Count a finished block; `seconds` is what it took this process, None if it was done before."""
        self._done[arm] += len(outcomes)
        self._right[arm] += sum(outcome.correct is True for outcome in outcomes)
        self._judged[arm] += sum(outcome.correct is not None for outcome in outcomes)
        if seconds is not None:
            count, before = self._timed.get(arm, (0, 0.0))
            self._timed[arm] = (count + len(outcomes), before + seconds)

    def tell(self, state: str, sentence: str) -> None:
        """Report how far it is; a running evaluation writes the file at most twice a second."""
        progress = self.progress(state, sentence)
        if self._report is not None:
            self._report(progress)
        now = time.perf_counter()
        if state != RUNNING or now - self._written >= _LEAST_INTERVAL_S:
            self._written = now
            write_json(self._folder / FILE, progress.to_json())
        with (self._folder / LOG).open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {progress.done} of {progress.total}: {sentence}\n")

    def progress(self, state: str, sentence: str) -> Progress:
        """Return how far the plan is carried out."""
        seconds = time.perf_counter() - self._begun
        left = self._seconds_left() if state == RUNNING else None
        return Progress(
            state=state,
            sentence=sentence,
            done=sum(self._done.values()),
            total=sum(self._totals.values()),
            seconds=round(seconds, 3),
            seconds_left=None if left is None else round(left, 1),
            arms=self._arms(),
        )

    def about(self, block: Block) -> str:
        """Return in words which block was finished, and how its arm is doing."""
        judged = self._judged[block.arm]
        so_far = f": {self._right[block.arm] / judged:.1%} right so far" if judged else ""
        return f"{block.arm.name}, samples {block.start + 1} to {block.end}, seed {block.seed}{so_far}"

    def _seconds_left(self) -> float | None:
        """Return what is left at each arm's own pace, or at that of all where an arm has none yet."""
        asked = {arm: timed for arm, timed in self._timed.items() if not arm.is_baseline}
        answers, spent = (sum(column) for column in zip(*asked.values(), strict=True)) if asked else (0, 0.0)
        if not answers:
            return None
        pace = {arm: time_spent / count for arm, (count, time_spent) in asked.items() if count}
        return sum(
            (self._totals[arm] - self._done[arm]) * pace.get(arm, spent / answers)
            for arm in self._plan.arms
            if not arm.is_baseline
        )

    def _arms(self) -> tuple[ArmProgress, ...]:
        rows = []
        for arm in self._plan.arms:
            right, judged = self._right[arm], self._judged[arm]
            # The same sample under several seeds is not new evidence: no interval until the record is made.
            interval = wilson(right, judged) if judged and len(self._plan.seeds_of(arm)) == 1 else None
            accuracy = right / judged if judged else None
            rows.append(ArmProgress(arm.name, self._done[arm], self._totals[arm], accuracy, interval))
        return tuple(rows)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1))


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)
