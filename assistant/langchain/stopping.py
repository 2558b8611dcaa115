"""Stop words: a reply ends before the first of them, and none is ever half shown."""

from __future__ import annotations

from collections.abc import Sequence


class StopWords:
    """The words at which replies are cut."""

    def __init__(self, words: Sequence[str] | None) -> None:
        self._words = tuple(word for word in words or () if word)

    def cut(self, text: str) -> tuple[str, bool]:
        """Return the text up to the first stop word, and whether there is one."""
        found = [at for word in self._words if (at := text.find(word)) >= 0]
        return (text[: min(found)], True) if found else (text, False)

    def settled(self, text: str) -> str:
        """Return the text without an end that may be the beginning of a stop word."""
        held = max(
            (size for word in self._words for size in range(1, len(word)) if text.endswith(word[:size])), default=0
        )
        return text[: len(text) - held]
