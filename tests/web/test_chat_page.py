"""What the chat shows while it answers, with plain words in the place of components."""

import itertools

import pytest

from assistant.errors import AdapterError
from assistant.generation.chat_model import ScriptedModel
from assistant.generation.chat_models import AdapterChoice
from assistant.settings import ModelSettings
from assistant.web import adapter_choice
from assistant.web.chat_page import ChatPage
from assistant.web.compare_page import ComparePage
from assistant.web.service import Service
from assistant.web.settings_panel import Panel
from tests.web.test_content import an_answer

CHAT = ("strategy", "adapter", "chatbot", "strip", "compare", "box", "chosen", "demonstrations", "prompt")
COMPARE = ("strategies", "adapters", "wished", "box", "examples", "strip", "summary", list("1234"))
VALUES = ("chat", "", 4, "nearest", "nearest-last", True, [], [], "generate", "default", True, 0, 1, 16, 0)


@pytest.fixture
def serving(monkeypatch):
    def make(reply):
        service = Service(model=ScriptedModel(reply))
        monkeypatch.setattr(service, "_prepare_retrieval", lambda: ())
        service.load()
        return service

    return make


def a_panel():
    return Panel("task", {name: name for name in ("index", "wording", "remember", "pinned", "banned")})


def a_chat(service):
    return ChatPage(service, a_panel(), *CHAT)


def broken(prompt, sampling):
    raise RuntimeError("not foreseen")


def test_what_goes_wrong_unforeseen_gives_the_message_back(serving):
    service = serving(broken)
    shown = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    updates = a_chat(service).answer("page", shown, "Hi", "zero-shot", "none", VALUES)
    seen = []
    with pytest.raises(RuntimeError, match="not foreseen"):
        seen.extend(updates)
    assert seen[-1]["chatbot"] == shown
    assert (seen[-1]["box"]["value"], seen[-1]["box"]["submit_btn"]) == ("Hi", "Send")
    assert 'role="alert"' in seen[-1]["strip"]
    assert not service._runs


def test_a_comparison_that_goes_wrong_unforeseen_can_be_sent_again(serving):
    page = ComparePage(serving(broken), a_panel(), *COMPARE)
    seen = []
    with pytest.raises(RuntimeError):
        seen.extend(page.answer("page", "Hi", ["zero-shot", "static-few-shot"], ["none"], VALUES))
    assert seen[-1]["box"]["submit_btn"] == "Compare"
    assert 'role="alert"' in seen[-1]["strip"]


def test_a_column_that_is_done_is_left_alone(serving):
    page = ComparePage(serving(["x"]), a_panel(), *COMPARE)
    running, done = an_answer(done=False), an_answer()
    assert set(page._snapshot((running, running), ())) == {"summary", *"1234"}
    assert set(page._snapshot((done, running), (running, running))) == {"summary", "1", "2"}
    assert set(page._snapshot((done, done), (done, running))) == {"summary", "2"}


def test_leaving_the_page_while_it_answers_is_quiet(serving):
    updates = a_chat(serving(["word " * 50])).answer("page", [], "Hi", "zero-shot", "none", VALUES)
    next(updates)
    next(updates)
    updates.close()


def test_an_answer_that_was_discarded_shows_nothing_more(serving):
    service = serving(["word " * 50])
    updates = a_chat(service).answer("page", [], "Hi", "zero-shot", "none", VALUES)
    next(updates)
    next(updates)
    service.discard("page/chat")
    assert list(updates) == []


def test_another_task_has_other_ids_to_pin():
    update = a_panel().for_task("sentiment")
    assert all((update[name]["value"], update[name]["choices"]) == ([], []) for name in ("pinned", "banned"))


@pytest.fixture
def adaptable(monkeypatch):
    """A service whose models are scripted, alone and with each of two adapters."""

    class Models:
        def get(self, adapter):
            model = ScriptedModel([f"{adapter or 'none'} speaks"])
            if adapter == "other":
                raise AdapterError("There is no adapter 'other'.")
            if adapter in ("mine", "yours"):
                model.adapter, model.adapter_sha256 = adapter, "abcdef0123" * 6
            return model

        def choices(self):
            return (AdapterChoice("mine", "mine"), AdapterChoice("/far/yours", "yours"), AdapterChoice("x", "x", "No."))

    service = Service(models=Models())
    monkeypatch.setattr(service, "_prepare_retrieval", lambda: ())
    service.load()
    return service


