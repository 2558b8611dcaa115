"""`shotwise classifier …`, as a person types it."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assistant.commands.training_options import TrainingBar
from tests.test_cli import one_sentence, shotwise
from tests.tiny_models import pairs, reviews, save_bert
from tests.toys import make_reviews

__all__ = ["shotwise"]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return str(save_bert(tmp_path_factory.mktemp("bert")))


def written(path, samples):
    lines = [{"id": one.id, **one.inputs, "label": one.targets[0]} for one in samples]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return str(path)


@pytest.fixture
def rows(home):
    return written(home / "rows.jsonl", reviews(150))


@pytest.fixture
def train(bert):
    def arguments(source, *others, task="sentiment"):
        return [
            *("classifier", "train", source, "--name", "mine", "--encoder", bert, "--task", task),
            *("--epochs", "2", "--batch-size", "16", "--max-tokens", "32", "--device", "cpu", *others),
        ]

    return arguments


def test_training_shows_what_learns_and_what_it_is_worth(shotwise, train, rows, home):
    code, out, err = shotwise(*train(rows, "--method", "frozen-head"))
    assert code == 0, err
    assert "frozen-head on bert" in out
    assert "learns   the head" in out
    assert "ROC-AUC" in out
    assert "meant \\ answered" in out
    assert "Epoch 2: loss" in err
    assert "Writing" not in err
    assert (home / "adapters" / "mine" / "classifier.json").is_file()


def test_a_stopped_reading_of_texts_says_how_to_go_on(shotwise, train, rows, monkeypatch):
    words = train(rows, "--method", "feature-based")
    with monkeypatch.context() as patched:
        patched.setattr(sys, "argv", ["shotwise", *words])
        patched.setattr(TrainingBar, "tell", lambda bar, progress: signal.raise_signal(signal.SIGINT))
        code, _, err = shotwise(*words)
    assert code == 130
    assert "Stopped before anything was learnt." in err
    (again,) = [line.removeprefix("Go on with: ") for line in err.splitlines() if line.startswith("Go on with: ")]
    code, out, err = shotwise(*shlex.split(again)[1:])
    assert code == 0, err
    assert "ROC-AUC" in out


def test_a_training_that_was_stopped_can_be_dropped(shotwise, train, rows, home, monkeypatch):
    monkeypatch.setattr(TrainingBar, "tell", lambda bar, progress: signal.raise_signal(signal.SIGINT))
    assert shotwise(*train(rows))[0] == 130
    work = home / "runs" / "classifiers" / "mine"
    assert any(work.iterdir())
    code, out, err = shotwise("classifier", "delete", "mine", "--yes")
    assert (code, out.strip()) == (0, f"Deleted {work}."), err
    assert not work.exists()
    assert shotwise("classifier", "delete", "mine", "--yes")[0] == 2


def test_figures_are_of_rows_that_were_not_trained_on(shotwise, train, rows, home):
    _, out, _ = shotwise(*train(rows, "--method", "feature-based", "--test-rows", "20", "--json"))
    told = json.loads(out)
    assert told["scores"]["n"] == 20
    card = json.loads((home / "adapters" / "mine" / "classifier.json").read_text("utf-8"))
    assert card["scores"][rows] == told["scores"]
    assert card["data"]["rows"] + card["data"]["dev_rows"] + 20 <= 150


def test_pairs_are_trained_and_told(shotwise, train, home):
    source = written(home / "pairs.jsonl", pairs(80))
    assert shotwise(*train(source, "--method", "full", task="paraphrase"))[0] == 0
    code, out, err = shotwise("classifier", "predict", "mine", "the film is good ||| a good film")
    assert code == 0
    assert out.strip() in ("no", "yes")
    assert "%" in err


def test_listing_showing_predicting_and_deleting(shotwise, train, rows, home):
    shotwise(*train(rows, "--method", "feature-based"))
    assert "feature-based" in shotwise("classifier", "list")[1]
    (one,) = json.loads(shotwise("classifier", "list", "--json")[1])
    assert one["classifier"] == "mine"
    assert "logistic regression" in shotwise("classifier", "show", "mine")[1]
    assert json.loads(shotwise("classifier", "show", "mine", "--json")[1])["labels"] == ["negative", "positive"]
    answer = json.loads(shotwise("classifier", "predict", "mine", "a good film", "--json")[1])
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert shotwise("classifier", "predict", "mine", "-", stdin="a bad film")[0] == 0
    assert shotwise("classifier", "delete", "mine")[0] == 0
    assert not (home / "adapters" / "mine").exists()
    assert "no classifier yet" in shotwise("classifier", "list")[2]


def test_a_damaged_card_is_listed_with_what_is_wrong(shotwise, train, rows, home):
    shotwise(*train(rows, "--method", "feature-based"))
    (home / "adapters" / "mine" / "classifier.json").write_text("{}")
    code, out, _ = shotwise("classifier", "list")
    assert code == 0
    assert "cannot be used" in out


def test_evaluating_puts_it_beside_the_rows_without_a_model(shotwise, train, rows, home):
    make_reviews(home)
    shotwise(*train(rows, "--method", "feature-based"))
    fresh = written(home / "fresh.jsonl", reviews(30, prefix="f"))
    code, out, err = shotwise(
        *("classifier", "evaluate", "mine", fresh, "--index", "toy", "--html", str(home / "page.html"))
    )
    assert code == 0, err
    assert {"majority", "knn-vote", "logistic-regression", "classifier:mine"} <= {
        line.split("  ")[0] for line in out.splitlines()
    }
    assert "compared with majority" in out
    assert "meant \\ answered" in out
    page = (home / "page.html").read_text("utf-8")
    assert "classifier:mine" in page
    assert "<svg" in page


def measuring(err):
    """Return the command that is said to measure a classifier that was kept."""
    said = "The classifier is kept. Measure it: shotwise "
    (line,) = [line for line in err.splitlines() if line.startswith(said)]
    return shlex.split(line.removeprefix(said))


def scores_in(home):
    return json.loads((home / "adapters" / "mine" / "classifier.json").read_text("utf-8"))["scores"]


def test_a_classifier_whose_measuring_was_stopped_is_kept_and_measured_as_is_said(
    shotwise, train, rows, home, monkeypatch
):
    from assistant.evaluation.training import scoring

    def stopped(*_):
        raise KeyboardInterrupt

    make_reviews(home)
    method = ("--method", "feature-based", "--test-rows", "20")
    with monkeypatch.context() as patched:
        patched.setattr(scoring, "held_out_outcomes", stopped)
        code, _, err = shotwise(*train(rows, *method, "--output", "label"))
    assert code == 130
    assert scores_in(home) == {}
    words = measuring(err)
    assert words == ["classifier", "evaluate", "mine", rows, "--output", "label", "--limit", "20"]
    code, _, err = shotwise(*words, "--index", "toy")
    assert code == 0, err
    measured = scores_in(home)
    assert measured[rows]["n"] == 20
    assert "ROC-AUC" in shotwise("classifier", "show", "mine")[1]
    assert shotwise(*train(rows, *method, "--output", "label", "--replace"))[0] == 0
    accuracy = [scores[rows]["accuracy"] for scores in (measured, scores_in(home))]
    assert accuracy[0] == accuracy[1]


def test_rows_of_whole_groups_are_all_measured_on_after_a_stop(shotwise, train, home, monkeypatch):
    from assistant.evaluation.training import scoring

    def stopped(name, samples, *_):
        counts.append(len(samples))
        raise KeyboardInterrupt

    counts = []
    make_reviews(home)
    lines = [json.dumps({**one.inputs, "label": one.targets[0], "film": at // 3}) for at, one in enumerate(reviews(90))]
    (home / "films.jsonl").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(scoring, "held_out_outcomes", stopped)
    words = train(str(home / "films.jsonl"), "--method", "feature-based", "--test-rows", "12", "--group", "film")
    _, _, err = shotwise(*words)
    code, _, err = shotwise(*measuring(err), "--index", "toy")
    assert code == 0, err
    (figures,) = scores_in(home).values()
    assert [figures["n"]] == counts


def test_a_stop_at_the_last_step_is_not_forgotten_while_it_is_measured(shotwise, train, rows, home, monkeypatch):
    def press(bar, progress):
        if progress.dev_loss is not None and progress.step == progress.steps:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(TrainingBar, "tell", press)
    code, out, err = shotwise(*train(rows, "--method", "frozen-head"))
    assert code == 130
    assert out == ""
    assert measuring(err)[:3] == ["classifier", "evaluate", "mine"]
    assert scores_in(home) == {}


def test_rows_that_it_was_trained_on_are_left_out_of_an_evaluation(shotwise, train, rows, home):
    make_reviews(home)
    shotwise(*train(rows, "--method", "feature-based"))
    _, out, _ = shotwise("classifier", "evaluate", "mine", rows, "--index", "toy")
    assert "has learnt from" in out


def test_evaluate_takes_it_as_a_row_of_the_same_leaderboard(shotwise, train, rows, home):
    make_reviews(home)
    shotwise(*train(rows, "--method", "feature-based"))
    fresh = written(home / "fresh.jsonl", reviews(12, prefix="f"))
    code, out, err = shotwise(
        *("evaluate", fresh, "--task", "sentiment", "--index", "toy", "--model", "scripted"),
        *("--strategies", "zero-shot,dynamic-few-shot", "--classifier", "mine"),
    )
    assert code == 0, err
    names = {line.split("  ")[0] for line in out.splitlines()}
    assert {"classifier:mine", "zero-shot (labels)", "dynamic-few-shot (labels)"} <= names


@pytest.mark.parametrize(
    "words",
    [
        ("classifier", "show", "nothing"),
        ("classifier", "predict", "nothing", "text"),
        ("classifier", "delete", "nothing"),
        ("classifier", "evaluate", "nothing", "reviews"),
        ("classifier", "train", "reviews", "--name", "../x"),
        ("classifier", "train", "reviews", "--name", "x", "--method", "magic"),
        ("classifier", "train", "word-problems", "--name", "x"),
        ("classifier", "train", "reviews", "--name", "x", "--encoder", "no/such/folder/at/all"),
        ("evaluate", "reviews", "--classifier", "nothing", "--model", "scripted"),
    ],
)
def test_mistakes_are_told_in_one_sentence(shotwise, words):
    one_sentence(shotwise(*words))


def test_a_second_training_of_that_name_is_refused(shotwise, train, rows):
    shotwise(*train(rows, "--method", "feature-based"))
    one_sentence(shotwise(*train(rows, "--method", "feature-based")), "--replace")


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_where_it_would_have_ended(train, home, bert):
    rows = written(home / "rows.jsonl", reviews(400))
    environment = os.environ | {"SHOTWISE_HOME": str(home), "PYTHONPATH": str(ROOT)}

    def started(name, *others):
        words = [name if word == "mine" else word for word in train(rows, "--epochs", "6", "--method", "full", *others)]
        program = "from assistant.cli import main; main()"
        return subprocess.Popen([sys.executable, "-c", program, *words], env=environment, stderr=subprocess.DEVNULL)

    assert started("whole").wait(300) == 0
    one = started("parts")
    work = home / "runs" / "classifiers" / "parts"
    while one.poll() is None and not list(work.glob("checkpoint-*/trainer_state.json")):
        time.sleep(0.01)
    one.send_signal(signal.SIGKILL)
    one.wait()
    assert started("parts", "--resume").wait(300) == 0
    cards = [json.loads((home / "adapters" / name / "classifier.json").read_text()) for name in ("whole", "parts")]
    assert cards[0]["files"]["model.safetensors"] == cards[1]["files"]["model.safetensors"]
    losses = [[line.get("loss") for line in card["curve"]] for card in cards]
    assert losses[0] == losses[1]
