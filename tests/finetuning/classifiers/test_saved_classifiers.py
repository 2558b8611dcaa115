"""Folders of classifiers: whole ones open, damaged and foreign ones are refused in one sentence."""

import json

import pytest

from assistant.errors import ClassifierError
from assistant.finetuning.classifiers.predicting import load_classifier
from assistant.finetuning.classifiers.saved import (
    CARD,
    add_scores,
    classifier_names,
    delete_classifier,
    open_classifier,
)
from assistant.finetuning.classifiers.training import train_classifier
from assistant.finetuning.marks import Marks, text_mark, write_marks
from tests.tiny_models import review_rows, reviews, save_bert


@pytest.fixture
def saved(settings):
    return train_classifier(review_rows(), settings("feature-based"), "mine")


def test_a_classifier_is_found_by_name_and_by_folder(saved):
    assert open_classifier("mine").folder == saved.folder
    assert open_classifier(str(saved.folder)).name == "mine"


def test_a_name_that_is_not_there_is_refused_with_those_there_are(saved):
    with pytest.raises(ClassifierError) as caught:
        open_classifier("yours")
    assert "mine" in caught.value.hint


@pytest.mark.parametrize("name", ["..", ".", "", "mine/../mine/.."])
def test_no_name_leads_out_of_the_folder(saved, name):
    with pytest.raises(ClassifierError):
        open_classifier(name)


FILES = {
    "edited weights": lambda model: (model / "head.safetensors").write_bytes(b"\1"),
    "missing weights": lambda model: (model / "head.safetensors").unlink(),
    "a pickle": lambda model: (model / "more.bin").write_bytes(b"x"),
    "a strange file": lambda model: (model / "adapter_model.safetensors").write_bytes(b"x"),
    "a torn card": lambda model: (model.parent / CARD).write_text("{"),
    "a card that is a list": lambda model: (model.parent / CARD).write_text("[]"),
}
CARDS = {
    "labels that are no list": {"labels": "negative"},
    "a later format": {"format": 2},
    "an unknown method": {"settings": {"method": "magic"}},
    "an unknown setting": {"settings": {"magic": 1}},
    "settings of text": {"settings": {"words": "many"}},
    "fewer labels": {"labels": ["negative"]},
    "another base": {"base": {"name": "default", "sha256": "0"}},
    "no base": {"base": {}},
}


def damage(folder, what):
    if what in FILES:
        FILES[what](folder / "model")
    else:
        card = folder / CARD
        card.write_text(json.dumps(json.loads(card.read_text()) | CARDS[what]))


@pytest.mark.parametrize("what", [*FILES, *CARDS])
def test_a_damaged_or_foreign_folder_is_refused_in_one_sentence(saved, what):
    from assistant.errors import ModelError

    damage(saved.folder, what)
    with pytest.raises(ModelError) as caught:
        load_classifier("mine")
    assert "\n" not in caught.value.sentence()


def test_a_base_whose_weights_have_changed_is_refused(tmp_path, settings):
    folder = save_bert(tmp_path / "base")
    train_classifier(review_rows(), settings("lora", encoder=str(folder)), "mine")
    save_bert(folder, seed=1)
    with pytest.raises(ClassifierError, match="other weights"):
        load_classifier("mine")


def test_a_whole_model_needs_its_base_no_more(tmp_path, settings):
    import shutil

    folder = save_bert(tmp_path / "base")
    train_classifier(review_rows(), settings("full", encoder=str(folder)), "mine")
    shutil.rmtree(folder)
    assert load_classifier("mine").predict([{"text": "a good film"}])[0].label in ("negative", "positive")


def test_what_the_base_has_learnt_from_is_inherited(settings, tmp_path):
    base = save_bert(tmp_path / "first" / "model")
    write_marks(base.parent, Marks(frozenset({"text of the base"}), frozenset({"its group"})))
    saved = train_classifier(review_rows(), settings("feature-based", encoder=str(base)), "second")
    assert {"text of the base", text_mark(review_rows().train[0].inputs)} <= saved.marks().texts
    assert saved.marks().groups == {"its group"}


def test_what_it_was_trained_on_is_known_without_the_rows(saved):
    texts, groups = saved.marks().texts, saved.marks().groups
    assert text_mark(reviews(1)[0].inputs) in texts
    assert text_mark({"text": "never seen"}) not in texts
    assert groups == frozenset()
    assert "good" not in (saved.folder / "trained_on.json").read_text()


def test_scores_are_added_to_the_card_and_those_of_other_rows_stay(saved):
    add_scores("mine", {"a": {"accuracy": 0.5}})
    add_scores("mine", {"b": {"accuracy": 0.75}})
    assert open_classifier("mine").record["scores"] == {"a": {"accuracy": 0.5}, "b": {"accuracy": 0.75}}


def test_only_what_lies_under_adapters_is_deleted(saved, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    saved.folder.rename(elsewhere)
    with pytest.raises(ClassifierError, match="does not lie under adapters"):
        delete_classifier(str(elsewhere))
    elsewhere.rename(saved.folder)
    assert delete_classifier("mine") == saved.folder
    assert classifier_names() == ()
