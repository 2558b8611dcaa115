"""Faults are planted on purpose; every one of them must be seen, or kept out, and told."""

import json
import random

import pytest

from assistant.errors import RunProblem
from assistant.evaluation.outcomes import Arm, Sample
from assistant.evaluation.reports.report import html_report, markdown_report
from assistant.evaluation.running.planning import plan_evaluation, with_model
from assistant.evaluation.running.runner import evaluate
from assistant.evaluation.running.wanted import Wanted
from assistant.generation.chat_model import ScriptedModel
from assistant.prompting import parsing, tasks
from assistant.settings import EvaluationSettings, GuardSettings, RetrievalSettings, SamplingSettings
from tests.evaluation.runs import assistant, reader, toy_plan
from tests.toys import REVIEWS, make_reviews

ASKED = (Arm("zero-shot", "generate"), Arm("dynamic-few-shot", "generate"))


@pytest.fixture
def folder(home):
    make_reviews(home)
    return home / "runs" / "run"


def labelled(home, rows, swap=False):
    """Return a file of labelled reviews, gold labels swapped if asked."""
    path = home / "rows.jsonl"
    lines = [{"id": one, "text": text, "label": 1 - label if swap else label} for one, text, label in rows]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return str(path)


def of_file(path, model, home, **changes):
    """Return the record of an evaluation of a file, from the wish to the end."""
    asked = ("zero-shot", "dynamic-few-shot")
    wanted = Wanted(path, "sentiment", asked, index="toy", evaluation=EvaluationSettings(seeds=1))
    wanted = Wanted(**{**vars(wanted), **changes})
    plan = with_model(plan_evaluation(wanted), model.model)
    return evaluate(plan, model, home / "runs" / plan.name)


# Swapped labels

FRESH = tuple(
    (f"n{number}", f"{word} evening number {number} at the pictures", label)
    for number, (word, label) in enumerate([("a witty", 1), ("a tedious", 0)] * 10)
)


def test_swapped_gold_labels_are_told_and_correct_ones_are_not(folder, home):
    right = of_file(labelled(home, FRESH), assistant(), home)
    swapped = of_file(labelled(home, FRESH, swap=True), assistant(), home)
    by_name = {row["name"]: row["accuracy"] for row in right["results"]}
    assert by_name["zero-shot (labels)"] == 1.0
    assert not [note for note in right["notes"] if note.startswith("zero-shot") and "below chance" in note]
    (warning,) = [note for note in swapped["notes"] if note.startswith("zero-shot")]
    assert "below chance: are the label names swapped?" in warning
    assert warning in markdown_report(swapped).replace("\\", "")
    assert "are the label names swapped?" in html_report(swapped)


# A leaked row

LEAKED = ("leak", "A DULL film!", 0)


def test_a_leaked_row_is_kept_out_and_counted(folder, home):
    record = of_file(labelled(home, [*FRESH, LEAKED]), assistant(), home)
    assert record["leakage"]["same_text"] == 1
    assert record["leakage"]["samples"] == ["leak"]
    assert record["leakage"]["shown"] == {}
    (row,) = [row for row in record["results"] if row["name"] == "dynamic-few-shot (labels)"]
    assert row["excluded"]["the same text as the question"] == 1
    (answered,) = [one for one in record["samples"] if one["id"] == "leak" and one["strategy"] == "dynamic-few-shot"]
    assert "r0" not in [demonstration["id"] for demonstration in answered["demonstrations"]]
    assert any("1 of 21 samples also stand among the demonstrations" in note for note in record["notes"])


def test_with_the_guard_off_the_leak_is_stamped_counted_and_shown(folder, home):
    off = RetrievalSettings(guard=GuardSettings(enabled=False))
    record = of_file(labelled(home, [*FRESH, LEAKED]), assistant(), home, retrieval=off)
    assert record["leakage"]["guard"] is False
    assert record["leakage"]["shown"] == {"dynamic-few-shot (labels)": 1, "knn-vote": 1}
    shown = [one["demonstrations"] for one in record["samples"] if one["id"] == "leak"]
    assert any(demonstration["id"] == "r0" for demonstrations in shown for demonstration in demonstrations)
    assert any("LEAK GUARD WAS OFF" in note for note in record["notes"])
    assert "LEAK GUARD WAS OFF" in html_report(record)


def test_a_row_evaluated_against_itself_is_never_its_own_demonstration(folder, home):
    record = of_file(labelled(home, REVIEWS[:4]), assistant(), home)
    assert record["leakage"]["same_id"] == record["leakage"]["same_text"] == 4
    for one in record["samples"]:
        assert one["id"] not in [demonstration["id"] for demonstration in one["demonstrations"]]


# A parser that defaults


