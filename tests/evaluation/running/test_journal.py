import fcntl
import json
import os
import subprocess
import sys

import pytest

from assistant.errors import RunProblem
from assistant.evaluation.outcomes import Outcome
from assistant.evaluation.running.journal import FILE, Journal, locked, read_journal


def outcome(sample, answer="positive"):
    return Outcome(
        sample,
        "zero-shot",
        "labels",
        0,
        ("positive",),
        answer,
        True,
        1.0,
        answer=answer,
        prompt="Zeile eins\nZeile\u2028zwei \udcff".encode("utf-8", "replace").decode(),
        label_scores={"positive": -0.1, "negative": float("-inf")},
        demonstrations=(("r1", 0.1 + 0.2), ("r2", None)),
        excluded=(("r3", "the same row as the question", 1.0),),
        label_lengths={"positive": (8, 2), "negative": (8, 1)},
        reference_scores={"contextual": [{"positive": -1.0}, {"positive": -2.5}]},
        nearest_similarity=1.0,
        seconds=0.25,
    )


BLOCKS = {"a/0": [outcome("s1"), outcome("s2")], "b/0": [outcome("s1", "ä\n\r\x85")], "a/1": []}


@pytest.fixture
def written(tmp_path):
    journal = Journal(tmp_path)
    for key, outcomes in BLOCKS.items():
        journal.append(key, outcomes)
    return tmp_path / FILE


def told(blocks):
    return {key: [one.to_json() for one in outcomes] for key, outcomes in blocks.items()}


def test_blocks_come_back_as_they_were_written_in_their_order(written):
    found = Journal(written.parent).blocks
    assert told(found) == told(BLOCKS)
    assert list(found) == list(BLOCKS)


def test_every_line_is_one_json_document(written):
    lines = [json.loads(line) for line in written.read_text("ascii").splitlines()]
    assert [line["block"] for line in lines] == list(BLOCKS)
    assert [len(line["outcomes"]) for line in lines] == [2, 1, 0]


def test_torn_anywhere_only_whole_blocks_are_read_and_the_rest_is_cut_off(written):
    content = written.read_bytes()
    ends = [at + 1 for at, byte in enumerate(content) if byte == ord("\n")]
    for size in range(len(content) + 1):
        written.write_bytes(content[:size])
        journal = Journal(written.parent)
        whole = sum(end <= size for end in ends)
        assert list(journal.blocks) == list(BLOCKS)[:whole]
        assert written.read_bytes() == content[: ([0, *ends][whole])]


def test_after_a_torn_tail_the_journal_goes_on(written):
    content = written.read_bytes()
    written.write_bytes(content[:-20])
    journal = Journal(written.parent)
    journal.append("a/1", [])
    assert written.read_bytes() == content


def test_reading_a_journal_changes_nothing(written):
    torn = written.read_bytes()[:-20]
    written.write_bytes(torn)
    assert list(read_journal(written.parent)) == ["a/0", "b/0"]
    assert written.read_bytes() == torn


def test_a_changed_line_before_the_last_is_an_error_and_nothing_is_cut(written):
    content = written.read_bytes().replace(b"positive", b"negative", 1)
    written.write_bytes(content)
    with pytest.raises(RunProblem, match=r"Line 1 of .* is damaged"):
        Journal(written.parent)
    assert written.read_bytes() == content


def test_a_changed_last_line_counts_as_torn(written):
    lines = written.read_bytes().splitlines(keepends=True)
    written.write_bytes(b"".join([*lines[:-1], lines[-1].replace(b"a/1", b"a/2")]))
    assert list(Journal(written.parent).blocks) == ["a/0", "b/0"]


def test_a_missing_journal_has_no_blocks(tmp_path):
    assert Journal(tmp_path).blocks == {}
    assert read_journal(tmp_path / "nowhere") == {}


def test_a_block_is_written_once(written):
    with pytest.raises(AssertionError, match="done before"):
        Journal(written.parent).append("a/0", [])


def test_a_block_is_on_the_disk_when_append_returns(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_size))
    Journal(tmp_path).append("a", [outcome("s1")])
    assert synced == [(tmp_path / FILE).stat().st_size]


def test_a_second_process_is_refused_until_the_first_is_done(tmp_path):
    folder = tmp_path / "runs" / "mine"
    code = (
        "import sys; from pathlib import Path; from assistant.evaluation.running.journal import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('held', flush=True); sys.stdin.readline()"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with first:
        assert first.stdout.readline() == "held\n"
        with pytest.raises(RunProblem, match="'mine' is being worked on by another process"), locked(folder):
            pass
        first.kill()
    with locked(folder), (folder.parent / ".locks" / "mine").open() as lock, pytest.raises(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
