import json
from dataclasses import fields, replace

import pytest

from assistant.evaluation.outcomes import Arm, Sample
from assistant.evaluation.running.plan import Plan, check_key, difference, is_random
from assistant.settings import GuardSettings, RetrievalSettings, SamplingSettings
from tests.evaluation.runs import ARMS, SAMPLES, toy_plan

CHANGES = {
    "task": "paraphrase",
    "samples": SAMPLES[:-1],
    "arms": ARMS[:-1],
    "baseline": ARMS[1].name,
    "seeds": (0, 1, 2),
    "index": "other",
    "wording": "bare",
    "label_names": ("a", "b"),
    "calibrations": ("none", "batch"),
    "retrieval": RetrievalSettings(k=2),
    "sampling": SamplingSettings(max_new_tokens=7),
    "block_size": 4,
    "check_size": 1,
    "data": {"source": "elsewhere"},
    "model": {"name": "scripted", "identity": {"weights": "other"}},
    "index_facts": {"name": "toy", "files": {"rows.jsonl": "other"}},
    "prompts_sha256": "other",
    "strategies": {"zero-shot": {"samples": 3}},
    "classifiers": {"mine": {"files": {"model.safetensors": "other"}}},
}


def test_every_field_but_the_name_and_the_notes_is_frozen_by_the_hash():
    plan = toy_plan()
    assert set(CHANGES) | {"name", "notes"} == {field.name for field in fields(Plan)}
    hashes = {replace(plan, **{name: value}).hash for name, value in CHANGES.items()}
    assert len(hashes | {plan.hash}) == len(CHANGES) + 1
    assert replace(plan, name="other", notes=("A note.",)).hash == plan.hash


@pytest.mark.parametrize(
    "changed",
    [
        Sample("s0", {"text": "a witty film!"}, ("positive",)),
        Sample("s0", {"text": "a witty film"}, ("negative",)),
        Sample("s0", {"text": "a witty film"}, ("positive",), "group"),
        Sample("other", {"text": "a witty film"}, ("positive",)),
    ],
)
def test_a_sample_is_frozen_with_its_text_targets_and_group(changed):
    assert toy_plan(samples=(changed, *SAMPLES[1:])).hash != toy_plan().hash


def test_the_order_of_samples_is_frozen():
    assert toy_plan(samples=SAMPLES[::-1]).ids_sha256 != toy_plan().ids_sha256


def test_a_guard_that_is_off_is_another_plan():
    assert toy_plan(retrieval=RetrievalSettings(guard=GuardSettings(enabled=False))).hash != toy_plan().hash


def test_a_plan_comes_back_from_json_as_it_was():
    plan = toy_plan(
        label_names=("bad", "good"), notes=("A note.",), retrieval=RetrievalSettings(guard=GuardSettings(cosine=0.9))
    )
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan
    assert again.hash == plan.hash


def test_blocks_cover_every_sample_once_per_arm_and_seed():
    plan = toy_plan()
    seen = [
        (block.arm, block.seed, plan.samples[at].id) for block in plan.blocks() for at in range(block.start, block.end)
    ]
    expected = {(arm, seed, sample.id) for arm in ARMS for seed in plan.seeds_of(arm) for sample in SAMPLES}
    assert len(seen) == len(set(seen))
    assert set(seen) == expected


def test_all_arms_finish_a_stretch_of_samples_before_the_next_begins():
    asked = [block for block in toy_plan().blocks() if not block.arm.is_baseline]
    assert [block.start for block in asked] == sorted(block.start for block in asked)
    assert {block.arm for block in asked if block.start == 0} == set(toy_plan().asked)


def test_block_keys_tell_all_blocks_and_checks_apart():
    plan = toy_plan()
    keys = [block.key for block in plan.blocks()]
    keys += [check_key(plan.check(arm), when) for arm in plan.asked for when in ("first", "again")]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("strategy", "reading", "retrieval", "temperature", "random"),
    [
        ("zero-shot", "generate", {}, 0.0, False),
        ("zero-shot", "generate", {}, 0.7, True),
        ("zero-shot", "labels", {}, 0.7, False),
        ("zero-shot-cot", "labels", {}, 0.7, True),
        ("zero-shot-cot", "labels", {}, 0.0, False),
        ("self-consistency", "generate", {}, 0.0, True),
        ("random-few-shot", "labels", {}, 0.0, True),
        ("random-few-shot", "labels", {"k": 0}, 0.0, False),
        ("random-labels", "labels", {}, 0.0, True),
        ("shuffled-order", "labels", {}, 0.0, True),
        ("dynamic-few-shot", "labels", {}, 0.0, False),
        ("dynamic-few-shot", "labels", {"order": "random"}, 0.0, True),
        ("static-few-shot", "labels", {"order": "random"}, 0.0, False),
        ("dynamic-few-shot", "labels", {"selector": "random"}, 0.0, True),
        ("random-few-shot", "labels", {"selector": "nearest"}, 0.0, True),
    ],
)
def test_only_what_is_drawn_by_chance_is_repeated(strategy, reading, retrieval, temperature, random):
    settings = RetrievalSettings(**retrieval), SamplingSettings(temperature=temperature)
    assert is_random(Arm(strategy, reading), *settings) is random


def test_what_is_not_drawn_by_chance_is_answered_with_the_first_seed_alone():
    plan = toy_plan()
    assert plan.seeds_of(Arm("random-few-shot", "labels")) == (0, 1)
    assert plan.seeds_of(Arm("zero-shot", "labels")) == (0,)
    assert plan.seeds_of(Arm("majority", "none")) == (0,)


def test_a_difference_is_told_in_words():
    old, new = toy_plan().settings(), toy_plan(retrieval=RetrievalSettings(k=8), seeds=(0, 1, 2)).settings()
    told = difference(old, new)
    assert "retrieval.k was 4, is 8" in told
    assert "seeds was [0, 1], is [0, 1, 2]" in told
    assert difference(old, old) == ""


def test_what_a_strategy_is_belongs_to_the_plan_and_is_kept_as_it_was():
    plan = toy_plan()
    row = plan.settings()["strategies"]["random-few-shot"]
    assert (row["selector"], row["samples"], row["random_labels"]) == ("random", 1, False)
    assert set(plan.strategies) == {arm.strategy for arm in plan.asked}
    changed = {name: {**one, "samples": one["samples"] + 1} for name, one in plan.strategies.items()}
    kept = Plan.from_json(json.loads(json.dumps(replace(plan, strategies=changed).to_json())))
    assert kept.strategies == changed
    assert kept.hash != plan.hash


def test_the_same_contents_in_another_place_are_the_same_plan():
    def placed(source, place, weights="w"):
        identity = {"place": place, "weights": weights}
        return toy_plan(data={"source": source, "sha256": "abc"}, model={"name": "m", "identity": identity})

    here, there = placed("rows.csv", "/models/m"), placed("/data/rows.csv", "/elsewhere/m")
    assert here.hash == there.hash
    assert there.data["source"] == "/data/rows.csv", "it is still told"
    assert there.model["identity"]["place"] == "/elsewhere/m"
    assert placed("rows.csv", "/models/m", "other").hash != here.hash
    unhashed = [toy_plan(model={"identity": {"place": place}}).hash for place in ("a/b", "a/c")]
    assert unhashed[0] != unhashed[1]
