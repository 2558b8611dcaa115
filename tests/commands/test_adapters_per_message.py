"""An adapter for each message on the command line, on the built-in model."""

import io
import json
import sys

import pytest

from assistant.cli import run
from tests.adapters import save_demo_adapter, sha256

SHORT = ["--task", "sentiment", "--strategies", "zero-shot,static-few-shot", "--max-new-tokens", "3"]


@pytest.fixture
def shotwise(capsys, monkeypatch):
    def call(*arguments, stdin=""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = run(arguments)
        return code, *capsys.readouterr()

    return call


def test_each_strategy_is_compared_with_each_adapter(shotwise, home):
    folder = save_demo_adapter(home, "mine")
    arguments = ["compare", "A witty film.", *SHORT, "--adapters", "none, mine"]
    code, out, err = shotwise(*arguments, "--json")
    assert code == 0, err
    answers = json.loads(out)
    assert [(one["strategy"], one["adapter"]) for one in answers] == [
        ("zero-shot", None), ("zero-shot", "mine"), ("static-few-shot", None), ("static-few-shot", "mine"),
    ]  # fmt: skip
    assert [one["adapter_sha256"] for one in answers] == [None, sha256(folder)] * 2
    out = shotwise(*arguments)[1]
    mark = f"adapter mine {sha256(folder)[:8]}"
    assert "== zero-shot, no adapter\n" in out
    assert f"== static-few-shot, {mark}\n" in out
    assert f"[static-few-shot · {mark} · " in out


def test_one_adapter_for_all_columns_is_not_repeated_in_their_titles(shotwise, home):
    save_demo_adapter(home, "mine")
    out = shotwise("compare", "A witty film.", *SHORT, "--adapter", "mine")[1]
    assert "== zero-shot\n" in out
    assert "[zero-shot · adapter mine " in out


def test_an_adapter_that_is_not_there_is_told_before_the_model_is_loaded(shotwise, monkeypatch):
    monkeypatch.setattr("assistant.generation.weights.load_network", None)
    code, out, err = shotwise("compare", "Hi", "--adapters", "none,mine")
    assert (code, out) == (2, "")
    assert "There is no adapter 'mine'." in err
    code, _, err = shotwise("compare", "Hi", "--adapters", "none", "--adapter", "mine")
    assert code == 2
    assert "--adapter and --adapters contradict each other." in err
    assert shotwise("compare", "Hi", "--adapters", ",")[0] == 2


def test_the_adapter_of_the_built_in_model_answers_beside_its_base(shotwise):
    asked = ["Who wrote Faust?", "--task", "question-type", "--strategies", "zero-shot", "--max-new-tokens", "3"]
    code, out, err = shotwise("compare", *asked, "--adapters", "none,question-types", "--json")
    assert code == 0, err
    assert [one["adapter"] for one in json.loads(out)] == [None, "question-types"]


def test_none_is_the_base_model(shotwise):
    code, out, _ = shotwise("ask", "Hi", "--adapter", "none", "--max-new-tokens", "2", "--json")
    assert code == 0
    assert json.loads(out)["adapter"] is None


def test_the_chat_changes_its_adapter_and_keeps_it_where_another_cannot_be_used(shotwise, home, no_built_in_adapter):
    save_demo_adapter(home, "mine")
    lines = ["/adapters", "/adapter mine", "Hi", "/adapter other", "Hi", "/adapter none", "Hi", "/adapter"]
    code, _, err = shotwise("chat", "--max-new-tokens", "2", stdin="\n".join(lines))
    assert code == 0
    said = [line for line in err.splitlines() if line]
    assert said[0] == "mine"
    assert said[1] == "demo with mine, zero-shot, task chat."
    assert sum("adapter mine " in line for line in said) == 2
    assert any("There is no adapter 'other'." in line for line in said)
    assert said[-1] == "demo, zero-shot, task chat."


def test_where_there_is_no_adapter_the_chat_says_how_to_make_one(shotwise):
    assert "shotwise adapter train" in shotwise("chat", "--model", "scripted", stdin="/adapters\n")[2]
