"""Whatever command measures a fine-tuned model leaves out what that has learnt from, and says so."""

import json
import os
import shutil
from pathlib import Path

import pytest

from assistant import paths
from assistant.answering import Assistant
from assistant.commands import advise, recipe, recipe_curve, study
from assistant.evaluation.advice.rows import load_rows
from assistant.evaluation.outcomes import Sample
from assistant.evaluation.sets.datasets import load_dataset
from assistant.finetuning.marks import Marks, write_marks
from assistant.generation.chat_model import ScriptedModel
from tests.evaluation.advice_runs import write_source
from tests.test_cli import shotwise
from tests.toys import make_reviews

__all__ = ["shotwise"]
SAID = "samples were left out because 'tuned' has learnt from them"


@pytest.fixture
def tuned(home, monkeypatch):
    """A function that makes the folder of a model that has learnt from the samples; a scripted one answers for it."""
    for command in (advise, recipe, recipe_curve, study):
        monkeypatch.setattr(command, "load_assistant", lambda settings: Assistant(ScriptedModel(["positive"])))

    def made(samples):
        folder = home / "adapters" / "tuned"
        shutil.copytree(paths.demo() / "model", folder, copy_function=os.symlink)
        write_marks(folder, Marks.of(samples))
        return str(folder)

    return made


def test_an_advice_neither_chooses_nor_reports_by_learnt_rows(shotwise, tuned, home):
    source = write_source(home)
    rows = load_rows(source, task="sentiment", seed=0, pool=100)
    model = tuned([*rows.dev[:3], *rows.test[:4], *rows.pool])
    code, out, err = shotwise(
        *("advise", source, "--task", "sentiment", "--model", model, "--encoder", "toy", "--json"),
        *("--strategies", "zero-shot,static-few-shot", "--budget", "200"),
    )
    assert code == 0, err
    record = json.loads(out)
    assert (record["data"]["dev"], record["data"]["test"]) == (len(rows.dev) - 3, len(rows.test) - 4)
    assert any(note.startswith(f"7 {SAID}") for note in record["notes"])
    (report,) = (home / "runs").glob("*/report.md")
    assert f"7 {SAID}" in report.read_text("utf-8")


def test_a_study_asks_no_learnt_row(shotwise, tuned, home):
    make_reviews(home)
    source = write_source(home, 12)
    texts = [json.loads(line)["text"] for line in Path(source).read_text("utf-8").splitlines()]
    model = tuned([Sample("x", {"text": text.upper()}, ()) for text in texts[:3]])
    code, out, err = shotwise(
        *("study", "leaks", source, "--task", "sentiment", "--index", "toy", "--model", model, "-k", "2", "--json")
    )
    assert code == 0, err
    record = json.loads(out)
    assert record["n"] == 9
    assert f"3 {SAID}" in " ".join(record["notes"])


def test_a_recipe_asks_no_learnt_row(shotwise, tuned):
    model = tuned(load_dataset("word-problems").test[:1])
    code, out, err = shotwise("recipe", "run", "gsm8k", "--model", model, "--limit", "3", "--json")
    assert code == 0, err
    (run,) = json.loads(out)["runs"]
    assert run["record"]["data"]["n"] == 2
    assert f"1 {SAID}" in " ".join(run["record"]["notes"])


def test_a_learning_curve_holds_out_no_learnt_row(shotwise, tuned):
    model = tuned(load_dataset("reviews").test[:2])
    code, out, err = shotwise(
        *("recipe", "run", "prompt-or-tune", "--methods", "knn-vote", "--rows-list", "8", "--seeds", "1"),
        *("--test", "1000", "--model", model, "--json"),
    )
    assert code == 0, err
    record = json.loads(out)
    assert record["n"] == len(load_dataset("reviews").test) - 2
    assert f"2 {SAID}" in " ".join(record["notes"])
