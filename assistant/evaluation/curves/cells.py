"""The cells of a curve: one method, one number of rows, one draw of them; and what came out for each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from assistant.evaluation.curves.settings import CurveSettings
from assistant.evaluation.curves.ways import WAYS, ZERO_SHOT, Way


@dataclass(frozen=True)
class Cell:
    """What is measured at once, and kept at once."""

    method: str
    rows: int
    """Labelled rows that may be used."""
    seed: int = 0
    rank: int | None = None
    """Of a low-rank method, where ranks are swept."""

    @property
    def way(self) -> Way:
        """Return the method's row of the table."""
        return WAYS[self.method]

    @property
    def words(self) -> str:
        """Return the cell in words."""
        rank = "" if self.rank is None else f", rank {self.rank}"
        return f"{self.method}{rank}, {self.rows:,} rows, seed {self.seed}"

    def name(self, mark: str) -> str:
        """Return the name of what is trained for it: `curve-MARK-lora-r8-250-0`."""
        method = self.method.replace(":", "-")
        rank = "" if self.rank is None else f"-r{self.rank}"
        return f"curve-{mark}-{method}{rank}-{self.rows}-{self.seed}"

    def key(self, settings: Mapping[str, Any]) -> str:
        """Return what the cell is remembered by: other settings are another cell."""
        text = json.dumps({**asdict(self), "settings": dict(settings)}, sort_keys=True)
        return f"{self.words} {hashlib.sha256(text.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class Scored:
    """What came out for a cell. Seconds are of CPU, of all threads together."""

    method: str
    rows: int
    seed: int
    rank: int | None
    scores: tuple[float, ...]
    """One for each held-out row, in their order: the task's metric, 0…1."""
    answer_seconds: float
    """Of all answers; loading a model is not counted."""
    prompt_tokens: int
    """Of all answers."""
    begin_seconds: float = 0.0
    """Before the first answer: training, or embedding the rows."""
    interrupted: bool = False
    """Whether `begin_seconds` are those of the last of several processes alone."""
    learnt: int = 0
    """Parameters that were learnt."""
    size_mb: float = 0.0
    """Of what was learnt, on the disk (10⁶ bytes)."""
    steps: int = 0
    """Of the training, as far as it went."""
    dropped: int = 0
    """Demonstrations that did not fit into the context, over all answers."""

    @property
    def mean(self) -> float:
        """Return the mean score."""
        return sum(self.scores) / len(self.scores)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            **asdict(self),
            "scores": [round(score, 6) for score in self.scores],
            "answer_seconds": round(self.answer_seconds, 3),
            "begin_seconds": round(self.begin_seconds, 3),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Scored:
        """Return what `to_json` wrote."""
        return cls(**{**record, "scores": tuple(record["scores"])})


def cells_of(settings: CurveSettings, numbers: tuple[int, ...]) -> tuple[Cell, ...]:
    """Return all cells in the order of work: zero-shot, then draw by draw, what needs no training first.

    Fixed demonstrations are the first k rows of a draw, whatever its length: they are measured once a draw.
    """
    return tuple(dict.fromkeys(_cells(settings, numbers)))


def _cells(settings: CurveSettings, numbers: tuple[int, ...]) -> Iterator[Cell]:
    yield Cell(ZERO_SHOT, 0)
    drawn = [number for number in numbers if number]
    for seed in range(settings.seeds):
        for number in drawn:
            yield from (Cell(way.name, number, seed) for way in settings.ways if not way.trains)
        for number in drawn:
            for way in settings.ways:
                if way.trains:
                    yield from (Cell(way.name, number, seed, rank) for rank in settings.ranks or (None,))
