"""Episodes under arbitrary names: only reading the demonstrations solves them."""

import random
from collections import Counter

import numpy as np
import pytest

from assistant.finetuning.demo.demonstrating import PREFIXES, Demonstrating
from assistant.finetuning.demo.episode import first_showings
from assistant.finetuning.demo.labelled import FEWEST, Labelled, LabelledTask, Neighbours
from assistant.finetuning.demo.names import FUNCTION_WORDS, arbitrary_names, frequent_words

CLASSES = ("river", "stone")
TASK = LabelledTask("task", tuple(Labelled(f"{one} number {n} here", one) for one in CLASSES for n in range(100)))


@pytest.fixture(scope="module")
def near():
    drawn = np.random.default_rng(0).normal(size=(len(TASK.texts), 8)).astype(np.float32)
    return Neighbours(TASK.texts, drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


@pytest.fixture
def showing(near, words):
    return Demonstrating([TASK], near, words, random.Random(3))


def said(episode, role):
    return [message["content"] for message in episode.messages if message["role"] == role]


def bare(content):
    """Return a text without its prefix."""
    prefix = next((one for one in PREFIXES if one and content.startswith(one)), "")
    return content.removeprefix(prefix)


def test_names_are_different_and_as_many_as_asked_for(words):
    rng, kinds = random.Random(0), Counter()
    for _ in range(300):
        names = arbitrary_names(4, words, rng)
        assert len(set(names)) == 4
        kinds[names[0] in words, names[0].startswith("class_"), names[0].isdigit(), names[0].isupper()] += 1
    assert len(kinds) == 5


def test_the_most_frequent_words_are_no_names_nor_are_short_ones():
    ranked = [f"{chr(97 + n // 26 % 26)}{chr(97 + n % 26)}word" for n in range(FUNCTION_WORDS + 30)]
    texts = [f"{word} ab abcdefghijk Ab3d" for at, word in enumerate(ranked) for _ in range(len(ranked) - at)]
    assert frequent_words(texts, 20) == tuple(ranked[FUNCTION_WORDS : FUNCTION_WORDS + 20])


@pytest.mark.parametrize("kind", ["copied_few", "copied_some", "copied"])
def test_a_copied_turn_has_the_label_of_its_first_showing(showing, kind):
    for _ in range(60):
        episode = getattr(showing, kind)()
        asked, replies, names = said(episode, "user"), said(episode, "assistant"), {}
        for at, (text, name) in enumerate(zip(asked, replies, strict=True)):
            assert (text in names) == (at >= episode.repeats_from)
            assert names.setdefault(text, name) == name


def test_what_is_copied_is_learnt_only_where_it_is_repeated(showing):
    for _ in range(30):
        episode = showing.copied()
        assert episode.guessed == set(range(episode.repeats_from))
        assert len(said(episode, "assistant")) > episode.repeats_from


def test_a_nearly_copied_turn_has_the_label_of_the_text_most_like_it(showing):
    changed = 0
    for _ in range(60):
        episode = showing.nearly_copied()
        assert episode.repeats_from is None
        asked, replies = [bare(one) for one in said(episode, "user")], said(episode, "assistant")
        first = {text: replies[at] for at, text in enumerate(asked) if at in episode.guessed}
        for at in range(len(first), len(asked)):
            alike = [
                name for text, name in first.items() if set(asked[at].split()) & set(text.split()) - {"number", "here"}
            ]
            assert not alike or replies[at] in alike
            changed += asked[at] not in first
    assert changed > 20


def test_every_class_stands_among_the_demonstrations(showing):
    of = {row.text: row.label for row in TASK.rows}
    for _ in range(60):
        episode = showing.same_class()
        *shown, asked = zip((of[text] for text in episode.meanings), said(episode, "assistant"), strict=True)
        assert asked in shown
        assert len(dict(shown)) == len(set(dict(shown).values())) == len(CLASSES)
        assert len(set(episode.meanings)) == len(episode.meanings)


def test_the_nearest_demonstration_is_last_and_never_the_asked_text(showing, near):
    for _ in range(60):
        *shown, asked = showing.nearest().meanings
        alike = near.meanings @ near.meanings[near.rows[asked]]
        order = [text for text in np.array(TASK.texts)[np.argsort(-alike)] if text != asked]
        assert shown == order[: len(shown)][::-1]


def test_the_nearest_demonstrations_are_named_by_their_classes(showing):
    of = {row.text: row.label for row in TASK.rows}
    for _ in range(60):
        episode = showing.nearest()
        named = {(of[text], name) for text, name in zip(episode.meanings, said(episode, "assistant"), strict=True)}
        assert len(named) == len({label for label, _ in named}) == len({name for _, name in named})


def test_a_name_is_a_guess_where_it_is_shown_first(showing):
    assert first_showings(["a", "b", "a", "c", "b"]) == [0, 1, 3]
    for _ in range(20):
        episode = showing.same_class()
        assert episode.guessed == set(first_showings(said(episode, "assistant")))


def test_the_same_seed_gives_the_same_episodes_and_another_seed_others(near, words):
    first, again, other = (Demonstrating([TASK], near, words, random.Random(seed)) for seed in (5, 5, 6))
    kinds = ("alone", "copied", "nearly_copied", "same_class", "nearest")
    drawn = [[getattr(one, kind)() for kind in kinds] for one in (first, again, other)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_small_classes_are_not_drawn_from():
    rows = (*TASK.rows, *(Labelled(f"few {n}", "few") for n in range(FEWEST - 1)))
    assert set(LabelledTask("task", rows).classes) == set(CLASSES)
