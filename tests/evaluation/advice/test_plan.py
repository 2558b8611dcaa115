import itertools
import json
import re
from dataclasses import replace

import pytest

from assistant.answering import Assistant
from assistant.data import Fields
from assistant.errors import DataError, PromptTooLong, SettingError, ShotwiseError, UnknownName
from assistant.evaluation.advice.advisor import advise
from assistant.evaluation.advice.arms import racing_arms
from assistant.evaluation.advice.plan import calls_per_answer, in_blocks
from assistant.evaluation.advice.rows import load_rows
from assistant.evaluation.outcomes import Sample
from assistant.evaluation.running.journal import read_journal
from assistant.generation.chat_model import ScriptedModel
from assistant.prompting.strategies import find_strategy
from assistant.settings import AdviceSettings
from tests.evaluation.advice_runs import advised, planned, reader, write_source, yes


def test_every_strategy_that_fits_races_and_the_others_are_named(one_advice):
    plan, record, _, _ = one_advice
    racing = {arm.strategy for arm in plan.arms}
    assert {"zero-shot", "zero-shot-cot", "static-few-shot", "dynamic-few-shot", "self-consistency"} <= racing
    assert set(record["left_out"]) >= {"random-labels", "shuffled-order", "random-few-shot", "dynamic-cot"}
    assert "no rationales" in record["left_out"]["dynamic-cot"]
    assert {arm.strategy: arm.reading for arm in plan.arms}["static-cot"] == "generate"


def test_a_named_strategy_that_cannot_answer_is_an_error(home):
    assistant = Assistant(ScriptedModel(reader))
    source = write_source(home)
    with pytest.raises(ShotwiseError, match="no rationales"):
        planned(source, assistant, strategies=("zero-shot", "dynamic-cot"))
    with pytest.raises(UnknownName, match="zero-shot"):
        planned(source, assistant, strategies=("zero-shoot",))
    with pytest.raises(UnknownName, match="strategy in this race"):
        planned(source, assistant, strategies=("zero-shot",), baseline="static-few-shot")


def test_the_baseline_may_be_named(home):
    _, record = advised(home, strategies=("zero-shot", "static-few-shot"), baseline="static-few-shot", budget=300)
    assert record["baseline"] == "static-few-shot (labels)"


def test_a_budget_that_is_too_small_says_how_much_it_takes(home):
    assistant = Assistant(ScriptedModel(reader))
    source = write_source(home)
    with pytest.raises(SettingError, match="20 model calls are too few") as caught:
        planned(source, assistant, budget=20)
    enough = int(re.search(r"at least ([\d,]+)", caught.value.hint)[1].replace(",", ""))
    plan = planned(source, assistant, budget=enough)
    record = advise(plan, assistant, home / "runs" / "least")
    assert record["spent"]["total"]["calls"] <= enough
    assert record["test"]["n"] >= 16


@pytest.mark.parametrize(
    ("strategy", "calls"), [("zero-shot", 1), ("zero-shot-cot", 2), ("self-consistency", 5), ("dynamic-few-shot", 1)]
)
def test_calls_are_known_beforehand(one_advice, strategy, calls):
    _, _, _, folder = one_advice
    assert calls_per_answer(find_strategy(strategy)) == calls
    spent = [one.calls for block in read_journal(folder).values() for one in block if one.strategy == strategy]
    assert set(spent) == {calls}


def test_groups_are_in_one_part_and_in_one_block(home):
    assistant = Assistant(ScriptedModel(reader))
    fields = Fields(("text",), "label", id="id", group="film")
    plan = planned(write_source(home, 160, films=20), assistant, fields=fields)
    groups = [{sample.group for sample in part} for part in (plan.dev, plan.test)]
    assert not groups[0] & groups[1]
    blocks = [{sample.group for sample in block} for block in in_blocks(plan.dev, plan.block_size)]
    assert all(not one & other for one, other in itertools.combinations(blocks, 2))
    record = advise(plan, assistant, home / "runs" / "grouped")
    assert record["data"]["groups"] == len(groups[0] | groups[1])
    assert {pair["test"] for pair in record["test"]["pairs"]} == {"sign-flip permutation by group"}