def test_a_message_is_answered_with_the_adapter_that_is_chosen(adaptable):
    chat = a_chat(adaptable)
    for adapter, said in (("none", "none speaks"), ("mine", "mine speaks")):
        *_, shown, _ = chat.answer("page", [], "Hi", "zero-shot", adapter, VALUES)
        assert shown["chatbot"][-1]["content"] == said
        assert (f"adapter {adapter} abcdef01" if adapter == "mine" else "no adapter") in shown["strip"]
        assert shown["compare"]["visible"] == (adapter == "mine")
    *_, last = chat.answer("page", [], "Hi", "zero-shot", "other", VALUES)
    assert "There is no adapter" in last["strip"]
    assert last["box"]["value"] == "Hi"


def test_columns_are_each_strategy_with_each_adapter(adaptable):
    page = ComparePage(adaptable, a_panel(), *COMPARE)
    chosen = ["zero-shot", "static-few-shot"], ["none", "mine"]
    *_, last, _ = page.answer("page", "Hi", *chosen, VALUES)
    found = [last[number] for number in "1234"]
    for column, (strategy, adapter) in zip(found, itertools.product(*chosen), strict=True):
        assert f'data-strategy="{strategy}" data-adapter="{adapter.replace("none", "")}"' in column
        assert f"{adapter} speaks" in column


@pytest.mark.parametrize(
    ("strategies", "adapters", "word"),
    [
        (["zero-shot"], ["none"], "2 to 4 columns"),
        (["zero-shot", "static-few-shot", "zero-shot-cot"], ["none", "mine"], "2 to 4 columns"),
        (["zero-shot", "static-few-shot"], [], "at least one adapter"),
    ],
)
def test_a_wrong_number_of_columns_is_one_sentence(adaptable, strategies, adapters, word):
    (only,) = ComparePage(adaptable, a_panel(), *COMPARE).answer("page", "Hi", strategies, adapters, VALUES)
    assert word in only["strip"]


def test_comparing_with_base_is_one_strategy_in_two_columns(adaptable):
    panel = a_panel()
    panel.shared |= {name: name for name in ("k", "selector", "order", "guard", "reading")}
    page = ComparePage(adaptable, panel, *COMPARE)
    update = page.with_base("Hi", "chat", "zero-shot", "mine")
    assert (update["adapters"]["value"], update["strategies"]["value"]) == (["none", "mine"], ["zero-shot"])
    four = ["zero-shot", "zero-shot-cot", "static-few-shot", "dynamic-few-shot"]
    assert page.for_adapters("sentiment", four, ["none", "mine"])["strategies"]["value"] == four[:2]
    assert page.for_adapters("sentiment", four, ["none"])["strategies"]["value"] == four
    assert len(page.for_task("sentiment", ["none", "mine"])["strategies"]["value"]) == 2


def test_only_adapters_that_fit_are_offered_and_an_answers_adapter_is_found_again(adaptable):
    offered = adapter_choice.choices(adaptable)
    assert offered == [(adapter_choice.BASE, "none"), ("mine", "mine"), ("yours (/far/yours)", "/far/yours")]
    assert adapter_choice.about(adaptable) == "2 for this model. 1 of other models not listed."
    assert adapter_choice.value_of(adaptable, "yours") == "/far/yours"
    assert adapter_choice.value_of(adaptable, None) == "none"


def test_where_there_is_no_adapter_the_dropdown_says_how_to_make_one(serving):
    assert adapter_choice.choices(serving(["x"])) == [(adapter_choice.BASE, "none")]
    assert "shotwise adapter train" in adapter_choice.about(serving(["x"]))
    loading = Service(ModelSettings("scripted", adapter="mine"))
    assert adapter_choice.choices(loading) == [(adapter_choice.BASE, "none"), ("mine", "mine")]
    assert "once the model is loaded" in adapter_choice.about(loading)
