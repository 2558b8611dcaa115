"""The advice as a whole: the race, the choice, the test, and what is kept when it is stopped."""

import itertools
import json
import random
import threading
from dataclasses import replace

import pytest

from assistant.answering import Assistant
from assistant.cli import run
from assistant.errors import RunProblem, SettingError, ShotwiseError
from assistant.evaluation.advice.advisor import PLAN, RECORD, advise
from assistant.evaluation.advice.plan import plan_advice
from assistant.evaluation.advice.report import html_advice, markdown_advice
from assistant.evaluation.reports.report import without_timings
from assistant.evaluation.running.journal import read_journal
from assistant.generation.chat_model import ScriptedModel
from assistant.settings import AdviceSettings
from tests.evaluation.advice_runs import NOUNS, advised, planned, reader, write_source, yes

# The race and the choice


def test_what_is_better_is_recommended_and_losers_leave_early(one_advice):
    plan, record, _, _ = one_advice
    assert record["chosen"].endswith("few-shot (labels)")
    dropped = {row["name"] for row in record["race"]["standings"] if row["dropped"]}
    assert {"static-cot (generate)", "self-consistency (generate)", "zero-shot-cot (labels)"} <= dropped
    samples = {row["name"]: row["n"] for row in record["race"]["standings"]}
    assert samples["static-cot (generate)"] == plan.block_size < samples[record["chosen"]]
    assert record["race"]["calls_saved"] > 0
    assert len(record["race"]["exits"]) == len(dropped)


def test_only_the_chosen_the_runner_up_and_the_baseline_are_tested(one_advice):
    plan, record, _, _ = one_advice
    chosen, runner_up, baseline = record["finalists"]
    assert [chosen, runner_up] == [row["name"] for row in record["race"]["standings"][:2]]
    assert baseline == plan.baseline == "zero-shot (labels)"
    tested = [row["name"] for row in record["test"]["results"]]
    assert tested == [chosen, runner_up, baseline, "majority", "knn-vote", "logistic-regression"]
    against = {pair["b"]: pair for pair in record["test"]["pairs"]}
    assert set(against) == set(tested) - {chosen}
    assert {pair["a"] for pair in against.values()} == {chosen}
    assert against[baseline]["verdict"] == "worse"


def test_equals_are_not_ranked_and_the_cheaper_is_to_be_used(one_advice):
    _, record, _, _ = one_advice
    chosen, runner_up, _ = record["finalists"]
    found = record["recommendation"]
    assert found["sentence"].startswith(f"No measurable difference between {chosen} and {runner_up} on ")
    tokens = {row["name"]: (row["prompt_tokens"] + row["new_tokens"]) / row["n"] for row in record["test"]["results"]}
    assert found["use"] == min((chosen, runner_up), key=tokens.__getitem__)
    assert f"{found['use']} costs fewer tokens" in found["sentence"]


def test_pool_dev_and_test_share_no_row(one_advice):
    plan, record, pool, folder = one_advice
    dev, test = ({sample.id for sample in part} for part in (plan.dev, plan.test))
    assert not dev & test
    assert not pool & (dev | test)
    asked = {
        part: {one.sample for key, block in read_journal(folder).items() if key.startswith(part) for one in block}
        for part in ("dev", "test")
    }
    assert asked["dev"] <= dev
    assert asked["test"] <= test
    assert len(asked["test"]) == record["test"]["n"]
    assert len(asked["dev"]) == record["dev"]["n"]


def test_dev_and_test_hold_both_labels_though_the_file_is_sorted(one_advice):
    plan, _, _, _ = one_advice
    for part in (plan.dev[:16], plan.test[:16]):
        assert {sample.targets[0] for sample in part} == {"positive", "negative"}


def test_the_budget_is_kept_and_accounted_for(one_advice):
    plan, record, _, folder = one_advice
    calls = sum(one.calls for block in read_journal(folder).values() for one in block)
    assert record["spent"]["total"]["calls"] == calls <= plan.settings.budget
    assert record["spent"]["dev"]["calls"] <= 0.6 * plan.settings.budget


def test_the_first_strategy_is_chosen_where_all_say_the_same(home):
    _, record = advised(home, yes, strategies=("zero-shot", "static-few-shot", "random-few-shot"), budget=400)
    assert record["chosen"] == "zero-shot (labels)"  # of equals, the fewest tokens
    or_else = record["recommendation"]["more"][0]
    assert or_else.startswith("Or else: No measurable difference between zero-shot (labels) and ")
    assert "zero-shot (labels) costs fewer tokens" in or_else
    assert not [row for row in record["race"]["standings"] if row["dropped"]]


