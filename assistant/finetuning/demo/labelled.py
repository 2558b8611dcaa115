"""Texts with classes, and which of them are alike in meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Meanings = NDArray[np.float32]
    """Unit vectors, one row per text: (texts, width of the encoder)."""

SHORT = 9
"""Words of the longest text that is copied."""
FEWEST = 20
"""Texts of the smallest class that episodes are drawn from."""


@dataclass(frozen=True)
class Labelled:
    """A text and its class."""

    text: str
    label: str


@dataclass(frozen=True)
class LabelledTask:
    """Texts in classes; `weight` is how often the task is drawn."""

    name: str
    rows: tuple[Labelled, ...]
    weight: float = 1.0

    @cached_property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        """Return the texts of each class that has at least `FEWEST`."""
        found: dict[str, list[str]] = {}
        for row in self.rows:
            found.setdefault(row.label, []).append(row.text)
        return {label: tuple(texts) for label, texts in found.items() if len(texts) >= FEWEST}

    @cached_property
    def short(self) -> tuple[str, ...]:
        """Return the texts of at most `SHORT` words."""
        return tuple(text for text in self.texts if len(text.split()) <= SHORT)

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Return every text once."""
        return tuple(dict.fromkeys(row.text for row in self.rows))


class Neighbours:
    """Finds texts of like meaning by the sentence embeddings of the encoder."""

    def __init__(self, texts: Sequence[str], meanings: Meanings) -> None:
        self.rows: Mapping[str, int] = {text: row for row, text in enumerate(texts)}
        self.meanings = meanings

    def of(self, text: str, candidates: Sequence[str], count: int) -> list[str]:
        """Return the `count` candidates nearest to the text, the nearest first."""
        import numpy as np

        rows = [self.rows[one] for one in candidates]
        alike = self.meanings[rows] @ self.meanings[self.rows[text]]
        return [candidates[at] for at in np.argsort(-alike, kind="stable")[:count]]
