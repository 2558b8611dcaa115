"""Samples: labelled rows to be answered, drawn and cut so that nothing depends on how a file is sorted."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from assistant.data import BadRow, Fields, Source, guess_fields, open_source, read_demonstrations
from assistant.errors import DataError
from assistant.evaluation.outcomes import Sample
from assistant.prompting.tasks import Task
from assistant.records import Demonstration

T = TypeVar("T")


@dataclass(frozen=True)
class Cut:
    """Rows in three parts that share no group."""

    train: tuple[Demonstration, ...]
    dev: tuple[Demonstration, ...]
    test: tuple[Demonstration, ...]


def read_samples(
    source: Source | str,
    fields: Fields | None,
    task: Task,
    *,
    limit: int | None = None,
    seed: int = 0,
    bad: list[BadRow],
) -> list[Sample]:
    """Return `limit` (None: all) of a table's good rows as samples, drawn evenly by label, never the first ones.

    A row without a target, or with a label that is not the task's, is bad. `fields=None` guesses them.

    Raises:
        DataError: if the table cannot be used, or no row is good.
    """
    rows = read_rows(source, fields, task, bad=bad)
    return [as_sample(row) for row in drawn(rows, seed, label_of(task))[:limit]]


def read_rows(
    source: Source | str,
    fields: Fields | None,
    task: Task,
    *,
    bad: list[BadRow],
) -> list[Demonstration]:
    """Return all good rows of a table in the task's fields and label names, in the table's order.

    Raises:
        DataError: if the table cannot be used, has no column of targets, or no row is good.
    """
    source = open_source(source) if isinstance(source, str) else source
    fields = fields or guess_fields(source.columns(), task.fields)
    if fields.output is None:
        raise DataError(f"'{source.name}' has no column of targets that is known.", "Say it with --output.")
    if len(fields.inputs) != len(task.fields) and not set(task.fields) <= set(fields.inputs):
        raise DataError(
            f"The task '{task.name}' needs the fields {', '.join(task.fields)}; "
            f"of '{source.name}' the columns {', '.join(fields.inputs)} were named.",
            "Name one column for each field, in their order.",
        )
    found = read_demonstrations(source, fields, labels=task.label_values or None, bad=bad)
    return [adapted for row in found if isinstance(adapted := task.adapt(row), Demonstration)]


def as_sample(row: Demonstration, targets: Sequence[str] = ()) -> Sample:
    """Return a row as a sample; its output is the target unless several are given."""
    return Sample(row.id, dict(row.inputs), tuple(targets) or (row.output,), row.group)


def label_of(task: Task) -> Callable[[Demonstration], str]:
    """Return what tells a row's stratum: its label, or nothing in tasks without labels."""
    return (lambda row: row.output) if task.labels else (lambda row: "")


def drawn(rows: Sequence[T], seed: int, stratum: Callable[[T], str] = lambda row: "") -> list[T]:
    """Return the rows in a random order in which every beginning holds the strata in their true shares.

    So the first n are a stratified draw for every n, and the draw of 20 is part of the draw of 200.
    """
    strata: dict[str, list[T]] = {}
    for row in rows:
        strata.setdefault(stratum(row), []).append(row)
    placed: list[tuple[float, str, T]] = []
    for name, members in strata.items():
        random.Random(f"samples {seed} {name}").shuffle(members)
        placed += [((at + 0.5) / len(members), name, row) for at, row in enumerate(members)]
    placed.sort(key=lambda one: one[:2])
    return [row for _, _, row in placed]


def cut(rows: Sequence[Demonstration], task: Task, *, dev: int, test: int, seed: int = 0) -> Cut:
    """Return the rows cut into train, dev and test: whole groups, drawn evenly by label.

    Rows without a group stand alone. Parts made of groups may fall short of the wished number by
    less than the largest group, never above it.

    Raises:
        DataError: if nothing would be left to train on.
    """
    label = label_of(task)
    units: dict[str, list[Demonstration]] = {}
    for row in rows:
        units.setdefault((row.group and f"group {row.group}") or f"row {row.id}", []).append(row)
    left = drawn(list(units.values()), seed, lambda unit: _most_frequent(map(label, unit)))
    parts: list[tuple[Demonstration, ...]] = []
    for wished in (test, dev):
        taken, left = _filled(left, wished)
        parts.append(taken)
    rest = tuple(row for unit in left for row in unit)
    if not rest:
        raise DataError(f"{len(rows)} rows are too few to cut off {test} for test and {dev} for dev.", "Ask for fewer.")
    return Cut(rest, parts[1], parts[0])


def _filled(
    units: Sequence[list[Demonstration]], wished: int
) -> tuple[tuple[Demonstration, ...], list[list[Demonstration]]]:
    """Return rows of as many whole units as fit, and the units that are left."""
    taken: list[Demonstration] = []
    left: list[list[Demonstration]] = []
    for unit in units:
        if len(taken) + len(unit) <= wished:
            taken += unit
        else:
            left.append(unit)
    return tuple(taken), left


def _most_frequent(values: Iterable[str]) -> str:
    counts: Mapping[str, int] = Counter(values)
    return min(counts, key=lambda value: (-counts[value], value))


def ids_hash(samples: Iterable[Sample]) -> str:
    """Return the sha256 of the samples' ids in their order: the frozen list that all strategies answer."""
    return hashlib.sha256("\n".join(sample.id for sample in samples).encode()).hexdigest()
