"""`demo-model train`: mistakes are told before anything is read, and a pause says where it stopped."""

import time

import pytest

from assistant import cli, paths
from assistant.commands.held_out import CONVERSATIONS
from assistant.finetuning.demo import trainer, training
from assistant.finetuning.demo.training import Paused


@pytest.fixture
def asked(monkeypatch):
    """Return what training was called with; it pauses at once, or is done if told so."""
    seen = {"paused": None}

    def train(data, held_out, recipe, out, pace, tell):
        seen.update(data=data, held_out=held_out, recipe=recipe, out=out, pace=pace)
        return seen["paused"]

    monkeypatch.setattr(training, "train_demo_model", train)
    return seen


def run(capsys, *arguments):
    """Return the exit code of the command and all that it printed."""
    capsys.readouterr()
    code = cli.run(("demo-model", "train", *map(str, arguments)))
    return code, "".join(capsys.readouterr())


def test_a_folder_that_is_not_there_is_told(capsys, asked, tmp_path):
    code, told = run(capsys, "--data", tmp_path / "none")
    assert code == 2
    assert "none is not a folder." in told
    assert "--data" in told
    assert "data" not in asked


def test_cuda_without_a_device_is_refused(capsys, asked, tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, told = run(capsys, "--data", tmp_path, "--device", "cuda")
    assert code == 2
    assert "There is no CUDA device here." in told
    assert "Leave out --device" in told
    assert "data" not in asked
    trainer.check_device("cpu")


def test_a_missing_set_is_told_in_one_sentence(capsys, tmp_path):
    code, told = run(capsys, "--data", tmp_path)
    assert code == 2
    assert "lacks sst2/train.jsonl.gz" in told
    assert "Traceback" not in told


def test_a_recipe_that_cannot_be_read_is_told(capsys, asked, tmp_path):
    code, told = run(capsys, "--data", tmp_path, "--recipe", tmp_path / "none.toml")
    assert code == 2
    assert "none.toml cannot be read" in told


def test_a_pause_says_where_it_stopped_and_how_to_go_on(capsys, asked, tmp_path):
    asked["paused"] = Paused("looking", 1200, 5000)
    code, told = run(capsys, "--data", tmp_path, "--minutes", 3)
    assert code == 0
    assert "Paused in the stage 'looking' at step 1,200 of 5,000. The same command goes on." in told
    assert 150 < asked["pace"].until - time.monotonic() <= 180


def test_training_gets_what_was_asked_for_and_all_that_is_held_out(capsys, asked, tmp_path):
    code, told = run(capsys, "--data", tmp_path, "--out", tmp_path / "out", "--seed", 7, "--steps", 5)
    assert code == 0
    assert f"Saved in {tmp_path / 'out'}." in told
    assert (asked["data"], asked["out"]) == (tmp_path, tmp_path / "out")
    assert asked["recipe"].seed == 7
    assert {stage.steps for stage in asked["recipe"].stages} == {5}
    assert (asked["pace"].device, asked["pace"].until) == ("cpu", None)
    assert CONVERSATIONS in asked["held_out"].names
    assert asked["held_out"].why("Good day to you, friend!") == CONVERSATIONS


def test_the_shipped_model_is_what_is_made_if_nothing_is_said(capsys, asked, tmp_path):
    run(capsys, "--data", tmp_path)
    assert asked["out"] == paths.demo() / "model"
    assert asked["recipe"].name == "recipe"
