import json
import re
from dataclasses import replace

import pytest

from assistant.errors import DataError, IndexMismatch, IndexNotFound, PromptError, SettingError, UnknownName
from assistant.evaluation.outcomes import BASELINES, Arm
from assistant.evaluation.running.planning import plan_evaluation, with_model
from assistant.evaluation.running.runner import evaluate
from assistant.evaluation.running.wanted import Wanted
from assistant.finetuning.marks import Marks
from assistant.generation.chat_model import ScriptedModel
from assistant.retrieval.encoders import TAUGHT
from assistant.retrieval.index import DemonstrationIndex
from assistant.settings import EvaluationSettings, GuardSettings, RetrievalSettings
from tests.evaluation.runs import SAMPLES, assistant
from tests.toys import REVIEWS, make_explained, make_problems, make_reviews

ROWS = [{"id": one.id, "text": one.inputs["text"], "label": one.targets[0]} for one in SAMPLES]


@pytest.fixture
def toy(home):
    return make_reviews(home)


@pytest.fixture
def rows(home):
    return write(home, ROWS)


def write(home, rows, name="rows.jsonl"):
    path = home / name
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return str(path)


def planned(source, **changes):
    return plan_evaluation(Wanted(**{"source": source, "task": "sentiment", "index": "toy", **changes}))


def strategies(plan):
    return list(dict.fromkeys(arm.strategy for arm in plan.asked))


# Data


def test_what_the_encoder_of_the_index_has_learnt_from_is_not_measured(toy, rows, tmp_path, monkeypatch):
    folder = tmp_path / "by-mood"
    folder.mkdir()
    (folder / TAUGHT).write_text(json.dumps({"trained_on": Marks.of(SAMPLES[:2]).to_json()}), encoding="utf-8")
    monkeypatch.setattr(DemonstrationIndex, "taught", folder)
    plan = planned(rows)
    assert {one.id for one in plan.samples} == {one.id for one in SAMPLES[2:]}
    assert any(note.startswith("2 samples were left out because 'by-mood' has learnt") for note in plan.notes)


def test_a_file_becomes_samples_drawn_evenly_by_label(toy, rows):
    plan = planned(rows)
    assert {sample.id for sample in plan.samples} == {row["id"] for row in ROWS}
    assert {sample.targets for sample in planned(rows, evaluation=EvaluationSettings(limit=2)).samples} == {
        ("negative",),
        ("positive",),
    }
    assert plan.data["source"] == rows
    assert re.fullmatch(r"[0-9a-f]{64}", plan.data["sha256"])


def test_spaces_around_a_text_are_no_part_of_a_sample(toy, home):
    source = write(home, [{"id": "1", "text": " a witty film \n", "label": "positive"}])
    assert planned(source).samples[0].inputs == {"text": "a witty film"}


def test_a_short_draw_is_the_beginning_of_a_longer_one(toy, rows):
    longer, shorter = (planned(rows, evaluation=EvaluationSettings(limit=limit)).samples for limit in (6, 3))
    assert longer[:3] == shorter


def test_fewer_samples_than_asked_for_are_said(toy, rows):
    assert "All 7 samples that there are were drawn." in planned(rows).notes
    assert "All 7 samples that there are were drawn." not in planned(rows, evaluation=EvaluationSettings(limit=7)).notes


def test_samples_of_one_label_only_are_said_to_show_nothing(toy, home, rows):
    source = write(home, [row for row in ROWS if row["label"] == "positive"], "one.jsonl")
    count = sum(row["label"] == "positive" for row in ROWS)
    assert any(f"All {count} samples are 'positive'" in note for note in planned(source).notes)
    assert not any("no accuracy here" in note for note in planned(rows).notes)


def test_bad_rows_are_counted_and_the_first_is_named(toy, home):
    source = write(home, [*ROWS, {"id": "x", "text": "odd", "label": "sideways"}])
    assert any("1 rows of rows.jsonl were skipped; the first: line 8" in note for note in planned(source).notes)


