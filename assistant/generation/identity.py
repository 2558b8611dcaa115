"""What tells one loaded model from another: for cache keys and reports."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path


def model_identity(
    place: str, *, revision: str | None = None, load_in: str | None = None, adapter: Path | None = None
) -> dict[str, str]:
    """Return place, revision, weights, quantisation and adapter, those that there are, as texts.

    The weights of a folder are told apart by names, sizes and times, because reading gigabytes
    at every start would cost more than it is worth; an adapter is small, and hashed whole.
    """
    folder = Path(place)
    facts = {
        "place": str(folder.resolve()) if folder.is_dir() else place,
        "revision": revision,
        "weights": _stamp(folder) if folder.is_dir() else None,
        "load_in": load_in,
        "adapter": _contents(adapter) if adapter is not None else None,
    }
    return {name: fact for name, fact in facts.items() if fact}


def file_sha256(file: Path) -> str:
    """Return the SHA-256 of a file; it is read anew only if its size or time has changed."""
    stat = file.stat()
    return _sha256(file, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(file: Path, size: int, time_ns: int) -> str:
    del size, time_ns
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _stamp(folder: Path) -> str:
    files = sorted((*folder.glob("*.safetensors"), *folder.glob("*.json")))
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr(stats).encode("utf-8")).hexdigest()


def _contents(adapter: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted((*adapter.glob("*.safetensors"), *adapter.glob("adapter_config.json"))):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
