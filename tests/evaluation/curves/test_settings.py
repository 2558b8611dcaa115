import pytest

from assistant.errors import DataError, SettingError, UnknownName
from assistant.evaluation.curves.cells import Cell, cells_of
from assistant.evaluation.curves.rows import read_material
from assistant.evaluation.curves.settings import (
    LEAST_STEPS,
    MOST_STEPS,
    CurveSettings,
    kept_aside,
    planned_steps,
)
from assistant.evaluation.curves.ways import WAYS, find_way
from assistant.evaluation.tuning.source import Place
from assistant.finetuning.marks import text_mark


@pytest.fixture(scope="module")
def material():
    return read_material(Place("reviews"), 20)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"rows": ()}, "0 or more"),
        ({"rows": (-1, 16)}, "0 or more"),
        ({"methods": ()}, "No method"),
        ({"seeds": 0}, "seeds must be at least 1, not 0"),
        ({"test": 1}, "held-out rows must be at least 2, not 1"),
        ({"k": 0}, "k must be at least 1"),
        ({"steps": 0}, "at least 1 step, not 0"),
        ({"ranks": (2, 4), "methods": ("dynamic-few-shot",), "rows": (16,)}, "'dynamic-few-shot' has no rank"),
        ({"ranks": (2, 4), "methods": ("prompt-tuning",), "rows": (16,)}, "'prompt-tuning' has no rank"),
        ({"ranks": (2, 4), "methods": ("lora",), "rows": (0, 16, 64)}, "one number of rows; 2 were named"),
        ({"ranks": (0,), "methods": ("lora",), "rows": (16,)}, "rank must be from 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused_in_one_sentence(values, said):
    with pytest.raises(SettingError, match=said):
        CurveSettings(**values)


def test_an_unknown_method_is_refused_with_those_there_are():
    with pytest.raises(UnknownName, match="classifier:full"):
        CurveSettings(methods=("classifier:ful",))


def test_a_training_has_steps_enough_from_few_rows_and_not_too_many_from_many():
    assert planned_steps(None, 12, 8, 3) == LEAST_STEPS
    assert planned_steps(None, 200, 8, 3) == 75
    assert planned_steps(None, 2000, 8, 3) == MOST_STEPS
    assert planned_steps(7, 2000, 8, 3) == 7


def test_at_most_a_quarter_and_200_rows_are_set_apart():
    assert kept_aside(16) == 0.25
    assert kept_aside(1000) * 1000 == pytest.approx(200)
    assert kept_aside(2000) * 2000 == pytest.approx(200)


def test_every_cell_stands_once_and_what_needs_no_training_comes_first_in_a_draw():
    settings = CurveSettings(rows=(0, 16, 64), methods=("zero-shot", "lora", "knn-vote", "lora"), seeds=2)
    cells = cells_of(settings, (0, 16, 64))
    assert len(cells) == len(set(cells)) == 1 + 2 * 2 * 2
    assert cells[:5] == (
        Cell("zero-shot", 0), Cell("knn-vote", 16), Cell("knn-vote", 64), Cell("lora", 16), Cell("lora", 64)
    )  # fmt: skip


def test_ranks_make_a_cell_each():
    settings = CurveSettings(rows=(0, 32), methods=("lora",), ranks=(2, 4), seeds=1)
    assert [cell.rank for cell in cells_of(settings, (0, 32))] == [None, 2, 4]


def test_other_settings_are_another_cell_and_names_are_safe():
    cell = Cell("classifier:full", 16)
    assert cell.key({"epochs": 4}) != cell.key({"epochs": 3})
    assert cell.name("ab12") == "curve-ab12-classifier-full-16-0"
    assert Cell("lora", 16, 1, 8).name("ab12") == "curve-ab12-lora-r8-16-1"


def test_the_draw_of_few_rows_is_part_of_that_of_many_and_seeds_draw_others(material):
    few, many, other = material.draw(16, 0), material.draw(64, 0), material.draw(16, 1)
    assert many[:16] == few
    assert {one.id for one in few} != {one.id for one in other}
    labels = [one.output for one in few]
    assert {labels.count(label) for label in material.task.labels} <= {7, 8, 9}


def test_no_row_that_can_be_drawn_is_held_out(material):
    held_out = {text_mark(sample.inputs) for sample in material.test}
    assert len(material.test) == 20
    assert not held_out & {text_mark(row.inputs) for row in material.pool}
    assert not {sample.group for sample in material.test if sample.group} & {row.group for row in material.pool}


def test_too_many_rows_become_all_there_are_and_too_few_are_refused(material):
    most = len(material.pool)
    assert material.numbers((0, 16, 5000, 9000)) == (0, 16, most)
    with pytest.raises(DataError, match="2 rows are too few"):
        material.numbers((0, 2))


def test_a_classifier_does_not_fit_a_task_without_labels():
    from assistant.prompting.tasks import load_task

    problems = load_task("word-problems")
    assert "no labels" in find_way("classifier:full").fits(problems)
    assert not any(WAYS[name].fits(problems) for name in ("lora", "dynamic-few-shot", "knn-vote"))
