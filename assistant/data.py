"""Any table (CSV, TSV, JSON Lines, Parquet, a hub data set) as a stream of demonstrations.

Bad rows are named by line and skipped, never repaired silently; `strict` stops at the first.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.errors import DataError
from assistant.records import Demonstration, find_label
from assistant.tables import BadRow, Delimited, JsonLines, Parquet, Source

__all__ = ["BadRow", "Fields", "Source", "guess_fields", "open_source", "read_demonstrations"]

_FORMATS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_PAIRS = (("sentence1", "sentence2"), ("premise", "hypothesis"), ("passage", "question"), ("context", "question"))
_INPUTS = ("text", "sentence", "question", "review", "input", "message", "prompt", "instruction", "dialogue")
_OUTPUTS = ("label", "output", "answer", "reply", "response", "completion", "summary", "target")
_RATIONALES = ("rationale", "reasoning", "explanation", "solution")


@dataclass(frozen=True)
class Fields:
    """Which columns hold what; without `id` a column of that name is used, else the row number."""

    inputs: tuple[str, ...]
    output: str | None
    rationale: str | None = None
    id: str | None = None
    group: str | None = None

    def named(self) -> tuple[str, ...]:
        """Return every column that is asked for."""
        optional = (self.output, self.rationale, self.id, self.group)
        return (*self.inputs, *(name for name in optional if name is not None))


def open_source(location: str, split: str | None = None) -> Source:
    """Return the table in a local file, else the hub data set of that name.

    Raises:
        DataError: if there is no such file, or its ending is not one we read.
    """
    path = Path(location).expanduser()
    ending = (Path(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix).lower()
    if path.is_dir():
        raise DataError(f"'{location}' is a folder.", "Name one file in it.")
    if not path.exists():
        if ending in _FORMATS or not _HUB_ID.fullmatch(location):
            raise DataError(f"There is no file '{location}'.", _near_files(path))
        from assistant.hub_tables import HubSource

        return HubSource(location, split)
    if split is not None:
        raise DataError("A file has no splits.", "Leave out --split, or name the file of that split.")
    if ending in (".csv", ".tsv"):
        return Delimited(location, tabs=ending == ".tsv")
    if ending in (".jsonl", ".ndjson", ".json"):
        return JsonLines(location)
    if path.suffix.lower() == ".parquet":
        return Parquet(location)
    raise DataError(
        f"'{location}' is not a kind of table we read.",
        f"Kinds: {', '.join(_FORMATS)}; the text kinds also with .gz.",
    )


def _near_files(path: Path) -> str:
    if not path.parent.is_dir():
        return f"The folder '{path.parent}' does not exist either."
    near = difflib.get_close_matches(path.name, [other.name for other in path.parent.iterdir()], n=2)
    return f"Did you mean {' or '.join(near)}?" if near else ""


def guess_fields(columns: Sequence[str], task_fields: Sequence[str] = ()) -> Fields:
    """Return the columns that the task names, or that are commonly so named.

    Raises:
        DataError: if no column can be taken for the input.
    """
    have = set(columns)
    inputs: tuple[str, ...] = tuple(task_fields) if task_fields and have.issuperset(task_fields) else ()
    if not inputs:
        inputs = next((pair for pair in _PAIRS if have.issuperset(pair)), ())
    if not inputs:
        inputs = tuple(name for name in _INPUTS if name in have)[:1]
    if not columns:
        raise DataError("The table has no columns: it is empty, or not a table.", "Look into the file.")
    if not inputs:
        raise DataError(f"Which column is the input? There are: {', '.join(columns)}.", "Say it with --input.")
    rest = have.difference(inputs)
    return Fields(
        inputs=inputs,
        output=next((name for name in _OUTPUTS if name in rest), None),
        rationale=next((name for name in _RATIONALES if name in rest), None),
    )


def read_demonstrations(
    source: Source,
    fields: Fields,
    *,
    labels: Mapping[str, str] | None = None,
    limit: int | None = None,
    strict: bool = False,
    bad: list[BadRow],
) -> Iterator[Demonstration]:
    """Yield the good rows as demonstrations, at most `limit`; bad rows are appended to `bad`.

    Raises:
        DataError: if a named column does not exist, no row is good, or (`strict`) one is bad.
    """
    columns = source.columns()
    check_fields(source, fields, columns)
    reader = _RowReader(fields, "id" if "id" in columns else None, labels)
    good = 0
    for line, row in source.rows():
        if limit is not None and good >= limit:
            break
        read = row if isinstance(row, BadRow) else reader.read(line, row)
        if isinstance(read, Demonstration):
            good += 1
            yield read
        elif strict:
            raise DataError(f"Line {read.line} of '{source.name}': {read.reason}.", "Without --strict it is skipped.")
        else:
            bad.append(read)
    if not good:
        first = f" The first: line {bad[0].line}, {bad[0].reason}." if bad else ""
        what = f"None of the {len(bad)} rows of '{source.name}' is good." if bad else f"'{source.name}' has no rows."
        hint = "Other labels are another task: a file in prompts/tasks/." if labels is not None and bad else ""
        raise DataError(what + first, hint)


def check_fields(source: Source, fields: Fields, columns: Sequence[str]) -> None:
    """Check that the table has every column that is asked for, and that each can be what it is to be.

    Raises:
        DataError: naming the columns there are, and the nearest, or the column that cannot be an input.
    """
    if not fields.inputs:
        raise DataError("At least one input column is needed.", "Say it with --input.")
    if not columns:
        raise DataError(f"'{source.name}' has no rows with named fields.")
    taken = next((name for name in fields.inputs if name in _not_inputs(fields)), None)
    if taken is not None:
        raise DataError(
            f"A column named '{taken}' cannot be an input: a hit has a '{taken}' of its own.", "Rename the column."
        )
    for name in fields.named():
        if name not in columns:
            near = difflib.get_close_matches(name, columns, n=2)
            meant = f"Did you mean {' or '.join(near)}? " if near else ""
            raise DataError(
                f"No row of '{source.name}' has a field '{name}'.", f"{meant}There are: {', '.join(columns)}."
            )


def _not_inputs(fields: Fields) -> tuple[str, ...]:
    """Return the keys of a hit as plain data that its inputs stand beside."""
    optional = {"rationale": fields.rationale, "group": fields.group}
    return ("id", "similarity", "rank", "output", *(key for key, column in optional.items() if column))


class _Unfit(Exception):
    """Why a row is bad."""


class _RowReader:
    def __init__(self, fields: Fields, default_id: str | None, labels: Mapping[str, str] | None) -> None:
        self._fields = fields
        self._id = fields.id or default_id
        self._labels = labels
        self._seen: set[str] = set()

    def read(self, line: int, row: Mapping[str, Any]) -> Demonstration | BadRow:
        try:
            return self._read(line, row)
        except _Unfit as reason:
            return BadRow(line, str(reason))

    def _read(self, line: int, row: Mapping[str, Any]) -> Demonstration:
        fields = self._fields
        inputs = {name: _text(row, name) for name in fields.inputs}
        output = self._label(_text(row, fields.output), fields.output) if fields.output else ""
        # A row without one is still a demonstration; only strategies that show rationales pass it over.
        rationale = _text(row, fields.rationale, optional=True) if fields.rationale else ""
        group = _text(row, fields.group, optional=True) if fields.group else ""
        identity = _text(row, self._id).strip() if self._id else f"row-{line}"
        if identity in self._seen:
            raise _Unfit(f"the id '{identity[:60]}' occurs twice")
        self._seen.add(identity)
        return Demonstration(identity, inputs, output, rationale, group)

    def _label(self, raw: str, name: str) -> str:
        if self._labels is None:
            return raw
        label = find_label(self._labels, raw)
        if label is None:
            known = ", ".join(dict.fromkeys(self._labels.values()))
            raise _Unfit(f"'{raw[:40]}' in '{name}' is not a label of the task ({known})")
        return label


def _text(row: Mapping[str, Any], name: str, optional: bool = False) -> str:
    value = row.get(name)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        if optional:
            return ""
        raise _Unfit(f"the field '{name}' is missing")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        raise _Unfit(f"the field '{name}' is not text")
    return _checked(value, name, optional)


def _checked(value: str, name: str, optional: bool) -> str:
    if "\0" in value:
        raise _Unfit(f"the field '{name}' holds a NUL character")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise _Unfit(f"the field '{name}' holds half a character (a lone surrogate)")
    if not value.strip() and not optional:
        raise _Unfit(f"the field '{name}' is empty")
    return value