def test_named_columns_are_read(toy, home):
    source = write(home, [{"key": row["id"], "body": row["text"], "y": row["label"], "film": "f"} for row in ROWS])
    plan = planned(source, inputs=("body",), output="y", id="key", group="film")
    assert plan.samples[0].id.startswith("s")
    assert {sample.group for sample in plan.samples} == {"f"}
    only_output = write(home, [{"id": row["id"], "text": row["text"], "y": row["label"]} for row in ROWS], "two.jsonl")
    assert len(planned(only_output, output="y").samples) == len(ROWS)


def test_a_built_in_set_needs_nothing_more(home):
    plan = plan_evaluation(Wanted("word-problems", evaluation=EvaluationSettings(limit=5)))
    assert (plan.task, len(plan.samples)) == ("word-problems", 5)
    assert {arm.reading for arm in plan.asked} == {"generate"}
    assert {"zero-shot-cot", "self-consistency", "dynamic-cot", "dynamic-few-shot"} <= set(strategies(plan))
    index = DemonstrationIndex.open(plan.index)
    pool = {index.demonstration(row).id for row in range(len(index))}
    assert not pool & {sample.id for sample in plan.samples}
    assert any("seed" in note for note in plan.notes)


def test_dev_can_be_chosen_and_shares_no_sample_with_test(home):
    dev, test = (plan_evaluation(Wanted("word-problems", split=split)).samples for split in ("dev", "test"))
    assert dev
    assert not {one.id for one in dev} & {one.id for one in test}


def test_the_index_of_a_known_set_is_built_once(home):
    built = []
    first = plan_evaluation(Wanted("word-problems"), lambda name, progress: built.append(name))
    assert built
    built.clear()
    assert plan_evaluation(Wanted("word-problems"), lambda name, progress: built.append(name)).hash == first.hash
    assert built == []


# Strategies and readings


def test_by_default_labels_are_scored_for_every_strategy_that_writes_nothing_first(toy, rows):
    plan = planned(rows)
    assert {arm.reading for arm in plan.asked} == {"labels"}
    assert strategies(plan)[:3] == ["zero-shot", "static-few-shot", "random-few-shot"]
    assert {"dynamic-few-shot", "random-labels", "shuffled-order", "imdb-baseline"} <= set(strategies(plan))
    assert not {"zero-shot-cot", "static-cot", "dynamic-cot", "self-consistency"} & set(strategies(plan))
    assert tuple(arm.strategy for arm in plan.arms if arm.is_baseline) == BASELINES


def test_where_replies_are_read_reasoning_is_offered_and_rationales_must_be_in_the_index(home, rows):
    make_reviews(home)
    make_explained(home)
    plain, explained = (planned(rows, reading="generate", index=index) for index in ("toy", "explained"))
    assert {"zero-shot-cot", "static-cot", "self-consistency"} <= set(strategies(plain))
    assert "dynamic-cot" not in strategies(plain)
    assert "dynamic-cot" in strategies(explained)


def test_both_readings_of_what_shows_reasoning_leave_one_out_with_a_note(toy, rows):
    plan = planned(rows, reading="both", strategies=("zero-shot", "static-cot"))
    assert plan.asked == (Arm("zero-shot", "labels"), Arm("zero-shot", "generate"), Arm("static-cot", "generate"))
    assert any(note.startswith("static-cot shows its reasoning") for note in plan.notes)


def test_a_strategy_named_twice_stands_once(toy, rows):
    assert strategies(planned(rows, strategies=("zero-shot", "zero-shot"))) == ["zero-shot"]


def test_without_an_index_there_are_no_baselines_and_that_is_said(home):
    source = write(home, [{"id": "1", "text": "Who wrote it?", "label": "person"}])
    plan = planned(source, task="question-type", index=None)
    assert not any(arm.is_baseline for arm in plan.arms)
    assert not any(name.startswith(("dynamic", "random")) for name in strategies(plan))
    assert any("without a language model" in note for note in plan.notes)
    assert plan.index is None


