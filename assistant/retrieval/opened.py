"""An opened index: its files are checked first, its rows read on demand, its search is exact."""

from __future__ import annotations

import json
import mmap
import os
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant import paths
from assistant.errors import IndexDamaged, IndexMismatch, IndexNotFound, UnknownName
from assistant.records import Demonstration, Hit
from assistant.retrieval import storage
from assistant.retrieval.building import FILES, OFFSETS, ROWS, VECTORS
from assistant.retrieval.encoders import TAUGHT, Encoder, Vectors, known_identity, load_encoder, unit_rows
from assistant.retrieval.faiss_store import METRICS, FaissStore
from assistant.retrieval.lexical import LexicalIndex
from assistant.retrieval.manifest import Manifest, quick_hash, read_manifest

MOST_KEPT = 8192
"""Questions whose embeddings are kept after `embed_ahead`."""
_IDENTITY = ("sha256", "tokenizer_sha256", "pooling", "normalised", "width", "long_texts")


class DemonstrationIndex:
    """One opened generation; `notes` says what was odd about it, such as a fall-back to an older one."""

    def __init__(self, folder: Path, manifest: Manifest, notes: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.name = manifest.name
        self.manifest = manifest
        self.notes = notes
        self._encoder: Encoder | None = None
        self._ahead: dict[str, Vectors] = {}
        self._lock = threading.Lock()
        # Everything is opened now, so that a later rebuild cannot take it away.
        self._offsets = np.fromfile(folder / OFFSETS, dtype="<u8")
        self._vectors = np.memmap(folder / VECTORS, dtype="<f4", mode="r", shape=(manifest.count, manifest.width))
        with (folder / ROWS).open("rb") as stream:
            self._rows = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)

    @classmethod
    def open(cls, name_or_folder: str | Path, encoder: Encoder | str | None = None) -> DemonstrationIndex:
        """Return the index of that name or in that folder, its files checked.

        If its newest generation is damaged, the newest good one is returned, and `notes` says so.

        Raises:
            IndexNotFound: if there is none; IndexDamaged: if no generation is whole.
            IndexMismatch: if it was built with another encoder than `encoder`, or than is installed.
        """
        folder = index_folder(name_or_folder)
        index = _newest_whole(folder)
        stated = index.manifest.encoder
        known = known_identity(str(stated.get("name")))
        if known is not None and known != stated.get("sha256"):
            raise IndexMismatch(
                f"The index '{index.name}' was built with another version of the encoder '{stated['name']}'.",
                f"Build it again: {index.manifest.repair()}",
            )
        if encoder is not None:
            index.use_encoder(load_encoder(encoder) if isinstance(encoder, str) else encoder)
        return index

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.manifest.count

    @property
    def encoder(self) -> Encoder:
        """Return the encoder it was built with, loaded when first asked for.

        Raises:
            IndexMismatch: if what is found under its name is another one.
        """
        if self._encoder is None:
            self.use_encoder(load_encoder(str(self.manifest.encoder["name"])))
        assert self._encoder is not None
        return self._encoder

    @cached_property
    def taught(self) -> Path | None:
        """Return the folder of the encoder if that was fine-tuned here."""
        folder = Path(str(self.manifest.encoder["name"])).expanduser()
        return folder if (folder / TAUGHT).is_file() else None

    @property
    def tells_copies(self) -> bool:
        """Return whether a high cosine means a copy: one fine-tuned here draws together what is alike for a task."""
        return self.taught is None

    def use_encoder(self, encoder: Encoder) -> None:
        """Take this encoder for questions, if it is the one the rows were embedded with.

        Raises:
            IndexMismatch: if it is another one.
        """
        stated, found = self.manifest.encoder, encoder.describe()
        for key in _IDENTITY:
            if stated.get(key) != found.get(key):
                raise IndexMismatch(
                    f"The index '{self.name}' was built with the encoder '{stated.get('name')}', not with "
                    f"'{encoder.name}' as it is now ({key} differs).",
                    f"Build it again: {self.manifest.repair(encoder.name)}",
                )
        self._encoder = encoder

    def demonstration(self, row: int) -> Demonstration:
        """Return the row of that number, from 0."""
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        record = json.loads(self._rows[int(self._offsets[row]) : int(self._offsets[row + 1])])
        return Demonstration(**record)

    def row_of(self, identity: str) -> int | None:
        """Return the number of the row with that id, or None."""
        return self._row_numbers.get(identity)

    def nearest(self, embeddings: Vectors, n: int) -> tuple[Vectors, NDArray[np.int64]]:
        """Return cosines and row numbers of the n nearest rows per embedding, both (q, min(n, rows)).

        They are ordered by the index's metric, best first; embeddings (q, d) need not be unit rows.

        Raises:
            IndexMismatch: if the embeddings have another width.
        """
        queries = np.atleast_2d(np.asarray(embeddings, dtype=np.float32))
        if queries.shape[1] != self.manifest.width:
            raise IndexMismatch(
                f"The index '{self.name}' has embeddings of width {self.manifest.width}, not {queries.shape[1]}.",
                f"Build it again: {self.manifest.repair()}",
            )
        units = unit_rows(queries)
        rows = self._store.search(units if self.manifest.metric == "cosine" else queries, n)
        cosines = np.empty(rows.shape, dtype=np.float32)
        for at, found in enumerate(rows):
            cosines[at] = self.cosines(units[at], found)
        if self.manifest.metric == "cosine":
            order = np.lexsort((rows, -cosines), axis=1)
            rows, cosines = np.take_along_axis(rows, order, axis=1), np.take_along_axis(cosines, order, axis=1)
        return cosines, rows

    def vectors(self, rows: NDArray[np.int64] | list[int]) -> Vectors:
        """Return the vectors of some rows, (n, d)."""
        return self._store.vectors(np.asarray(rows, dtype=np.int64))

    def units(self, rows: NDArray[np.int64] | list[int]) -> Vectors:
        """Return the vectors of some rows at length 1, (n, d)."""
        stored = self.vectors(rows)
        return stored if self.manifest.metric == "cosine" else unit_rows(stored)

    def cosines(self, embedding: Vectors, rows: NDArray[np.int64] | list[int]) -> Vectors:
        """Return the cosine of one unit embedding (d) with each of some rows, (n)."""
        # Row by row in float64, so that a row's cosine does not depend on how many others are asked for.
        exact = np.einsum("nd,d->n", self.units(rows).astype(np.float64), embedding.astype(np.float64))
        found: Vectors = np.clip(exact, -1.0, 1.0).astype(np.float32)
        return found

    def embed(self, text: str) -> Vectors:
        """Return the unit embedding of a question, (d); at once if it was embedded ahead."""
        kept = self._ahead.get(text)
        if kept is not None:
            return kept
        embedded: Vectors = unit_rows(self.encoder.encode([text]))[0]
        return embedded

    def embed_ahead(self, texts: Sequence[str]) -> None:
        """Embed many questions in one go and keep them for `embed`; the oldest of too many are forgotten."""
        new = [text for text in dict.fromkeys(texts) if text not in self._ahead][-MOST_KEPT:]
        if not new:
            return
        embedded = unit_rows(self.encoder.encode(new))
        with self._lock:
            kept = {**self._ahead, **dict(zip(new, embedded, strict=True))}
            self._ahead = dict(list(kept.items())[-MOST_KEPT:])

    def by_words(self, text: str) -> NDArray[np.int64]:
        """Return the numbers of all rows, those that share the question's words first (BM25)."""
        with self._lock:
            lexical = self._lexical
        return lexical.ranked(text)

    def search(self, text: str, k: int, encoder: Encoder | None = None) -> tuple[Hit, ...]:
        """Return the k nearest rows (all, if there are fewer), best first; no guard is applied."""
        if encoder is not None:
            self.use_encoder(encoder)
        cosines, rows = self.nearest(self.encoder.encode([text]), k)
        found = zip(rows[0], cosines[0], strict=True)
        return tuple(
            Hit(self.demonstration(int(row)), rank, float(cosine)) for rank, (row, cosine) in enumerate(found, start=1)
        )

    @cached_property
    def _row_numbers(self) -> dict[str, int]:
        return {self.demonstration(row).id: row for row in range(len(self))}

    @property
    def _store(self) -> FaissStore:
        with self._lock:
            return self._filled_store

    @cached_property
    def _lexical(self) -> LexicalIndex:
        return LexicalIndex([self.demonstration(row).text() for row in range(len(self))])

    @cached_property
    def _filled_store(self) -> FaissStore:
        return FaissStore(np.asarray(self._vectors, dtype=np.float32), self.manifest.metric)


