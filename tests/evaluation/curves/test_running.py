import threading
from dataclasses import replace

import pytest

from assistant.errors import SettingError
from assistant.evaluation.curves import answers, running
from assistant.evaluation.curves.cells import Cell
from assistant.evaluation.curves.experiment import Experiment, check_ways
from assistant.evaluation.curves.rows import read_material
from assistant.evaluation.curves.running import run_cells
from assistant.evaluation.curves.settings import CurveSettings
from assistant.evaluation.curves.trained import saved_name
from assistant.evaluation.tuning.source import Place
from assistant.settings import ModelSettings

# peft 0.21 asks transformers for a name that 5.23 has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
PROMPTING = CurveSettings(rows=(0, 8, 16), methods=("knn-vote", "static-few-shot", "dynamic-few-shot"), seeds=2, test=4)
TUNING = CurveSettings(rows=(0, 8), methods=("lora", "classifier:feature-based"), seeds=1, test=6, steps=4)


@pytest.fixture
def material():
    return read_material(Place("reviews"), 6)


@pytest.fixture
def prompting(material):
    return Experiment(
        "prompt-or-tune", PROMPTING, replace(material, test=material.test[:4]), ModelSettings("scripted"), encoder="toy"
    )


@pytest.fixture
def tuning(material):
    return Experiment("prompt-or-tune", TUNING, material, ModelSettings("demo", device="cpu"))


@pytest.fixture
def done(monkeypatch):
    """The cells that were really done, in their order."""
    cells = []
    real = answers.Worker.done

    def counted(self, cell):
        cells.append(cell)
        return real(self, cell)

    monkeypatch.setattr(answers.Worker, "done", counted)
    return cells


def carried_out(experiment, stop=None, report=None):
    return run_cells(experiment, None, stop=stop or threading.Event(), report=report)


def test_what_is_done_is_not_done_again_and_more_draws_add_only_theirs(prompting, done):
    first = carried_out(prompting)
    assert len(first) == len(prompting.cells) == 13
    # Fixed demonstrations are the same for 8 and 16 rows: two cells, one piece of work a draw.
    assert len(done) == 11
    assert first[Cell("static-few-shot", 8)].scores == first[Cell("static-few-shot", 16)].scores
    assert carried_out(prompting) == first
    assert len(done) == 11
    more = carried_out(replace(prompting, settings=replace(PROMPTING, seeds=3)))
    assert {cell.seed for cell in done[11:]} == {2}
    assert all(more[cell] == scored for cell, scored in first.items())


def test_a_stop_keeps_finished_cells_and_the_rest_follows(prompting, done):
    stop = threading.Event()
    told = []

    def report(progress):
        told.append(progress)
        if progress.done == 3:
            stop.set()

    part = carried_out(prompting, stop, report)
    assert len(part) == 3
    assert told[-1].state == "stopped"
    whole = carried_out(prompting)
    assert len(whole) == 13
    assert len(done) <= 12  # at most the cell at hand was begun twice
    assert all(whole[cell] == scored for cell, scored in part.items())


def test_other_held_out_rows_are_another_curve(prompting):
    other = replace(prompting, material=replace(prompting.material, test=prompting.material.test[:3]))
    assert other.mark != prompting.mark
    assert other.folder != prompting.folder


def test_progress_names_the_cell_and_counts_by_method(prompting):
    told = []
    carried_out(prompting, report=told.append)
    assert told[-1].state == "done"
    assert (told[-1].done, told[-1].total) == (13, 13)
    assert {arm.name: arm.total for arm in told[-1].arms} == {
        "zero-shot": 1, "knn-vote": 4, "static-few-shot": 4, "dynamic-few-shot": 4
    }  # fmt: skip
    assert any("dynamic-few-shot, 16 rows, seed 1: " in one.sentence for one in told)


def test_what_was_trained_is_scored_and_deleted(tuning, home):
    found = carried_out(tuning)
    lora, classifier = found[Cell("lora", 8)], found[Cell("classifier:feature-based", 8)]
    assert len(lora.scores) == len(classifier.scores) == 6
    assert lora.steps == 4
    assert lora.learnt > 1000
    assert lora.size_mb > 0.1
    assert lora.begin_seconds > 0
    assert lora.prompt_tokens > 0
    assert classifier.prompt_tokens == 0
    assert not lora.interrupted
    assert list((home / "adapters").iterdir()) == []


@pytest.mark.slow
def test_a_training_that_was_stopped_goes_on_to_the_same_scores(tuning, home):
    tuning = replace(tuning, settings=replace(TUNING, methods=("lora",)))
    stop = threading.Event()

    def report(progress):
        if "lora" in progress.sentence and "Step 2 of 4" in progress.sentence:
            stop.set()

    assert set(carried_out(tuning, stop, report)) == {Cell("zero-shot", 0)}
    assert list((home / "runs").glob("adapter-curve-*/checkpoint-*"))
    resumed = carried_out(tuning)[Cell("lora", 8)]
    assert resumed.interrupted
    (tuning.folder / running.CELLS).unlink()
    whole = carried_out(tuning)[Cell("lora", 8)]
    assert not whole.interrupted
    assert resumed.scores == whole.scores


def test_what_was_trained_by_other_settings_is_never_taken_for_it(tuning):
    tuning = replace(tuning, settings=replace(TUNING, methods=("lora",)))
    more = replace(tuning, settings=replace(tuning.settings, steps=6))
    cell = Cell("lora", 8)
    assert saved_name(cell, tuning) != saved_name(cell, more)
    assert saved_name(cell, tuning) == saved_name(cell, replace(tuning))
    assert saved_name(cell, tuning) != saved_name(Cell("lora", 8, seed=1), tuning)


def test_what_cannot_be_tuned_is_refused_before_anything_is_asked(material):
    for model, said in (
        (ModelSettings("scripted"), "no weights to adapt"),
        (ModelSettings("demo", adapter="question-types"), "adapters of its own"),
        (ModelSettings("demo", load_in="4bit"), "the same weights"),
    ):
        with pytest.raises(SettingError, match=said):
            Experiment("prompt-or-tune", TUNING, material, model)


def test_a_method_that_cannot_answer_the_task_is_refused():
    problems = read_material(Place("word-problems"), 4)
    asked = Experiment("prompt-or-tune", TUNING, problems, ModelSettings("demo"))
    with pytest.raises(
        SettingError, match="'classifier:feature-based' cannot be measured: the task 'word-problems' has"
    ):
        check_ways(asked)
