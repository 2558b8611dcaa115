"""Content-free prompts: what they show, and that each is scored once."""

import math
import threading

import pytest

from assistant.answering import Assistant, Request
from assistant.errors import SettingError
from assistant.evaluation.running.reference_scores import ReferenceScores, label_lengths, reference_prompts
from assistant.generation.chat_model import ScriptedModel
from tests.toys import make_reviews


@pytest.fixture
def toy(home):
    return make_reviews(home)


def asked(strategy="dynamic-few-shot", message="a witty film", task="sentiment", **changes):
    return Request(message, strategy, task, "toy" if task == "sentiment" else None, reading="labels", **changes)


def prompts_of(request, calibration):
    assistant = Assistant(ScriptedModel())
    prepared = assistant.prepare(request)
    return prepared, reference_prompts(assistant, request, prepared, calibration)


def test_contextual_prompts_show_the_same_demonstrations_in_the_same_order_and_ask_nothing(toy):
    prepared, prompts = prompts_of(asked(), "contextual")
    assert [prompt.messages[-1]["content"] for prompt in prompts] == ["Review: N/A", "Review: [MASK]", "Review:"]
    assert len(prepared.shown) > 1
    for prompt in prompts:
        assert prompt.messages[:-1] == prepared.rendered.messages[:-1]


def test_dc_pmi_has_one_prompt_without_demonstrations_and_question(toy):
    _, (prompt,) = prompts_of(asked(), "dc-pmi")
    assert [message["role"] for message in prompt.messages] == ["system", "user"]
    assert prompt.messages[-1]["content"] == "Review:"


def test_every_field_of_a_pair_is_made_content_free():
    _, prompts = prompts_of(asked("static-few-shot", "A cat sat.\nA dog ran.", "paraphrase"), "contextual")
    assert all("cat sat" not in prompt.text for prompt in prompts)
    assert prompts[0].messages[-1]["content"].count("N/A") == 2


def test_a_published_template_is_filled_with_nothing():
    _, prompts = prompts_of(asked("imdb-few-shot", "a witty film"), "contextual")
    assert len(prompts) == 3
    assert all("a witty film" not in prompt.text for prompt in prompts)


@pytest.mark.parametrize("calibration", ["none", "batch", "characters", "tokens"])
def test_the_others_need_no_prompt(toy, calibration):
    assert prompts_of(asked(), calibration)[1] == ()


def test_labels_scored_after_reasoning_have_no_content_free_prompt(toy):
    for calibration in ("contextual", "dc-pmi"):
        with pytest.raises(SettingError, match="after reasoning"):
            prompts_of(asked("zero-shot-cot"), calibration)
    assert prompts_of(asked("zero-shot-cot"), "batch")[1] == ()


def references(model, requests, calibrations=("none", "contextual", "dc-pmi", "batch")):
    assistant = Assistant(model)
    scores = ReferenceScores(assistant)
    return [scores.of(request, assistant.prepare(request), calibrations) for request in requests]


def test_static_demonstrations_pay_once_and_retrieved_ones_once_per_set(toy):
    model = ScriptedModel()
    messages = ["a witty film", "a dull film", "quite nice"]
    found = references(model, [asked("static-few-shot", message) for message in messages])
    assert len(model.history) == 3 + 1
    assert found[0] == found[1] == found[2]
    model = ScriptedModel()
    requests = [asked(message=message) for message in [*messages, messages[0]]]
    found = references(model, requests)
    sets = {Assistant(model).prepare(request).prompt.origins for request in requests}
    assert 1 < len(sets) < len(requests)
    assert len(model.history) == 3 * len(sets) + 1
    assert found[0] == found[3]


def test_reference_scores_are_those_of_the_model_by_the_task_s_labels(toy):
    (found,) = references(ScriptedModel(["positive"]), [asked("static-few-shot")])
    assert set(found) == {"contextual", "dc-pmi"}
    assert [len(found[name].scores) for name in ("contextual", "dc-pmi")] == [3, 1]
    expected = {"negative": math.log(0.1), "positive": math.log(0.9)}
    assert all(scores == pytest.approx(expected) for many in found.values() for scores in many.scores)


def test_scores_that_were_not_reached_are_asked_for_again(toy):
    stop = threading.Event()
    stop.set()
    assistant = Assistant(ScriptedModel())
    scores, request = ReferenceScores(assistant), asked("static-few-shot")
    prepared = assistant.prepare(request)
    assert scores.of(request, prepared, ["contextual"], stop) == {}
    assert len(scores.of(request, prepared, ["contextual"])["contextual"].scores) == 3


def test_lengths_are_those_of_the_reply_that_is_scored(toy):
    assistant = Assistant(ScriptedModel())
    plain = label_lengths(assistant, assistant.prepare(asked()))
    assert plain == {"negative": (8, 8), "positive": (8, 8)}  # its tokens are bytes
    whole = label_lengths(assistant, assistant.prepare(asked("imdb-few-shot")))
    assert whole["positive"][0] == len("This review belongs to 'class_1'")
