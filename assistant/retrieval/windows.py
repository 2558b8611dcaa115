"""Texts longer than an encoder's window: how they are cut, and how the parts become one vector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from assistant.retrieval.encoders import Vectors, unit_rows

TOKENS_PER_BATCH = 2048
"""Tokens, padding included, of one forward pass on a CPU, where more are slower (cache)."""


def rule(window: int) -> str:
    """Return the rule for long texts as a sentence for the manifest."""
    return (
        f"A text of more than {window} tokens is cut into consecutive windows of at most {window} tokens (special "
        "tokens included); its vector is the mean of the windows' unit vectors, weighted by their tokens, at length 1."
    )


def batches(lengths: Sequence[int], most_rows: int, most_tokens: int = TOKENS_PER_BATCH) -> Iterator[list[int]]:
    """Yield positions, longest first, in batches that are bounded in rows and in padded tokens."""
    batch: list[int] = []
    for position in sorted(range(len(lengths)), key=lambda at: (-lengths[at], at)):
        widest = lengths[batch[0]] if batch else lengths[position]
        if batch and (len(batch) >= most_rows or widest * (len(batch) + 1) > most_tokens):
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch


def pooled(windows: Vectors, weights: NDArray[np.int64], owners: NDArray[np.int64], texts: int) -> Vectors:
    """Return one unit row per text from its windows' rows (w, d), their tokens and their text's position."""
    if texts == len(windows):
        return unit_rows(windows)
    sums = np.zeros((texts, windows.shape[1]), dtype=np.float64)
    np.add.at(sums, owners, unit_rows(windows) * weights[:, None])
    return unit_rows(sums.astype(np.float32))
