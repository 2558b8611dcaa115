"""Texts as keys and words; runs of words in a row, found again by their hashes in a sorted array (8 bytes a run)."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.int64]
_WORD = re.compile(r"[^\W_]+")


def text_key(text: str) -> str:
    """Return a hash of the text's letters and digits, by which copies are found."""
    return hashlib.sha256(re.sub(r"[\W_]+", "", text.casefold()).encode()).hexdigest()[:20]


def words_of(text: str) -> list[str]:
    """Return the words of a text, casefolded and without punctuation; equal words are one string in memory."""
    return [sys.intern(word) for word in _WORD.findall(text.casefold())]


def runs_of(words: Sequence[str], length: int) -> list[int]:
    """Return the hash of every run of `length` words; a hash is good in this process only."""
    return [hash(" ".join(words[at : at + length])) for at in range(len(words) - length + 1)]


class Runs:
    """All runs of one length in the texts of several groups, but for those that many texts of a group share."""

    def __init__(self, length: int, groups: Sequence[Sequence[Sequence[str]]], common: int) -> None:
        """Take the texts of each group as words; a run in more than `common` texts of a group is its boilerplate."""
        self.length = length
        kept = [_rare_runs(texts, length, common) for texts in groups]
        hashes = np.concatenate([np.zeros(0, np.int64), *kept])
        numbers = np.repeat(np.arange(len(kept), dtype=np.int16), [len(one) for one in kept])
        self._hashes, first = np.unique(hashes, return_index=True)
        self._groups = numbers[first]

    def __len__(self) -> int:
        return len(self._hashes)

    def group(self, words: Sequence[str]) -> int | None:
        """Return the number of the group that shares the first known run of these words, or None."""
        if len(words) < self.length or not len(self):
            return None
        asked = np.array(runs_of(words, self.length), dtype=np.int64)
        at = np.minimum(np.searchsorted(self._hashes, asked), len(self) - 1)
        known = np.flatnonzero(self._hashes[at] == asked)
        return int(self._groups[at[known[0]]]) if len(known) else None


def _rare_runs(texts: Sequence[Sequence[str]], length: int, common: int) -> Hashes:
    found: list[Hashes] = []
    for start in range(0, len(texts), 4096):  # in portions, so that few Python integers are alive at once
        hashes = [one for words in texts[start : start + 4096] for one in set(runs_of(words, length))]
        found.append(np.array(hashes, dtype=np.int64))
    unique, texts_with = np.unique(np.concatenate([np.zeros(0, np.int64), *found]), return_counts=True)
    return unique[texts_with <= common]
