"""The command `demo-model table`, as a person types it."""

import os
import signal
from pathlib import Path

import pytest

from assistant.cli import run
from assistant.commands import demo_table
from assistant.evaluation.demo_table import card, parts, planning
from assistant.evaluation.demo_table.card import BEGIN, END
from tests.evaluation.demo_table.tables import QUESTIONS, assistant, small_parts, write_data


@pytest.fixture
def shotwise(capsys, home, monkeypatch):
    """Return a function that runs the command over toy data and returns exit code, stdout and stderr."""
    own = small_parts(home)
    monkeypatch.setattr(parts, "load_parts", lambda: own)
    monkeypatch.setattr(planning, "Conditions", toy_conditions(planning.Conditions))
    (home / "README.md").write_text(f"{BEGIN}\nold\n{END}\n", encoding="utf-8")
    monkeypatch.setattr(card, "card_file", lambda *_: home / "README.md")

    def call(*arguments, one=None):
        monkeypatch.setattr(demo_table, "load_assistant", lambda settings: one or assistant())
        capsys.readouterr()
        code = run(("demo-model", "table", "--data", write_data(home), *arguments))
        out, err = capsys.readouterr()
        return code, out, err

    return call


def toy_conditions(conditions):
    def make(data, rows, seeds):
        return conditions(data, rows, seeds, encoder="toy", questions=lambda n: QUESTIONS[: 3 * n])

    return make


def test_the_table_is_printed_and_left_out_of_the_card(shotwise, home):
    code, out, err = shotwise("--rows", "12", "--seeds", "2")
    assert code == 0, err
    assert out.startswith("Made by `shotwise demo-model table --data DIR --rows 12 --seeds 2` on 20")
    assert "the model `demo`, CPU, float32." in out
    assert "1 of 5: sentiment, natural names:" in err
    assert "old" in (home / "README.md").read_text(encoding="utf-8")


def test_the_table_is_written_into_the_card_when_that_is_asked_for(shotwise, home):
    code, out, err = shotwise("--rows", "12", "--seeds", "2", "--write")
    assert code == 0
    assert (home / "README.md").read_text(encoding="utf-8") == f"{BEGIN}\n\n{out.strip()}\n\n{END}\n"
    assert f"Written: {home / 'README.md'}" in err


def test_nothing_is_told_of_this_machine(shotwise, home):
    code, out, err = shotwise("--rows", "6", "--seeds", "1", "--model", "scripted")
    assert code == 0, err
    assert str(home) not in out
    assert "--data DIR --model FOLDER --rows 6" in out


def test_the_adapter_stands_in_the_table(shotwise, home, monkeypatch):
    monkeypatch.setattr("assistant.generation.loading.check_model", lambda settings: None)
    code, out, err = shotwise("--rows", "6", "--seeds", "1", "--adapter", str(home / "sentiment-lora"))
    assert code == 0, err
    assert "The adapter is `sentiment-lora`." in out
    assert "| with − without the adapter | 6 |" in out


def test_a_stopped_table_says_how_to_go_on_and_goes_on(shotwise):
    def stopping(prompt, sampling):
        del sampling
        os.kill(os.getpid(), signal.SIGINT)
        return "positive"

    code, out, err = shotwise("--rows", "6", "--seeds", "1", one=assistant(stopping))
    assert (code, out) == (130, "")
    assert "Go on with: shotwise" in err
    code, out, _ = shotwise("--rows", "6", "--seeds", "1")
    assert code == 0
    assert "bars are reached" in out


@pytest.mark.parametrize(
    ("given", "said"),
    [(("--rows", "0"), "At least 1 row"), (("--seeds", "11"), "seeds"), (("--adapter", "nowhere"), "nowhere")],
)
def test_what_cannot_be_is_said_before_anything_is_asked(shotwise, given, said):
    asked = assistant()
    code, out, err = shotwise(*given, one=asked)
    assert (code, out) == (2, "")
    assert said in err
    assert not asked.model.history


def test_missing_data_sets_are_named(home, capsys):
    code = run(("demo-model", "table", "--data", str(home / "nothing")))
    assert code == 2
    assert "There is no folder" in capsys.readouterr().err
    assert not Path(home / "runs").exists()
