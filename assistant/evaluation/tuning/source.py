"""From a source, as `evaluate` takes it, to rows that may be learnt from: never those that are evaluated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.data import Fields
from assistant.errors import DataError, SettingError, UnknownName
from assistant.evaluation.advice.rows import load_rows
from assistant.evaluation.sets.datasets import SEED, LoadedSet, data_set_names, find_data_set
from assistant.evaluation.sets.pools import pool_index
from assistant.finetuning.generators.adapter_record import TrainingData
from assistant.finetuning.generators.settings import ROWS
from assistant.finetuning.marks import Marks
from assistant.retrieval.building import BuildProgress

_ALL = 10**9


@dataclass(frozen=True)
class Place:
    """Where rows are found."""

    source: str
    """A known data set's name, a file, or a hub id."""
    task: str | None = None
    data_dir: str | None = None
    split: str | None = None
    """Of a hub data set."""
    inputs: tuple[str, ...] = ()
    output: str | None = None
    rationale: str | None = None
    id: str | None = None
    group: str | None = None

    @property
    def name(self) -> str:
        """Return the source without where it lies on this machine."""
        path = Path(self.source)
        return path.name if path.is_absolute() or self.source.startswith("~") else self.source

    def load(self, rows: int | None, *, scored: bool) -> LoadedSet:
        """Return the rows in three parts: of a table that is not known, half to learn from, a quarter each held out.

        Raises:
            ShotwiseError: if they cannot be used.
        """
        named = (self.inputs, self.output, self.rationale, self.id, self.group)
        fields = Fields(self.inputs, self.output, self.rationale, self.id, self.group) if any(named) else None
        if fields is not None and self.source in data_set_names():
            raise DataError(f"The columns of the data set '{self.source}' are known.", "Leave out their names.")
        return load_rows(
            self.source,
            task=self.task,
            seed=SEED,
            pool=rows or _ALL,
            data_dir=self.data_dir,
            fields=fields,
            split=self.split,
            scored=scored,
        )

    def facts(self, loaded: LoadedSet, rows: int | None) -> dict[str, Any]:
        """Return what a record says of the rows, and what finds those held out again."""
        columns = {"inputs": list(self.inputs), "output": self.output, "rationale": self.rationale, "id": self.id,
                   "group": self.group}  # fmt: skip
        return {
            "source": self.name,
            "split": self.split or "train",
            "columns": {name: value for name, value in columns.items() if value},
            "sha256": dict(loaded.fingerprints),
            "cut_seed": loaded.seed,
            "most_rows": rows,
            "terms": loaded.data.terms,
            "notes": list(loaded.notes),
        }


def known_place(name: str, data_dir: str | None = None) -> Place:
    """Return where the rows of a known data set are.

    Raises:
        UnknownName: with the nearest names and the whole list.
    """
    find_data_set(name)
    return Place(name, data_dir=data_dir)


def training_data(
    place: Place,
    *,
    rows: int | None = ROWS,
    retrieved: bool = False,
    weight: float = 1.0,
    building: Callable[[BuildProgress], None] | None = None,
) -> TrainingData:
    """Return the rows of the training part, at most so many, drawn evenly by label.

    `retrieved` also builds their index, if it is missing; `building` is told how far that is.

    Raises:
        ShotwiseError: if they cannot be used.
    """
    loaded = place.load(rows, scored=False)
    index = pool_index(loaded, progress=building).name if retrieved else None
    facts = place.facts(loaded, rows)
    held_out = Marks.of((*loaded.dev, *loaded.test))
    kept = tuple(row for row in loaded.pool if not held_out.know(row))
    if len(kept) < len(loaded.pool):
        left = len(loaded.pool) - len(kept)
        facts["notes"].append(f"{left:,} rows are not learnt: their text, or their group, is held out too.")
    if not kept:
        raise DataError(f"Every row of '{place.name}' is held out too.", "Name rows that differ.")
    return TrainingData(loaded.task.name, kept, facts, index, weight, loaded.group_column)


def read_mixture(text: str) -> tuple[str, float]:
    """Return source and weight of `SOURCE` or `SOURCE:WEIGHT`, as a further task of a mixture is named.

    Raises:
        SettingError: if the source is not known by name, so that its task is not known either.
    """
    source, _, weight = text.partition(":")
    try:
        share = float(weight or 1)
    except ValueError:
        raise SettingError(f"'{weight}' is not the weight of a task.", f"Say it so: --also {source}:0.5") from None
    if source not in data_set_names():
        raise UnknownName("data set", source, data_set_names())
    return source, share
