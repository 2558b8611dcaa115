"""The index of a data set's pool: only training rows, built when it is first needed, kept under `indexes/`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict

from assistant.data import Fields, Source
from assistant.errors import IndexProblem
from assistant.evaluation.sets.datasets import LoadedSet
from assistant.retrieval.encoders import DEFAULT, Encoder
from assistant.retrieval.index import BuildProgress, DemonstrationIndex, build_index
from assistant.tables import Row


class PoolSource(Source):
    """The demonstrations of a loaded data set as a table."""

    def __init__(self, loaded: LoadedSet) -> None:
        super().__init__(loaded.data.name, f"the pool of {loaded.data.name}")
        self._pool = loaded.pool
        first = loaded.pool[0]
        self.fields = Fields(
            inputs=tuple(first.inputs),
            output="output",
            rationale="rationale" if any(row.rationale for row in loaded.pool) else None,
            id="id",
            group="group" if any(row.group for row in loaded.pool) else None,
        )

    @property
    def fingerprint(self) -> str:
        """Return the sha256 of the rows."""
        digest = hashlib.sha256()
        for row in self._pool:
            digest.update(json.dumps(asdict(row), ensure_ascii=False, sort_keys=True).encode("utf-8"))
        return digest.hexdigest()

    def rows(self) -> Iterator[Row]:
        """Yield the demonstrations as rows."""
        for line, row in enumerate(self._pool, start=1):
            extras = {"rationale": row.rationale, "group": row.group}
            yield line, {"id": row.id, **row.inputs, "output": row.output, **extras}

    def count(self) -> int | None:
        """Return how many there are."""
        return len(self._pool)


def pool_index_name(loaded: LoadedSet, encoder: Encoder | str = DEFAULT) -> str:
    """Return the name of the pool's index: another pool or encoder has another name."""
    encoder_name = encoder if isinstance(encoder, str) else encoder.name
    mark = hashlib.sha256(f"{PoolSource(loaded).fingerprint} {encoder_name}".encode()).hexdigest()[:8]
    return f"{loaded.data.name}-pool-{mark}"


def pool_index(
    loaded: LoadedSet,
    encoder: Encoder | str = DEFAULT,
    progress: Callable[[BuildProgress], None] | None = None,
) -> DemonstrationIndex:
    """Return the index of the pool; it is built if it is missing, damaged or of another version of the encoder.

    Raises:
        IndexProblem: if it cannot be written; ShotwiseError: if the encoder cannot be loaded.
    """
    name = pool_index_name(loaded, encoder)
    source = PoolSource(loaded)
    try:
        index = DemonstrationIndex.open(name)
        if index.manifest.source.get("fingerprint") == source.fingerprint:
            return index
    except IndexProblem:
        pass
    build_index(source, name, source.fields, task=loaded.task.name, encoder=encoder, progress=progress)
    return DemonstrationIndex.open(name)