def test_where_the_whole_index_is_evaluated_nothing_is_fitted_and_that_is_said(toy, home):
    labels = ("negative", "positive")
    own = write(home, [{"id": row, "text": text, "label": labels[label]} for row, text, label in REVIEWS])
    plan = planned(own, strategies=("zero-shot",))
    assert [arm.strategy for arm in plan.arms if arm.is_baseline] == ["knn-vote"]
    assert any(note.endswith("no majority and no logistic-regression.") for note in plan.notes)
    assert evaluate(plan, assistant(), home / "runs" / "own")["finished"]
    off = RetrievalSettings(guard=GuardSettings(enabled=False))
    open_plan = planned(own, strategies=("zero-shot",), retrieval=off)
    assert {arm.strategy for arm in open_plan.arms if arm.is_baseline} == set(BASELINES)


def test_a_file_in_another_folder_is_the_same_plan(toy, home):
    (home / "deep").mkdir()
    one, other = planned(write(home, ROWS)), planned(write(home / "deep", ROWS))
    assert one.hash == other.hash
    assert one.data["source"] != other.data["source"]


def test_the_first_arm_is_the_baseline_unless_another_is_named(toy, rows):
    assert planned(rows, strategies=("static-few-shot", "zero-shot")).baseline == "static-few-shot (labels)"
    for name in ("zero-shot", "zero-shot (labels)"):
        plan = planned(rows, strategies=("static-few-shot", "zero-shot"), baseline=name)
        assert plan.baseline == "zero-shot (labels)"
    assert planned(rows, baseline="majority").baseline == "majority"


def test_what_is_repeated_and_what_is_not_is_said(toy, rows):
    plan = planned(rows, strategies=("zero-shot", "random-few-shot"), evaluation=EvaluationSettings(seeds=3))
    assert plan.seeds == (0, 1, 2)
    assert any(note.startswith("Answered with 3 seeds: random-few-shot (labels); the other 1") for note in plan.notes)
    assert any("Nothing is drawn by chance" in note for note in planned(rows, strategies=("zero-shot",)).notes)


def test_calibrations_come_after_none(toy, rows):
    assert planned(rows, calibrations=("batch", "none", "batch")).calibrations == ("none", "batch")


def test_strategies_that_write_first_are_left_out_of_a_default_that_is_calibrated(toy, rows):
    plan = planned(rows, reading="both", calibrations=("contextual",))
    assert "zero-shot-cot" not in strategies(plan)


def test_published_templates_take_other_label_names_too(toy, rows):
    plan = planned(rows, label_names=("bad", "good"))
    assert {"imdb-baseline", "imdb-few-shot", "imdb-instruction"} <= set(strategies(plan))


# The model's part


def test_the_models_facts_are_frozen_and_make_the_name(toy, rows):
    class Other(ScriptedModel):
        identity = {"weights": "others"}  # noqa: RUF012

    plan = planned(rows)
    one, other = with_model(plan, ScriptedModel()), with_model(plan, Other())
    assert one.model["name"] == "scripted"
    assert re.fullmatch(r"rows-[0-9a-f]{8}", one.name)
    assert one.hash != other.hash
    assert one.name != other.name
    assert with_model(planned(rows, name="mine"), ScriptedModel()).name == "mine"


def test_an_index_built_again_from_the_same_rows_is_the_same_plan(home, rows):
    make_reviews(home)
    first = planned(rows).hash
    make_reviews(home)
    assert planned(rows).hash == first
    make_reviews(home, rows=(("new", "a new row", 1), ("old", "an old row", 0)))
    assert planned(rows).hash != first


# Mistakes, each told before a model is loaded


