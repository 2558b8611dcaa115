"""Search by words: BM25 over the texts of an index, in memory (owner of bm25s)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.errors import MissingDependency

K1, B = 1.5, 0.75
"""How fast repeated words stop counting, and how much long texts are held back; Lucene's form."""
_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Return the words of a text, case-folded: runs of letters, digits and underscores."""
    return _WORD.findall(text.casefold())


def _bm25s() -> Any:
    try:
        import bm25s
    except ImportError as error:
        raise MissingDependency(
            "Searching by words needs bm25s, which is not installed.", "Type: pip install bm25s"
        ) from error
    return bm25s


class LexicalIndex:
    """BM25 scores of a question's words against every text.

    Source: Robertson and Zaragoza 2009, in the variant of Lucene (bm25s: Lù 2024).
    """

    def __init__(self, texts: Sequence[str]) -> None:
        library = _bm25s()
        self._count = len(texts)
        tokens = [words(text) for text in texts]
        self._model: Any = None
        # Without a single word there is no mean length to divide by, and nothing to find.
        if any(tokens):
            self._model = library.BM25(k1=K1, b=B, method="lucene", backend="numpy")
            self._model.index(tokens, show_progress=False)

    def scores(self, text: str) -> NDArray[np.float32]:
        """Return the score of every text for a question, (n); 0 where no word is shared."""
        asked = words(text)
        if self._model is None or not asked:
            return np.zeros(self._count, dtype=np.float32)
        found: NDArray[np.float32] = self._model.get_scores(asked)
        return found

    def ranked(self, text: str) -> NDArray[np.int64]:
        """Return the numbers of all texts, best first; equal scores stay in the order of the texts."""
        return np.argsort(-self.scores(text), kind="stable").astype(np.int64)
