"""Building an index: rows stream in, are embedded in portions, and one generation comes out."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from assistant import paths
from assistant.data import BadRow, Fields, Source, check_fields, guess_fields, open_source, read_demonstrations
from assistant.errors import IndexProblem, UnknownName
from assistant.records import Demonstration
from assistant.retrieval import manifest as manifests
from assistant.retrieval import storage
from assistant.retrieval.encoders import DEFAULT, Encoder, Vectors, load_encoder, unit_rows
from assistant.retrieval.faiss_store import METRICS, library_version
from assistant.retrieval.manifest import FileRecord, Manifest
from assistant.settings import EncoderSettings

ROWS, OFFSETS, VECTORS, REJECTED = "rows.jsonl", "offsets.u64", "vectors.f32", "rejected.jsonl"
FILES = (ROWS, OFFSETS, VECTORS, REJECTED)
_CHARACTERS_PER_PORTION = 2**16


@dataclass(frozen=True)
class BuildProgress:
    """How far a build is; `total` counts rows good and bad, None if the source does not say."""

    done: int
    total: int | None
    rows_per_s: float
    seconds_left: float | None


@dataclass(frozen=True)
class BuildReport:
    """What a build did: the index's folder, rows in and out, time and memory."""

    name: str
    folder: Path
    count: int
    bad_rows: tuple[BadRow, ...]
    seconds: float
    rows_per_s: float
    peak_mb: float

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        record = asdict(self)
        return {**record, "folder": str(self.folder), "bad_rows": [asdict(bad) for bad in self.bad_rows]}


@dataclass(frozen=True)
class _Plan:
    source: Source
    name: str
    fields: Fields
    task: str | None
    labels: Mapping[str, str] | None
    encoder: Encoder
    metric: str
    limit: int | None
    strict: bool

    def command(self) -> tuple[str, ...]:
        """Return the command line that repeats this build."""
        parts = ["shotwise", "index", "build", self.source.location, "--name", self.name]
        for field in self.fields.inputs:
            parts += ["--input", field]
        options = {
            "--output": self.fields.output,
            "--rationale": self.fields.rationale,
            "--id": self.fields.id,
            "--group": self.fields.group,
            "--task": self.task,
            "--split": self.source.split,
            "--limit": self.limit,
            "--encoder": self.encoder.name,
            "--metric": self.metric,
        }
        for option, value in options.items():
            if value is not None:
                parts += [option, str(value)]
        return (*parts, "--strict") if self.strict else tuple(parts)


def build_index(
    source: Source | str,
    name: str,
    fields: Fields | None = None,
    *,
    task: str | None = None,
    labels: Mapping[str, str] | None = None,
    encoder: Encoder | str = DEFAULT,
    metric: str = "cosine",
    limit: int | None = None,
    strict: bool = False,
    progress: Callable[[BuildProgress], None] | None = None,
) -> BuildReport:
    """Return the report of a build; the index is there whole, or (on any error) as it was before.

    `fields=None` guesses them from the columns' names. `labels` maps raw lower-case labels to names.

    Raises:
        DataError: if the source cannot be used; IndexProblem: if the index cannot be written.
    """
    paths.checked_name(name, "index")
    if metric not in METRICS:
        raise UnknownName("metric", metric, METRICS)
    source = open_source(source) if isinstance(source, str) else source
    fields = fields or guess_fields(source.columns())
    # Before the encoder is loaded, so that a slip of the pen costs no waiting.
    check_fields(source, fields, source.columns())
    loaded = load_encoder(encoder) if isinstance(encoder, str) else encoder
    plan = _Plan(source, name, fields, task, labels, loaded, metric, limit, strict)
    folder = paths.indexes() / name
    started = time.monotonic()
    bad: list[BadRow] = []
    with storage.new_generation(folder) as draft:
        count = _write_rows(draft, plan, bad, progress)
        seconds = time.monotonic() - started
        written = _manifest(draft, plan, count, len(bad), seconds)
        (draft / manifests.FILE).write_text(written.text(), "utf-8")
    seconds = time.monotonic() - started
    return BuildReport(name, folder, count, tuple(bad), seconds, count / max(seconds, 1e-9), _peak_mb())


