"""Held-out texts are recognised in any dress, and harmless texts are let through."""

import random

import pytest

from assistant.finetuning.demo.held_out import COPY, HOLDS, PART, SAME_WORDS, SHARES, SHARES_LONG, HeldOut
from assistant.finetuning.demo.runs import Runs, text_key

SENTENCE = "A gorgeous , witty , seductive movie that never outstays its welcome ."
QUESTION = "What do bats eat ?"
REVIEW = " ".join(f"thing{n} and word{n}" for n in range(40))  # 120 words, a long text
HELD = HeldOut.of({"sst2": [SENTENCE], "trec": [QUESTION], "imdb": [REVIEW]})


@pytest.mark.parametrize(
    ("text", "group", "reason"),
    [
        ("a GORGEOUS, witty, seductive movie -- that never outstays its welcome!", "sst2", COPY),
        ("I saw a witty seductive movie that never outstays anything", "sst2", SHARES),
        ("seductive movie", None, ""),
        ("a gorgeous , witty", "sst2", PART),
        ("never outstays its welcome", "sst2", PART),
        ("welcome a never gorgeous outstays seductive witty its that movie", "sst2", SAME_WORDS),
        ("gorgeous , seductive", None, ""),
        ("A gorgeous film that often outstays its welcome .", None, ""),
        ("Tell me: what do bats eat?", "trec", HOLDS),
        ("What do rats eat ?", None, ""),
        (REVIEW.title(), "imdb", COPY),
        (" ".join(REVIEW.split()[5:18]), "imdb", SHARES_LONG),
        (" ".join(REVIEW.split()[5:17]), None, ""),
        ("!?", None, ""),
        ("", None, ""),
    ],
)
def test_a_text_is_held_out_for_a_reason_or_not_at_all(text, group, reason):
    assert HELD.find(text) == ((group, reason) if group else None)
    assert HELD.why(text) == group
    assert (text_key(text) in HELD.keys) == (reason == COPY)


def test_a_chapter_may_say_three_words_but_not_hold_a_whole_sentence():
    chapter = " ".join(f"w{n}" for n in range(80))
    assert HELD.why(f"{chapter} {QUESTION} {chapter}") is None
    assert HELD.find(f"{chapter} {SENTENCE} {chapter}") == ("sst2", HOLDS)
    assert HELD.why(f"{chapter} a witty seductive movie that never outstays {chapter}") is None


def test_words_that_many_held_out_texts_share_tell_nothing():
    questions = [f"What is the name of the chief river in country{n} ?" for n in range(21)]
    asked = "What is the name of the tallest mountain ?"
    assert HeldOut.of({"trec": questions[:20]}).find(asked) == ("trec", SHARES)
    assert HeldOut.of({"trec": questions}).find(asked) is None
    assert HeldOut.of({"trec": questions}).find("the name of") is None
    assert HeldOut.of({"trec": questions}).why(questions[3]) == "trec"
    assert HeldOut.of({"trec": questions}, common=21).why(asked) == "trec"
    assert HeldOut.of({"trec": questions[:11], "other": questions[11:]}).why(asked) == "trec"


def test_what_is_left_out_is_counted_by_group_and_reason():
    held = HeldOut.of({"sst2": [SENTENCE], "trec": [QUESTION]})
    rows = [("a fine film", "1"), (SENTENCE, "1"), ("gorgeous , witty , seductive", "1"), ("x", QUESTION)]
    assert held.keep(rows, lambda row: row) == rows[:1]
    assert held.left_out == {("sst2", COPY): 1, ("sst2", PART): 1, ("trec", COPY): 1}
    assert held.keep(["new words", SENTENCE.upper()]) == ["new words"]
    assert held.left_out["sst2", COPY] == 2


def test_nothing_is_held_out_where_there_is_nothing():
    for held in (HeldOut.of({}), HeldOut.of({"empty": []}), HeldOut.of({"blank": ["", "?"]})):
        assert held.keep(["anything at all that one may say", "?", ""]) == ["anything at all that one may say", "?", ""]


def test_runs_are_those_that_brute_force_finds():
    rng = random.Random(0)
    groups = [[rng.choices("abcde", k=rng.randint(1, 12)) for _ in range(8)] for _ in range(3)]
    for length in (3, 4, 6):
        runs = Runs(length, groups, common=2)
        for _ in range(300):
            asked = "".join(rng.choices("abcde", k=rng.randint(1, 9)))
            pieces = [asked[at : at + length] for at in range(len(asked) - length + 1)]
            holding = [[sum(piece in "".join(text) for text in texts) for texts in groups] for piece in pieces]
            first = next((counts for counts in holding if any(1 <= n <= 2 for n in counts)), None)
            expected = next(at for at, n in enumerate(first) if 1 <= n <= 2) if first else None
            assert runs.group(list(asked)) == expected


def test_the_filter_of_rare_words_misses_no_text_that_is_alike():
    rng = random.Random(1)
    texts = [rng.sample(range(60), rng.randint(5, 30)) for _ in range(150)]
    held = HeldOut.of({"words": [" ".join(f"w{n}" for n in text) for text in texts]})
    found = 0
    for text in texts:
        asked = set(text) ^ set(rng.sample(range(60), rng.randint(0, 4)))
        alike = any(len(asked & set(one)) >= 0.85 * len(asked | set(one)) for one in texts) and len(asked) >= 5
        shuffled = rng.sample(sorted(asked), len(asked))
        number = held._alike.group([f"w{n}" for n in shuffled])
        assert (number is not None) == alike
        found += alike
    assert 20 < found < 150
