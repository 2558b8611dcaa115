"""Generations are whole or absent, whatever fails and whenever the writer is killed."""

import errno
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

from assistant.errors import IndexDamaged, IndexNotFound, IndexProblem
from assistant.retrieval import storage
from assistant.retrieval.index import DemonstrationIndex, build_index, delete_index, verify_index

from .conftest import FIELDS

OPERATIONS = ("fsync", "rename", "open", "mkdir")


class FailAt:
    """Let the n-th of the watched operations of `os` fail as a full disk does."""

    def __init__(self, monkeypatch, n):
        self.seen, self.n = 0, n
        for name in OPERATIONS:
            monkeypatch.setattr(os, name, self.wrapped(getattr(os, name)))

    def wrapped(self, operation):
        def checked(*arguments, **options):
            self.seen += 1
            if self.seen == self.n:
                raise OSError(errno.ENOSPC, "No space left on device")
            return operation(*arguments, **options)

        return checked


@pytest.mark.parametrize("n", range(1, 24))
def test_a_disk_that_fails_at_any_operation_leaves_the_old_or_the_new_index(table, home, monkeypatch, n):
    build_index(table, "a", FIELDS, encoder="toy")
    with monkeypatch.context() as patched:
        disk = FailAt(patched, n)
        try:
            build_index(table, "a", FIELDS, encoder="toy", limit=5)
            acknowledged = True
        except IndexProblem as error:
            acknowledged = "No space left" not in str(error)
    assert disk.seen >= n or acknowledged
    found = DemonstrationIndex.open("a")
    assert len(found) in ((5,) if acknowledged else (5, 32))
    assert found.notes == ()
    assert not list((home / "indexes" / "a").glob(".tmp*"))
    build_index(table, "a", FIELDS, encoder="toy", limit=7)
    assert verify_index("a") == []
    assert len(DemonstrationIndex.open("a")) == 7


@pytest.mark.parametrize("n", range(1, 16))
def test_a_first_build_that_fails_leaves_no_index_or_a_whole_one(table, monkeypatch, n):
    with monkeypatch.context() as patched:
        FailAt(patched, n)
        with suppress(IndexProblem):
            build_index(table, "a", FIELDS, encoder="toy")
    with suppress(IndexNotFound):
        assert len(DemonstrationIndex.open("a")) == 32


def test_files_and_folders_are_synced_before_they_are_acknowledged(table, monkeypatch):
    events = []
    sync, rename = os.fsync, os.rename
    monkeypatch.setattr(
        os, "fsync", lambda handle: (events.append(os.readlink(f"/proc/self/fd/{handle}")), sync(handle))
    )
    monkeypatch.setattr(os, "rename", lambda one, other: (events.append(f"-> {other}"), rename(one, other)))
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc")
    build_index(table, "a", FIELDS, encoder="toy")
    short = [event.rsplit("/", 1)[-1] for event in events]
    draft = f".tmp-{os.getpid()}"
    assert set(short[:5]) == {"manifest.json", "rows.jsonl", "offsets.u64", "vectors.f32", "rejected.jsonl"}
    assert short[5:] == [draft, "gen-000001", "a", ".CURRENT.tmp", "CURRENT", "a", "indexes"]


def test_a_second_builder_is_refused(index, table):
    with storage.locked(index.folder.parent):
        for action in (lambda: build_index(table, "reviews", FIELDS, encoder="toy"), lambda: delete_index("reviews")):
            with pytest.raises(IndexProblem, match="another process"):
                action()
    build_index(table, "reviews", FIELDS, encoder="toy")


def test_what_a_killed_builder_left_is_cleared_by_the_next(index, table, home):
    stale = home / "indexes" / "reviews" / ".tmp-1"
    stale.mkdir()
    (stale / "rows.jsonl").write_text("half")
    build_index(table, "reviews", FIELDS, encoder="toy")
    assert not stale.exists()


def test_readers_never_see_half_a_swap(table):
    build_index(table, "a", FIELDS, encoder="toy", limit=9)
    stop, problems, opened = threading.Event(), [], []

    def read():
        while not stop.is_set():
            try:
                found = DemonstrationIndex.open("a")
                opened.append(len(found.search("film", 50)) == len(found))
            except (IndexDamaged, IndexNotFound, OSError) as error:
                problems.append(repr(error))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for limit in range(1, 16):
        build_index(table, "a", FIELDS, encoder="toy", limit=limit)
    stop.set()
    for reader in readers:
        reader.join()
    assert problems == []
    assert len(opened) > 3
    assert all(opened)


BUILDER = """
import sys
from assistant.data import Fields
from assistant.retrieval.index import build_index
table, limit = sys.argv[1], int(sys.argv[2])
fields = Fields(("text",), "label")
build_index(table, "warm", fields, encoder="toy")
print("ready", flush=True)
while True:
    build_index(table, "a", fields, encoder="toy", limit=limit)
    print("built", flush=True)
"""


@pytest.mark.slow
def test_killing_a_build_at_fifty_random_moments_tears_nothing(table, home):
    draw = random.Random(0)
    build_index(table, "a", FIELDS, encoder="toy", limit=3)
    before, torn, replaced = 3, [], 0
    for kill in range(50):
        limit = 4 + kill % 28
        command = [sys.executable, "-c", BUILDER, table, str(limit)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as builder:
            assert builder.stdout is not None
            builder.stdout.readline()
            time.sleep(draw.uniform(0, 0.05))
            builder.send_signal(signal.SIGKILL)
            acknowledged = b"built" in builder.stdout.read()
        found = DemonstrationIndex.open("a")
        whole = len(found) in ((limit,) if acknowledged else (before, limit))
        if not whole or found.notes or verify_index("a"):
            torn.append((kill, len(found), found.notes, verify_index("a")))
        replaced += len(found) == limit
        before = len(found)
    assert torn == []
    assert 0 < replaced < 50