def index_names() -> tuple[str, ...]:
    """Return the names of the indexes under the working folder, sorted."""
    root = paths.indexes()
    if not root.is_dir():
        return ()
    return tuple(sorted(path.name for path in root.iterdir() if storage.generations(path)))


def index_folder(name_or_folder: str | Path) -> Path:
    """Return the folder of an index given by name or by path.

    Raises:
        IndexNotFound: if there is none, with the nearest names.
    """
    given = str(name_or_folder)
    folder = Path(given) if isinstance(name_or_folder, Path) or os.sep in given else paths.indexes() / given
    if folder.is_dir():
        return folder
    message = str(UnknownName("index", given, index_names()))
    build = f"Build it: shotwise index build SOURCE --name {folder.name or 'NAME'}"
    raise IndexNotFound(message, f"{build} (the built-in ones: shotwise index builtin)")


def _newest_whole(folder: Path) -> DemonstrationIndex:
    pointed = storage.current(folder)
    others = [path for path in storage.generations(folder) if path != pointed]
    candidates = [path for path in (pointed, *others) if path is not None]
    if not candidates:
        raise IndexDamaged(
            f"The folder '{folder}' holds no index.",
            f"Build it: shotwise index build SOURCE --name {folder.name}",
        )
    first: IndexDamaged | None = None
    for path in candidates:
        try:
            manifest = checked_generation(path)
            notes = () if path == pointed else (_fallback_note(folder, path, first),)
            return DemonstrationIndex(path, manifest, notes)
        except IndexDamaged as error:
            if storage.current(folder) != pointed:
                # A builder published and pruned while we were reading.
                return _newest_whole(folder)
            first = first or error
    assert first is not None
    raise first


