import json

import pytest

from assistant.errors import DataError, SettingError, UnknownName
from assistant.evaluation.sets.datasets import load_dataset
from assistant.evaluation.tuning.source import Place, read_mixture, training_data
from assistant.finetuning.marks import text_mark


def test_of_a_known_set_only_the_pool_is_learnt_from():
    data = training_data(Place("reviews"))
    loaded = load_dataset("reviews")
    held_out = {sample.id for sample in (*loaded.dev, *loaded.test)}
    assert data.task == "sentiment"
    assert {row.id for row in data.rows} == {row.id for row in loaded.pool}
    assert not {row.id for row in data.rows} & held_out
    assert data.facts["sha256"] == dict(loaded.fingerprints)


def test_of_a_table_half_the_rows_are_learnt_from_and_no_group_is_on_both_sides(tmp_path):
    file = tmp_path / "tickets.jsonl"
    rows = [{"text": f"text number {at}", "label": at % 2, "film": f"f{at // 2}"} for at in range(80)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    place = Place(str(file), task="sentiment", group="film")
    data = training_data(place)
    loaded = place.load(None, scored=True)
    assert len(data.rows) == 40
    assert {row.output for row in data.rows} == {"positive", "negative"}
    assert not {row.group for row in data.rows} & {sample.group for sample in (*loaded.dev, *loaded.test)}
    assert str(tmp_path) not in json.dumps(data.facts)


def test_a_text_that_is_held_out_is_not_learnt_under_another_id(tmp_path):
    file = tmp_path / "tickets.jsonl"
    rows = [{"text": f"text number {at % 40}", "label": at % 2} for at in range(80)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    place = Place(str(file), task="sentiment")
    data = training_data(place)
    loaded = place.load(None, scored=True)
    held_out = {text_mark(sample.inputs) for sample in (*loaded.dev, *loaded.test)}
    assert data.rows
    assert not {text_mark(row.inputs) for row in data.rows} & held_out
    assert f"{len(loaded.pool) - len(data.rows)} rows are not learnt" in data.facts["notes"][-1]


def test_fewer_rows_are_drawn_evenly_by_label():
    data = training_data(Place("reviews"), rows=20)
    assert len(data.rows) == 20
    assert sum(row.output == "positive" for row in data.rows) == 10


def test_columns_of_a_known_set_are_not_to_be_named():
    with pytest.raises(DataError, match="are known"):
        training_data(Place("reviews", output="label"))


def test_a_table_needs_a_task(tmp_path):
    with pytest.raises(SettingError, match="Which task"):
        training_data(Place(str(tmp_path / "rows.csv")))


def test_a_further_task_is_named_with_its_weight():
    assert read_mixture("pairs") == ("pairs", 1.0)
    assert read_mixture("pairs:0.5") == ("pairs", 0.5)
    with pytest.raises(SettingError, match="weight"):
        read_mixture("pairs:much")
    with pytest.raises(UnknownName, match="Did you mean pairs"):
        read_mixture("pairz")
    with pytest.raises(SettingError, match="weight of a task in a mixture"):
        training_data(Place("pairs"), weight=-1.0)