def test_a_model_that_always_says_the_same_is_not_recommended_over_a_baseline(home):
    _, record = advised(home, yes, strategies=("zero-shot",), budget=200)
    rows = {row["name"]: row for row in record["test"]["results"]}
    assert rows["logistic-regression"]["accuracy"] > 0.8 > rows["zero-shot (labels)"]["accuracy"]
    assert record["recommendation"]["kind"] == "no model"
    assert record["recommendation"]["sentence"].startswith("Use logistic-regression, which asks no language model")
    assert record["race"]["ended"] == "there was only one strategy"


# The same again, stopped, resumed


@pytest.mark.slow
def test_the_same_seed_gives_the_same_report_but_for_its_timings(home):
    _, first = advised(home, folder="one")
    _, second = advised(home, folder="two")
    one, two = without_timings(first), without_timings(second)
    assert one == two
    assert html_advice(one) == html_advice(two)
    assert markdown_advice(one) == markdown_advice(two)


def test_another_seed_cuts_other_parts(home):
    assistant = Assistant(ScriptedModel(reader))
    source = write_source(home)
    first, second = (planned(source, assistant, seed=seed) for seed in (0, 1))
    assert {sample.id for sample in first.test} != {sample.id for sample in second.test}
    assert first.name != second.name
    assert first.hash == planned(source, assistant, seed=0).hash


class StopAfter:
    """A stop signal that is set after so many prompts."""

    def __init__(self, model, prompts):
        self.model, self.prompts = model, prompts

    def is_set(self):
        return len(self.model.history) >= self.prompts


@pytest.mark.parametrize("prompts", [1, 100, 480])
def test_a_stopped_advice_goes_on_and_ends_like_one_that_was_not(home, one_advice, prompts):
    plan, whole, _, _ = one_advice
    model = ScriptedModel(reader)
    assistant = Assistant(model)
    again = planned(write_source(home), assistant)
    assert again.hash == plan.hash
    folder = home / "runs" / again.name
    states = []
    model.history.clear()
    stopped = advise(
        again, assistant, folder, stop=StopAfter(model, prompts), report=lambda one: states.append(one.state)
    )
    assert stopped is None
    assert states[-1] == "stopped"
    assert not (folder / RECORD).exists()
    kept = {(one.sample, one.strategy) for block in read_journal(folder).values() for one in block}
    model.history.clear()
    record = advise(again, assistant, folder, report=lambda one: states.append(one.state))
    assert states[-1] == "done"
    asked = len(model.history)
    total = sum(one.calls for block in read_journal(folder).values() for one in block)
    assert asked <= total - len(kept)  # what was kept was not asked again
    assert without_timings({**record, "name": ""}) == without_timings({**whole, "name": ""})


def test_a_finished_advice_is_told_again_without_asking(home):
    model = ScriptedModel(reader)
    assistant = Assistant(model)
    plan = planned(write_source(home), assistant, strategies=("zero-shot", "static-few-shot"), budget=300)
    first = advise(plan, assistant, home / "runs" / plan.name)
    model.history.clear()
    assert without_timings(advise(plan, assistant, home / "runs" / plan.name)) == without_timings(first)
    assert model.history == []
    kept = json.loads((home / "runs" / plan.name / RECORD).read_text("utf-8"))
    assert without_timings(kept) == without_timings(json.loads(json.dumps(first)))


def test_a_folder_of_another_plan_is_refused(home):
    plan, _ = advised(home, strategies=("zero-shot",), budget=200)
    assistant = Assistant(ScriptedModel(reader))
    other = planned(write_source(home), assistant, strategies=("zero-shot",), budget=201)
    with pytest.raises(RunProblem, match=r"planned otherwise: settings\.budget was 200, is 201"):
        advise(other, assistant, home / "runs" / "advice")
    assert json.loads((home / "runs" / "advice" / PLAN).read_text("utf-8"))["hash"] == plan.hash


def test_a_torn_plan_is_told_in_a_sentence(home):
    plan, _ = advised(home, strategies=("zero-shot",), budget=200)
    written = home / "runs" / "advice" / PLAN
    for text in (written.read_text("utf-8")[:40], "[]", "{}"):
        written.write_text(text, "utf-8")
        with pytest.raises(RunProblem, match="plan of the advice 'advice' cannot be read"):
            advise(plan, Assistant(ScriptedModel(reader)), home / "runs" / "advice")


@pytest.mark.parametrize("file", ["plan.json", "journal.jsonl"])
def test_the_folder_of_an_evaluation_is_refused_and_left_as_it_is(home, file):
    folder = home / "runs" / "advice"
    folder.mkdir(parents=True)
    (folder / file).write_text("", "utf-8")
    with pytest.raises(RunProblem, match="another run, not of an advice"):
        advised(home, strategies=("zero-shot",), budget=200)
    assert [one.name for one in folder.iterdir()] == [file]


