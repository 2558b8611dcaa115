"""The leak guard: a demonstration that is the question itself, or nearly, is not shown.

Source: Broder 1997, "On the resemblance and containment of documents" (Jaccard of shingles).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from assistant.records import Demonstration, Query
from assistant.settings import GuardSettings

_GRAM = 5
_NEITHER_LETTER_NOR_DIGIT = re.compile(r"[\W_]+")


@lru_cache(maxsize=512)
def normalised(text: str) -> str:
    """Return the text's letters and digits, NFKC and case-folded; the bare text if it has none."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _NEITHER_LETTER_NOR_DIGIT.sub("", folded) or "".join(text.split())


@lru_cache(maxsize=512)
def grams(text: str) -> frozenset[str]:
    """Return the character 5-grams of a normalised text; a shorter text is its only gram."""
    return frozenset(text[at : at + _GRAM] for at in range(max(len(text) - _GRAM + 1, 1))) if text else frozenset()


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the share of grams in common, 0…1; 0 if there are none."""
    common = len(one & other)
    return common / (len(one) + len(other) - common) if common else 0.0


class LeakGuard:
    """Says why a demonstration must not be shown for a question, or nothing."""

    def __init__(self, settings: GuardSettings) -> None:
        self.settings = settings

    def check(self, query: Query, demonstration: Demonstration, cosine: float | None) -> str:
        """Return the reason in words, or "" if the demonstration may be shown; without a cosine, letters decide."""
        if not self.settings.enabled:
            return ""
        if query.id and query.id == demonstration.id:
            return "the same row as the question"
        if query.group and query.group == demonstration.group:
            return f"the same group as the question ('{query.group}')"
        return self._same_text(query, demonstration) or self._near_copy(query, demonstration, cosine)

    def _same_text(self, query: Query, demonstration: Demonstration) -> str:
        for what, one, other in _pairings(query, demonstration):
            if one == other:
                return f"the same text as {what}"
        return ""

    def _near_copy(self, query: Query, demonstration: Demonstration, cosine: float | None) -> str:
        if cosine is not None and cosine >= self.settings.cosine:
            return f"a near copy of the question: cosine {cosine:.2f}"
        for what, one, other in _pairings(query, demonstration):
            share = jaccard(grams(one), grams(other))
            if share >= self.settings.jaccard:
                return f"a near copy of {what}: {share:.0%} of its letter groups"
        return ""


def _pairings(query: Query, demonstration: Demonstration) -> Iterator[tuple[str, str, str]]:
    """Yield what is compared: whole with whole, and every half of a pair with every half."""
    yield "the question", normalised(query.text()), normalised(demonstration.text())
    if len(query.inputs) < 2 and len(demonstration.inputs) < 2:
        return
    for name, one in query.inputs.items():
        for other in demonstration.inputs.values():
            if one.strip() and other.strip():
                yield f"the question's {name}", normalised(one), normalised(other)
