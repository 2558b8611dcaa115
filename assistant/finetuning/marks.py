"""Marks of rows that were learnt from: short hashes, by which a row is known again and kept out of what is measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from assistant.retrieval.encoders import TAUGHT
from assistant.retrieval.guard import normalised

FILE = "trained_on.json"
"""In the folder of what was trained; of a classifier, beside that of its weights."""


class Marked(Protocol):
    """A row with inputs by the name of their field, and perhaps a group."""

    @property
    def inputs(self) -> Mapping[str, str]:
        """Return field → text."""

    @property
    def group(self) -> str | None:
        """Return what rows that belong together share."""


@dataclass(frozen=True)
class Marks:
    """What was learnt from: hashes of texts, and of groups.

    A group is known by its name and that of its column (of a known data set, its own), whatever the file is called:
    film 7 is not user 7. Older marks say nothing of the column: a group of theirs is one in whatever column, for it is
    better to leave out too much than to measure on what was learnt.
    """

    texts: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()

    @classmethod
    def of(cls, rows: Iterable[Marked], group_column: str = "") -> Marks:
        """Return the marks of the rows; the name of their column of groups may be left out where all are of one."""
        rows = list(rows)
        return cls(
            frozenset(text_mark(row.inputs) for row in rows),
            frozenset(group_mark(row.group, group_column) for row in rows if row.group),
        )

    def __or__(self, other: Marks) -> Marks:
        """Return the marks of what either was made from."""
        return Marks(self.texts | other.texts, self.groups | other.groups)

    def know(self, row: Marked, group_column: str = "") -> bool:
        """Return whether the row, or another of its group, was learnt from."""
        if text_mark(row.inputs) in self.texts:
            return True
        return bool(row.group) and not self.groups.isdisjoint(_all_marks(str(row.group), group_column))

    @classmethod
    def from_json(cls, found: Any) -> Marks:
        """Return the marks that `to_json` wrote.

        Raises:
            KeyError, TypeError: if these are none.
        """
        return cls(frozenset(map(str, found["texts"])), frozenset(map(str, found["groups"])))

    def to_json(self) -> dict[str, list[str]]:
        """Return the marks as they are written beside what was trained."""
        return {"texts": sorted(self.texts), "groups": sorted(self.groups)}


def write_marks(folder: Path, marks: Marks) -> None:
    """Write the marks into the folder of what was trained."""
    (folder / FILE).write_text(json.dumps(marks.to_json()) + "\n", encoding="utf-8")


def read_marks(folder: Path | None) -> Marks:
    """Return the marks of what was trained, by the folder of its weights; none without one, or if nothing has any.

    An encoder has them on its card, a classifier beside the folder of its weights.
    """
    if folder is None:
        return Marks()
    for file in (folder / FILE, folder.parent / FILE, folder / TAUGHT):
        try:
            found: Any = json.loads(file.read_text(encoding="utf-8"))
            return Marks.from_json(found.get("trained_on", found))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            continue
    return Marks()


def text_mark(inputs: Mapping[str, str]) -> str:
    """Return a short hash of the inputs, the same for texts with the same letters and digits."""
    return _mark(f"text {normalised(chr(10).join(inputs.values()))}")


def group_mark(group: str, column: str) -> str:
    """Return a short hash of a group's name in its column."""
    return _mark(f"column {column} group {group}")


def _all_marks(group: str, column: str) -> tuple[str, str]:
    """Return the marks that a group has now, and had when its column was not told."""
    return group_mark(group, column), _mark(f"group {group}")


def _mark(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