def _write_rows(draft: Path, plan: _Plan, bad: list[BadRow], progress: Callable[[BuildProgress], None] | None) -> int:
    total = plan.source.count() if progress else None
    total = plan.limit if total is None or (plan.limit and plan.limit < total) else total
    clock = _Clock(total, progress)
    good = read_demonstrations(
        plan.source, plan.fields, labels=plan.labels, limit=plan.limit, strict=plan.strict, bad=bad
    )
    count = 0
    with ExitStack() as stack:
        rows, offsets, vectors, rejected = (stack.enter_context((draft / name).open("wb")) for name in FILES)
        clock.tell(0)
        for portion in _portions(good):
            embedded = _embedded(plan, [row.text() for row in portion])
            vectors.write(embedded.astype("<f4").tobytes())
            _append(rows, offsets, portion)
            count += len(portion)
            clock.tell(count + len(bad))
        offsets.write(np.uint64(rows.tell()).astype("<u8").tobytes())
        for row in bad:
            rejected.write(json.dumps(asdict(row), ensure_ascii=False).encode("utf-8", "replace") + b"\n")
    return count


def _append(rows: BinaryIO, offsets: BinaryIO, portion: Iterable[Demonstration]) -> None:
    for row in portion:
        offsets.write(np.uint64(rows.tell()).astype("<u8").tobytes())
        rows.write(json.dumps(asdict(row), ensure_ascii=False).encode("utf-8") + b"\n")


def _portions(rows: Iterable[Demonstration]) -> Iterator[list[Demonstration]]:
    """Yield rows in portions that are bounded in number and in characters."""
    portion: list[Demonstration] = []
    characters = 0
    for row in rows:
        portion.append(row)
        characters += len(row.text())
        if len(portion) >= EncoderSettings().portion or characters >= _CHARACTERS_PER_PORTION:
            yield portion
            portion, characters = [], 0
    if portion:
        yield portion


def _embedded(plan: _Plan, texts: list[str]) -> Vectors:
    vectors = np.asarray(plan.encoder.encode(texts), dtype=np.float32)
    if vectors.shape != (len(texts), plan.encoder.width):
        raise IndexProblem(f"The encoder '{plan.encoder.name}' gave {vectors.shape} for {len(texts)} texts.")
    if not np.isfinite(vectors).all():
        raise IndexProblem(f"The encoder '{plan.encoder.name}' gave numbers that are not finite.")
    return unit_rows(vectors) if plan.metric == "cosine" else vectors


class _Clock:
    def __init__(self, total: int | None, progress: Callable[[BuildProgress], None] | None) -> None:
        self._total = total
        self._progress = progress
        self._started = time.monotonic()

    def tell(self, done: int) -> None:
        if self._progress is None:
            return
        rate = done / max(time.monotonic() - self._started, 1e-9)
        left = max(self._total - done, 0) / rate if self._total is not None and rate else None
        self._progress(BuildProgress(done, self._total, rate, left))


def _manifest(draft: Path, plan: _Plan, count: int, bad_rows: int, seconds: float) -> Manifest:
    source = plan.source
    return Manifest(
        schema=manifests.SCHEMA,
        name=plan.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        count=count,
        width=plan.encoder.width,
        metric=plan.metric,
        encoder=plan.encoder.describe(),
        fields={**asdict(plan.fields), "inputs": list(plan.fields.inputs)},
        task=plan.task,
        labels=dict(plan.labels) if plan.labels is not None else None,
        source={
            "name": source.name,
            "location": source.location,
            "split": source.split,
            "fingerprint": source.fingerprint,
        },
        settings={"limit": plan.limit, "strict": plan.strict},
        bad_rows=bad_rows,
        seconds=round(seconds, 3),
        versions=_versions(),
        command=plan.command(),
        files={name: FileRecord.of(draft / name) for name in FILES},
    )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "faiss": library_version()}
    for package in ("shotwise", "numpy", "torch", "transformers", "sentence-transformers"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
