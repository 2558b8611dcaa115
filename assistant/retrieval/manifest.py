"""The manifest of an index: what it was built from, with what, and a hash of every file."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import xxhash

from assistant.errors import IndexDamaged
from assistant.retrieval.packaged import file_sha256

SCHEMA = 1
FILE = "manifest.json"
_LARGEST = 2**22


@dataclass(frozen=True)
class FileRecord:
    """Size and hashes of one file: sha256 for `verify`, xxh3 for every opening."""

    size: int
    sha256: str
    xxh3: str

    @classmethod
    def of(cls, path: Path) -> FileRecord:
        """Return the record of a file as it lies on disk."""
        return cls(path.stat().st_size, file_sha256(path), quick_hash(path))


@dataclass(frozen=True)
class Manifest:
    """Everything about an index but its rows and vectors."""

    schema: int
    name: str
    created: str
    count: int
    width: int
    metric: str
    encoder: Mapping[str, Any]
    fields: Mapping[str, Any]
    task: str | None
    labels: Mapping[str, str] | None
    source: Mapping[str, Any]
    settings: Mapping[str, Any]
    bad_rows: int
    seconds: float
    versions: Mapping[str, str]
    command: tuple[str, ...]
    files: Mapping[str, FileRecord]
    checksum: str = ""

    def text(self) -> str:
        """Return the manifest as it is written: readable JSON, its own checksum last."""
        record = asdict(self)
        del record["checksum"]
        return _dump({**record, "checksum": _checksum(record)})

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as plain data."""
        record: dict[str, Any] = json.loads(self.text())
        return record

    def repair(self, encoder: str | None = None) -> str:
        """Return the command that builds this index anew, with another encoder if one is given."""
        parts = list(self.command)
        if encoder is not None and "--encoder" in parts:
            parts[parts.index("--encoder") + 1] = encoder
        elif encoder is not None:
            parts += ["--encoder", encoder]
        return shlex.join(parts)


def quick_hash(path: Path) -> str:
    """Return the xxh3 of a file's bytes."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as stream:
        while block := stream.read(2**22):
            digest.update(block)
    return digest.hexdigest()


def parse_manifest(text: str, where: str, name: str = "NAME") -> Manifest:
    """Return the manifest that a text holds; `name` is what a hint calls an index whose own is lost.

    Raises:
        IndexDamaged: if it is torn, was edited, or is of another schema.
    """
    try:
        record = json.loads(text)
        if record["schema"] != SCHEMA:
            raise IndexDamaged(
                f"{where} is of format {record['schema']!r}; this version reads {SCHEMA}.", rebuild_hint(text, name)
            )
        stated = record.pop("checksum")
        intact = stated == _checksum(record) and _dump({**record, "checksum": stated}) == text
        if intact and set(record) == {field.name for field in fields(Manifest)} - {"checksum"}:
            files = {name: FileRecord(**kept) for name, kept in record["files"].items()}
            return replace(Manifest(**record), files=files, command=tuple(record["command"]), checksum=stated)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IndexDamaged(f"{where} is not readable JSON of ours.", rebuild_hint(text, name)) from error
    raise IndexDamaged(f"{where} was changed after it was written.", rebuild_hint(text, name))


def read_manifest(folder: Path, where: str) -> Manifest:
    """Return the manifest of one generation's folder, which lies in the folder of the index.

    Raises:
        IndexDamaged: if it is missing, torn or edited.
    """
    path, name = folder / FILE, folder.parent.name
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST)
    except OSError as error:
        raise IndexDamaged(f"{where} is missing.", rebuild_hint("", name)) from error
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise IndexDamaged(
            f"{where} is not readable JSON of ours.", rebuild_hint(content.decode("utf-8", "ignore"), name)
        ) from error
    return parse_manifest(text, where, name)


def rebuild_hint(text: str, name: str) -> str:
    """Return what to type, taken from what can still be read of the manifest of the index `name`."""
    command = None
    at = text.find('"command": [')
    if at >= 0:
        try:
            command, _ = json.JSONDecoder().raw_decode(text, at + len('"command": '))
        except ValueError:
            command = None
    if isinstance(command, list) and all(isinstance(part, str) for part in command):
        return f"Build it again: {shlex.join(command)}"
    return f"Build it again: shotwise index build SOURCE --name {shlex.quote(name)}"


def _dump(record: Mapping[str, Any]) -> str:
    return json.dumps(record, indent=1, ensure_ascii=False, sort_keys=False) + "\n"


def _checksum(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(_dump(record).encode("utf-8", "surrogatepass")).hexdigest()
