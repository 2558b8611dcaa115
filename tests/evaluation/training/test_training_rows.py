"""Rows to train on, kept aside and measured on: no group and no text in two parts, and nothing of test is learnt."""

import json

import pytest

from assistant.errors import DataError, SettingError
from assistant.evaluation.training.rows import WantedRows, read_parts, without_learnt
from assistant.finetuning.classifiers.base import Base
from assistant.finetuning.marks import Marks, text_mark, write_marks


@pytest.fixture
def table(home):
    """A file of reviews of forty films, three of each; every film's last review stands in it twice."""
    rows = [
        {"id": f"r{film}-{at}", "text": f"film {film} review {at}", "label": (film + at) % 2, "movie": f"m{film}"}
        for film in range(40)
        for at in range(3)
    ]
    path = home / "films.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return str(path)


def wanted(source, **others):
    return WantedRows(source=source, **({"task": "sentiment"} | others))


def test_no_group_stands_in_two_parts(table):
    parts = read_parts(wanted(table, group="movie"))
    groups = [{row.group for row in part} for part in (parts.train, parts.dev, parts.test)]
    assert all(groups)
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    assert len(parts.train) + len(parts.dev) + len(parts.test) == 120


def test_a_text_that_is_measured_on_is_not_learnt(home):
    rows = [{"text": f"film {at // 2}{'!' * (at % 2)}", "label": at // 2 % 2} for at in range(80)]
    path = home / "twice.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    parts = read_parts(wanted(str(path)))
    marks = [{text_mark(row.inputs) for row in part} for part in (parts.train, parts.dev, parts.test)]
    assert not marks[0] & marks[2] | marks[0] & marks[1] | marks[1] & marks[2]
    assert any("left out of training" in note for note in parts.notes)


def test_what_the_base_has_learnt_from_is_not_measured_on(table, home):
    parts, base = read_parts(wanted(table)), Base(str(home), home, "")
    assert without_learnt(parts, base) is parts
    write_marks(home, Marks.of(parts.test[:5]))
    left = without_learnt(parts, base)
    assert left.test == parts.test[5:]
    assert left.notes[-1].startswith("5 rows are not measured on")
    write_marks(home, Marks.of(parts.test))
    with pytest.raises(DataError, match="has learnt from every row"):
        without_learnt(parts, base)


def test_fewer_rows_to_train_on_leave_the_same_rows_to_measure_on(table):
    few, many = read_parts(wanted(table, rows=10)), read_parts(wanted(table))
    assert len(few.train) == 10
    assert few.test == many.test
    assert {row.targets[0] for row in few.train} == {"negative", "positive"}


def test_a_known_set_is_trained_on_its_pool_and_measured_on_its_test_part():
    from assistant.evaluation.sets.datasets import load_dataset

    parts, loaded = read_parts(WantedRows("reviews", rows=50, dev=10, test=20)), load_dataset("reviews", pool=50)
    assert {row.id for row in parts.train} <= {row.id for row in loaded.pool}
    assert {row.id for row in parts.dev} <= {row.id for row in loaded.dev[:10]}
    assert parts.test == loaded.test[:20]
    assert parts.facts["sha256"]


def test_pairs_of_a_known_set_keep_to_their_groups():
    parts = read_parts(WantedRows("pairs"))
    assert parts.task.fields == ("sentence1", "sentence2")
    others = {row.group for row in (*parts.dev, *parts.test)}
    assert not others & {row.group for row in parts.train}


def test_a_known_set_whose_published_parts_share_groups_is_cut_by_whole_groups(home):
    """As in RTE: dev is cut from train, and some premises of train stand in the published test part as well."""

    def pairs(first, last):
        rows = [
            {
                "id": f"{first}-{at}-{kind}",
                "premise": f"premise {at}",
                "hypothesis": f"{kind} of {first}",
                "label": kind,
            }
            for at in range(first, last)
            for kind in ("entailment", "not_entailment")
        ]
        return "\n".join(map(json.dumps, rows))

    (home / "rte").mkdir()
    (home / "rte" / "train.jsonl").write_text(pairs(0, 400), encoding="utf-8")
    (home / "rte" / "validation.jsonl").write_text(pairs(300, 500), encoding="utf-8")
    parts = read_parts(WantedRows("rte", data_dir=str(home)))
    train, dev, test = ({row.group for row in part} for part in (parts.train, parts.dev, parts.test))
    assert train
    assert dev
    assert not dev & test
    assert not train & (dev | test)


@pytest.mark.parametrize(
    ("values", "error", "said"),
    [
        ({"source": "word-problems"}, SettingError, "no labels to learn"),
        ({"source": "reviews", "task": "topic"}, SettingError, "belongs to the task 'sentiment'"),
        ({"source": "reviews", "inputs": ("text",)}, SettingError, "columns .* are known"),
        ({"source": "nowhere.csv", "task": "sentiment"}, DataError, "no file"),
    ],
)
def test_what_cannot_be_trained_on_is_said_in_one_sentence(values, error, said):
    with pytest.raises(error, match=said):
        read_parts(WantedRows(**values))


def test_a_file_needs_a_task(table):
    with pytest.raises(SettingError, match="Which task"):
        read_parts(WantedRows(table))


def test_no_row_to_train_on_cannot_be_asked_for():
    with pytest.raises(SettingError, match="rows must be at least 2"):
        WantedRows("reviews", rows=1)
