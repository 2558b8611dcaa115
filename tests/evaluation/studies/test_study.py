import threading
from dataclasses import replace

import pytest

from assistant.answering import Assistant
from assistant.errors import DataError, IndexNotFound, RunProblem
from assistant.evaluation.outcomes import Arm, Sample
from assistant.evaluation.running.plan import Plan
from assistant.evaluation.studies.study import (
    BLOCK,
    Memory,
    Study,
    Variant,
    ask_variants,
    facts_of,
    groups_of,
    in_blocks,
    memory_of,
    study_of,
)
from assistant.generation.chat_model import ScriptedModel
from assistant.prompting.tasks import load_task
from assistant.settings import RetrievalSettings

TASK = load_task("sentiment")
ZERO_SHOT = Arm("zero-shot", "generate")


def samples(n):
    return [Sample(f"s{at}", {"text": f"film number {at}"}, ("positive",)) for at in range(n)]


def study(n=5, model=None, **options):
    return Study(Assistant(model or ScriptedModel(["positive"])), TASK, samples(n), **options)


def counting(calls, name="step"):
    def step(block):
        calls.append((name, [sample.id for sample in block]))
        return [{"id": sample.id} for sample in block]

    return step


def test_every_variant_is_asked_about_a_block_before_the_next_block_begins():
    calls = []
    found = in_blocks(study(5), {"a": counting(calls, "a"), "b": counting(calls, "b")}, size=3)
    assert calls == [(name, ids) for ids in (["s0", "s1", "s2"], ["s3", "s4"]) for name in "ab"]
    assert found["a"] == found["b"] == [{"id": f"s{at}"} for at in range(5)]


def test_a_stopped_study_has_asked_every_variant_about_the_same_samples():
    stop, calls = threading.Event(), []

    def stopping(block):
        if len(calls) == 2:
            stop.set()
        return counting(calls, "a")(block)

    found = in_blocks(study(9, stop=stop), {"a": stopping, "b": counting(calls, "b")}, size=3)
    assert [len(records) for records in found.values()] == [3, 3]


def test_an_unfinished_block_is_not_kept():
    memory = Memory()
    asked = study(4, memory=memory)
    assert in_blocks(asked, {"a": lambda block: [{"id": "only one"}]}) == {"a": []}
    assert in_blocks(asked, {"a": counting([])})["a"][0] == {"id": "s0"}


def test_a_study_goes_on_where_it_was_killed(tmp_path):
    path, calls = tmp_path / "deep" / "memory.jsonl", []

    def dying(block):
        if len(calls) == 2:
            raise KeyboardInterrupt
        return counting(calls)(block)

    with pytest.raises(KeyboardInterrupt):
        in_blocks(study(9, memory=Memory(path)), {"a": dying}, size=3)
    with path.open("a", encoding="utf-8") as stream:
        stream.write('{"block": "a torn li')
    found = in_blocks(study(9, memory=Memory(path)), {"a": counting(calls)}, size=3)
    assert [ids for _, ids in calls] == [["s0", "s1", "s2"], ["s3", "s4", "s5"], ["s6", "s7", "s8"]]
    assert [record["id"] for record in found["a"]] == [f"s{at}" for at in range(9)]
    in_blocks(study(9, memory=Memory(path)), {"a": counting(calls)}, size=3)
    assert len(calls) == 3
    in_blocks(study(9, memory=Memory(path, fresh=True)), {"a": counting(calls)}, size=3)
    assert len(calls) == 6


def test_a_damaged_line_is_told_and_nothing_after_it_is_lost(tmp_path):
    path = tmp_path / "memory.jsonl"
    in_blocks(study(9, memory=Memory(path)), {"a": counting([])}, size=3)
    damaged = path.read_bytes().replace(b'"s1"', b'"s7"', 1)
    path.write_bytes(damaged)
    with pytest.raises(RunProblem, match=r"Line 1 of '.*memory\.jsonl' is damaged"):
        Memory(path)
    assert path.read_bytes() == damaged
    assert Memory(path, fresh=True).get("a") is None


