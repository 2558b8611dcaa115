"""What the controls offer, and the request their values make."""

import pytest

from assistant.answering import Request
from assistant.errors import SettingError
from assistant.prompting.strategies import find_strategy
from assistant.prompting.tasks import load_task, task_names
from assistant.settings import GuardSettings, RetrievalSettings, SamplingSettings
from assistant.web import controls, welcome


def values(**changed):
    known = {
        "task": "sentiment", "index": "", "k": 4, "selector": "nearest", "order": "nearest-last", "guard": True,
        "pinned": [], "banned": [], "reading": "generate", "wording": "default", "remember": False,
        "temperature": 0, "top_p": 1, "max_new_tokens": 256, "seed": 0,
    }  # fmt: skip
    return controls.Controls(**(known | changed))


def test_untouched_controls_are_the_defaults_of_the_library():
    assert values().request("m", "zero-shot") == Request("m", "zero-shot", "sentiment")


def test_controls_reach_the_request():
    request = values(
        index="sst2", k=2, selector="diverse", order="random", guard=False, pinned=["a"], banned=["b"],
        reading="labels", wording="bare", temperature=0.5, top_p=0.9, max_new_tokens=8, seed=3,
    ).request("m", "dynamic-few-shot")  # fmt: skip
    assert request.index == "sst2"
    assert request.retrieval == RetrievalSettings(2, "diverse", "random", guard=GuardSettings(enabled=False))
    assert request.sampling == SamplingSettings(0.5, 0.9, 8, 3)
    assert (request.reading, request.wording, request.pinned, request.banned) == ("labels", "bare", ("a",), ("b",))


def test_earlier_turns_are_sent_only_if_wished():
    history = ({"role": "user", "content": "before"},)
    assert values().request("m", "zero-shot", history).history == ()
    assert values(remember=True).request("m", "zero-shot", history).history == history


def test_a_value_out_of_range_is_an_error_of_ours():
    with pytest.raises(SettingError):
        values(max_new_tokens=0).request("m", "zero-shot")


@pytest.mark.parametrize("task", task_names())
def test_every_task_offers_what_fits_it(task):
    names = [name for _, name in controls.strategy_choices(task)]
    assert controls.fitting_strategy(task, "imdb-baseline") in names
    compared = controls.compared_strategies(task)
    assert len(set(compared)) == 4
    for name in [*names, *compared]:
        find_strategy(name).check_fits(load_task(task))
    assert controls.index_choices(task)[0][1] == ""
    assert controls.placeholder(task)
    assert controls.task_about(task)


@pytest.mark.parametrize(
    ("task", "wished", "found"),
    [
        ("sentiment", "dynamic-few-shot", "dynamic-few-shot"),
        ("topic", "dynamic-few-shot", "static-few-shot"),
        ("paraphrase", "dynamic-cot", "static-cot"),
        ("word-problems", "dynamic-cot", "dynamic-cot"),
        ("topic", "imdb-baseline", "zero-shot"),
    ],
)
def test_a_new_task_keeps_the_strategy_if_it_can_answer(task, wished, found):
    assert controls.fitting_strategy(task, wished) == found


@pytest.mark.parametrize("task", task_names())
def test_every_message_to_try_fits_its_task(task):
    for starter in welcome.starters(task):
        load_task(starter.task).inputs(starter.message)
        if starter.strategy:
            assert controls.fitting_strategy(starter.task, starter.strategy) == starter.strategy


def test_the_first_page_offers_a_retrieved_demonstration_and_a_redefinition():
    first = welcome.starters("chat")
    assert any(find_strategy(starter.strategy).needs_index for starter in first)
    assert any("sorrow" in starter.message for starter in first)