def test_blocks_are_whole_groups_and_lose_no_sample():
    samples = [Sample(str(row), {"text": ""}, ("x",), group) for row, group in enumerate("aaab bcccccd  ")]
    samples = [Sample(one.id, one.inputs, one.targets, one.group.strip()) for one in samples]
    blocks = in_blocks(samples, 2)
    assert [one for block in blocks for one in block] == samples
    assert [len(block) for block in blocks] == [3, 2, 6, 2, 1]


def test_data_that_cannot_be_used_is_refused(home):
    assistant = Assistant(ScriptedModel(reader))
    with pytest.raises(DataError, match="12 rows"):
        planned(write_source(home, 12, name="few.jsonl"), assistant)
    with pytest.raises(SettingError, match="Which task"):
        planned(write_source(home), assistant, task=None)
    with pytest.raises(SettingError, match="made for the task 'sentiment'"):
        planned("reviews", assistant, task="summary")
    with pytest.raises(SettingError, match="no metric"):
        planned(write_chat(home), assistant, task="chat")


def write_chat(folder):
    path = folder / "chat.jsonl"
    lines = (json.dumps({"message": f"Hello {row}", "answer": f"Hi {row}"}) for row in range(40))
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", ["reviews", "word-problems"])
def test_built_in_sets_need_no_file_and_no_task(home, name):
    assistant = Assistant(ScriptedModel(yes))
    plan = planned(name, assistant, task=None, strategies=("zero-shot", "static-few-shot"), budget=300)
    record = advise(plan, assistant, home / "runs" / name)
    assert record["data"]["source"] == name
    assert record["test"]["n"] >= 16


def test_the_hash_is_of_what_decides_the_outcomes_and_of_no_words(one_advice):
    plan, _, _, _ = one_advice
    assert replace(plan, name="other", notes=("a sentence",), left_out={"a": "reason"}).hash == plan.hash
    assert len(plan.prompts_sha256) == 64
    assert plan.index_facts["files"]
    assert set(plan.model) == {"name", "adapter", "dtype", "context_tokens", "identity", "chat_template_sha256"}
    for change in (
        {"prompts_sha256": "0" * 64},
        {"index_facts": {**plan.index_facts, "files": {}}},
        {"model": {**plan.model, "context_tokens": 1}},
        {"model": {**plan.model, "chat_template_sha256": "0" * 64}},
    ):
        assert replace(plan, **change).hash != plan.hash


def test_dev_is_in_an_order_of_chance_not_label_by_label(home):
    assistant = Assistant(ScriptedModel(reader))
    source = write_source(home)
    plan = planned(source, assistant)
    first = [sample.targets[0] for sample in plan.dev]
    pairs = list(zip(first[::2], first[1::2], strict=True))
    assert any(one == other for one, other in pairs)
    assert any(one != other for one, other in pairs)
    assert plan.dev == planned(source, assistant).dev


def test_one_long_text_does_not_keep_a_strategy_out(home):
    loaded = load_rows(write_source(home), task="sentiment", seed=0, pool=100)
    long = replace(loaded.dev[0], id="long", inputs={"text": "very " * 5000 + "long"})
    assistant = Assistant(ScriptedModel(reader, context_tokens=2048))
    settings = AdviceSettings(encoder="toy", strategies=("zero-shot", "static-few-shot"))
    arms, left_out = racing_arms(assistant, replace(loaded, dev=(long, *loaded.dev)), "reviews", settings)
    assert [arm.strategy for arm in arms] == ["zero-shot", "static-few-shot"]
    assert not left_out
    with pytest.raises(PromptTooLong):
        racing_arms(assistant, replace(loaded, dev=(long,)), "reviews", settings)


def test_a_known_name_is_a_known_set_though_a_file_has_that_name(home, monkeypatch):
    monkeypatch.chdir(home)
    (home / "reviews").write_text("text,label", "utf-8")
    assert load_rows("reviews", task=None, seed=0, pool=100).data.name == "reviews"
