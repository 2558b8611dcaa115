"""`shotwise encoder …`, as a person types it."""

import json
import signal

import pytest

from assistant.commands.training_options import TrainingBar
from assistant.errors import ModelError
from assistant.generation.loading import load_chat_model
from assistant.settings import ModelSettings
from tests.test_cli import one_sentence, shotwise
from tests.tiny_models import reviews, save_bert
from tests.toys import write_reviews

__all__ = ["shotwise"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return str(save_bert(tmp_path_factory.mktemp("bert")))


@pytest.fixture
def train(bert, home):
    path = home / "rows.jsonl"
    lines = [{"id": one.id, **one.inputs, "label": one.targets[0]} for one in reviews(120)]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return [
        *("encoder", "train", str(path), "--name", "mine", "--encoder", bert, "--task", "sentiment"),
        *("--epochs", "1", "--learning-rate", "0.003", "--max-tokens", "32", "--device", "cpu"),
        *("--model", "scripted", "--few-shot", "10"),
    ]


def test_an_encoder_is_trained_measured_listed_and_used(shotwise, train, home):
    code, out, err = shotwise(*train)
    assert code == 0, err
    assert "BatchHardSoftMarginTripletLoss" in out
    heads = [line.split()[0] for line in out.splitlines() if line.startswith(("before", "after"))]
    assert heads == ["before", "after"] * 2
    assert out.count("Difference, paired:") == 2
    assert "scripted, shown the 4 nearest (dynamic-few-shot), on 10 rows" in out
    assert "mine" in shotwise("encoder", "list")[1]
    (one,) = json.loads(shotwise("encoder", "list", "--json")[1])
    (effect,) = one["effect"].values()
    assert effect["difference"] == pytest.approx(effect["after"]["accuracy"] - effect["before"]["accuracy"])
    built = shotwise(
        *("index", "build", str(write_reviews(home)), "--name", "by-mine", "--input", "text", "--output", "label"),
        *("--encoder", str(home / "adapters" / "mine")),
    )
    assert built[0] == 0, built
    assert json.loads(shotwise("index", "list", "--json")[1])[0]["name"] == "by-mine"


def test_a_training_that_was_stopped_can_be_dropped(shotwise, train, home, monkeypatch):
    monkeypatch.setattr(TrainingBar, "tell", lambda bar, progress: signal.raise_signal(signal.SIGINT))
    assert shotwise(*train)[0] == 130
    work = home / "runs" / "encoders" / "mine"
    code, out, err = shotwise("encoder", "delete", "mine", "--yes")
    assert (code, out.strip()) == (0, f"Deleted {work}."), err
    assert not work.exists()
    assert shotwise("encoder", "delete", "mine", "--yes")[0] == 2


def test_an_encoder_is_shown_measured_again_and_deleted(shotwise, train, home):
    assert shotwise(*train)[0] == 0
    path = train[2]
    code, out, err = shotwise("encoder", "show", "mine")
    assert code == 0, err
    assert "loss on rows kept aside" in out
    assert out.count("Difference, paired:") == 2
    told = json.loads(shotwise("encoder", "show", "mine", "--json")[1])
    assert told["folder"].endswith("mine")
    again = ("encoder", "evaluate", "mine", path, "--task", "sentiment", "--k", "3", "--few-shot", "0")
    code, out, err = shotwise(*again)
    assert code == 0, err
    assert "The vote of the 3 nearest" in out
    assert out.count("Difference, paired:") == 1
    # A longer file is cut otherwise: what the encoder has learnt from is left out, and that is said.
    with open(path, "a", encoding="utf-8") as stream:
        for one in reviews(60, prefix="n"):
            stream.write("\n" + json.dumps({"id": one.id, **one.inputs, "label": one.targets[0]}))
    code, out, err = shotwise(*again, "--json")
    assert code == 0, err
    assert "the encoder has learnt from them" in err
    assert 0 < json.loads(out)["effect"]["n"] < 36
    code, out, err = shotwise("encoder", "delete", "mine", "--yes")
    assert code == 0, err
    assert not (home / "adapters" / "mine").exists()
    one_sentence(shotwise("encoder", "show", "mine"))


def test_a_model_that_is_nowhere_is_refused_before_anything_is_learnt_as_it_is_when_loaded(shotwise, train, home):
    with pytest.raises(ModelError) as error:
        load_chat_model(ModelSettings(model="nonexist"))
    one_sentence(shotwise(*train, "--model", "nonexist"), error.value.sentence())
    assert not (home / "adapters").exists()
    assert not (home / "runs").exists()


def test_an_encoder_is_not_held_against_a_base_that_has_changed(shotwise, train, home, monkeypatch):
    save_bert(home / "dm")
    monkeypatch.chdir(home)
    assert shotwise(*train, "--few-shot", "0", "--encoder", "./dm")[0] == 0
    again = ("encoder", "evaluate", "mine", train[2], "--task", "sentiment", "--few-shot", "0")
    (home / "elsewhere").mkdir()
    monkeypatch.chdir(home / "elsewhere")
    code, out, err = shotwise(*again)
    assert code == 0, err
    assert "before" in out
    save_bert(home / "dm", seed=1)
    one_sentence(shotwise(*again), "The encoder 'mine' was trained on other weights", "or train it again")


@pytest.mark.parametrize("words", [("train", "reviews", "--name", "x"), ("evaluate", "nobody", "reviews")])
def test_a_vote_of_no_rows_cannot_be_asked_for(shotwise, words):
    one_sentence(shotwise("encoder", *words, "-k", "0"), "greater than or equal to 1")


def test_there_may_be_none_yet(shotwise):
    assert "No encoder was trained here yet" in shotwise("encoder", "list")[2]


@pytest.mark.parametrize(
    "words",
    [
        ("encoder", "train", "reviews", "--name", "../x"),
        ("encoder", "train", "reviews", "--name", "x", "--loss", "magic"),
        ("encoder", "train", "reviews", "--name", "x", "--encoder", "no/such/folder/at/all"),
        ("encoder", "train", "reviews", "--name", "x", "--encoder", "demo"),
        ("encoder", "train", "word-problems", "--name", "x"),
        ("encoder", "train", "reviews", "--name", "x", "--batch-size", "1"),
        ("encoder", "train", "reviews", "--name", "x", "--model", "no/such/model/at/all"),
        ("encoder", "evaluate", "nobody", "reviews"),
        ("encoder", "show", "nobody"),
        ("encoder", "delete", "nobody"),
        ("encoder", "delete", "../nobody"),
    ],
)
def test_mistakes_are_told_in_one_sentence(shotwise, words):
    one_sentence(shotwise(*words))
