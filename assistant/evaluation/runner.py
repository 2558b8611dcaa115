"""Carrying out a plan: block by block, kept at once, resumed after a kill, stopped on request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assistant.answering import Assistant
from assistant.evaluation.plan import Plan
from assistant.evaluation.progress import Report
from assistant.generation.chat_model import StopSignal


def evaluate(
    plan: Plan, assistant: Assistant, folder: Path, *, stop: StopSignal | None = None, report: Report | None = None
) -> dict[str, Any]:
    """Return the run's record (also written as `run.json`); finished blocks in the folder are not repeated."""
    raise NotImplementedError
