"""What a fine-tuned language model has learnt from is not what it is measured on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from assistant.errors import DataError
from assistant.evaluation.outcomes import Sample
from assistant.evaluation.running.wanted import Found, left_out
from assistant.finetuning.marks import Marks, read_marks
from assistant.generation.adapters import find_adapter
from assistant.generation.loading import DEMO, SCRIPTED
from assistant.retrieval.opened import DemonstrationIndex
from assistant.settings import NO_ADAPTER, ModelSettings


def unseen(data: Found, model: ModelSettings | None, index: DemonstrationIndex | None = None) -> Found:
    """Return the samples that neither model, adapter nor the index's encoder learnt from here, and notes on the others.

    Raises:
        AdapterError: if there is no such adapter; DataError: if no sample is left.
    """
    (samples,), notes = without_learnt({"sample": data.samples}, data.group_column, model, index)
    return replace(data, samples=samples, notes=(*data.notes, *notes))


def without_learnt(
    parts: Mapping[str, tuple[Sample, ...]],
    group_column: str,
    model: ModelSettings | None,
    index: DemonstrationIndex | None = None,
) -> tuple[list[tuple[Sample, ...]], tuple[str, ...]]:
    """Return each part without what was learnt from here by whoever answers, and notes on how many these were.

    Args:
        parts: Samples by what one of them is called.
        group_column: Of their groups; empty if they have none.
        model: The model that will be asked, with its adapter.
        index: The index whose encoder finds demonstrations and neighbours.

    Raises:
        AdapterError: if there is no such adapter; DataError: if nothing is left of a part.
    """
    left, notes = list(parts.values()), []
    for name, marks in (*learnt_by(model), *_learnt_by_encoder(index)):
        kept = [tuple(sample for sample in part if not marks.know(sample, group_column)) for part in left]
        for what, of_part in zip(parts, kept, strict=True):
            if not of_part:
                raise DataError(f"Every {what} is one that '{name}' has learnt from.", "Name rows it has never seen.")
        if kept != left:
            notes.append(
                f"{left_out(sum(map(len, left)) - sum(map(len, kept)))} because '{name}' has learnt from "
                "them, or from rows of their group."
            )
        left = kept
    return left, tuple(notes)


def learnt_by(model: ModelSettings | None) -> Iterator[tuple[str, Marks]]:
    """Yield the names of model and adapter, each with the marks of what it was made from here.

    Raises:
        AdapterError: if there is no such adapter.
    """
    if model is None or model.model == SCRIPTED:
        return
    folder = Path(os.path.expanduser(model.model))
    if model.model != DEMO and folder.is_dir():
        yield folder.name, read_marks(folder)
    if model.adapter not in (None, "", NO_ADAPTER):
        found = find_adapter(str(model.adapter))
        yield found.name, read_marks(found)


def _learnt_by_encoder(index: DemonstrationIndex | None) -> Iterator[tuple[str, Marks]]:
    if index is not None and index.taught is not None:
        yield index.taught.name, read_marks(index.taught)
