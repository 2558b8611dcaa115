"""From a source of labelled rows to three parts: rows to train on, rows kept aside, and rows to measure on.

Whole groups are cut, training rows come from a known data set's pool alone, and no text stands in two parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from assistant.data import BadRow, Fields, guess_fields, open_source
from assistant.errors import DataError, SettingError
from assistant.evaluation.outcomes import Sample
from assistant.evaluation.sets.datasets import SEED, LoadedSet, data_set_names, load_dataset
from assistant.evaluation.sets.samples import as_sample, cut, drawn, label_of, read_rows
from assistant.finetuning.classifiers.base import Base
from assistant.finetuning.classifiers.rows import TrainingRows
from assistant.finetuning.marks import read_marks, text_mark
from assistant.prompting.tasks import Task, load_task
from assistant.records import Demonstration

_DEV_SHARE, _TEST_SHARE = 0.1, 0.2
"""Of a file's rows, where the numbers asked for would be more."""


@dataclass(frozen=True)
class WantedRows:
    """Which rows a person wants to train on; None and empty stand for what fits."""

    source: str
    """A known data set's name, a file, or a hub id."""
    task: str | None = None
    data_dir: str | None = None
    split: str | None = None
    """Of a hub data set."""
    inputs: tuple[str, ...] = ()
    output: str | None = None
    id: str | None = None
    group: str | None = None
    rows: int | None = None
    """To train on at most; None: all of a file, or the pool of a known data set."""
    dev: int = 200
    """Kept aside at most, to see when to stop."""
    test: int = 500
    """To measure on at most."""
    seed: int = SEED
    """Of cuts and draws."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, least in (("rows", 2), ("dev", 1), ("test", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise SettingError(f"The number of {name} must be at least {least}, not {value}.")


@dataclass(frozen=True)
class Parts:
    """A source cut into three, with what has to be known about the cut."""

    task: Task
    train: tuple[Sample, ...]
    dev: tuple[Sample, ...]
    test: tuple[Sample, ...]
    facts: dict[str, Any]
    notes: tuple[str, ...] = ()
    group_column: str = ""

    def training_rows(self) -> TrainingRows:
        """Return the rows that training may see.

        Raises:
            DataError: if nothing can be learnt from them.
        """
        return TrainingRows(
            self.task.name, self.task.fields, self.task.labels, self.train, self.dev, self.facts, self.group_column
        )


def read_parts(wanted: WantedRows) -> Parts:
    """Return the rows of a labelled source in three parts.

    Raises:
        ShotwiseError: if the source, its columns or its task cannot be used, or too few rows are left.
    """
    known = wanted.source in data_set_names()
    parts = _known(wanted) if known else _table(wanted)
    if not parts.task.labels:
        raise SettingError(
            f"The task '{parts.task.name}' has no labels to learn.", "Choose a task with labels: shotwise task list"
        )
    return without_copies(parts)


def _known(wanted: WantedRows) -> Parts:
    if any((wanted.inputs, wanted.output, wanted.id, wanted.group, wanted.split)):
        raise SettingError(
            f"The columns of the data set '{wanted.source}' are known.",
            "Leave out --input, --output, --id, --group and --split.",
        )
    loaded = load_dataset(wanted.source, wanted.data_dir, seed=wanted.seed, pool=wanted.rows)
    if wanted.task is not None and load_task(wanted.task).name != loaded.task.name:
        raise SettingError(
            f"The data set '{wanted.source}' belongs to the task '{loaded.task.name}', not to '{wanted.task}'.",
            "Leave out --task, or name the file.",
        )
    facts = _facts(wanted, dict(loaded.fingerprints)) | {"terms": loaded.data.terms}
    train, dev = _whole_groups(loaded)
    dev, test = dev[: wanted.dev], loaded.test[: wanted.test]
    return Parts(loaded.task, train, dev, test, facts, loaded.notes, loaded.group_column)


def _whole_groups(loaded: LoadedSet) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Return pool and dev without rows whose group is in a later part too: not all published splits keep to groups."""
    in_test = _groups(loaded.test)
    dev = tuple(row for row in loaded.dev if row.group not in in_test)
    others = in_test | _groups(loaded.dev)
    return tuple(row for row in loaded.train if row.group not in others), dev


