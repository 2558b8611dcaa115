import json
import platform
import threading
from itertools import combinations

import pytest

from assistant import __version__
from assistant.evaluation.outcomes import BASELINES, Arm, Outcome, Sample
from assistant.evaluation.running.record import outcomes_by_arm, run_record, versions
from assistant.evaluation.running.runner import evaluate
from assistant.evaluation.statistics.p_values import holm, mcnemar_exact
from assistant.retrieval.index import delete_index
from assistant.settings import GuardSettings, RetrievalSettings
from tests.evaluation.runs import ARMS, SAMPLES, assistant, toy_plan
from tests.toys import make_reviews

KEYS = (
    *("format", "name", "created", "finished", "task", "settings", "settings_hash", "versions", "data", "model"),
    *("index", "leakage", "checks", "baseline", "tried", "results", "pairs", "power", "notes", "samples"),
)
PROMISED = (
    *("name", "strategy", "reading", "calibration", "kind", "n", "seeds", "accuracy", "accuracy_interval"),
    *("accuracy_by_seed", "macro_f1", "macro_f1_interval", "per_class", "confusion", "roc_auc", "roc_curve", "brier"),
    *("calibration_curve", "exact_match", "token_f1", "rouge1", "rouge2", "rougeL", "bleu", "number_match", "score"),
    *("score_interval", "parse_failures", "problems", "excluded", "prompt_tokens", "new_tokens", "calls", "seconds"),
    *("seconds_median", "seconds_p95"),
)
COPY = Sample("copy", {"text": "A dull film!"}, ("negative",))


@pytest.fixture
def folder(home):
    make_reviews(home)
    return home / "runs" / "run"


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOTWISE_HOME", str(home))
        make_reviews(home)
        return evaluate(toy_plan(calibrations=("none", "batch")), assistant(), home / "runs" / "run")


def test_the_record_is_the_contract(record):
    assert tuple(record) == KEYS
    assert json.loads(json.dumps(record, allow_nan=False)) == json.loads(json.dumps(record))
    for row in record["results"]:
        assert set(PROMISED) <= set(row)
    plan = toy_plan(calibrations=("none", "batch"))
    assert (record["format"], record["name"]) == (1, "run")
    assert record["task"] == {"name": "sentiment", "labels": ["negative", "positive"], "metric": "accuracy"}
    assert (record["settings"], record["settings_hash"]) == (plan.settings(), plan.hash)
    assert record["data"] == {"source": "toys", "n": 7, "ids_sha256": plan.ids_sha256, "groups": 0}
    assert record["index"] == {"name": "toy"}


def test_samples_hold_prompt_answer_scores_and_whether_it_is_right(record):
    one = record["samples"][0]
    assert Outcome.from_json(one).to_json() == one
    assert one["prompt"].rstrip().endswith("<|assistant|>")
    assert (one["id"], one["answer"], one["final_answer"], one["correct"]) == ("s0", "positive", "positive", True)
    assert set(one["label_scores"]) == {"negative", "positive"}


def test_there_are_always_rows_without_a_language_model(record):
    baselines = [row for row in record["results"] if row["kind"] == "baseline"]
    assert tuple(row["name"] for row in baselines) == BASELINES
    assert all(row["calls"] == row["prompt_tokens"] == 0 for row in baselines)


def test_figures_are_those_of_the_samples(record):
    for row in record["results"]:
        if row["calibration"] != "none":
            continue
        own = [
            one for one in record["samples"] if (one["strategy"], one["reading"]) == (row["strategy"], row["reading"])
        ]
        assert row["answers"] == len(own)
        assert row["accuracy"] == pytest.approx(sum(one["correct"] for one in own) / len(own))
        assert row["prompt_tokens"] == sum(one["prompt_tokens"] for one in own)
        assert row["parse_failures"] == sum(one["final_answer"] is None for one in own)


def test_pairs_compare_everything_with_the_baseline_and_are_corrected_together(record):
    assert [pair["a"] for pair in record["pairs"]] == [record["baseline"]] * (len(record["results"]) - 1)
    assert [pair["p_holm"] for pair in record["pairs"]] == pytest.approx(
        holm([pair["p_value"] for pair in record["pairs"]])
    )
    (pair,) = (pair for pair in record["pairs"] if pair["b"] == "majority")
    right = {
        name: {one["id"]: one["correct"] for one in record["samples"] if (one["strategy"], one["reading"]) == arm}
        for name, arm in (("a", ("zero-shot", "labels")), ("b", ("majority", "none")))
    }
    wins = [one for one, correct in right["b"].items() if correct and not right["a"][one]]
    losses = [one for one, correct in right["b"].items() if not correct and right["a"][one]]
    assert (pair["wins"], pair["losses"]) == (len(wins), len(losses))
    assert pair["p_value"] == pytest.approx(mcnemar_exact(len(wins), len(losses)))
    assert set(pair["flipped"]) == {*wins, *losses}


def test_how_many_were_tried_counts_what_a_model_answered(record):
    assert record["tried"] == sum(row["kind"] == "strategy" for row in record["results"]) == 7
    assert record["power"]["n"] == len(SAMPLES)
    assert record["power"]["tried"] == 7


def test_every_arm_was_asked_twice_and_answered_alike(record):
    assert [(one["name"], one["n"], one["different"]) for one in record["checks"]] == [
        (arm.name, 2, []) for arm in ARMS if not arm.is_baseline
    ]


