"""Episodes of the tasks are what the assistant sends, and every kind of episode is a conversation."""

import random
from dataclasses import replace

import pytest

from assistant.commands.held_out import held_out_texts
from assistant.errors import SettingError
from assistant.finetuning.demo.examples import episode_example
from assistant.finetuning.demo.held_out import HeldOut
from assistant.finetuning.demo.mixture import SERVED, SHOWING, TALKING, Episodes, Material
from assistant.finetuning.demo.runs import text_key
from assistant.finetuning.demo.served import Served
from assistant.finetuning.demo.sources import read_sources
from assistant.generation.rendering import PromptRenderer
from assistant.prompting.building import build_prompt
from assistant.prompting.strategies import STRATEGIES
from assistant.prompting.tasks import load_task
from assistant.records import Prompt

KINDS = (*SHOWING, *SERVED, *TALKING, "grounded", "written_passage", "unaided", "small_exchange", "instruction")


@pytest.fixture
def episodes(material, words):
    return Episodes(material, words, 1)


@pytest.fixture
def served(material, words):
    return Served(list(material.sources.tasks.values()), material.near, words, random.Random(2))


def replies(episode):
    return [message["content"] for message in episode.messages if message["role"] == "assistant"]


def test_the_kinds_are_those_that_are_tested(episodes):
    assert set(episodes.kinds) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_episode_alternates_and_ends_with_the_assistant(episodes, kind):
    for _ in range(20):
        roles = [message["role"] for message in episodes.draw({kind: 1.0}).messages]
        turns = roles[1:] if roles[0] == "system" else roles
        assert turns
        assert turns == ["user", "assistant"] * (len(turns) // 2)


@pytest.mark.parametrize("kind", KINDS)
def test_the_ids_of_an_episode_start_with_exactly_those_that_are_served(episodes, tokenizer, kind):
    renderer = PromptRenderer(tokenizer)
    for _ in range(5):
        episode = episodes.draw({kind: 1.0})
        asked = episode.messages[:-1]
        sent = renderer.render(Prompt(asked, ("question",) * len(asked))).token_ids
        example = episode_example(tokenizer, episode, {})
        assert tuple(example.ids[: len(sent)]) == sent
        assert tokenizer.decode(example.ids[len(sent) :]).startswith(episode.messages[-1]["content"] + "</s>")
        learnt = [one for one, is_learnt in zip(example.ids, example.learnt, strict=True) if is_learnt]
        after = [
            one for one, learnt in zip(example.ids[len(sent) :], example.learnt[len(sent) :], strict=True) if learnt
        ]
        if len(replies(episode)) - 1 not in episode.guessed:
            assert learnt[-len(after) :] == after
            assert tokenizer.decode(after) == episode.messages[-1]["content"] + "</s>"


def test_a_prompt_of_the_sentiment_task_is_the_assistants_own(served, material):
    task = load_task("sentiment")
    of = {row.text: row.label for row in material.sources.tasks["sentiment"].rows}
    own = [
        build_prompt(
            replace(task, labels=labels), STRATEGIES["zero-shot"], {"text": text}, (), (), wording.name
        ).messages
        for text in of
        for wording in task.wordings
        for labels in (task.labels, task.labels[::-1])
    ]
    alone = [one for one in (served.sentiment() for _ in range(60)) if len(one.meanings) == 1]
    assert len(alone) > 5
    for episode in alone:
        assert episode.messages[:-1] in own
        assert replies(episode) == [of[episode.meanings[0]]]


@pytest.mark.parametrize(
    ("kind", "name"), [("renamed_sentiment", "sentiment"), ("renamed_question_type", "question-type")]
)
def test_renamed_labels_are_one_name_a_class_in_demonstrations_and_reply(served, material, kind, name):
    of = {row.text: row.label for row in material.sources.tasks[name].rows}
    other = 0
    for _ in range(60):
        episode = getattr(served, kind)()
        shown = list(zip(episode.meanings, replies(episode), strict=True))
        named = {(of[text], label) for text, label in shown if text in of}
        assert len(named) == len(dict(named)) == len({label for _, label in named})
        other += all(label != new for label, new in named)
    assert other > 40


def test_some_sentiments_are_named_by_each_other(served, material):
    of = {row.text: row.label for row in material.sources.tasks["sentiment"].rows}
    swapped = {"negative": "positive", "positive": "negative"}
    drawn = [served.renamed_sentiment() for _ in range(80)]
    assert any(replies(one)[-1] == swapped[of[one.meanings[-1]]] for one in drawn)


def test_an_unknown_kind_is_refused_with_the_kinds_there_are(episodes):
    with pytest.raises(SettingError, match=r"no kind of episode called sonnets") as raised:
        episodes.draw({"copied": 1.0, "sonnets": 1.0})
    assert "same_class" in raised.value.hint


def test_the_same_seed_draws_the_same_episodes(material, words):
    weights = dict.fromkeys(KINDS, 1.0)
    drawn = [[one.draw(weights) for _ in range(40)] for one in (Episodes(material, words, s) for s in ("5", "5", "6"))]
    assert drawn[0] == drawn[1] != drawn[2]


def test_weights_say_how_often_a_kind_is_drawn(episodes):
    drawn = [episodes.draw({"alone": 3.0, "drill": 1.0, "copied": 0.0}) for _ in range(400)]
    alone = sum(replies(one) == ["ok"] for one in drawn)
    assert 260 < alone < 340
    assert all(one.repeats_from is None for one in drawn)


def test_no_held_out_or_built_in_text_is_ever_asked(public_sets, tmp_path, material, words):
    rows = ("of film 777 is dull", "tower number 777 by the sea")
    held = HeldOut.of({**held_out_texts(tmp_path).texts, "films": rows})
    assert len(held.keys) > 400
    clean = Material(read_sources(public_sets, held), material.near, material.talk, material.passages)
    episodes = Episodes(clean, words, 3)
    # The chat task's own demonstrations are part of every prompt that shows them.
    greetings = [shown.inputs["message"] for shown in load_task("chat").demonstrations]
    for kind in KINDS:
        drawn = [episodes.draw({kind: 1.0}) for _ in range(40)]
        said = [message["content"] for one in drawn for message in one.messages if message["role"] == "user"]
        asked = [one for one in said if one not in greetings]
        assert not [one for one in asked if text_key(one) in held.keys or any(row in one for row in rows)], kind


def test_the_order_in_which_labels_are_listed_tells_nothing(served):
    seen = set()
    for _ in range(80):
        first = served.sentiment().messages[0]["content"] + served.sentiment().messages[1]["content"]
        seen |= {order for order in ("negative or positive", "positive or negative") if order in first}
    assert seen == {"negative or positive", "positive or negative"}
