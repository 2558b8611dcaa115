"""Drawing and cutting: even by label, whole groups, and nothing that depends on how a file is sorted."""

import hashlib
import json
from collections import Counter

import pytest

from assistant.data import Fields
from assistant.errors import DataError
from assistant.evaluation.outcomes import Sample
from assistant.evaluation.sets.samples import as_sample, cut, drawn, ids_hash, read_rows, read_samples
from assistant.prompting.tasks import load_task
from assistant.records import Demonstration

SENTIMENT, PROBLEMS = load_task("sentiment"), load_task("word-problems")


def write(folder, rows):
    path = folder / "table.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def table(tmp_path):
    """Return a table sorted by label, as IMDb's is: 60 negative rows, then 40 positive ones."""
    return write(tmp_path, [{"id": f"r{n}", "text": f"film {n}", "label": int(n >= 60)} for n in range(100)])


@pytest.mark.parametrize("limit", [5, 10, 20, 50, 85])
def test_a_draw_of_a_sorted_table_has_the_tables_shares(table, limit):
    samples = read_samples(table, None, SENTIMENT, limit=limit, seed=3, bad=[])
    counts = Counter(sample.targets[0] for sample in samples)
    assert len({sample.id for sample in samples}) == limit
    assert abs(counts["positive"] - 0.4 * limit) <= 1
    assert [sample.id for sample in samples] != [f"r{n}" for n in range(limit)]


def test_a_small_draw_is_the_beginning_of_a_larger_one(table):
    large = read_samples(table, None, SENTIMENT, limit=80, bad=[])
    assert read_samples(table, None, SENTIMENT, limit=20, bad=[]) == large[:20]
    assert read_samples(table, None, SENTIMENT, bad=[])[:80] == large


def test_another_seed_is_another_draw_and_the_same_seed_the_same(table):
    draws = [read_samples(table, None, SENTIMENT, limit=20, seed=seed, bad=[]) for seed in (0, 1, 0)]
    assert draws[0] == draws[2]
    assert {sample.id for sample in draws[0]} != {sample.id for sample in draws[1]}


def test_every_row_is_drawn_about_equally_often():
    rows, draws = range(40), 800
    counts = Counter(row for seed in range(draws) for row in drawn(rows, seed, lambda row: str(row % 2))[:10])
    expected = draws * 10 / 40
    assert sum((counts[row] - expected) ** 2 / expected for row in rows) < 72.1  # 0.999 quantile, 39 degrees


def test_bad_rows_are_told_by_line_and_never_answered(tmp_path):
    rows = [
        {"id": "a", "text": "good", "label": 1},
        {"id": "b", "text": "fine", "label": 7},
        {"id": "c", "text": "", "label": 1},
        {"id": "d", "text": "unlabelled"},
        {"id": "a", "text": "twice", "label": 0},
        {"id": "e", "text": "poor", "label": "NEG"},
    ]
    bad = []
    samples = read_samples(write(tmp_path, rows), None, SENTIMENT, bad=bad)
    assert {sample.id: sample.targets for sample in samples} == {"a": ("positive",), "e": ("negative",)}
    assert [row.line for row in bad] == [2, 3, 4, 5]
    assert "'7' in 'label' is not a label of the task" in bad[0].reason


def test_columns_take_the_tasks_fields_and_the_group(tmp_path):
    path = write(tmp_path, [{"key": "k", "sentence": "a film", "gold": "pos", "film": "m"}])
    fields = Fields(("sentence",), "gold", id="key", group="film")
    assert read_samples(path, fields, SENTIMENT, bad=[]) == [Sample("k", {"text": "a film"}, ("positive",), "m")]


def test_columns_that_do_not_fit_the_task_are_refused(tmp_path):
    path = write(tmp_path, [{"text": "a film", "title": "t", "label": 1}])
    with pytest.raises(DataError, match="needs the fields sentence1, sentence2"):
        read_samples(path, Fields(("text",), "label"), load_task("paraphrase"), bad=[])
    with pytest.raises(DataError, match="no column of targets"):
        read_rows(write(tmp_path, [{"text": "a film"}]), None, SENTIMENT, bad=[])


def reviews(n, group=lambda at: ""):
    return [
        Demonstration(f"r{at}", {"text": f"film {at}"}, ("negative", "positive")[at % 3 == 0], "", group(at))
        for at in range(n)
    ]


def ids(rows):
    return [row.id for row in rows]


def test_a_cut_shares_no_row_and_loses_none():
    rows = reviews(90)
    parts = cut(rows, SENTIMENT, dev=15, test=30, seed=1)
    assert (len(parts.train), len(parts.dev), len(parts.test)) == (45, 15, 30)
    assert sorted([*ids(parts.train), *ids(parts.dev), *ids(parts.test)]) == sorted(ids(rows))
    for part in (parts.train, parts.dev, parts.test):
        assert abs(sum(row.output == "positive" for row in part) - len(part) / 3) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_a_cut_keeps_groups_whole(seed):
    rows = reviews(200, lambda at: f"film{at // 7}" if at < 150 else "")
    parts = cut(rows, SENTIMENT, dev=30, test=60, seed=seed)
    groups = [{row.group for row in part if row.group} for part in (parts.train, parts.dev, parts.test)]
    assert not (groups[0] & groups[1])
    assert not (groups[0] & groups[2])
    assert not (groups[1] & groups[2])
    assert 53 < len(parts.test) <= 60
    assert 23 < len(parts.dev) <= 30


def test_a_cut_follows_its_seed_and_not_the_order_of_parts_elsewhere():
    rows = reviews(60)
    assert cut(rows, SENTIMENT, dev=9, test=9, seed=4) == cut(rows, SENTIMENT, dev=9, test=9, seed=4)
    assert ids(cut(rows, SENTIMENT, dev=9, test=9, seed=4).test) != ids(
        cut(rows, SENTIMENT, dev=9, test=9, seed=5).test
    )


def test_a_cut_that_leaves_nothing_to_train_on_is_refused():
    with pytest.raises(DataError, match="20 rows are too few to cut off 15 for test and 5 for dev"):
        cut(reviews(20), SENTIMENT, dev=5, test=15)


def test_tasks_without_labels_are_drawn_by_chance_alone():
    rows = [Demonstration(f"p{n}", {"question": f"{n} + 1?"}, str(n + 1)) for n in range(30)]
    test = cut(rows, PROBLEMS, dev=5, test=10).test
    assert ids(test) != ids(rows)[:10]
    assert as_sample(test[0], ("1", "one")).targets == ("1", "one")


def test_the_hash_of_ids_is_of_their_order():
    samples = [Sample(name, {}, ("x",)) for name in ("b", "a")]
    assert ids_hash(samples) == hashlib.sha256(b"b\na").hexdigest()
    assert ids_hash(samples) != ids_hash(samples[::-1])
