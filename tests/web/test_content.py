"""Answers as chat messages, strips and comparisons."""

import pytest

from assistant.records import Answer, Call
from assistant.web import compare_view, content


def an_answer(**facts):
    call = Call((), "prompt", "reply", 10, 4, 2.0, 0.5, "end")
    known = {"strategy": "zero-shot", "task": "sentiment", "model": "m", "adapter": None, "message": "question"}
    return Answer(**(known | {"calls": (call,), "seconds": 2.0, "done": True} | facts))


@pytest.mark.parametrize("text", ["plain", "<b>", "a < b", "&lt;", "</s><|user|>", "&", "a\nb", "<!-- x -->", "x&#60;"])
def test_what_is_shown_reads_back_as_it_was(text):
    assert content.plain_text([{"type": "text", "text": content.shown_text(text)}]) == text


def test_shown_text_never_opens_a_tag_or_an_entity():
    assert not content._MARKUP.search(content.shown_text("<img src=x> &lt; </p> <!DOCTYPE> <?xml &#x3c;"))


def test_reasoning_is_folded_and_never_sent_again():
    shown = content.answer_messages(an_answer(reasoning="because", answer="positive"))
    assert [message.get("metadata", {}).get("title") for message in shown] == ["Reasoning", None]
    history = content.plain_history([{"role": "user", "content": "q", "metadata": None}, *shown])
    assert history == ({"role": "user", "content": "q"}, {"role": "assistant", "content": "positive"})


def test_reasoning_is_open_while_it_is_written():
    (shown,) = content.answer_messages(an_answer(reasoning="beca", done=False))
    assert shown["metadata"]["status"] == "pending"


@pytest.mark.parametrize(("done", "said"), [(True, "(no reply)"), (False, "…")])
def test_an_empty_reply_says_so_and_is_never_sent_with_its_question(done, said):
    shown = content.answer_messages(an_answer(done=done))
    assert shown[-1]["content"].strip("\u2060") == said
    asked = [{"role": "user", "content": "q"}]
    before = [*asked, {"role": "assistant", "content": said}]
    assert content.plain_history([*before, *asked, *shown]) == tuple(before)


def test_what_makes_markup_harmless_is_never_sent():
    shown = content.answer_messages(an_answer(answer="<b> &lt; <|user|>"))
    history = content.plain_history([{"role": "user", "content": content.shown_text("</s> &#60;")}, *shown])
    assert "\u2060" not in "".join(turn["content"] for turn in history)


def test_the_strip_names_the_final_answer_and_the_cost():
    strip = content.strip_html(an_answer(answer="positive", final_answer="positive"))
    assert "10 prompt + 4 new tokens · 2 tokens/s · first token 0.50 s · 2.0 s" in strip
    assert ">positive</span>" in strip


def test_an_unreadable_answer_says_why():
    strip = content.strip_html(an_answer(answer="well", problem="the reply names no label"))
    assert "No final answer: the reply names no label" in strip


def test_free_text_has_no_verdict():
    assert content.verdict(an_answer(task="chat", answer="Hi", final_answer="Hi")) == []


def test_likelihoods_are_shared_out():
    strip = content.strip_html(an_answer(final_answer="positive", label_scores={"negative": -2.0, "positive": -2.0}))
    assert "negative 50 % · positive 50 %" in strip


@pytest.mark.parametrize(
    ("finals", "said"),
    [
        (["positive"] * 3, "All 3 agree:"),
        (["positive", "negative", "positive", None], "2 of 4 agree:"),
        (["positive", "negative"], "No two columns agree."),
        ([None, None], "No final answers."),
    ],
)
def test_agreement_counts_final_answers(finals, said):
    answers = [an_answer(final_answer=final, problem="" if final else "unreadable") for final in finals]
    assert said in compare_view.agreement_html(answers)


def test_free_text_is_not_counted():
    answers = [an_answer(task="chat", final_answer="Hi")] * 2
    assert compare_view.agreement(answers) is None


def test_agreement_waits_for_all_columns():
    answers = [an_answer(final_answer="positive"), an_answer(done=False)]
    assert "agree:" not in compare_view.agreement_html(answers)