def test_two_processes_do_not_write_the_same_study(tmp_path):
    path = tmp_path / "memory.jsonl"
    first = Memory(path)
    with pytest.raises(RunProblem, match="by another process"):
        Memory(path, fresh=True)
    first.put("block", [{"id": "s0"}])
    del first
    assert Memory(path).get("block") == [{"id": "s0"}]


def test_a_block_is_remembered_by_what_its_samples_say_not_only_by_their_ids():
    memory, calls = Memory(), []
    one = study(2, memory=memory)
    in_blocks(one, {"a": counting(calls)})
    other = replace(one, samples=[Sample(sample.id, {"text": "other"}, sample.targets) for sample in one.samples])
    in_blocks(other, {"a": counting(calls)})
    assert len(calls) == 2


def test_progress_counts_samples_and_variants_and_knows_the_time_left():
    told, memory = [], Memory()
    in_blocks(study(4, memory=memory), {"a": counting([])}, size=2)
    in_blocks(study(4, memory=memory, report=told.append), {"a": counting([]), "b": counting([])}, size=2)
    assert [(one.done, one.total) for one in told] == [(2, 8), (4, 8), (6, 8), (8, 8), (8, 8)]
    assert [one.state for one in told] == ["running"] * 4 + ["done"]
    assert told[0].seconds_left is None, "what was remembered says nothing about speed"
    assert told[1].seconds_left is not None
    assert told[3].seconds_left == 0


def test_variants_become_outcomes_of_the_same_samples():
    asked = study(BLOCK + 3)
    retrieval = RetrievalSettings()
    variants = [
        Variant("as it is", ZERO_SHOT, retrieval),
        Variant("swapped", ZERO_SHOT, retrieval, label_names=("positive", "negative")),
    ]
    found = ask_variants(asked, variants)
    assert [one.sample for one in found["as it is"]] == [one.sample for one in found["swapped"]]
    assert len(found["swapped"]) == BLOCK + 3
    assert all(one.correct for one in found["as it is"])
    assert all(one.final_answer == "negative" for one in found["swapped"])


def test_nothing_can_be_studied_without_samples_or_searched_without_an_index():
    with pytest.raises(DataError, match="no sample"):
        study(0)
    with pytest.raises(IndexNotFound, match="no built-in index"):
        Study(Assistant(ScriptedModel()), load_task("question-type"), samples(1)).open_index()


def plan_of(n=3, **changes):
    return replace(Plan("p", "sentiment", tuple(samples(n)), (ZERO_SHOT,), ZERO_SHOT.name), **changes)


def test_the_same_study_of_the_same_plan_finds_its_memory(home):
    memory_of("orders", plan_of()).put("a block", [{"id": "1"}])
    assert memory_of("orders", plan_of()).get("a block") == [{"id": "1"}]
    assert memory_of("leaks", plan_of()).get("a block") is None
    assert memory_of("orders", plan_of(wording="bare")).get("a block") is None
    assert memory_of("orders", plan_of(), fresh=True).get("a block") is None


def test_a_study_of_a_plan_asks_what_was_planned(home):
    plan = plan_of(retrieval=RetrievalSettings(k=2), wording="bare", data={"source": "here"})
    made = study_of(plan, Assistant(ScriptedModel()), Memory(), threading.Event(), lambda progress: None)
    assert (made.task, made.samples, made.retrieval.k, made.wording) == (TASK, plan.samples, 2, "bare")
    facts = facts_of(plan)
    assert (facts["settings_hash"], facts["data"]["source"], facts["data"]["n"]) == (plan.hash, "here", 3)


def test_groups_are_none_where_no_sample_has_one():
    outcomes = ask_variants(study(2), [Variant("a", ZERO_SHOT, RetrievalSettings())])["a"]
    assert groups_of(outcomes) is None
    assert groups_of([replace(outcomes[0], group="film"), outcomes[1]]) == ["film", ""]
