"""One training at a time in a folder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assistant.errors import TrainingError


@contextmanager
def training_in(run: Path, lock: Path) -> Iterator[None]:
    """Hold the lock of a run's folder, so that no second process trains in it.

    Raises:
        TrainingError: if another one does.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise TrainingError(f"Another process is training in {run}.", "Wait, or choose another --name.") from None
        yield
