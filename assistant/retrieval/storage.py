"""Generations of a folder: written whole or not at all, whenever the writer is killed.

    indexes/NAME/CURRENT          the name of the generation in use
    indexes/NAME/gen-000001/…     written in .tmp-…, synced, then renamed; two are kept
    indexes/.locks/NAME           held by the one builder

Source: the order of syncs and renames is that of SQLite's and LevelDB's commits.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from assistant.errors import IndexProblem, ShotwiseError

CURRENT = "CURRENT"
KEPT = 2
_GENERATION = re.compile(r"gen-(\d{6,})")


def generations(folder: Path) -> list[Path]:
    """Return the generations in a folder, newest first."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if _GENERATION.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("gen-")), reverse=True)


def current(folder: Path) -> Path | None:
    """Return the generation in use, or None if the pointer to it is missing, torn or wrong."""
    try:
        name = (folder / CURRENT).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    path = folder / name
    return path if _GENERATION.fullmatch(name) and path.is_dir() else None


def stamp(folder: Path) -> str:
    """Return a text that changes with the generation in use, also when its number comes back after a deletion."""
    path = current(folder)
    try:
        return f"{path} {path.stat().st_mtime_ns}" if path is not None else ""
    except OSError:
        return ""


def locked(folder: Path) -> AbstractContextManager[None]:
    """Hold the right to write the folder of an index.

    Raises:
        IndexProblem: at once, if another process holds it.
    """
    return exclusively(
        folder,
        IndexProblem(
            f"The index '{folder.name}' is being built or deleted by another process.",
            "Wait until that is done, or build under another name.",
        ),
    )


@contextmanager
def exclusively(folder: Path, refusal: ShotwiseError) -> Iterator[None]:
    """Hold the right to write any folder; `refusal` is raised at once if another process holds it."""
    locks = folder.parent / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    # The lock lies outside the folder, so that deleting the folder cannot split it in two.
    with (locks / folder.name).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise refusal from error
        yield


@contextmanager
def new_generation(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes the generation in use if the block ends well.

    Raises:
        IndexProblem: if another process builds, or the disk does not take it.
    """
    try:
        with locked(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _remove_stale(folder)
            draft = folder / f".tmp-{os.getpid()}"
            try:
                draft.mkdir()
                yield draft
                _publish(folder, draft)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
                with suppress(OSError):
                    folder.rmdir()  # succeeds only if a first build left nothing
    except OSError as error:
        raise IndexProblem(
            f"The index '{folder.name}' cannot be written: {error.strerror or error}.",
            "What was there before is untouched.",
        ) from error


def delete(folder: Path) -> None:
    """Delete a folder of generations: it is gone from its place at once.

    Raises:
        IndexProblem: if another process builds it, or the disk refuses.
    """
    try:
        with locked(folder):
            doomed = folder.with_name(f".deleted-{folder.name}-{os.getpid()}")
            os.rename(folder, doomed)
            sync_folder(folder.parent)
            shutil.rmtree(doomed)
    except OSError as error:
        raise IndexProblem(f"The index '{folder.name}' cannot be deleted: {error.strerror or error}.") from error


def sync_file(path: Path) -> None:
    """Return when the file's bytes are on the disk."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def sync_folder(path: Path) -> None:
    """Return when the folder's names are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _publish(folder: Path, draft: Path) -> None:
    for path in sorted(draft.iterdir()):
        sync_file(path)
    sync_folder(draft)
    newest = generations(folder)
    number = int(newest[0].name.removeprefix("gen-")) + 1 if newest else 1
    finished = folder / f"gen-{number:06d}"
    os.rename(draft, finished)
    sync_folder(folder)
    _point_to(folder, finished)
    # Readers that opened the previous generation may still need it: two are kept.
    for old in generations(folder)[KEPT:]:
        # Renamed first: a kill halfway through must not leave half a generation.
        doomed = folder / f".tmp-{old.name}"
        os.rename(old, doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _point_to(folder: Path, generation: Path) -> None:
    pointer = folder / f".{CURRENT}.tmp"
    pointer.write_text(generation.name + "\n", "ascii")
    sync_file(pointer)
    os.rename(pointer, folder / CURRENT)
    sync_folder(folder)
    sync_folder(folder.parent)


def _remove_stale(folder: Path) -> None:
    for path in folder.glob(".*tmp*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    for path in folder.parent.glob(f".deleted-{folder.name}-*"):
        shutil.rmtree(path, ignore_errors=True)
