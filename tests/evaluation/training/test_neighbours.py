"""The effect of a fine-tuned encoder: what the nearest rows are worth under two encoders, compared in pairs."""

from threading import Event

import pytest

from assistant.answering import Assistant
from assistant.evaluation.training.neighbours import Shown, effect_of_encoder
from assistant.generation.chat_model import ScriptedModel
from assistant.prompting.tasks import load_task
from assistant.retrieval.index import list_indexes
from tests.tiny_models import reviews, save_bert


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return str(save_bert(tmp_path_factory.mktemp("bert")))


def effect_of(before, after, shown=None):
    rows, samples = reviews(40), reviews(20, prefix="t")
    return effect_of_encoder("x", (before, after), rows, samples, load_task("sentiment"), shown=shown)


def test_an_encoder_beside_itself_changes_nothing():
    effect = effect_of("toy", "toy", Shown(Assistant(ScriptedModel()), 12))
    for one in (effect, effect["few_shot"]):
        assert one["difference"] == 0
        assert one["before"] == one["after"]
        assert one["interval"][0] <= 0 <= one["interval"][1]
    assert effect["n"] == 20
    assert effect["few_shot"]["n"] == 12


def test_the_difference_is_after_less_before_and_no_index_is_left(bert):
    effect = effect_of("toy", bert)
    assert effect["few_shot"] is None
    assert effect["difference"] == pytest.approx(effect["after"]["accuracy"] - effect["before"]["accuracy"])
    assert not list_indexes()


def test_a_model_is_shown_the_rows_that_are_nearest_under_each_encoder(bert, monkeypatch):
    from assistant.evaluation.training import neighbours

    seen, answer = [], neighbours.answer_samples

    def watched(*given, **settings):
        seen.append(answer(*given, **settings))
        return seen[-1]

    monkeypatch.setattr(neighbours, "answer_samples", watched)
    effect = effect_of("toy", bert, Shown(Assistant(ScriptedModel()), 10))
    before, after = ([one.demonstrations for one in outcomes] for outcomes in seen)
    assert all(len(shown) == effect["k"] for shown in (*before, *after))
    assert before != after
    assert effect["few_shot"]["strategy"] == "dynamic-few-shot"


def test_of_a_model_that_was_stopped_nothing_is_said_and_no_index_is_left():
    stop = Event()
    stop.set()
    assert effect_of("toy", "toy", Shown(Assistant(ScriptedModel()), 12, stop)) is None
    assert not list_indexes()