@pytest.mark.parametrize("default", ["negative", "positive"])
def test_a_parser_with_a_default_class_is_refused_before_anything_is_answered(folder, default, monkeypatch):
    honest = parsing.parse_label

    def eager(reply, names):
        return parsing.Parsed(honest(reply, names).final_answer or default)

    monkeypatch.setattr(tasks, "parse_label", eager)
    model = assistant()
    with pytest.raises(RunProblem, match=f"as the answer '{default}'"):
        evaluate(toy_plan(arms=ASKED, baseline=ASKED[0].name), model, folder)
    assert model.model.history == []


def test_a_parser_that_only_defaults_where_no_probe_looked_is_stopped_by_its_own_problem(folder, monkeypatch):
    honest = parsing.parse_label

    def sly(reply, names):
        parsed = honest(reply, names)
        return parsing.Parsed("positive", parsed.problem) if "Who knows" in reply else parsed

    monkeypatch.setattr(tasks, "parse_label", sly)
    with pytest.raises(RunProblem, match="was read as 'positive', with the problem"):
        evaluate(toy_plan(arms=ASKED, baseline=ASKED[0].name), assistant(lambda *_: "Who knows?"), folder)


def test_unreadable_replies_count_as_errors_in_a_column_of_their_own(folder):
    plan = toy_plan(arms=ASKED, baseline=ASKED[0].name)
    record = evaluate(plan, assistant(lambda *_: "Who knows?"), folder)
    for row in record["results"]:
        assert (row["accuracy"], row["parse_failures"]) == (0.0, row["n"])
        at = row["confusion"]["columns"].index("unreadable")
        assert sum(counts[at] for counts in row["confusion"]["counts"]) == row["n"]


# Unseeded chance


def test_an_unseeded_sampler_is_caught(folder):
    draw = random.Random()
    plan = toy_plan(arms=ASKED[:1], baseline=ASKED[0].name, check_size=7)
    record = evaluate(plan, assistant(lambda *_: f"positive {draw.random()}"), folder)
    (check,) = record["checks"]
    assert len(check["different"]) == 7
    assert any("its figures cannot be reproduced" in note for note in record["notes"])
    assert "cannot be reproduced" in html_report(record)


def test_a_seeded_sampler_is_not_accused(folder):
    def sampled(prompt, sampling):
        return f"positive {random.Random(f'{sampling.seed} {prompt.text}').random()}"

    sampling = SamplingSettings(temperature=0.8)
    plan = toy_plan(arms=ASKED[:1], baseline=ASKED[0].name, sampling=sampling, check_size=7)
    record = evaluate(plan, assistant(sampled), folder)
    assert record["checks"][0]["different"] == []
    assert len({one["answer"] for one in record["samples"]}) == len(record["samples"])


def test_unseeded_demonstrations_are_caught(folder, monkeypatch):
    draw = random.Random()
    monkeypatch.setattr("assistant.retrieval.selectors._permuted", lambda n, seed: iter(draw.sample(range(n), n)))
    arms = (Arm("random-few-shot", "labels"),)
    record = evaluate(toy_plan(arms=arms, baseline=arms[0].name, check_size=7), assistant(), folder)
    assert record["checks"][0]["different"]


def test_a_random_model_is_caught_after_a_restart_too(folder):
    plan = toy_plan(arms=ASKED[:1], baseline=ASKED[0].name, check_size=7)
    stop_after = []

    class Stop:
        def is_set(self):
            return len(stop_after) > 0

    def report(progress):
        if progress.done > 0:
            stop_after.append(1)

    evaluate(plan, assistant(lambda *_: "positive, first process"), folder, stop=Stop(), report=report)
    record = evaluate(plan, assistant(lambda *_: "positive, second process"), folder)
    assert record["finished"]
    assert len(record["checks"][0]["different"]) == 7


def test_the_same_model_gives_the_same_record_twice(home):
    make_reviews(home)
    plan = toy_plan(sampling=SamplingSettings(temperature=0.9))
    first, second = (evaluate(plan, assistant(), home / "runs" / name)["samples"] for name in ("first", "second"))
    for one in (*first, *second):
        del one["seconds"]
    assert first == second


def test_labels_of_a_model_that_scores_by_chance_are_caught(folder):
    draw = random.Random()

    class Unsteady(ScriptedModel):
        def score_labels(self, prompts, labels, stop=None):
            return tuple(tuple(-draw.random() for _ in names) for names in labels)

    model = assistant()
    model.model = Unsteady(reader)
    arms = (Arm("zero-shot", "labels"),)
    record = evaluate(toy_plan(arms=arms, baseline=arms[0].name), model, folder)
    assert record["checks"][0]["different"] == ["s0", "s1"]


def test_a_sample_twice_in_one_plan_is_refused(folder):
    with pytest.raises(RunProblem, match="'s0' stands twice"):
        evaluate(toy_plan(samples=(Sample("s0", {"text": "x"}, ("positive",)),) * 2), assistant(), folder)
