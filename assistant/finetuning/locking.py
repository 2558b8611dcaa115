"""One training at a time in a folder."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from assistant.errors import TrainingError
from assistant.retrieval.storage import exclusively


def training_in(run: Path) -> AbstractContextManager[None]:
    """Hold the right to train in a run's folder.

    Raises:
        TrainingError: at once, if another process holds it.
    """
    return exclusively(run, TrainingError(f"Another process is training in {run}.", "Wait, or choose another --name."))
