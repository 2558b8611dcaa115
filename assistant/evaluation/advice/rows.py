"""The rows an advice is made from: a known data set, or any table cut into a pool, dev and test."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from assistant.data import BadRow, Fields, Source, guess_fields, open_source
from assistant.errors import DataError, SettingError
from assistant.evaluation.metrics.text import METRICS
from assistant.evaluation.sets.datasets import DataSet, LoadedSet, data_set_names, find_data_set, load_dataset
from assistant.evaluation.sets.samples import as_sample, cut, drawn, label_of, read_rows
from assistant.prompting.tasks import Task, load_task

MOST_ROWS = 2_000
"""In dev, and in test."""
LEAST_ROWS = 20
NOTHING_MEASURED = "none"


def load_rows(
    source: str,
    *,
    task: str | None,
    seed: int,
    pool: int,
    data_dir: str | Path | None = None,
    fields: Fields | None = None,
    split: str | None = None,
    scored: bool = True,
) -> LoadedSet:
    """Return a known data set, or any table cut into a pool, dev and test by seed and group.

    Raises:
        SettingError: if no task is named, or one that does not fit, or has no metric where one is needed (`scored`);
            if a split is named of what has none.
        DataError: if the rows cannot be used or are too few.
    """
    if source in data_set_names():  # a file of that name has an ending, or stands in a folder
        known = find_data_set(source)
        if task is not None and task != known.task:
            raise SettingError(
                f"The data set '{source}' is made for the task '{known.task}', not for '{task}'.",
                f"Leave out --task, or say --task {known.task}.",
            )
        if split is not None:
            raise SettingError(f"The data set '{source}' is cut as it is known, not by a split.", "Leave out --split.")
        loaded = load_dataset(source, data_dir, seed=seed, pool=pool)
    else:
        if task is None:
            raise SettingError("Which task is it?", "Say it with --task; see: shotwise task list.")
        loaded = _cut_source(source, load_task(task), seed, pool, fields, split)
    if scored and loaded.task.metric == NOTHING_MEASURED:
        raise SettingError(
            f"The task '{loaded.task.name}' has no metric, so that no strategy can be better.",
            f"Choose a task with a metric: {', '.join(one for one in METRICS if one != NOTHING_MEASURED)}.",
        )
    return loaded


def _cut_source(source: str, task: Task, seed: int, pool: int, fields: Fields | None, split: str | None) -> LoadedSet:
    """Return any table cut into pool, dev and test: half of the rows at least stay in the pool."""
    table, bad = open_source(source, split), list[BadRow]()
    fields = _all_named(table, fields, task)
    rows = read_rows(table, fields, task, bad=bad)
    if len(rows) < LEAST_ROWS:
        raise DataError(
            f"'{table.name}' has {len(rows)} rows with an answer; from so few nothing can be learned.",
            f"Give at least {LEAST_ROWS}, better some hundreds.",
        )
    quarter = min(len(rows) // 4, MOST_ROWS)
    parts = cut(rows, task, dev=quarter, test=quarter, seed=seed)
    if not parts.dev or not parts.test:
        raise DataError(f"The groups of '{table.name}' are too large to be cut.", "Name a finer --group, or none.")
    label = label_of(task)
    dev, test = (drawn(part, seed, label) for part in (parts.dev, parts.test))
    notes = [f"Cut with seed {seed}: {len(parts.train):,} rows to learn from, {len(dev):,} dev, {len(test):,} test."]
    if bad:
        notes.append(f"{len(bad):,} rows were skipped; the first: line {bad[0].line}, {bad[0].reason}.")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(source).name.split(".")[0]).strip("-.") or "data"
    group = fields.group if fields is not None else None
    return LoadedSet(
        data=DataSet(name, name, task.name, "", "", "", Fields(task.fields, None, group=group)),
        task=task,
        pool=tuple(drawn(parts.train, seed, label)[:pool]),
        dev=tuple(as_sample(row) for row in dev),
        test=tuple(as_sample(row) for row in test),
        seed=seed,
        fingerprints={Path(source).name: table.fingerprint},
        bad_rows={Path(source).name: tuple(bad)} if bad else {},
        notes=tuple(notes),
    )


def _all_named(table: Source, fields: Fields | None, task: Task) -> Fields | None:
    """Return the named columns with input and answer guessed where they were not named."""
    if fields is None or (fields.inputs and fields.output):
        return fields
    others = fields.named()[len(fields.inputs) :]
    guessed = guess_fields([name for name in table.columns() if name not in others], fields.inputs or task.fields)
    return replace(fields, inputs=fields.inputs or guessed.inputs, output=fields.output or guessed.output)
