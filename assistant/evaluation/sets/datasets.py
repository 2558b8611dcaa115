"""Known data sets by name: their files, columns, splits and terms, read into a pool, dev and test."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from assistant import paths
from assistant.data import BadRow, Fields, open_source
from assistant.errors import DataError, UnknownName
from assistant.evaluation.outcomes import Sample
from assistant.evaluation.sets.preparations import PreparedSource
from assistant.evaluation.sets.samples import as_sample, cut, drawn, label_of, read_rows
from assistant.prompting.tasks import Task, load_task
from assistant.records import Demonstration
from assistant.retrieval.builtin import BUILT_IN

SEED = 13
"""Of the cuts and draws, where no other is given."""
PARTS = ("train", "dev", "test")
ENDINGS = (".jsonl.gz", ".jsonl", ".parquet", ".csv.gz", ".csv", ".tsv.gz", ".tsv")


@dataclass(frozen=True)
class DataSet:
    """What is known about a data set before a row of it is read."""

    name: str
    title: str
    task: str
    where: str
    terms: str
    contamination: str
    fields: Fields
    files: Mapping[str, str] = field(default_factory=dict)
    """Part → file without its ending, relative to the folder of data sets."""
    built_in: str = ""
    """Name of the built-in index with the same rows, or empty."""
    prepare: str = ""
    cut: Mapping[str, int] = field(default_factory=dict)
    """Rows that dev and test get from `train` where they have no file."""
    pool: int | None = None
    """Rows of `train` that become demonstrations; None: all."""
    note: str = ""


@dataclass(frozen=True)
class LoadedSet:
    """A data set's rows: demonstrations to choose from, and samples in an order that is fit to be cut short."""

    data: DataSet
    task: Task
    pool: tuple[Demonstration, ...]
    dev: tuple[Sample, ...]
    test: tuple[Sample, ...]
    seed: int
    fingerprints: Mapping[str, str]
    """File → sha256."""
    bad_rows: Mapping[str, tuple[BadRow, ...]]
    """File → rows that were skipped."""
    notes: tuple[str, ...]
    """What a reader of the figures must know: how parts were made, what was skipped, what may be leaked."""

    @property
    def group_column(self) -> str:
        """Return the name of the column of groups, or nothing if there is none."""
        return self.data.fields.group or ""

    @property
    def train(self) -> tuple[Sample, ...]:
        """Return the pool as samples."""
        return tuple(as_sample(row) for row in self.pool)

    def part(self, name: str) -> tuple[Sample, ...]:
        """Return the samples of `train`, `dev` or `test`.

        Raises:
            UnknownName: if it is none of them.
        """
        if name not in PARTS:
            raise UnknownName("part of a data set", name, PARTS)
        found: tuple[Sample, ...] = getattr(self, name)
        return found


@cache
def _table() -> Mapping[str, DataSet]:
    text = Path(__file__).with_name("datasets.toml").read_text(encoding="utf-8")
    return {name: _data_set(name, entry) for name, entry in tomllib.loads(text).items()}


def _data_set(name: str, entry: Mapping[str, object]) -> DataSet:
    known = dict(entry)
    files = {part: str(known.pop(part)) for part in PARTS if part in known}
    inputs, output, rationale, group = (known.pop(key, None) for key in ("inputs", "output", "rationale", "group"))
    if "built_in" in known:
        fields = BUILT_IN[str(known["built_in"])].fields
        fields = Fields(fields.inputs, fields.output, fields.rationale, fields.id, group)  # type: ignore[arg-type]
    else:
        fields = Fields(tuple(inputs), output, rationale, "id", group)  # type: ignore[arg-type]
    return DataSet(name=name, fields=fields, files=files, **known)  # type: ignore[arg-type]


def data_set_names() -> tuple[str, ...]:
    """Return the names of all known data sets, the built-in ones first."""
    return tuple(_table())


def find_data_set(name: str) -> DataSet:
    """Return what is known about a data set.

    Raises:
        UnknownName: with the nearest names and the whole list.
    """
    if name not in _table():
        raise UnknownName("data set", name, _table())
    return _table()[name]


