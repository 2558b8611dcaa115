"""What is learnt of an episode, and how batches are made of examples."""

import random

import numpy as np
import pytest

from assistant.finetuning.demo.demonstrating import Demonstrating
from assistant.finetuning.demo.episode import Episode, classified, exchange
from assistant.finetuning.demo.examples import (
    IGNORED,
    PORTION,
    Batches,
    Example,
    _parts,
    episode_example,
    padded,
    prose_example,
)
from assistant.finetuning.demo.recipe import Stage
from assistant.finetuning.demo.tokenizer import load_tokenizer, save_tokenizer

STAGE = Stage("one", 3 * PORTION, {"copied_few": 1.0, "same_class": 1.0, "drill": 1.0}, prose=0.2, batch_tokens=500)


def learnt(tokenizer, example):
    return tokenizer.decode([one for one, is_learnt in zip(example.ids, example.learnt, strict=True) if is_learnt])


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_only_what_the_assistant_says_is_learnt(tokenizer):
    episode = Episode((*exchange("one <|assistant| two", "three"), *exchange("three", "four")))
    assert learnt(tokenizer, episode_example(tokenizer, episode, {})) == "three</s>four</s>"


def test_repeats_are_learnt_too_and_guesses_are_not(tokenizer):
    rows = [("red", "x"), ("blue", "y"), ("red", "x")]
    episode = classified("Say which.", rows, guessed=[0, 1], repeats_from=2)
    assert learnt(tokenizer, episode_example(tokenizer, episode, {})) == "red</s>x</s>"


def test_a_reply_that_looks_like_a_turn_does_not_move_the_others(tokenizer):
    episode = Episode((*exchange("say <|assistant|>", "no"), *exchange("again", "two")))
    told = learnt(tokenizer, episode_example(tokenizer, Episode(exchange("again", "two")), {}))
    assert told == "two</s>"
    assert learnt(tokenizer, episode_example(tokenizer, episode, {})).endswith("two</s>")


def test_a_meaning_is_told_at_the_token_before_the_reply(tokenizer):
    episode = classified("", [("red", "x"), ("unknown", "z"), ("blue", "yes")])
    example = episode_example(tokenizer, episode, {"red": 4, "blue": 7})
    assert [row for _, row in example.meanings] == [4, 7]
    for (at, _), reply in zip(example.meanings, ("x", "yes"), strict=True):
        assert example.learnt[at] == 0
        assert example.learnt[at + 1] == 1
        assert tokenizer.decode(example.ids[: at + 1]).endswith("<|assistant|>\n")
        assert tokenizer.decode(example.ids[at + 1 :]).startswith(reply)


def test_plain_english_is_learnt_whole_but_for_its_first_token(tokenizer):
    example = prose_example(tokenizer, "all of this is learnt", 700)
    assert example.ids[0] == tokenizer.bos_token_id
    assert learnt(tokenizer, example) == "all of this is learnt"
    assert len(prose_example(tokenizer, "word " * 50, 7).ids) == 7


def test_padding_is_hidden_and_never_learnt():
    batch = padded([Example([5, 6, 7], [0, 1, 1], [(1, 40)]), Example([8], [1]), Example([9, 5], [0, 1], [(0, 41)])], 0)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0], [9, 5, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0]]
    assert batch["labels"].tolist() == [[IGNORED, 6, 7], [8, IGNORED, IGNORED], [IGNORED, 5, IGNORED]]
    assert batch["meaning_at"].tolist() == [[0, 1, 40], [2, 0, 41]]
    assert padded([Example([5], [0])], 0)["meaning_at"].shape == (0, 3)


@pytest.mark.parametrize("seed", range(20))
def test_a_portion_has_its_number_of_batches_and_none_is_empty(seed):
    rng = random.Random(seed)
    lengths = sorted(rng.choice([3, 40, 600]) for _ in range(rng.choice([PORTION, PORTION + 1, 40, 200])))
    examples = [Example([1] * length, [1] * length) for length in lengths]
    parts = _parts(examples)
    assert len(parts) == PORTION
    assert all(parts)
    assert [one for part in parts for one in part] == examples


def test_batches_can_be_made_again_in_any_order(tokenizer, material):
    first, again = (Batches(tokenizer, material, STAGE, 3) for _ in range(2))
    order = random.Random(1).sample(range(len(first)), len(first))
    made = {number: again[number] for number in order}
    assert len(first) == STAGE.steps
    assert all(same(first[number], made[number]) for number in range(len(first)))
    assert not same(first[0], Batches(tokenizer, material, STAGE, 4)[0])
    assert not same(first[0], first[PORTION])


def test_batches_keep_to_their_tokens_on_average_and_to_the_longest(tokenizer, material):
    stage = Stage("one", PORTION, STAGE.mixture, batch_tokens=500, longest=120)
    batches = [Batches(tokenizer, material, stage, 3)[number] for number in range(PORTION)]
    tokens = sum(int(batch["attention_mask"].sum()) for batch in batches)
    assert 0 <= tokens - PORTION * 500 < 120
    for batch in batches:
        assert batch["input_ids"].shape[1] <= 120
        assert (batch["labels"][batch["attention_mask"] == 0] == IGNORED).all()


def test_meanings_in_a_batch_name_the_texts_that_are_asked(tokenizer, material, words):
    showing = Demonstrating(list(material.sources.tasks.values()), material.near, words, random.Random(0))
    rows, texts = material.near.rows, material.sources.texts
    for _ in range(10):
        episode = showing.nearest()
        example = episode_example(tokenizer, episode, rows)
        assert tuple(texts[row] for _, row in example.meanings) == episode.meanings


def test_digits_are_tokens_of_their_own_and_any_text_comes_back(tokenizer, tmp_path):
    save_tokenizer(tokenizer, tmp_path / "kept")
    kept = load_tokenizer(tmp_path / "kept")
    for text in ("12345 and 67", "naïve 🙂 \n\t text"):
        ids = kept(text, add_special_tokens=False)["input_ids"]
        assert kept.decode(ids) == text
        assert ids == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert kept.tokenize("12345") == list("12345")
    assert kept("a")["input_ids"][0] == kept.bos_token_id
    assert kept.model_max_length == 2048


def test_numbered_classes_begin_unalike_and_come_back_as_written(tokenizer, tmp_path):
    save_tokenizer(tokenizer, tmp_path / "kept")
    kept = load_tokenizer(tmp_path / "kept")
    assert kept.tokenize("class_1") == ["class_1"]
    assert kept.tokenize("class_1") != kept.tokenize("class_0")
    text = "Is it class_0 or class_1? subclass_12"
    ids = kept(text, add_special_tokens=False)["input_ids"]
    assert kept.decode(ids) == text == kept.decode(ids, skip_special_tokens=True)
    assert len(kept) == len(tokenizer) <= 700
