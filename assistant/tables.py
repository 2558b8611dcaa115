"""Tables of every kind as one stream of numbered rows, good and bad.

A file is read as bytes and decoded row by row, so that one row with broken UTF-8 costs one
row. Nothing here holds more than one row (Parquet: one batch).
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from assistant.errors import DataError

if TYPE_CHECKING:
    import pyarrow

LONGEST_LINE = 16 * 2**20
PEEKED_ROWS = 1000
_TOO_LONG = "the line is longer than 16 MiB"


@dataclass(frozen=True)
class BadRow:
    """A row that was skipped: the line of the file where it starts (from 1), and why."""

    line: int
    reason: str


Row = tuple[int, dict[str, Any] | BadRow]


class Source:
    """A table: `rows()` streams it, `columns()` names its fields, `fingerprint` is of its content."""

    def __init__(self, location: str, name: str) -> None:
        self.location = location
        self.name = name
        self.split: str | None = None

    @property
    def fingerprint(self) -> str:
        """Return the sha256 of the content, or the hub's revision."""
        raise NotImplementedError

    def rows(self) -> Iterator[Row]:
        """Yield (line, row) or (line, bad row) in the order of the table."""
        raise NotImplementedError

    def columns(self) -> tuple[str, ...]:
        """Return the names of the fields, in order of appearance in the first rows."""
        names: dict[str, None] = {}
        for seen, (_, row) in enumerate(self.rows(), start=1):
            if isinstance(row, dict):
                names.update(dict.fromkeys(row))
            if seen >= PEEKED_ROWS:
                break
        return tuple(names)

    def count(self) -> int | None:
        """Return how many rows there are, good and bad, or None if that is not known cheaply."""
        return None


class FileSource(Source):
    """A table in one local file, perhaps gzipped."""

    def __init__(self, location: str) -> None:
        self.path = Path(location).expanduser()
        super().__init__(location, self.path.name)

    @property
    def fingerprint(self) -> str:
        """Return the sha256 of the file's bytes."""
        digest = hashlib.sha256()
        with self.opened(unpack=False) as stream:
            while block := stream.read(2**20):
                digest.update(block)
        return digest.hexdigest()

    def count(self) -> int | None:
        """Return the number of rows, by reading the file once."""
        return sum(1 for _ in self.rows())

    @contextmanager
    def opened(self, unpack: bool = True) -> Iterator[BinaryIO]:
        """Open the bytes, without the gzip layer if there is one.

        Raises:
            DataError: if the file cannot be opened, or breaks off while it is read.
        """
        try:
            with self.path.open("rb") as raw:
                if unpack and self.path.suffix.lower() == ".gz":
                    with gzip.open(raw, "rb") as stream:
                        yield cast(BinaryIO, stream)
                else:
                    yield raw
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"The gzip file '{self.location}' is damaged or ends early.") from error
        except OSError as error:
            raise DataError(f"'{self.location}' cannot be read: {error.strerror or error}.") from error

    def lines(self) -> Iterator[tuple[int, bytes | None]]:
        """Yield (number from 1, line), None for a line beyond 16 MiB."""
        with self.opened() as stream:
            number = 0
            while line := stream.readline(LONGEST_LINE):
                number += 1
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                too_long = len(line) >= LONGEST_LINE and not line.endswith(b"\n")
                yield number, None if too_long else line
                while too_long and line and not line.endswith(b"\n"):
                    line = stream.readline(LONGEST_LINE)


class JsonLines(FileSource):
    """One JSON object per line."""

    def rows(self) -> Iterator[Row]:
        """Yield one row per line that is not blank."""
        for number, line in self.lines():
            if line is None:
                yield number, BadRow(number, _TOO_LONG)
            elif number == 1 and line.lstrip().startswith(b"["):
                raise DataError(
                    f"'{self.location}' holds one JSON array, not one object per line.",
                    "Write it as JSON Lines: one object per line, no brackets around them.",
                )
            elif line.strip():
                yield number, self._parsed(number, line)

    def _parsed(self, number: int, line: bytes) -> dict[str, Any] | BadRow:
        try:
            row = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError:
            return BadRow(number, "invalid UTF-8")
        except (ValueError, RecursionError):
            return BadRow(number, "broken JSON")
        return row if isinstance(row, dict) else BadRow(number, "not a JSON object")

    def count(self) -> int | None:
        """Return the number of lines that are not blank."""
        return sum(1 for _, line in self.lines() if line is None or line.strip())