def _groups(rows: Sequence[Sample]) -> set[str]:
    return {row.group for row in rows if row.group}


def _table(wanted: WantedRows) -> Parts:
    if wanted.task is None:
        raise SettingError(
            f"Which task is '{wanted.source}' for?",
            f"Say it with --task, or name a known data set: {', '.join(data_set_names())}.",
        )
    task = load_task(wanted.task)
    source = open_source(wanted.source, wanted.split)
    bad: list[BadRow] = []
    rows = read_rows(source, _fields(wanted, task, source.columns()), task, bad=bad)
    dev_rows, test_rows = (
        max(1, min(asked, round(share * len(rows))))
        for asked, share in ((wanted.dev, _DEV_SHARE), (wanted.test, _TEST_SHARE))
    )
    parts = cut(rows, task, dev=dev_rows, test=test_rows, seed=wanted.seed)
    train = drawn(parts.train, wanted.seed, label_of(task))[: wanted.rows]
    grouped = ", whole groups" if any(row.group for row in rows) else ""
    notes = [f"Cut from {source.name} with seed {wanted.seed}{grouped}: dev and test."]
    if bad:
        notes.append(f"{len(bad)} rows were skipped; the first: line {bad[0].line}, {bad[0].reason}.")
    if not parts.test:
        raise DataError("Every group is too large to be cut off for test.", "Give more rows, or smaller groups.")
    facts = _facts(wanted, source.fingerprint)
    dev, test = _samples(parts.dev), _samples(parts.test)
    return Parts(task, _samples(train), dev, test, facts, tuple(notes), wanted.group or "")


def _samples(rows: Sequence[Demonstration]) -> tuple[Sample, ...]:
    return tuple(as_sample(row) for row in rows)


def _fields(wanted: WantedRows, task: Task, columns: Sequence[str]) -> Fields:
    guessed = None if wanted.inputs and wanted.output else guess_fields(columns, task.fields)
    inputs = wanted.inputs or (guessed.inputs if guessed else ())
    output = wanted.output or (guessed.output if guessed else None)
    return Fields(inputs, output, None, wanted.id, wanted.group)


def _facts(wanted: WantedRows, sha256: object) -> dict[str, Any]:
    return {"source": wanted.source, "sha256": sha256, "cut_seed": wanted.seed}


def without_copies(parts: Parts) -> Parts:
    """Return the parts without training rows that equal one kept aside or measured on, and dev rows in test."""
    test = {text_mark(row.inputs) for row in parts.test}
    dev_rows = tuple(row for row in parts.dev if text_mark(row.inputs) not in test)
    seen = test | {text_mark(row.inputs) for row in dev_rows}
    train = tuple(row for row in parts.train if text_mark(row.inputs) not in seen)
    dropped = len(parts.train) - len(train) + len(parts.dev) - len(dev_rows)
    notes = parts.notes
    if dropped:
        notes = (*notes, f"{dropped} rows were left out of training because their text is measured on or kept aside.")
    return replace(parts, train=train, dev=dev_rows, notes=notes)


def without_learnt(parts: Parts, base: Base) -> Parts:
    """Return the parts without rows to measure on that the base has learnt from here, and a note on how many.

    Raises:
        DataError: if none is left to measure on.
    """
    marks = read_marks(base.folder)
    test = tuple(row for row in parts.test if not marks.know(row, parts.group_column))
    if not test:
        raise DataError(f"'{base.public_name}' has learnt from every row that would be measured on.", "Name others.")
    if len(test) == len(parts.test):
        return parts
    left = len(parts.test) - len(test)
    note = f"{left:,} rows are not measured on: '{base.public_name}' has learnt from them, or from their group."
    return replace(parts, test=test, notes=(*parts.notes, note))
