import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from assistant.errors import AdapterError, DataError
from assistant.evaluation.running.planning import plan_evaluation
from assistant.evaluation.running.wanted import Wanted
from assistant.evaluation.sets.datasets import load_dataset
from assistant.evaluation.tuning.comparison import Question, compare_with_base, default_place
from assistant.evaluation.tuning.source import Place, training_data
from assistant.finetuning.generators.adapter_record import read_record
from assistant.finetuning.generators.settings import GeneratorSettings
from assistant.finetuning.generators.shelf import find_tuned
from assistant.finetuning.generators.training import Order, train_generator
from assistant.finetuning.marks import Marks, read_marks, write_marks
from assistant.paths import demo
from assistant.settings import ModelSettings

# peft 0.21 asks transformers for a name that 5.23 has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
ROWS = 16


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A small adapter of the demo model that has learnt a little from the built-in reviews."""
    home = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOTWISE_HOME", str(home))
        settings = GeneratorSettings(steps=2, batch_size=2, device="cpu", learning_rate=0.01)
        order = Order("mine", "demo", training_data(Place("reviews"), rows=ROWS), settings)
        return train_generator(order, threading.Event(), lambda text: None).folder


@pytest.fixture
def entry(trained, home):
    shutil.copytree(trained, home / "adapters" / "mine")
    return find_tuned("mine")


def compared(entry, place=None, **changes):
    question = Question(place or default_place(entry), ModelSettings(device="cpu"), limit=6, **changes)
    return compare_with_base(entry, question, stop=threading.Event())


def test_base_and_adapter_answer_the_same_held_out_rows(entry, home):
    gain = compared(entry)
    runs = [json.loads(file.read_text()) for file in (home / "runs").glob("tuned-*/run.json")]
    assert sorted(run["model"]["adapter"] or "" for run in runs) == ["", "mine"]
    first, second = ([one["id"] for one in run["samples"]] for run in runs)
    assert first == second == [sample.id for sample in load_dataset("reviews").test[:6]]
    assert gain.own
    assert gain.n == 6
    assert gain.difference == pytest.approx(gain.tuned - gain.base)
    assert gain.interval[0] <= gain.difference <= gain.interval[1]
    assert (gain.strategy, gain.reading) == ("zero-shot", "labels")


def test_the_figures_are_kept_in_record_and_card_and_newer_ones_replace_them(entry):
    for _ in range(2):
        gain = compared(entry)
    (kept,) = read_record(entry.folder)["scores"]
    assert kept == json.loads(json.dumps(gain.to_json()))
    assert "| reviews | 6 |" in (entry.folder / "README.md").read_text()


def test_another_task_says_what_was_forgotten(entry):
    gain = compared(entry, Place("word-problems"), reading="generate")
    assert not gain.own
    assert gain.task == "word-problems"
    assert gain.n == 6


def copy_of_what_was_learnt(home, fresh):
    """Return a table of the rows that were learnt from, and of fresh ones."""
    rows = [(row.inputs["text"].upper(), row.output) for row in training_data(Place("reviews"), rows=ROWS).rows]
    rows += [(f"A film like no other, number {at}.", ("negative", "positive")[at % 2]) for at in range(fresh)]
    file = home / "other.jsonl"
    file.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    return file


def test_what_was_learnt_from_is_not_measured_on_under_another_name(entry, home):
    place = Place(str(copy_of_what_was_learnt(home, 40)), task="sentiment")
    marks, test = read_marks(entry.folder), place.load(None, scored=True).test
    kept = {sample.id for sample in test if not marks.know(sample)}
    gain = compared(entry, place)
    runs = [json.loads(file.read_text()) for file in (home / "runs").glob("tuned-*/run.json")]
    assert gain.left_out == len(test) - len(kept) > 0
    assert len(runs) == 2
    assert all({one["id"] for one in run["samples"]} <= kept for run in runs)


def test_what_the_base_has_learnt_from_is_not_measured_on_either(entry, home):
    place = default_place(entry)
    test = place.load(None, scored=True).test
    base = Path(shutil.copytree(demo() / "model", home / "demo-again"))
    write_marks(base, Marks.of(test[:4]))
    question = Question(place, ModelSettings(model=str(base), device="cpu"), limit=6)
    gain = compare_with_base(entry, question, stop=threading.Event())
    runs = [json.loads(file.read_text()) for file in (home / "runs").glob("tuned-*/run.json")]
    asked = {one["id"] for run in runs for one in run["samples"]}
    assert gain.left_out == 4
    assert len(asked) == 6
    assert not asked & {sample.id for sample in test[:4]}


def test_rows_that_were_all_learnt_from_are_refused(entry, home):
    wanted = Wanted(str(copy_of_what_was_learnt(home, 0)), "sentiment", ("zero-shot",))
    with pytest.raises(DataError, match="Every sample is one that 'mine' has learnt from"):
        plan_evaluation(replace(wanted, model=ModelSettings(adapter="mine")))


def test_an_evaluation_leaves_out_what_its_adapter_has_learnt_from(entry, home):
    wanted = Wanted(str(copy_of_what_was_learnt(home, 24)), "sentiment", ("zero-shot",))
    base, adapted = (plan_evaluation(replace(wanted, model=ModelSettings(adapter=one))) for one in (None, "mine"))
    marks = read_marks(entry.folder)
    assert sum(marks.know(sample) for sample in base.samples) == ROWS
    assert not sum(marks.know(sample) for sample in adapted.samples)
    assert f"{ROWS} samples were left out because 'mine' has learnt from them" in " ".join(adapted.notes)


def test_an_adapter_may_be_called_base(trained, home):
    shutil.copytree(trained, home / "adapters" / "base")
    assert compared(find_tuned("base")).n == 6


def test_rows_that_have_changed_since_are_refused(entry):
    record = read_record(entry.folder)
    record["data"]["sha256"] = {"reviews.jsonl": "another"}
    (entry.folder / "training.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match="has changed since"):
        compared(entry)


def test_a_split_that_was_written_down_of_a_known_data_set_is_not_looked_for(entry):
    record = read_record(entry.folder)
    record["data"]["split"] = "nosuch"
    (entry.folder / "training.json").write_text(json.dumps(record))
    assert default_place(entry).load(None, scored=True).test


def test_an_adapter_from_elsewhere_needs_rows_to_be_named(entry):
    (entry.folder / "training.json").unlink()
    with pytest.raises(AdapterError, match="not recorded"):
        default_place(entry)


def test_a_stopped_comparison_comes_to_nothing_yet(entry):
    stop = threading.Event()
    stop.set()
    question = Question(default_place(entry), ModelSettings(device="cpu"), limit=6)
    assert compare_with_base(entry, question, stop=stop) is None
    assert "scores" not in read_record(entry.folder)
