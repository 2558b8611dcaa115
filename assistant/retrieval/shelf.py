"""The shelf of indexes: list, describe, verify, delete."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assistant.errors import IndexNotFound, IndexProblem
from assistant.retrieval import storage
from assistant.retrieval.building import VECTORS
from assistant.retrieval.opened import (
    DemonstrationIndex,
    checked_generation,
    describe,
    index_folder,
    index_names,
)
from assistant.retrieval.packaged import file_sha256


@dataclass(frozen=True)
class IndexSummary:
    """One line of the list; `problem` is empty if the index can be opened."""

    name: str
    count: int = 0
    task: str | None = None
    encoder: str = ""
    metric: str = ""
    created: str = ""
    size_mb: float = 0.0
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the summary as plain data."""
        return asdict(self)


def list_indexes() -> tuple[IndexSummary, ...]:
    """Return a summary of every index, by name; damaged ones say what is wrong."""
    return tuple(_summary(name) for name in index_names())


def describe_index(name: str | Path) -> dict[str, Any]:
    """Return manifest, folder, size and notes of an index as plain data.

    Raises:
        IndexProblem: if it is missing or damaged.
    """
    return describe(DemonstrationIndex.open(name))


def verify_index(name: str | Path) -> list[str]:
    """Return everything that is wrong with an index: each file against its sha256, each row read.

    Raises:
        IndexNotFound: if there is none.
    """
    folder = index_folder(name)
    problems: list[str] = []
    pointed = storage.current(folder)
    if pointed is None:
        problems.append(f"{storage.CURRENT} does not name a generation.")
    for path in storage.generations(folder):
        found = _generation_problems(path)
        problems += [f"{path.name}: {problem}" for problem in found]
    if not storage.generations(folder):
        problems.append("There is no generation.")
    elif not problems:
        problems += _opening_problems(folder)
    return problems


def delete_index(name: str) -> Path:
    """Delete an index and return the folder it was in.

    Raises:
        IndexNotFound: if there is no index of that name.
        IndexProblem: if the folder holds something else, or another process builds it.
    """
    if name not in index_names():
        folder = index_folder(name)
        foreign = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
        if foreign:
            raise IndexProblem(f"The folder '{folder}' holds no index.", "Nothing was deleted.")
        raise IndexNotFound(f"There is no index named '{name}'.")
    folder = index_folder(name)
    storage.delete(folder)
    return folder


def _summary(name: str) -> IndexSummary:
    try:
        index = DemonstrationIndex.open(name)
    except IndexProblem as error:
        return IndexSummary(name, problem=str(error))
    manifest = index.manifest
    return IndexSummary(
        name=name,
        count=len(index),
        task=manifest.task,
        encoder=str(manifest.encoder["name"]),
        metric=manifest.metric,
        created=manifest.created,
        size_mb=round(sum(kept.size for kept in manifest.files.values()) / 2**20, 3),
        problem="; ".join(index.notes),
    )


def _opening_problems(folder: Path) -> list[str]:
    try:
        DemonstrationIndex.open(folder)
    except IndexProblem as error:
        return [error.sentence()]
    return []


def _generation_problems(folder: Path) -> list[str]:
    try:
        manifest = checked_generation(folder)
        index = DemonstrationIndex(folder, manifest)
    except IndexProblem as error:
        return [str(error)]
    changed = [name for name, kept in manifest.files.items() if file_sha256(folder / name) != kept.sha256]
    if changed:
        return [f"'{name}' was changed after it was written (sha256)." for name in changed]
    return _row_problems(index)


def _row_problems(index: DemonstrationIndex) -> list[str]:
    seen: set[str] = set()
    for row in range(len(index)):
        try:
            seen.add(index.demonstration(row).id)
        except (json.JSONDecodeError, UnicodeDecodeError, TypeError):
            return [f"Row {row} cannot be read."]
    vectors = np.memmap(index.folder / VECTORS, dtype="<f4", mode="r")
    problems = [] if np.isfinite(vectors).all() else ["Some vectors are not finite."]
    return problems if len(seen) == len(index) else [*problems, "Two rows have the same id."]
