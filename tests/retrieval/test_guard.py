"""The leak guard: copies of the question are named as such, everything else passes."""

import random

import pytest

from assistant.records import Demonstration, Query
from assistant.retrieval.guard import LeakGuard, grams, jaccard, normalised
from assistant.settings import GuardSettings

REVIEW = "a gorgeous , witty film about two brothers who cross the sea in winter"


def reason(question, shown, cosine=None, **settings):
    one = question if isinstance(question, Query) else Query({"text": question})
    other = shown if isinstance(shown, Demonstration) else Demonstration("d", {"text": shown}, "positive")
    return LeakGuard(GuardSettings(**settings)).check(one, other, cosine)


@pytest.mark.parametrize(
    "copy",
    [
        REVIEW,
        REVIEW.upper(),
        "  A gorgeous, witty film -- about two brothers, who cross the sea in winter!!",
        REVIEW.replace(" ", "\u00a0"),
        "".join(chr(ord(letter) + 0xFEE0) if "a" <= letter <= "z" else letter for letter in REVIEW),
    ],
)
def test_the_same_text_is_found_whatever_its_case_spacing_and_width(copy):
    assert reason(REVIEW, copy) == "the same text as the question"


@pytest.mark.parametrize("copy", [REVIEW + " .. again", REVIEW.replace("gorgeous", "gorgeus"), REVIEW[:-7]])
def test_a_near_duplicate_is_found_by_its_letters(copy):
    assert "near copy" in reason(REVIEW, copy)


def test_a_near_duplicate_is_found_by_its_cosine():
    assert reason(REVIEW, "something else", cosine=0.97) == "a near copy of the question: cosine 0.97"
    assert reason(REVIEW, "something else", cosine=0.949) == ""


def test_another_text_on_the_same_subject_passes():
    assert reason(REVIEW, "a witty film about the sea", cosine=0.8) == ""


def test_ids_count_only_if_the_question_has_one():
    shown = Demonstration("r7", {"text": "other"}, "x")
    assert reason(Query({"text": REVIEW}, id="r7"), shown) == "the same row as the question"
    assert reason(Query({"text": REVIEW}, id=""), Demonstration("", {"text": "other"}, "x")) == ""


def test_groups_count_only_if_the_question_has_one():
    shown = Demonstration("d", {"text": "other"}, "x", group="film 3")
    assert reason(Query({"text": REVIEW}, group="film 3"), shown) == "the same group as the question ('film 3')"
    assert reason(Query({"text": REVIEW}), Demonstration("d", {"text": "other"}, "x", group="")) == ""


@pytest.mark.parametrize("asked", ["sentence1", "sentence2"])
@pytest.mark.parametrize("planted", ["sentence1", "sentence2"])
@pytest.mark.parametrize("copy", [REVIEW, REVIEW + " again"])
def test_either_half_of_a_pair_gives_it_away(asked, planted, copy):
    halves = {"sentence1": "the committee met at noon on monday", "sentence2": "shares fell by four percent"}
    question = Query({**halves, asked: REVIEW})
    other = {"sentence1": "rain is expected in the evening", "sentence2": "the minister denied everything"}
    shown = Demonstration("d", {**other, planted: copy}, "equivalent")
    assert asked in reason(question, shown)
    assert reason(question, Demonstration("d", other, "equivalent")) == ""


def test_an_empty_half_matches_nothing():
    question = Query({"passage": "", "question": "who crossed the sea ?"})
    assert reason(question, Demonstration("d", {"passage": "", "question": "what is a tax ?"}, "x")) == ""


@pytest.mark.parametrize(("one", "other", "same"), [("!!!", "!!!", True), ("!!!", "???", False), ("👍", "👎", False)])
def test_texts_without_letters_are_compared_as_they_are(one, other, same):
    assert bool(reason(one, other)) == same


def test_switched_off_it_lets_everything_pass():
    assert reason(REVIEW, REVIEW, cosine=1.0, enabled=False) == ""


def test_limits_are_settings():
    assert reason(REVIEW, "other", 0.5) == ""
    assert LeakGuard(GuardSettings(cosine=0.4)).check(Query({"t": REVIEW}), Demonstration("d", {"t": "other"}, ""), 0.5)
    shifted = "witty film about two brothers who cross the sea"
    assert reason(REVIEW, shifted) == ""
    assert "near copy" in reason(REVIEW, shifted, jaccard=0.5)


def test_jaccard_equals_its_definition_on_sets():
    draw = random.Random(0)
    for _ in range(100):
        one, other = ("".join(draw.choices("abc", k=draw.randrange(0, 30))) for _ in range(2))
        sets = [{text[at : at + 5] for at in range(max(1, len(text) - 4))} if text else set() for text in (one, other)]
        union = sets[0] | sets[1]
        expected = len(sets[0] & sets[1]) / len(union) if union else 0.0
        assert jaccard(grams(one), grams(other)) == pytest.approx(expected)


def test_normal_forms_ignore_what_readers_ignore():
    assert normalised("Straße  №5") == normalised("STRASSE no5")
    assert normalised("é") == normalised("e\u0301")