def test_a_transductive_calibration_says_so(record):
    assert any("'batch' looks at the inputs of all evaluated samples" in note for note in record["notes"])


def test_versions_are_those_installed():
    found = versions()
    assert (found["shotwise"], found["python"]) == (__version__, platform.python_version())
    assert {"torch", "transformers", "numpy", "scikit-learn"} <= set(found)


def test_outcomes_come_in_the_plans_order_however_blocks_were_finished(folder):
    plan = toy_plan()
    blocks = {
        block.key: [
            Outcome(sample.id, block.arm.strategy, block.arm.reading, block.seed, sample.targets, None, False, 0.0)
            for sample in plan.samples[block.start : block.end]
        ]
        for block in plan.blocks()
    }
    turned = dict(reversed(blocks.items()))
    for found in (outcomes_by_arm(plan, blocks), outcomes_by_arm(plan, turned)):
        assert tuple(found) == ARMS
        random = found[Arm("random-few-shot", "labels")]
        assert [(one.seed, one.sample) for one in random] == [(seed, one.id) for seed in (0, 1) for one in SAMPLES]


def test_copies_among_the_demonstrations_are_counted_and_none_is_shown(folder):
    record = evaluate(toy_plan(samples=(*SAMPLES, COPY)), assistant(), folder)
    assert record["leakage"] == {"guard": True, "same_text": 1, "same_id": 0, "samples": ["copy"], "shown": {}}
    assert any(note.startswith("1 of 8 samples also stand among the demonstrations") for note in record["notes"])


def test_without_the_guard_the_record_is_stamped_and_the_copies_shown_are_counted(folder):
    off = RetrievalSettings(guard=GuardSettings(enabled=False))
    record = evaluate(toy_plan(samples=(*SAMPLES, COPY), retrieval=off), assistant(), folder)
    assert record["leakage"]["guard"] is False
    assert record["leakage"]["shown"]["dynamic-few-shot (labels)"] == 1
    assert record["leakage"]["shown"]["knn-vote"] == 1
    assert any("THE LEAK GUARD WAS OFF" in note for note in record["notes"])
    assert record["settings"]["retrieval"]["guard"]["enabled"] is False


def test_groups_are_counted_and_no_group_shows_itself(folder):
    samples = tuple(Sample(one.id, one.inputs, one.targets, f"film {at % 3}") for at, one in enumerate(SAMPLES))
    record = evaluate(toy_plan(samples=samples), assistant(), folder)
    assert record["data"]["groups"] == 3


def test_prompts_with_fewer_demonstrations_than_asked_for_are_counted(folder):
    few = evaluate(toy_plan(retrieval=RetrievalSettings(k=20)), assistant(), folder)
    assert any("Fewer than k = 20 demonstrations" in note and "in 7 of 7 prompts" in note for note in few["notes"])
    enough = evaluate(toy_plan(), assistant(), folder.with_name("enough"))
    assert not any("Fewer than k" in note for note in enough["notes"])


def test_a_run_stopped_before_the_first_answer_of_a_model_has_a_record(folder):
    stop = threading.Event()

    def after_the_baselines(progress):
        if progress.done >= 3 * len(SAMPLES):
            stop.set()

    record = evaluate(toy_plan(), assistant(), folder, stop=stop, report=after_the_baselines)
    assert {row["kind"] for row in record["results"]} == {"baseline"}
    assert (record["tried"], record["power"]) == (0, None)


def test_baselines_do_not_count_among_the_answers_that_differ(record):
    right = {}
    for one in record["samples"]:
        if one["reading"] != "none":
            right.setdefault((one["strategy"], one["reading"]), {}).setdefault(one["id"], []).append(one["correct"])
    means = [[sum(many) / len(many) for many in of_arm.values()] for of_arm in right.values()]
    gaps = [(a - b) ** 2 for one, other in combinations(means, 2) for a, b in zip(one, other, strict=True)]
    assert record["power"]["discordant"] == pytest.approx(sum(gaps) / len(gaps))


def test_an_index_that_is_gone_is_said(folder):
    plan = toy_plan(arms=(Arm("zero-shot", "labels"),))
    delete_index("toy")
    record = run_record(plan, {}, finished=False, created="now")
    assert record["leakage"]["same_text"] is None
    assert any("The index is gone" in note for note in record["notes"])


def test_a_task_without_right_and_wrong_is_ranked_by_its_score(home):
    samples = tuple(Sample(f"d{at}", {"dialogue": f"#A#: Hi {at}.\n#B#: Bye."}, ("A greets B.",)) for at in range(4))
    arms = (Arm("zero-shot", "generate"), Arm("static-few-shot", "generate"))
    plan = toy_plan(task="summary", samples=samples, arms=arms, baseline=arms[0].name, index=None, index_facts={})
    record = evaluate(plan, assistant(lambda prompt, sampling: "A greets B."), home / "runs" / "summary")
    assert [row["rouge1"] for row in record["results"]] == pytest.approx([1.0, 1.0])
    assert [row["accuracy"] for row in record["results"]] == [None, None]
    assert [row["score"] for row in record["results"]] == pytest.approx([1.0, 1.0])
    assert record["index"] is None
    assert record["power"]["tried"] == 2
    assert record["pairs"][0]["verdict"].startswith("not distinguishable")
