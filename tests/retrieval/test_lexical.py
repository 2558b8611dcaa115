"""BM25 against its formula, worked out text by text."""

import math
import warnings

import numpy as np
import pytest

from assistant.retrieval.lexical import K1, B, LexicalIndex, words

TEXTS = (
    "the cat sat on the mat",
    "the dog chased the cat",
    "dogs and cats",
    "",
    "Über den Wolken, the the the",
    "a mat, a cat, a mat: mats!",
)


def bm25(texts, question):
    """Return the scores by the formula of Lucene."""
    tokens = [words(text) for text in texts]
    mean = sum(map(len, tokens)) / len(tokens)
    scores = []
    for text in tokens:
        total = 0.0
        for word in words(question):
            holding = sum(word in other for other in tokens)
            rarity = math.log(1 + (len(tokens) - holding + 0.5) / (holding + 0.5))
            often = text.count(word)
            total += rarity * often / (often + K1 * (1 - B + B * len(text) / mean))
        scores.append(total)
    return scores


@pytest.mark.parametrize("question", ["cat", "the cat on a mat", "MAT mat", "über", "unheard-of", "cat unheard-of"])
def test_scores_are_those_of_the_formula(question):
    assert LexicalIndex(TEXTS).scores(question) == pytest.approx(bm25(TEXTS, question), abs=1e-5)


@pytest.mark.parametrize("question", ["mat", "the", "dog cat", "nothing of this"])
def test_rows_are_ranked_by_score_and_equal_ones_by_their_place(question):
    scores = [round(score, 5) for score in bm25(TEXTS, question)]
    expected = sorted(range(len(TEXTS)), key=lambda row: (-scores[row], row))
    assert LexicalIndex(TEXTS).ranked(question).tolist() == expected


@pytest.mark.parametrize("question", ["", "?!", "\n"])
def test_a_question_without_words_finds_nothing_in_particular(question):
    assert not LexicalIndex(TEXTS).scores(question).any()
    assert LexicalIndex(TEXTS).ranked(question).tolist() == list(range(len(TEXTS)))


@pytest.mark.parametrize("texts", [(), ("",), ("...", "!")])
def test_texts_without_words_are_survived_in_silence(texts, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index = LexicalIndex(texts)
        assert index.scores("cat").tolist() == [0.0] * len(texts)
    assert capfd.readouterr() == ("", "")


def test_the_same_texts_always_give_the_same_scores():
    one, other = LexicalIndex(TEXTS), LexicalIndex(TEXTS)
    assert np.array_equal(one.scores("the cat"), other.scores("the cat"))


def test_words_are_letters_and_digits_in_lower_case():
    assert words("It's 3 o'clock, Zoë_1!") == ["it", "s", "3", "o", "clock", "zoë_1"]
