"""Marks: rows are known again by their text in any table, and by their group in any table with that column."""

import hashlib
import json

from assistant.evaluation.outcomes import Sample
from assistant.finetuning.marks import FILE, Marks, read_marks, write_marks


def row(text, group=""):
    return Sample("x", {"text": text}, (), group)


def test_a_group_is_known_in_its_own_column_alone():
    marks = Marks.of([row("one", "7")], "film")
    assert marks.know(row("another", "7"), "film")
    assert not marks.know(row("another", "7"), "user")
    assert not marks.know(row("another", "8"), "film")
    assert not marks.know(row("another"), "film")


def test_a_text_is_known_whatever_its_group():
    marks = Marks.of([row("One text.", "7")], "film")
    assert marks.know(row("one TEXT", "8"), "user")
    assert marks.know(row("one TEXT"))


def test_groups_of_older_marks_are_known_in_every_column(tmp_path):
    old = hashlib.blake2b(b"group 7", digest_size=8).hexdigest()
    (tmp_path / FILE).write_text(json.dumps({"texts": [], "groups": [old]}))
    marks = read_marks(tmp_path)
    assert marks.know(row("another", "7"), "film")
    assert marks.know(row("another", "7"), "user")
    assert not marks.know(row("another", "8"), "film")
    both = marks | Marks.of([row("one", "9")], "film")
    assert both.know(row("another", "7"), "user")
    assert not both.know(row("another", "9"), "user")


def test_what_is_written_is_read_again_and_what_cannot_be_read_is_none(tmp_path):
    marks = Marks.of([row("one", "7"), row("two")], "film")
    write_marks(tmp_path, marks)
    assert read_marks(tmp_path) == marks
    for damaged in ("", "[]", "{}", '{"texts": 1, "groups": []}'):
        (tmp_path / FILE).write_text(damaged)
        assert read_marks(tmp_path) == Marks()
    assert read_marks(None) == read_marks(tmp_path / "nowhere") == Marks()
