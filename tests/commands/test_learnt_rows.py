"""Whatever command measures a fine-tuned model leaves out what that has learnt from, and says so."""

import json
import os
import shutil
from pathlib import Path

import pytest

from assistant import paths
from assistant.answering import Assistant
from assistant.commands import advise, evaluate, recipe, recipe_curve, study
from assistant.data import Fields
from assistant.evaluation.advice.rows import load_rows
from assistant.evaluation.outcomes import Sample
from assistant.evaluation.sets.datasets import load_dataset
from assistant.evaluation.training.rows import WantedRows, read_parts
from assistant.evaluation.tuning.source import Place, training_data
from assistant.finetuning.generators.adapter_record import marks_of
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
    for command in (advise, evaluate, recipe, recipe_curve, study):
        monkeypatch.setattr(command, "load_assistant", lambda settings: Assistant(ScriptedModel(["positive"])))

    def made(samples, group_column=""):
        folder = home / "adapters" / "tuned"
        shutil.copytree(paths.demo() / "model", folder, copy_function=os.symlink)
        write_marks(folder, Marks.of(samples, group_column))
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
    assert "1 sample was left out because 'tuned' has learnt from" in " ".join(run["record"]["notes"])


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


@pytest.mark.parametrize(("column", "left"), [("film", 24), ("user", 40)])
def test_groups_of_another_column_are_not_those_that_were_learnt_from(column, left, shotwise, tuned, home):
    make_reviews(home)
    columns = Fields(("text",), "label", group="film")
    films = load_rows(write_source(home, 80, films=4), task="sentiment", seed=0, pool=80, fields=columns)
    assert len({row.group for row in films.train}) == 2
    model = tuned(films.train, films.group_column)
    other = write_source(home, 40, films=5, name="other.jsonl", extra=" other")
    Path(other).write_text(Path(other).read_text("utf-8").replace('"film":', f'"{column}":'), "utf-8")
    code, out, err = shotwise(
        *("evaluate", other, "--task", "sentiment", "--index", "toy", "--group", column, "--model", model),
        *("--strategies", "zero-shot", "--seeds", "1", "--json"),
    )
    assert code == 0, err
    assert json.loads(out)["data"]["n"] == left


def test_what_is_learnt_from_a_table_is_known_by_the_name_of_its_column(home):
    place = Place(write_source(home, 80, films=20), task="sentiment", group="film")
    data = training_data(place)
    assert marks_of([data]).know(Sample("x", {"text": "new"}, (), data.rows[0].group), "film")
    assert not marks_of([data]).know(Sample("x", {"text": "new"}, (), data.rows[0].group), "user")
    rows = read_parts(WantedRows(place.source, "sentiment", group="film")).training_rows()
    assert rows.marks.know(Sample("x", {"text": "new"}, (), rows.train[0].group), "film")
    assert not rows.marks.know(Sample("x", {"text": "new"}, (), rows.train[0].group), "user")
