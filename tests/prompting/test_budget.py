"""Over the limit the lowest-ranked demonstration goes first, then the oldest exchange, never the question."""

import pytest

from assistant.errors import PromptTooLong
from assistant.prompting.budget import fit_to_context
from assistant.records import HISTORY, QUESTION, Demonstration, Hit, Message, Prompt

PAST = tuple(Message(role=role, content=f"{role} {number}") for number in range(2) for role in ("user", "assistant"))
HITS = tuple(Hit(Demonstration(name, {"text": name}, "x"), rank) for rank, name in enumerate("abc", start=1))


def build(hits, history):
    """A prompt of one message per hit, turn and question; each counts as ten tokens."""
    turns = [(Message(role="user", content=hit.demonstration.id), "demonstration") for hit in hits]
    turns += [(turn, HISTORY) for turn in history]
    turns.append((Message(role="user", content="question"), QUESTION))
    return Prompt(tuple(message for message, _ in turns), tuple(origin for _, origin in turns))


def fit(limit, hits=HITS, history=PAST):
    return fit_to_context(build, hits, history, lambda prompt: 10 * len(prompt.messages), limit)


def contents(fitted):
    return [message["content"] for message in fitted.prompt.messages]


def test_at_the_limit_everything_stays():
    fitted = fit(80)
    assert fitted.dropped == ()
    assert (fitted.hits, fitted.history) == (HITS, PAST)


@pytest.mark.parametrize("limit", [79, 78, 70])
def test_one_token_less_and_the_lowest_ranked_demonstration_goes(limit):
    fitted = fit(limit)
    assert [hit.demonstration.id for hit in fitted.hits] == ["a", "b"]
    assert fitted.dropped == ("demonstration c (rank 3)",)


def test_one_token_more_changes_nothing():
    assert fit(81) == fit(80)


def test_history_goes_only_after_all_demonstrations_oldest_exchange_first():
    fitted = fit(49)
    assert fitted.hits == ()
    assert contents(fitted) == ["user 1", "assistant 1", "question"]
    assert fitted.dropped == (
        *("demonstration c (rank 3)", "demonstration b (rank 2)", "demonstration a (rank 1)"),
        "earlier turn: user 0",
    )


def test_the_question_alone_is_the_least():
    assert contents(fit(10)) == ["question"]


@pytest.mark.parametrize("limit", [9, 0, -5])
def test_a_question_that_does_not_fit_is_an_error_with_both_numbers(limit):
    with pytest.raises(PromptTooLong, match=f"needs 10 tokens, and only {max(limit, 0)} fit"):
        fit(limit)


def test_a_history_that_begins_with_the_assistant_can_be_dropped_too():
    greeting = (Message(role="assistant", content="welcome"), *PAST)
    assert contents(fit(50, hits=(), history=greeting)) == [
        "user 0",
        "assistant 0",
        "user 1",
        "assistant 1",
        "question",
    ]
