import pytest

from assistant.errors import PromptError, UnknownName
from assistant.prompting.strategies import STRATEGIES, compared_strategies, find_strategy
from assistant.prompting.tasks import load_task
from assistant.settings import SELECTORS

PLANNED = (
    *("zero-shot", "zero-shot-cot", "static-few-shot", "static-cot", "random-few-shot", "dynamic-few-shot"),
    *("random-labels", "shuffled-order"),
    *("dynamic-cot", "self-consistency", "imdb-instruction", "imdb-few-shot", "imdb-few-shot-train", "imdb-baseline"),
)


def test_the_table_has_the_planned_strategies():
    assert tuple(STRATEGIES) == PLANNED


@pytest.mark.parametrize("row", STRATEGIES.values(), ids=lambda row: row.name)
def test_a_row_explains_itself_and_names_its_source(row):
    assert row.name == find_strategy(row.name).name
    assert row.title
    assert row.about.endswith(".")
    assert row.source
    assert row.selector in SELECTORS
    assert row.samples >= 1
    assert row.needs_index == (row.selector in ("random", "nearest", "diverse", "balanced"))


def test_an_unknown_name_comes_with_the_nearest_and_the_whole_list():
    with pytest.raises(UnknownName) as error:
        find_strategy("dynamic-fewshot")
    assert "Did you mean dynamic-few-shot" in str(error.value)
    assert all(name in str(error.value) for name in PLANNED)


def test_a_published_template_is_refused_for_another_task():
    find_strategy("imdb-baseline").check_fits(load_task("sentiment"))
    with pytest.raises(PromptError, match="a template of the task 'sentiment', not of 'chat'"):
        find_strategy("imdb-baseline").check_fits(load_task("chat"))


@pytest.mark.parametrize(
    ("task", "index", "last"),
    [
        ("sentiment", None, "dynamic-few-shot"),
        ("topic", "news", "dynamic-few-shot"),
        ("topic", None, "static-cot"),
    ],
)
def test_what_is_compared_can_answer_with_the_task_and_the_index(task, index, last):
    compared = compared_strategies(load_task(task), index)
    assert compared == ("zero-shot", "zero-shot-cot", "static-few-shot", last)
