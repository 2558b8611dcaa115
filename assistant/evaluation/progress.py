"""How far an evaluation is, for the terminal and for other processes that look at the run's folder."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from assistant.evaluation.outcomes import Arm, Outcome
from assistant.evaluation.plan import Plan

FILE = "progress.json"
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
        plain: dict[str, Any] = asdict(self)
        return {**plain, "arms": [asdict(arm) for arm in self.arms]}


Report = Callable[[Progress], None]