def load_dataset(
    name: str, data_dir: str | Path | None = None, *, seed: int = SEED, pool: int | None = None
) -> LoadedSet:
    """Return the rows of a data set: a pool of demonstrations, dev and test, no group in two parts that were cut.

    Any beginning of dev or test is a draw that keeps the shares of the labels. `pool` limits the
    demonstrations (None: as the data set's entry says).

    Raises:
        UnknownName: if it is not known.
        DataError: if a file is missing or cannot be used; the hint says where the public set is found.
    """
    data = find_data_set(name)
    task = load_task(data.task)
    reader = _Reader(data, task, data_dir)
    rows = {part: reader.read(part) for part in PARTS if part == "train" or part in data.files}
    missing = [part for part in PARTS if part not in rows]
    if missing:
        wished = {part: data.cut[part] if part in missing else 0 for part in ("dev", "test")}
        parts = cut(rows["train"], task, dev=wished["dev"], test=wished["test"], seed=seed)
        rows["train"] = list(parts.train)
        rows |= {part: list(getattr(parts, part)) for part in missing}
    label = label_of(task)
    shuffled = {part: drawn(rows[part], seed, label) for part in PARTS}
    limit = pool if pool is not None else data.pool
    return LoadedSet(
        data=data,
        task=task,
        pool=tuple(shuffled["train"][:limit]),
        dev=tuple(as_sample(row, reader.targets.get(row.id, ())) for row in shuffled["dev"]),
        test=tuple(as_sample(row, reader.targets.get(row.id, ())) for row in shuffled["test"]),
        seed=seed,
        fingerprints=reader.fingerprints,
        bad_rows=reader.bad_rows,
        notes=_notes(data, missing, seed, reader.bad_rows),
    )


def load_rows(name: str, ids: Sequence[str], part: str, data_dir: str | Path | None = None) -> tuple[Sample, ...]:
    """Return the rows with these ids of one part's file, in the order of the ids, before any cut.

    Raises:
        DataError: if the file or one of the rows is missing.
    """
    data = find_data_set(name)
    rows = {row.id: row for row in _Reader(data, load_task(data.task), data_dir).read(part)}
    missing = [identity for identity in ids if identity not in rows]
    if missing:
        raise DataError(
            f"The data set '{name}' has no row '{missing[0]}' ({len(missing)} of {len(ids)} are missing).",
            f"The ids are those of the published files. Found at: {data.where}",
        )
    return tuple(as_sample(rows[identity]) for identity in ids)


class _Reader:
    def __init__(self, data: DataSet, task: Task, data_dir: str | Path | None) -> None:
        self._data, self._task, self._folder = data, task, data_dir
        self.targets: dict[str, tuple[str, ...]] = {}
        self.fingerprints: dict[str, str] = {}
        self.bad_rows: dict[str, tuple[BadRow, ...]] = {}

    def read(self, part: str) -> list[Demonstration]:
        path = data_file(self._data, part, self._folder)
        source = PreparedSource(open_source(str(path)), self._data.prepare, part, self._data.fields.id or "id")
        bad: list[BadRow] = []
        rows = read_rows(source, self._data.fields, self._task, bad=bad)
        self.targets |= source.targets
        self.fingerprints[path.name if self._data.built_in else f"{path.parent.name}/{path.name}"] = source.fingerprint
        if bad:
            self.bad_rows[path.name] = tuple(bad)
        return rows


def data_file(data: DataSet, part: str, data_dir: str | Path | None) -> Path:
    """Return the file of one part of a data set.

    Raises:
        DataError: if no folder was named or the file is not in it, with where the set is found.
    """
    if data.built_in:
        return paths.demo() / "data" / BUILT_IN[data.built_in].file
    wanted = f"{data.files[part]}.jsonl"
    columns = ", ".join(data.fields.inputs) if not data.prepare else "as published"
    hint = f"Put it (or .jsonl.gz, .csv, .tsv, .parquet) there; columns: {columns}. Found at: {data.where}"
    if data_dir is None:
        raise DataError(
            f"The data set '{data.name}' is read from '{wanted}' in a folder of data sets, and none was named.",
            f"Say --data DIR. {hint}",
        )
    folder = Path(data_dir).expanduser()
    if not folder.is_dir():
        raise DataError(f"There is no folder '{folder}'.", hint)
    for ending in ENDINGS:
        path = folder / f"{data.files[part]}{ending}"
        if path.is_file():
            return path
    raise DataError(f"The data set '{data.name}' needs '{wanted}', and '{folder}' has no such file.", hint)


def _notes(
    data: DataSet, missing: Sequence[str], seed: int, bad_rows: Mapping[str, Sequence[BadRow]]
) -> tuple[str, ...]:
    notes = [data.note] if data.note else []
    if missing:
        groups = ", no group in two of them" if data.fields.group else ""
        notes.append(f"Cut from train with seed {seed}{groups}: {' and '.join(missing)}.")
    for file, rows in bad_rows.items():
        notes.append(f"{len(rows)} rows of {file} were skipped; the first: line {rows[0].line}, {rows[0].reason}.")
    return (*notes, f"Contamination: {data.contamination}")