class Delimited(FileSource):
    """CSV (quoted cells may hold line breaks), or TSV, where a quote is an ordinary character."""

    def __init__(self, location: str, tabs: bool) -> None:
        super().__init__(location)
        self._tabs = tabs

    def rows(self) -> Iterator[Row]:
        """Yield one row per record; its line is the one where the record starts."""
        records = self._records()
        header = next(records, (0, None))[1]
        if header is None:
            return
        if isinstance(header, BadRow):
            raise DataError(f"The first line of '{self.location}' is not a header: {header.reason}.")
        # Spreadsheets leave columns without a name; nobody can ask for those.
        twice = next((name for name in header if name and header.count(name) > 1), None)
        if twice is not None:
            raise DataError(f"Two columns of '{self.location}' are named '{twice}'.")
        for line, cells in records:
            if isinstance(cells, BadRow):
                yield line, cells
            elif len(cells) > len(header):
                yield line, BadRow(line, f"{len(cells)} cells under {len(header)} columns")
            else:
                yield line, dict(zip(header, cells, strict=False))

    def columns(self) -> tuple[str, ...]:
        """Return the cells of the first line."""
        header = next(self._records(), (0, None))[1]
        return tuple(name for name in header if name) if isinstance(header, list) else ()

    def _records(self) -> Iterator[tuple[int, list[str] | BadRow]]:
        lost: list[int] = []
        lines = self._text(lost)
        first = next(lines, None)
        if first is None:
            return
        semicolons = not self._tabs and "," not in first and ";" in first
        reader = csv.reader(
            _chained(first, lines),
            delimiter="\t" if self._tabs else ";" if semicolons else ",",
            quoting=csv.QUOTE_NONE if self._tabs else csv.QUOTE_MINIMAL,
        )
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error:
                lost.clear()
                yield line, BadRow(line, "a cell of more than 131,072 characters: is a quote left open?")
                continue
            if lost:
                # Also where a quoted cell holds the line: what is left of the record is not what was written.
                lost.clear()
                yield line, BadRow(line, _TOO_LONG)
            elif cells is None:
                return
            elif cells:
                whole = not any(_undecoded(cell) for cell in cells)
                yield line, cells if whole else BadRow(line, "invalid UTF-8")

    def _text(self, lost: list[int]) -> Iterator[str]:
        """Yield the lines; the numbers of those that are too long are put into `lost`, and they are empty."""
        for number, line in self.lines():
            if line is None:
                lost.append(number)
            # Bytes that are not UTF-8 become lone surrogates here and are found per record.
            yield "\n" if line is None else line.decode("utf-8", "surrogateescape")


def _chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _undecoded(cell: str) -> bool:
    return not cell.isascii() and any("\udc80" <= letter <= "\udcff" for letter in cell)


class Parquet(FileSource):
    """A Parquet file, read batch by batch; a row's line is its number."""

    def rows(self) -> Iterator[Row]:
        """Yield the rows as plain values."""
        import pyarrow

        try:
            for start, batch in self._batches():
                yield from ((start + at, row) for at, row in enumerate(_plain(batch, start), start=1))
        except pyarrow.ArrowException as error:
            raise DataError(f"'{self.location}' is not a Parquet file that can be read: {error}") from error

    def _batches(self) -> Iterator[tuple[int, pyarrow.RecordBatch]]:
        import pyarrow.parquet

        start = 0
        with self.opened() as stream, pyarrow.parquet.ParquetFile(stream) as table:
            for batch in table.iter_batches(batch_size=1024):
                yield start, batch
                start += batch.num_rows

    def count(self) -> int | None:
        """Return the number of rows as the file states it."""
        import pyarrow.parquet

        try:
            with self.opened() as stream, pyarrow.parquet.ParquetFile(stream) as table:
                return int(table.metadata.num_rows)
        except pyarrow.ArrowException as error:
            raise DataError(f"'{self.location}' is not a Parquet file that can be read: {error}") from error


def _plain(batch: pyarrow.RecordBatch, start: int) -> Iterator[dict[str, Any] | BadRow]:
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for at in range(batch.num_rows):
            try:
                yield from batch.slice(at, 1).to_pylist()
            except UnicodeDecodeError:
                yield BadRow(start + at + 1, "invalid UTF-8")
