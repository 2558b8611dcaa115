"""Saved classifiers as rows of the leaderboard, beside strategies and baselines, on samples that none has learnt."""

import json

import pytest

from assistant.errors import ClassifierError, DataError, RunProblem, SettingError
from assistant.evaluation.outcomes import Sample
from assistant.evaluation.reports.words import headline
from assistant.evaluation.running.classifiers import fitting_classifiers, unlearnt
from assistant.evaluation.running.planning import Wanted, named, plan_evaluation, with_model
from assistant.evaluation.running.runner import evaluate
from assistant.evaluation.running.wanted import found_samples
from assistant.finetuning.classifiers.predicting import load_classifier
from assistant.finetuning.classifiers.settings import ClassifierSettings
from assistant.finetuning.classifiers.training import train_classifier
from assistant.prompting.tasks import load_task
from assistant.settings import EvaluationSettings
from tests.evaluation.runs import SAMPLES, assistant
from tests.tiny_models import review_rows, save_bert
from tests.toys import make_reviews


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return str(save_bert(tmp_path_factory.mktemp("bert")))


@pytest.fixture
def settings(bert):
    return ClassifierSettings(encoder=bert, method="feature-based", device="cpu", max_tokens=32)


@pytest.fixture
def classifier(settings):
    return train_classifier(review_rows(), settings, "mine")


@pytest.fixture
def wanted(home, classifier):
    make_reviews(home)
    path = home / "rows.jsonl"
    lines = [{"id": one.id, "text": one.inputs["text"], "label": one.targets[0]} for one in SAMPLES]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")

    def made(**others):
        values = {"source": str(path), "task": "sentiment", "index": "toy", "classifiers": ("mine",)}
        return Wanted(**(values | others), evaluation=EvaluationSettings(seeds=1, block_size=3))

    return made


def carried_out(plan, home):
    return evaluate(plan, assistant(), home / "runs" / plan.name)


def test_a_classifier_is_a_row_beside_strategies_and_baselines(wanted, home):
    plan = with_model(plan_evaluation(wanted(strategies=("zero-shot",))), assistant().model)
    record = carried_out(plan, home)
    names = [row["name"] for row in record["results"]]
    assert names == ["zero-shot (labels)", "majority", "knn-vote", "logistic-regression", "classifier:mine"]
    row = record["results"][4]
    assert row["kind"] == "baseline"
    assert row["n"] == len(SAMPLES)
    assert row["roc_auc"] is not None
    assert row["confusion"]["counts"]
    assert record["settings"]["classifiers"]["mine"]["files"]
    assert {pair["b"] for pair in record["pairs"]} >= {"classifier:mine"}


def test_its_row_says_what_the_classifier_says(wanted, home):
    record = carried_out(named(plan_evaluation(wanted(ask_model=False))), home)
    answers = load_classifier("mine").predict([sample.inputs for sample in SAMPLES])
    said = {sample.id: one for sample, one in zip(SAMPLES, answers, strict=True)}
    rows = [one for one in record["samples"] if one["strategy"] == "classifier:mine"]
    assert {one["id"]: one["final_answer"] for one in rows} == {name: one.label for name, one in said.items()}
    for one in rows:
        assert one["label_scores"] == pytest.approx(said[one["id"]].log_probabilities, abs=1e-6)


def test_no_language_model_is_asked_where_none_is_wanted(wanted, home):
    plan = named(plan_evaluation(wanted(ask_model=False)))
    assert [arm.is_baseline for arm in plan.arms] == [True] * 4
    assert plan.baseline == "majority"
    record = carried_out(plan, home)
    assert record["finished"]
    best = max(record["results"], key=lambda row: row["accuracy"])
    assert headline(record)[0].startswith(f"No language model was asked. Highest accuracy: {best['name']}")


def test_where_no_index_is_named_the_task_s_own_serves_the_other_rows(classifier, home):
    rows = [{"text": sample.inputs["text"], "label": sample.targets[0]} for sample in SAMPLES]
    path = home / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    plan = plan_evaluation(Wanted(source=str(path), task="sentiment", classifiers=("mine",), ask_model=False))
    assert "classifier:mine" in [arm.name for arm in plan.arms]


def test_samples_that_it_has_learnt_are_left_out_for_all_and_that_is_said(wanted, classifier):
    data = found_samples(wanted())
    learnt = Sample("x", {"text": review_rows().train[0].inputs["text"].upper()}, ("negative",))
    with_learnt = unlearnt(
        type(data)(data.task, (*data.samples, learnt), data.facts, data.notes), fitting_classifiers(["mine"], data.task)
    )
    assert {one.id for one in with_learnt.samples} == {one.id for one in data.samples}
    assert "1 sample was left out" in with_learnt.notes[-1]
    with pytest.raises(DataError, match="has learnt from"):
        unlearnt(type(data)(data.task, (learnt,), data.facts), fitting_classifiers(["mine"], data.task))


def test_a_group_that_was_learnt_from_is_left_out(settings, wanted):
    rows = review_rows()
    grouped = [Sample(row.id, row.inputs, row.targets, f"g{at}") for at, row in enumerate(rows.train)]
    train_classifier(type(rows)(rows.task, rows.fields, rows.labels, tuple(grouped), rows.dev), settings, "grouped")
    data = found_samples(wanted())
    fresh = Sample("y", {"text": "never seen before"}, ("negative",), "g3")
    left = unlearnt(
        type(data)(data.task, (*data.samples, fresh), data.facts), fitting_classifiers(["grouped"], data.task)
    )
    assert "y" not in {one.id for one in left.samples}


def test_a_classifier_of_another_task_is_refused(classifier):
    with pytest.raises(SettingError, match="trained for the task 'sentiment'"):
        fitting_classifiers(["mine"], load_task("topic"))
    with pytest.raises(ClassifierError, match="no classifier 'yours'"):
        fitting_classifiers(["yours"], load_task("sentiment"))


def test_a_classifier_that_was_trained_again_is_not_the_planned_one(wanted, settings, home):
    plan = named(plan_evaluation(wanted(ask_model=False)))
    train_classifier(review_rows(40), settings, "mine", replace=True)
    with pytest.raises(RunProblem, match="not the one that was planned"):
        carried_out(plan, home)


def test_plans_without_classifiers_keep_the_hash_they_have_always_had(wanted):
    plan = plan_evaluation(wanted(classifiers=(), strategies=("zero-shot",)))
    assert "classifiers" not in plan.settings()
    with_one = plan_evaluation(wanted(strategies=("zero-shot",)))
    assert with_one.hash != plan.hash
    assert type(plan).from_json(with_one.to_json()).hash == with_one.hash