def test_an_index_that_holds_the_samples_is_told_and_counted(home):
    source = write_source(home)
    run(("index", "build", source, "--name", "same", "--task", "sentiment", "--encoder", "toy"))
    assistant = Assistant(ScriptedModel(reader))
    asked = {"strategies": ("zero-shot", "dynamic-few-shot"), "budget": 400}
    plan = plan_advice(source, assistant, AdviceSettings(**asked), task="sentiment", index="same")
    record = advise(plan, assistant, home / "runs" / "leaky")
    found = record["leakage"]
    assert found["guard"]
    for part in ("dev", "test"):
        assert found[part]["same_text"] == found[part]["n"] == record[part]["n"]
        assert found[part]["shown"] == {}
        told = f"{record[part]['n']} of {record[part]['n']} {part} samples also stand among the demonstrations"
        assert any(note.startswith(told) and note.endswith("none was shown for itself.") for note in record["notes"])
        assert told in markdown_advice(record)


def test_rows_of_its_own_training_part_are_no_leak(one_advice):
    _, record, _, _ = one_advice
    assert record["leakage"]["test"]["same_text"] == record["leakage"]["test"]["same_id"] == 0
    assert not any("word for word" in note for note in record["notes"])


def test_samples_that_cannot_be_told_apart_are_refused(home):
    assistant = Assistant(ScriptedModel(reader))
    plan = planned(write_source(home), assistant, strategies=("zero-shot",), budget=200)
    twice = replace(plan, test=(*plan.test, plan.test[0]))
    with pytest.raises(RunProblem, match="stands twice"):
        advise(twice, assistant, home / "runs" / "twice")


def test_time_ends_the_race_but_never_before_a_first_block(home):
    _, record = advised(home, yes, strategies=("zero-shot", "static-few-shot"), seconds=1e-9, budget=400)
    assert record["race"]["ended"] == "the time for dev was over"
    assert (record["dev"]["n"], record["test"]["n"]) == (16, 16)


def test_an_error_while_asking_is_told_and_what_was_done_is_kept(home):
    calls = itertools.count()

    def breaking(prompt, sampling):
        if next(calls) > 30:
            raise SettingError("The model broke.")
        return yes(prompt, sampling)

    states = []
    assistant = Assistant(ScriptedModel(breaking))
    plan = planned(write_source(home), assistant, strategies=("zero-shot",), budget=200)
    with pytest.raises(ShotwiseError, match="broke"):
        advise(plan, assistant, home / "runs" / "broken", report=states.append)
    assert (states[-1].state, states[-1].sentence) == ("failed", "The model broke.")
    assert len(read_journal(home / "runs" / "broken")) == 1


def test_progress_counts_calls_and_tells_the_time_left(home):
    told = []
    assistant = Assistant(ScriptedModel(reader))
    plan = planned(write_source(home), assistant, strategies=("zero-shot", "static-few-shot"), budget=300)
    advise(plan, assistant, home / "runs" / "told", stop=threading.Event(), report=told.append)
    running = [one for one in told if one.state == "running"]
    assert [one.done for one in running] == sorted(one.done for one in running)
    assert all(one.seconds_left is not None and one.total == 300 for one in running)
    assert told[-1].done == told[-1].total <= 300
    assert json.loads((home / "runs" / "told" / "progress.json").read_text("utf-8"))["state"] == "done"


# Tasks without right and wrong


def test_scores_are_compared_where_nothing_is_right_or_wrong(home):
    path = home / "dialogues.jsonl"
    draw = random.Random(1)
    rows = []
    for row in range(80):
        what = " ".join(draw.choice(NOUNS) for _ in range(6))
        rows.append(json.dumps({"dialogue": f"Ann: {what} {row}\nBen: Good.", "summary": f"{what} {row}"}))
    path.write_text("\n".join(rows), encoding="utf-8")

    def summary(prompt, sampling):
        del sampling
        said = prompt.messages[-1]["content"].split("\n")[0].removeprefix("Ann: ")
        shown = any(span.origin.startswith("demonstration") for span in prompt.spans)
        return said if shown else "Something else was said."

    assistant = Assistant(ScriptedModel(summary))
    strategies = ("zero-shot", "static-few-shot")
    plan = planned(str(path), assistant, task="summary", strategies=strategies, budget=200)
    record = advise(plan, assistant, home / "runs" / "summaries")
    assert record["measure"] == "score"
    assert record["chosen"] == "static-few-shot (generate)"
    assert record["recommendation"]["sentence"].startswith("Use static-few-shot (generate): on ")
    assert "test samples its ROUGE-L is " in record["recommendation"]["sentence"]
    assert "ROUGE-L" in html_advice(record)
    assert markdown_advice(without_timings(record)).startswith("# Which strategy for “Summary of a dialogue”?")
