"""The journal of a run: whole blocks of outcomes, on the disk before the next block begins.

    runs/NAME/journal.jsonl       one line per block: its key, its outcomes, a checksum of both
    runs/.locks/NAME              held by the one process that writes

A line that a kill tore is the last one; it is dropped when the journal is opened again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from assistant.errors import RunProblem
from assistant.evaluation.outcomes import Outcome
from assistant.retrieval.storage import exclusively

FILE = "journal.jsonl"
_SEAL_BYTES = len(b', "sha256": ""}\n') + 64


def locked(folder: Path) -> AbstractContextManager[None]:
    """Hold the right to write a run's folder.

    Raises:
        RunProblem: at once, if another process holds it.
    """
    return exclusively(
        folder,
        RunProblem(
            f"The run '{folder.name}' is being worked on by another process.",
            "Wait until that is done, or choose another --name.",
        ),
    )


class Journal:
    """The finished blocks of one run, by key; written by one process at a time (see `locked`)."""

    def __init__(self, folder: Path) -> None:
        """Read what is there; the torn line of a kill is cut off.

        Raises:
            RunProblem: if a line before the last is damaged.
        """
        self.path = folder / FILE
        self._blocks, whole = _read(self.path)
        if self.path.exists() and self.path.stat().st_size > whole:
            os.truncate(self.path, whole)

    @property
    def blocks(self) -> Mapping[str, tuple[Outcome, ...]]:
        """Return key → outcomes of every finished block, in the order in which they were finished."""
        return self._blocks

    def append(self, key: str, outcomes: Sequence[Outcome]) -> None:
        """Keep a finished block; when this returns it is on the disk."""
        assert key not in self._blocks, f"the block {key} was done before"
        records = [outcome.to_json() for outcome in outcomes]
        append_sealed(self.path, {"block": key, "outcomes": records})
        # As a resumed process would read them: rounded, so that both make the same record.
        self._blocks[key] = tuple(Outcome.from_json(record) for record in records)


def read_journal(folder: Path) -> dict[str, tuple[Outcome, ...]]:
    """Return key → outcomes of every finished block; nothing is changed on the disk.

    Raises:
        RunProblem: if a line before the last is damaged.
    """
    return _read(folder / FILE)[0]


def _read(path: Path) -> tuple[dict[str, tuple[Outcome, ...]], int]:
    """Return the finished blocks and how many bytes of the file they are."""
    lines, whole = sealed_lines(path, f"Delete the folder '{path.parent}' and evaluate anew.")
    return {line["block"]: tuple(Outcome.from_json(one) for one in line["outcomes"]) for line in lines}, whole


def sealed_lines(path: Path, remedy: str) -> tuple[list[dict[str, Any]], int]:
    """Return what the lines of a file hold, without a torn last one, and how many bytes of it they are.

    Raises:
        RunProblem: if a line before the last is damaged; `remedy` says what to do.
    """
    lines: list[dict[str, Any]] = []
    whole = 0
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return lines, 0
    for line in content.splitlines(keepends=True):
        record = _checked(line)
        if record is None:
            if whole + len(line) < len(content):
                raise RunProblem(f"Line {len(lines) + 1} of '{path}' is damaged.", remedy)
            break
        lines.append(record)
        whole += len(line)
    return lines, whole


def append_sealed(path: Path, record: Mapping[str, Any]) -> None:
    """Add a line with its checksum; when this returns it is on the disk."""
    body = json.dumps(record).encode("ascii")
    with path.open("ab") as stream:
        stream.write(body[:-1] + _seal(body))
        stream.flush()
        os.fsync(stream.fileno())


def _seal(body: bytes) -> bytes:
    """Return the end of a line: the checksum of what stands before it."""
    return b', "sha256": "%s"}\n' % hashlib.sha256(body).hexdigest().encode("ascii")


def _checked(line: bytes) -> dict[str, Any] | None:
    """Return what a line holds, or None if it is not as it was written."""
    body = line[:-_SEAL_BYTES] + b"}"
    if line[-_SEAL_BYTES:] != _seal(body):
        return None
    record: dict[str, Any] = json.loads(body)
    return record
