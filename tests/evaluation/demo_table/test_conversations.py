"""Scripted conversations: how they are asked, judged, stopped and gone on with."""

import threading
from dataclasses import replace

import pytest

from assistant.answering import Assistant
from assistant.evaluation.demo_table.conversations import (
    MAX_NEW_TOKENS,
    converse,
    ended,
    judged,
    load_conversations,
    plan_conversations,
    ran_away,
    repeats,
)
from assistant.generation.chat_model import ScriptedModel


def told(*replies, finish="end"):
    return [{"message": f"turn {at}", "reply": reply, "finish": finish} for at, reply in enumerate(replies)]


def talk(model, n=2, seeds=1, stop=None):
    assistant = Assistant(model)
    plan = plan_conversations(n, assistant)
    return converse(plan, assistant, seeds, stop or threading.Event(), lambda progress: None)


def echo(prompt, sampling):
    del sampling
    return f"You said: {prompt.messages[-1]['content']}"


def test_there_are_twenty_conversations_of_ten_turns_and_no_turn_stands_twice():
    conversations = load_conversations()
    assert len(conversations) == 20
    assert {len(turns) for turns in conversations} == {10}
    turns = [turn.casefold() for conversation in conversations for turn in conversation]
    assert len(set(turns)) == len(turns)
    assert all(turn == turn.strip() and "\n" not in turn for turn in turns)


def test_the_model_sees_its_own_replies_as_history():
    model = ScriptedModel(echo)
    talk(model, n=1)
    first, second = load_conversations()[0][:2]
    asked = [prompt.messages for prompt in model.history if prompt.messages[-1]["content"] == second]
    assert [message["content"] for message in asked[0][-3:]] == [first, f"You said: {first}", second]
    assert asked[0][0]["role"] == "system"


def test_every_turn_is_asked_greedily_and_with_each_seed():
    model = ScriptedModel(echo)
    found = talk(model, n=2, seeds=3)
    assert (len(found["greedy"]), len(found["sampled"])) == (20, 60)
    assert len(model.history) == 80
    assert [turn.message for turn in found["greedy"][:10]] == list(load_conversations()[0])
    assert {turn.conversation for turn in found["sampled"]} == {"conversation-1", "conversation-2"}


def test_sampling_has_a_temperature_and_seeds_and_a_reply_is_cut():
    seen = []

    def listening(prompt, sampling):
        seen.append((sampling.temperature, sampling.seed, sampling.max_new_tokens))
        return "Well."

    talk(ScriptedModel(listening), n=1, seeds=2)
    assert set(seen) == {(0.0, 0, MAX_NEW_TOKENS), (0.7, 0, MAX_NEW_TOKENS), (0.7, 1, MAX_NEW_TOKENS)}


def test_a_reply_that_is_cut_did_not_end_by_itself():
    found = talk(ScriptedModel(["word " * 200]), n=1)
    assert ended(found["greedy"]).value == 0.0
    assert ran_away(found["greedy"]).value == 1.0
    assert ended(talk(ScriptedModel(echo), n=2)["greedy"]).value == 1.0


def test_a_model_that_says_nothing_can_be_talked_to():
    found = talk(ScriptedModel([""]), n=1)
    assert len(found["greedy"]) == 10


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("I am well, and you are well, and all are well.", False),
        ("I do not know. I do not know. I do not know.", False),
        ("I do not know. " * 4, True),
        ("I DO not know, i do NOT know; I do not know! I do not know", True),
        ("no no no no no no", False),
        ("no no no no no no no", True),
        ("", False),
    ],
)
def test_four_words_in_a_row_four_times_are_a_reply_that_runs_away(reply, expected):
    assert repeats(reply) is expected


def test_the_third_time_of_a_reply_is_a_refrain():
    turns = list(judged("c", told("Hello!", "Fine.", "hello", "Hello.", "Yes.", "Hello")))
    assert [turn.runs_away for turn in turns] == [False, False, False, True, False, True]
    other = list(judged("d", told("Hello!", "Hello!")))
    assert not any(turn.runs_away for turn in other)


def test_the_same_conversations_are_not_asked_twice_but_those_of_another_model_are():
    talk(ScriptedModel(echo))
    again, other = ScriptedModel(echo), ScriptedModel(echo)
    other.name = "another"
    assert len(talk(again)["greedy"]) == 20
    assert not again.history
    assert talk(other)["greedy"]
    assert other.history


def test_a_stop_keeps_what_was_finished():
    stop = threading.Event()
    model = ScriptedModel(echo)

    def until_sampled(prompt, sampling):
        if sampling.temperature:
            stop.set()
        return echo(prompt, sampling)

    found = talk(ScriptedModel(until_sampled), n=1, stop=stop)
    assert found == {"greedy": [], "sampled": []}
    talk(model, n=1)
    assert len(model.history) == 10, "only the sampled conversation was left"


def test_what_decides_the_replies_is_in_the_plan():
    plan = plan_conversations(2, Assistant(ScriptedModel(echo)))
    assert plan.hash != plan_conversations(3, Assistant(ScriptedModel(echo))).hash
    assert plan.hash != replace(plan, data={**plan.data, "temperature": 1.0}).hash
