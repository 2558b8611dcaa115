"""What the chat shows while it answers, with plain words in the place of components."""

import pytest

from assistant.generation.chat_model import ScriptedModel
from assistant.web.chat_page import ChatPage
from assistant.web.compare_page import ComparePage
from assistant.web.service import Service
from assistant.web.settings_panel import Panel
from tests.web.test_content import an_answer

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
    return ChatPage(service, a_panel(), "strategy", "chatbot", "strip", "box", "chosen", "demonstrations", "prompt")


def broken(prompt, sampling):
    raise RuntimeError("not foreseen")


def test_what_goes_wrong_unforeseen_gives_the_message_back(serving):
    service = serving(broken)
    shown = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    updates = a_chat(service).answer("page", shown, "Hi", "zero-shot", VALUES)
    seen = []
    with pytest.raises(RuntimeError, match="not foreseen"):
        seen.extend(updates)
    assert seen[-1]["chatbot"] == shown
    assert (seen[-1]["box"]["value"], seen[-1]["box"]["submit_btn"]) == ("Hi", "Send")
    assert 'role="alert"' in seen[-1]["strip"]
    assert not service._runs


def test_a_comparison_that_goes_wrong_unforeseen_can_be_sent_again(serving):
    page = ComparePage(serving(broken), a_panel(), "strategies", "box", "examples", "strip", "summary", list("1234"))
    seen = []
    with pytest.raises(RuntimeError):
        seen.extend(page.answer("page", "Hi", ["zero-shot", "static-few-shot"], VALUES))
    assert seen[-1]["box"]["submit_btn"] == "Compare"
    assert 'role="alert"' in seen[-1]["strip"]


def test_a_column_that_is_done_is_left_alone(serving):
    page = ComparePage(serving(["x"]), a_panel(), "strategies", "box", "examples", "strip", "summary", list("1234"))
    running, done = an_answer(done=False), an_answer()
    assert set(page._snapshot((running, running), ())) == {"summary", *"1234"}
    assert set(page._snapshot((done, running), (running, running))) == {"summary", "1", "2"}
    assert set(page._snapshot((done, done), (done, running))) == {"summary", "2"}


def test_leaving_the_page_while_it_answers_is_quiet(serving):
    updates = a_chat(serving(["word " * 50])).answer("page", [], "Hi", "zero-shot", VALUES)
    next(updates)
    next(updates)
    updates.close()


def test_an_answer_that_was_discarded_shows_nothing_more(serving):
    service = serving(["word " * 50])
    updates = a_chat(service).answer("page", [], "Hi", "zero-shot", VALUES)
    next(updates)
    next(updates)
    service.discard("page/chat")
    assert list(updates) == []


def test_another_task_has_other_ids_to_pin():
    update = a_panel().for_task("sentiment")
    assert all((update[name]["value"], update[name]["choices"]) == ([], []) for name in ("pinned", "banned"))
