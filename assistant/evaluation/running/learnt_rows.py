"""What a fine-tuned language model has learnt from is not what it is measured on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from assistant.errors import DataError
from assistant.evaluation.running.wanted import Found
from assistant.finetuning.marks import read_marks
from assistant.generation.adapters import find_adapter
from assistant.generation.loading import SCRIPTED
from assistant.settings import NO_ADAPTER, ModelSettings


def unseen(data: Found, model: ModelSettings | None) -> Found:
    """Return the samples without those that the model or its adapter has learnt from here, and a note on how many.

    Raises:
        AdapterError: if there is no such adapter; DataError: if no sample is left.
    """
    for name, folder in _folders(model) if model and model.model != SCRIPTED else ():
        marks = read_marks(folder)
        kept = tuple(sample for sample in data.samples if not marks.know(sample))
        if not kept:
            raise DataError(f"Every sample is one that '{name}' has learnt from.", "Name rows that it has never seen.")
        if len(kept) < len(data.samples):
            note = (
                f"{len(data.samples) - len(kept)} samples were left out because '{name}' has learnt from them, "
                "or from rows of their group."
            )
            data = replace(data, samples=kept, notes=(*data.notes, note))
    return data


def _folders(model: ModelSettings) -> Iterator[tuple[str, Path]]:
    """Yield name and folder of what may have been trained here."""
    folder = Path(os.path.expanduser(model.model))
    if folder.is_dir():
        yield folder.name, folder
    if model.adapter not in (None, "", NO_ADAPTER):
        found = find_adapter(str(model.adapter))
        yield found.name, found