def _fallback_note(folder: Path, path: Path, error: IndexDamaged | None) -> str:
    why = f" ({error})" if error else f" ({storage.CURRENT} does not name a generation)"
    return f"The newest generation of the index '{folder.name}' cannot be used{why}: {path.name} is used instead."


def checked_generation(folder: Path) -> Manifest:
    """Return the manifest of a generation whose files are all as they were written.

    Raises:
        IndexDamaged: if one is missing, torn or changed.
    """
    name = folder.parent.name
    manifest = read_manifest(folder, f"The manifest of the index '{name}'")
    hint = f"Build it again: {manifest.repair()}"
    sizes = {OFFSETS: (manifest.count + 1) * 8, VECTORS: manifest.count * manifest.width * 4}
    if set(manifest.files) != set(FILES) or manifest.metric not in METRICS or manifest.count < 1:
        raise IndexDamaged(f"The manifest of the index '{name}' contradicts itself.", hint)
    for file, stated in manifest.files.items():
        try:
            size, found = (folder / file).stat().st_size, quick_hash(folder / file)
        except OSError as error:
            raise IndexDamaged(f"'{file}' of the index '{name}' is missing.", hint) from error
        if size != stated.size or size != sizes.get(file, size):
            raise IndexDamaged(f"'{file}' of the index '{name}' has {size} bytes, not {stated.size}.", hint)
        if found != stated.xxh3:
            raise IndexDamaged(f"'{file}' of the index '{name}' was changed after it was written.", hint)
    return manifest


def describe(index: DemonstrationIndex) -> dict[str, Any]:
    """Return manifest, folder, size and notes of an opened index as plain data."""
    size = sum(kept.size for kept in index.manifest.files.values())
    return {
        **index.manifest.to_json(),
        "folder": str(index.folder.parent),
        "generation": index.folder.name,
        "size_mb": round(size / 2**20, 3),
        "notes": list(index.notes),
    }
