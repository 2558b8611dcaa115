"""The effect of a fine-tuned encoder: two votes of the nearest rows, compared in pairs."""

import pytest

from assistant.evaluation.training.neighbours import effect_on_neighbours
from assistant.prompting.tasks import load_task
from assistant.retrieval.index import list_indexes
from tests.tiny_models import reviews, save_bert


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return str(save_bert(tmp_path_factory.mktemp("bert")))


def test_an_encoder_beside_itself_changes_nothing():
    effect = effect_on_neighbours("x", ("toy", "toy"), reviews(40), reviews(20, prefix="t"), load_task("sentiment"))
    assert effect["difference"] == 0
    assert effect["before"] == effect["after"]
    assert effect["interval"][0] <= 0 <= effect["interval"][1]
    assert effect["n"] == 20


def test_the_difference_is_after_less_before_and_no_index_is_left(bert):
    effect = effect_on_neighbours("x", ("toy", bert), reviews(40), reviews(20, prefix="t"), load_task("sentiment"))
    assert effect["difference"] == pytest.approx(effect["after"]["accuracy"] - effect["before"]["accuracy"])
    assert not list_indexes()
