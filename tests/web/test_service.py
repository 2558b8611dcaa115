"""The service behind the page: loading, turns, stopping, earlier answers."""

import threading
import time

import pytest

from assistant.answering import Request
from assistant.errors import ModelError, UnknownName
from assistant.generation.chat_model import ScriptedModel
from assistant.settings import ModelSettings
from assistant.web import service as service_module
from assistant.web.service import Service, Waiting, throttled
from assistant.web.shelf import AnswerShelf
from tests.web.test_content import an_answer


@pytest.fixture
def ready(monkeypatch):
    def make(model):
        made = Service(model=model)
        monkeypatch.setattr(made, "_prepare_retrieval", lambda: ())
        made.load()
        return made

    return make


def last(states):
    *_, state = states
    return state


def test_a_loaded_service_answers(ready):
    one = ready(ScriptedModel(["Hello."]))
    assert one.status.state == "ready"
    (answer,) = last(one.run([Request("Hi")], threading.Event()))
    assert (answer.answer, answer.done) == ("Hello.", True)


def test_before_it_is_loaded_it_says_what_it_waits_for():
    states = Service(ModelSettings("scripted")).run([Request("Hi")], threading.Event())
    assert next(states) == Waiting("Loading the model scripted …")


def test_a_model_that_cannot_be_loaded_is_one_sentence():
    one = Service(ModelSettings("no-such-folder/model"))
    one.load()
    assert one.status.state == "failed"
    with pytest.raises(ModelError):
        next(one.run([Request("Hi")], threading.Event()))


def test_stopping_ends_generation_within_a_word(ready):
    model = ScriptedModel(["word " * 500], word_seconds=0.002)
    one = ready(model)
    stop = one.begin("page/chat")
    states = one.run([Request("Hi")], stop)
    while isinstance(next(states), Waiting) or model.steps < 3:
        pass
    one.stop("page/chat")
    before = model.steps
    (answer,) = last(states)
    assert model.steps <= before + 1
    assert answer.calls[0].finish == "stopped"


def test_closing_a_run_ends_it_and_frees_the_turn(ready):
    model = ScriptedModel(["word " * 500], word_seconds=0.002)
    one = ready(model)
    stop = threading.Event()
    states = one.run([Request("Hi")], stop)
    next(states)
    next(states)
    states.close()
    steps = model.steps
    assert stop.is_set()
    model._queue = ["Hello."]
    assert last(one.run([Request("Hi")], threading.Event()))[0].answer == "Hello."
    assert model.steps == steps + 1


def test_one_run_at_a_time_and_the_waiting_one_can_be_stopped(ready):
    one = ready(ScriptedModel(["word " * 500], word_seconds=0.002))
    first = one.run([Request("Hi")], threading.Event())
    next(first)
    stop = threading.Event()
    second = one.run([Request("Hi")], stop)
    assert next(second) == Waiting("Waiting for another answer to finish …")
    stop.set()
    assert list(second) == []
    first.close()


def test_an_error_frees_the_turn(ready):
    one = ready(ScriptedModel(["Hello."]))
    with pytest.raises(UnknownName):
        list(one.run([Request("Hi", strategy="no-such")], threading.Event()))
    assert last(one.run([Request("Hi")], threading.Event()))[0].done


def test_too_many_waiting_runs_are_refused(ready, monkeypatch):
    monkeypatch.setattr(service_module, "_MOST_WAITING", 0)
    with pytest.raises(ModelError, match="Too many"):
        next(ready(ScriptedModel(["x"])).run([Request("Hi")], threading.Event()))


def test_a_new_run_of_a_page_takes_the_place_of_the_old():
    one = Service(model=ScriptedModel(["x"]))
    old, new = one.begin("page"), one.begin("page")
    assert old.is_set()
    assert not new.is_set()
    assert one.is_current("page", new)
    one.end("page", old)
    assert one.is_current("page", new)
    one.discard("page")
    assert new.is_set()
    assert not one.is_current("page", new)


def test_updates_are_few_and_the_last_is_never_lost():
    def snapshots():
        for number in range(200):
            time.sleep(0.0005)
            yield number

    shown = list(throttled(snapshots(), 0.05))
    assert shown[0] == 0
    assert shown[-1] == 199
    assert len(shown) < 30
    assert list(throttled([], 1)) == []
    assert list(throttled([1], 1)) == [1]


def test_the_shelf_forgets_what_the_conversation_forgot():
    shelf = AnswerShelf()
    for turn in (1, 2, 3):
        shelf.put("page", turn, an_answer(message=f"m{turn}"))
    shelf.put("page", 2, an_answer(message="edited"))
    assert {turn: answer.message for turn, answer in shelf.turns("page").items()} == {1: "m1", 2: "edited"}
    shelf.forget("page", after=1)
    assert list(shelf.turns("page")) == [1]
    shelf.forget("page")
    assert shelf.get("page", 1) is None


def test_the_shelf_is_bounded():
    shelf = AnswerShelf()
    for page in range(100):
        shelf.put(str(page), 1, an_answer())
    assert shelf.get("0", 1) is None
    assert shelf.get("99", 1) is not None