MISTAKES = {
    "unknown strategy": ({"strategies": ("zero-shoot",)}, UnknownName, "zero-shot"),
    "unknown reading": ({"reading": "label"}, UnknownName, "labels"),
    "unknown calibration": ({"calibrations": ("batches",)}, UnknownName, "batch"),
    "calibrated replies": ({"reading": "generate", "calibrations": ("batch",)}, SettingError, "label scores"),
    "unknown task": ({"task": "sentimental"}, UnknownName, "sentiment"),
    "unknown index": ({"index": "toys"}, IndexNotFound, "toy"),
    "unknown wording": ({"wording": "rhyme"}, UnknownName, "wording"),
    "unknown baseline": ({"baseline": "random-few-shot", "strategies": ("zero-shot",)}, UnknownName, "zero-shot"),
    "no reading left": ({"strategies": ("static-cot",)}, SettingError, "No strategy is left"),
    "too many label names": ({"label_names": ("a", "b", "c")}, SettingError, "2 different label names"),
    "no rationales": ({"strategies": ("dynamic-cot",), "reading": "generate"}, IndexMismatch, "no rationales"),
    "unfit index": ({"index": "problems"}, IndexMismatch, "is not a label of the task"),
    "missing column": ({"output": "stars"}, DataError, "stars"),
    "calibrated reasoning": (
        {"strategies": ("zero-shot-cot",), "calibrations": ("contextual",)},
        SettingError,
        "after reasoning",
    ),
    "name": ({"name": "../x"}, SettingError, "cannot be the name"),
    "no task": ({"task": None}, SettingError, "Say it with --task"),
    "split of a file": ({"split": "dev"}, DataError, "no splits"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence(mistake, home, rows):
    make_reviews(home)
    make_problems(home)
    changes, error, words = MISTAKES[mistake]
    with pytest.raises(error) as caught:
        planned(rows, **changes)
    assert words in caught.value.sentence()
    assert "\n" not in caught.value.sentence()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": "nowhere.csv"}, "no file 'nowhere.csv'"),
        ({"source": "sst2", "task": None}, "Say --data DIR"),
        ({"source": "reviews", "task": "paraphrase"}, "belongs to the task 'sentiment'"),
        ({"source": "reviews", "task": None, "inputs": ("text",)}, "columns of the data set 'reviews' are known"),
        ({"source": "reviews", "task": None, "split": "train"}, "taken from the training part"),
        ({"source": "reviews", "task": None, "split": "middle"}, "middle"),
    ],
)
def test_a_wrong_source_is_one_sentence(changes, words, toy):
    with pytest.raises((DataError, SettingError, UnknownName)) as caught:
        planned(**changes)
    assert words in caught.value.sentence()


def test_labels_cannot_be_scored_where_there_are_none(home):
    for reading in ("labels", "both"):
        with pytest.raises(SettingError, match="no labels to score"):
            plan_evaluation(Wanted("word-problems", reading=reading))


def test_a_template_of_another_task_is_refused(home):
    with pytest.raises(PromptError, match="a template of the task 'sentiment'"):
        plan_evaluation(Wanted("word-problems", strategies=("imdb-baseline",)))


def test_an_open_chat_cannot_be_evaluated(home):
    source = write(home, [{"message": "Hi", "answer": "Hello"}])
    with pytest.raises(SettingError, match="neither right nor wrong"):
        planned(source, task="chat", index=None)


def test_a_strategy_that_needs_an_index_is_refused_where_there_is_none(home):
    source = write(home, [{"id": "1", "text": "Who wrote it?", "label": "person"}])
    with pytest.raises(IndexNotFound, match="'dynamic-few-shot' needs one"):
        planned(source, task="question-type", index=None, strategies=("dynamic-few-shot",))


@pytest.mark.parametrize(("changes", "words"), [({"limit": 0}, "At least 1 sample"), ({"seeds": 0}, "1 to 100 seeds")])
def test_nothing_to_do_is_refused(changes, words):
    with pytest.raises(SettingError, match=words):
        EvaluationSettings(**changes)


def test_a_changed_setting_is_another_plan(toy, rows):
    plan = planned(rows)
    changed = [
        planned(rows, retrieval=RetrievalSettings(k=2)),
        planned(rows, wording="bare"),
        planned(rows, strategies=("zero-shot",)),
        planned(rows, evaluation=EvaluationSettings(limit=3)),
    ]
    assert len({plan.hash, *(one.hash for one in changed)}) == len(changed) + 1
    assert replace(plan, notes=()).hash == plan.hash
