"""The effect of a fine-tuned encoder: what the nearest rows are worth under two encoders, compared in pairs."""

import shutil
from threading import Event

import pytest

from assistant.answering import Assistant
from assistant.errors import SettingError
from assistant.evaluation.training.neighbours import Shown, effect_of_encoder, index_of
from assistant.generation.chat_model import ScriptedModel
from assistant.prompting.tasks import load_task
from assistant.records import Query
from assistant.retrieval.index import list_indexes
from assistant.retrieval.selectors import Pool, select
from assistant.settings import GuardSettings, RetrievalSettings
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


def test_an_index_of_that_name_is_neither_built_over_nor_deleted():
    rows, task = reviews(10), load_task("sentiment")
    with index_of("x-before", "toy", reviews(4), task) as mine, index_of("x-before", "toy", rows, task) as other:
        assert mine.name != other.name
        assert (len(mine), len(other)) == (4, 10)


def test_a_vote_of_no_rows_is_refused():
    with pytest.raises(SettingError, match="At least 1 of the nearest rows"):
        effect_of_encoder("x", ("toy", "toy"), reviews(8), reviews(4, prefix="t"), load_task("sentiment"), k=0)
    assert not list_indexes()


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


@pytest.mark.parametrize(("taught", "shown"), [(False, 0), (True, 3)])
def test_what_a_taught_encoder_draws_together_is_not_taken_for_a_copy(bert, tmp_path, taught, shown):
    folder = tmp_path / "encoder"
    shutil.copytree(bert, folder)
    if taught:
        (folder / "encoder.json").write_text("{}")
    strict = RetrievalSettings(k=3, guard=GuardSettings(cosine=-1.0))
    with index_of("x", str(folder), reviews(40), load_task("sentiment")) as index:
        selection = select("nearest", Query({"text": "the same film was really witty"}), Pool(index), strict)
    assert len(selection.hits) == shown
