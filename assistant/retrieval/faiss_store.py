"""Exact search over vectors in memory (owner of faiss)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.errors import MissingDependency
from assistant.retrieval.encoders import Vectors

METRICS = ("cosine", "l2")
FEW_QUERIES = 20
"""Below this one thread is faster than several (each query is bound by memory)."""


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise MissingDependency(
            "Searching needs faiss, which is not installed.",
            "Type: pip install 'shotwise[cpu]' (or 'shotwise[gpu]', never both)",
        ) from error
    return faiss


def library_version() -> str:
    """Return the version of faiss."""
    return str(_faiss().__version__)


class FaissStore:
    """Vectors (n, d) under one metric: `cosine` (they must be unit rows) or `l2`."""

    def __init__(self, vectors: Vectors, metric: str) -> None:
        self._library = _faiss()
        kind = self._library.IndexFlatIP if metric == "cosine" else self._library.IndexFlatL2
        self._index = kind(vectors.shape[1])
        self._index.add(np.ascontiguousarray(vectors))

    def search(self, queries: Vectors, n: int) -> NDArray[np.int64]:
        """Return the row numbers of the n nearest per query, nearest first, (q, min(n, rows))."""
        wanted = min(n, self._index.ntotal)
        if wanted <= 0 or not len(queries):
            return np.zeros((len(queries), max(wanted, 0)), dtype=np.int64)
        threads = self._library.omp_get_max_threads()
        if len(queries) < FEW_QUERIES:
            self._library.omp_set_num_threads(1)
        try:
            _, rows = self._index.search(np.ascontiguousarray(queries, dtype=np.float32), wanted)
        finally:
            self._library.omp_set_num_threads(threads)
        found: NDArray[np.int64] = rows
        return found

    def vectors(self, rows: NDArray[np.int64]) -> Vectors:
        """Return the stored vectors of some rows, (n, d)."""
        found: Vectors = self._index.reconstruct_batch(np.ascontiguousarray(rows, dtype=np.int64))
        return found
