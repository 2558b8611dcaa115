"""The rows of a learning curve: those that may be labelled, drawn anew by each seed, and those that are held out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from assistant.errors import DataError
from assistant.evaluation.outcomes import Sample
from assistant.evaluation.running.learnt_rows import without_learnt
from assistant.evaluation.sets.samples import as_sample, drawn, ids_hash, label_of
from assistant.evaluation.tuning.source import Place
from assistant.finetuning.marks import Marks
from assistant.prompting.tasks import Task
from assistant.records import Demonstration
from assistant.settings import ModelSettings


@dataclass(frozen=True)
class Material:
    """Rows to draw from and rows to answer; they share no group and no text."""

    task: Task
    pool: tuple[Demonstration, ...]
    test: tuple[Sample, ...]
    facts: dict[str, Any]
    notes: tuple[str, ...] = ()
    group_column: str = ""

    def draw(self, rows: int, seed: int) -> tuple[Demonstration, ...]:
        """Return so many rows of the pool, drawn evenly by label; the draw of 16 is part of that of 64."""
        return tuple(drawn(self.pool, seed, label_of(self.task))[:rows])

    def numbers(self, wished: Sequence[int]) -> tuple[int, ...]:
        """Return the numbers of rows that can be drawn: what is too many becomes all there are.

        Raises:
            DataError: if one is too small to learn from and to set some apart.
        """
        least = 2 * max(2, len(self.task.labels))
        small = [number for number in wished if 0 < number < least]
        if small:
            raise DataError(
                f"{small[0]} rows are too few to learn from them and to set some apart.",
                f"Name 0, or at least {least} for the task '{self.task.name}'.",
            )
        if len(self.pool) < least:
            raise DataError(f"Only {len(self.pool)} rows are left to learn from.", f"Give at least {least}.")
        return tuple(sorted({min(number, len(self.pool)) for number in wished}))

    @property
    def digest(self) -> dict[str, str]:
        """Return the hashes of the rows: whatever differs in them is another curve."""
        pool = hashlib.sha256()
        for row in self.pool:
            pool.update(json.dumps(asdict(row), ensure_ascii=False, sort_keys=True).encode("utf-8", "surrogatepass"))
        return {"pool_sha256": pool.hexdigest(), "test_ids_sha256": ids_hash(self.test)}


def read_material(place: Place, test: int, model: ModelSettings | None = None) -> Material:
    """Return the rows of a source: all of its training part, and at most `test` of those held out.

    What the model has learnt from before the curve is not measured on.

    Raises:
        ShotwiseError: if the source, its columns or its task cannot be used.
    """
    loaded = place.load(None, scored=True)
    (unseen,), left_out = without_learnt({"held-out row": loaded.test}, loaded.group_column, model)
    held_out = tuple(map(_stripped, unseen[:test]))
    marks = Marks.of(held_out)
    pool = tuple(row for row in loaded.pool if not marks.know(row))
    notes = [*loaded.notes, *left_out]
    if len(pool) < len(loaded.pool):
        never = len(loaded.pool) - len(pool)
        some = "1 row was" if never == 1 else f"{never:,} rows were"
        notes.append(f"{some} never drawn: text or group is held out.")
    if len(held_out) < test:
        notes.append(f"All {len(held_out):,} held-out rows that there are were taken.")
    facts = {**place.facts(loaded, None), "split": place.split or "test", "n": len(held_out)}
    return Material(loaded.task, pool, held_out, facts, tuple(notes), loaded.group_column)


def as_samples(rows: Sequence[Demonstration]) -> tuple[Sample, ...]:
    """Return the rows as samples."""
    return tuple(as_sample(row) for row in rows)


def _stripped(sample: Sample) -> Sample:
    return replace(sample, inputs={name: text.strip() for name, text in sample.inputs.items()})
