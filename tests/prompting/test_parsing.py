import itertools

import pytest

from assistant.prompting.parsing import (
    parse_label,
    parse_number,
    parse_text,
    plain_number,
    reasoning_so_far,
    split_reasoning,
)

SENTIMENT = {"negative": "negative", "positive": "positive"}
ENTAILMENT = {"entailment": "entailment", "not entailment": "not entailment"}
CLASSES = {"class_0": "negative", "class_1": "positive"}


@pytest.mark.parametrize(
    ("reply", "names", "label"),
    [
        ("positive", SENTIMENT, "positive"),
        (" Positive. ", SENTIMENT, "positive"),
        ("**NEGATIVE**", SENTIMENT, "negative"),
        ("The review is positive, clearly positive.", SENTIMENT, "positive"),
        ("not entailment", ENTAILMENT, "not entailment"),
        ("It is: not entailment", ENTAILMENT, "not entailment"),
        ("entailment", ENTAILMENT, "entailment"),
        ("This review belongs to 'class_1'", CLASSES, "positive"),
        ("class_0 (negative review)", CLASSES, "negative"),
        ("Not only positive: very positive", SENTIMENT, "positive"),
        ("I would not hesitate: positive", SENTIMENT, "positive"),
        ("Not at all. Positive", SENTIMENT, "positive"),
    ],
)
def test_a_reply_that_names_one_label_is_that_label(reply, names, label):
    assert parse_label(reply, names) == (label, "")


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ("", "the reply is empty"),
        (" \n", "the reply is empty"),
        ("I cannot say.", "the reply names no label (negative, positive)"),
        ("positive or negative", "the reply names several labels: negative, positive"),
        ("nonpositive", "the reply names no label (negative, positive)"),
        ("positively", "the reply names no label (negative, positive)"),
        ("not positive", "the reply negates a label: positive"),
        ("The review isn't positive.", "the reply negates a label: positive"),
        ("It isn\u2019t a very positive review", "the reply negates a label: positive"),
        ("never **negative**", "the reply negates a label: negative"),
        ("non-positive", "the reply negates a label: positive"),
    ],
)
def test_anything_else_is_a_problem_and_never_a_default_class(reply, problem):
    assert parse_label(reply, SENTIMENT) == (None, problem)


@pytest.mark.parametrize(
    ("reply", "number"),
    [
        ("42", "42"),
        ("3 + 4 = 7", "7"),
        ("She has 1,200 euros.", "1200"),
        ("-5 degrees", "-5"),
        ("It costs 7.50 euros", "7.5"),
        ("7.0", "7"),
        ("007", "7"),
        ("between 3-4", "4"),
        ("It is \u22125 degrees.", "-5"),
    ],
)
def test_the_last_number_of_a_reply_counts(reply, number):
    assert parse_number(reply) == (number, "")


def test_a_reply_without_a_number_is_a_problem():
    assert parse_number("seven") == (None, "the reply has no number")
    assert parse_number(" ") == (None, "the reply is empty")


@pytest.mark.parametrize(
    ("text", "plain"),
    [("-0.0", "0"), ("0", "0"), ("0.50", "0.5"), ("1,000,000", "1000000"), ("-012", "-12"), ("-0.5", "-0.5")],
)
def test_a_number_has_one_spelling(text, plain):
    assert plain_number(text) == plain
    assert float(plain) == float(text.replace(",", ""))


def test_reasoning_ends_at_the_last_answer_marker():
    assert split_reasoning("First.\nAnswer: no, wait.\nAnswer: yes") == ("First.\nAnswer: no, wait.", "yes")
    assert split_reasoning("4.Answer: 4") == ("4.", "4")
    assert split_reasoning("no marker") == ("no marker", None)
    assert split_reasoning("The answer is 4.") == ("The answer is 4.", None)
    assert split_reasoning("Answer:") == ("", "")


@pytest.mark.parametrize("marker", ["Answer:", "**Answer:**", "**Answer**:", "*answer*:", "__ANSWER__ :", "Answer :"])
def test_the_marker_may_be_bold(marker):
    assert split_reasoning(f"Two and two.\n{marker} 4") == ("Two and two.", "4")


def test_free_text_is_the_whole_reply():
    assert parse_text("  a b\n") == ("a b", "")
    assert parse_text("\n") == (None, "the reply is empty")


def test_reasoning_that_is_being_written_only_grows():
    reply = "An ant is an insect. \nIt *answers* nothing.\n**Answer**: yes"
    parts = [reasoning_so_far(reply[:end]) for end in range(len(reply) + 1)]
    assert all(later.reasoning.startswith(part.reasoning) for part, later in itertools.pairwise(parts))
    assert parts[-1] == ("An ant is an insect. \nIt *answers* nothing.", "yes")
    for run in ("*" * 50_000, "\n" * 50_000 + "x", "a" * 50_000):
        reasoning_so_far(run)  # takes time in proportion, not in square
    assert reasoning_so_far("the ant is an").reasoning == "the ant is"


@pytest.mark.parametrize(
    ("reply", "final"),
    [
        ("B", "B"),
        ("(c)", "C"),
        ("D. Earth", "D"),
        ("The answer is B because a planet nearer to the sun is a hotter one.", "B"),
        ("I choose A, a dolphin.", "A"),
        ("A or B", None),
        ("a planet", None),
    ],
)
def test_a_single_letter_within_a_sentence_counts_as_it_is_written(reply, final):
    assert parse_label(reply, {letter: letter for letter in "ABCD"}).final_answer == final


@pytest.mark.parametrize("reply", ["po\u017fitive", "It is pos\u0131tive.", "\u0130\u0130\u0130 not positive"])
def test_letters_that_fold_oddly_are_survived(reply):
    names = {"negative": "negative", "positive": "positive"}
    assert parse_label(reply, names).final_answer in (None, "positive")
