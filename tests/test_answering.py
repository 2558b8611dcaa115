"""One request gives one prompt wherever it is asked, and an answer says everything behind it."""

import itertools
import threading
import time
from collections import Counter
from dataclasses import replace

import pytest

from assistant.answering import Assistant, Request
from assistant.errors import IndexMismatch, IndexNotFound, PromptError, PromptTooLong, SettingError, UnknownName
from assistant.generation.chat_model import ScriptedModel
from assistant.generation.loading import load_chat_model
from assistant.prompting.strategies import STRATEGIES
from assistant.prompting.tasks import EXTRACT, TRIGGER
from assistant.records import Message
from assistant.retrieval.index import delete_index
from assistant.settings import GuardSettings, ModelSettings, RetrievalSettings, SamplingSettings
from tests.toys import REVIEWS, make_explained, make_problems, make_reviews

WITTY = "a witty film"


@pytest.fixture
def toy(home):
    return make_reviews(home)


def sentiment(strategy="dynamic-few-shot", message=WITTY, **changes):
    return Request(message, strategy, "sentiment", "toy", **changes)


def answer(request, replies=None):
    return Assistant(ScriptedModel() if replies is None else ScriptedModel(replies)).answer(request)


def ids(hits):
    return [hit.demonstration.id for hit in hits]


# Calls


def test_a_plain_strategy_makes_one_call_and_shows_it_whole(toy):
    got = answer(sentiment())
    (call,) = got.calls
    assert (got.answer, got.final_answer, got.problem, got.done) == ("positive", "positive", "", True)
    assert call.messages[-1]["content"] == "Review: a witty film"
    assert call.prompt.endswith("Review: a witty film</s>\n<|assistant|>\n")
    assert (call.reply, call.new_tokens, call.finish) == ("positive", 1, "end")
    assert call.prompt_tokens == len(call.prompt.encode()) - len("<s>") + 1 - 3 * call.prompt.count("</s>")
    assert got.index == "toy"


def test_reasoning_that_is_asked_for_takes_a_second_call():
    request = Request("3 and 4?", "zero-shot-cot", "word-problems")
    got = answer(request, ["Three and four make seven.", "7"])
    first, second = got.calls
    assert first.messages[-1]["content"].endswith(TRIGGER)
    assert second.messages[: len(first.messages)] == first.messages
    assert [message["content"] for message in second.messages[-2:]] == ["Three and four make seven.", EXTRACT]
    assert (got.reasoning, got.answer, got.final_answer) == ("Three and four make seven.", "7", "7")


def test_reasoning_that_is_shown_is_split_from_the_answer():
    got = answer(
        Request("3 and 4?", "static-cot", "word-problems"), ["Let's think step by step: 3 + 4 = 7.\nAnswer: 7"]
    )
    assert (got.reasoning, got.answer, got.final_answer) == ("3 + 4 = 7.", "7", "7")
    assert len(got.calls) == 1


def test_while_it_streams_there_is_no_final_answer_and_the_text_only_grows():
    model = ScriptedModel(["Let's think step by step: 3 + 4 = 7.\nAnswer: 7"])
    snapshots = list(Assistant(model).stream(Request("3 and 4?", "static-cot", "word-problems")))
    assert all(snapshot.final_answer is None and not snapshot.problem for snapshot in snapshots[:-1])
    assert [snapshot.done for snapshot in snapshots] == [False] * (len(snapshots) - 1) + [True]
    replies = [snapshot.calls[0].reply for snapshot in snapshots]
    thoughts = [snapshot.reasoning for snapshot in snapshots]
    assert all(after.startswith(before) for before, after in itertools.pairwise(thoughts))
    assert all(after.startswith(before) for before, after in itertools.pairwise(replies))


# Votes


def voted(*finals, **changes):
    replies = [f"Because.\nAnswer: {final}" if final else "No idea." for final in finals]
    request = Request("How many?", "self-consistency", "word-problems", **changes)
    model = ScriptedModel(replies)
    return Assistant(model).answer(request), model


def test_the_most_frequent_final_answer_wins_and_unreadable_replies_do_not_vote():
    got, _ = voted("4", "7", "", "7", "7")
    assert (got.final_answer, got.answer, got.votes) == ("7", "7", {"4": 1, "7": 3})
    assert len(got.calls) == STRATEGIES["self-consistency"].samples == 5


def test_a_tie_goes_to_the_answer_reached_first():
    assert voted("4", "7", "7", "4", "1")[0].final_answer == "4"


def test_numbers_vote_by_value_not_by_spelling():
    assert voted("7.0", "4", "7", "07", "4")[0].votes == {"7": 3, "4": 2}


def test_no_readable_reply_is_a_problem():
    got, _ = voted("", "", "", "", "")
    assert got.final_answer is None
    assert got.problem.startswith("none of 5 replies could be read")


def test_samples_differ_in_seed_and_are_never_greedy():
    seen = []

    def rule(prompt, sampling):
        seen.append(sampling)
        return "Answer: 1"

    request = Request("How many?", "self-consistency", "word-problems", sampling=SamplingSettings(seed=10))
    answer(request, rule)
    assert [sampling.seed for sampling in seen] == [10000, 10001, 10002, 10003, 10004]
    assert {sampling.temperature for sampling in seen} == {0.7}
    answer(replace(request, sampling=SamplingSettings(temperature=0.2)), rule)
    assert seen[-1].temperature == 0.2


def test_no_draw_of_one_seed_is_a_draw_of_another():
    seen = []

    def rule(prompt, sampling):
        seen.append(sampling.seed)
        return "Answer: 1"

    for seed in (0, 1, 2, 3, 4, 2**63 - 1):
        answer(Request("How many?", "self-consistency", "word-problems", sampling=SamplingSettings(seed=seed)), rule)
    assert len(set(seen)) == len(seen) == 6 * 5
    assert seen[:5] == [0, 1, 2, 3, 4]


# Problems


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ("", "the reply is empty"),
        ("hard to say", "the reply names no label (negative, positive)"),
        ("positive and negative", "the reply names several labels: negative, positive"),
    ],
)
def test_an_unreadable_reply_is_a_problem_and_never_a_default_class(reply, problem, toy):
    got = answer(sentiment("zero-shot"), [reply])
    assert (got.final_answer, got.problem) == (None, problem)
    assert got.to_json()["final_answer"] is None


def test_reasoning_without_an_answer_is_a_problem_and_the_reply_is_kept():
    got = answer(Request("3 and 4?", "static-cot", "word-problems"), ["It is seven."])
    assert (got.final_answer, got.answer) == (None, "It is seven.")
    assert got.problem == "the reasoning does not end with 'Answer:'"


def test_a_published_template_is_read_by_its_own_label_names():
    got = answer(sentiment("imdb-few-shot"), ["This review belongs to 'class_1'"])
    assert got.final_answer == "positive"
    assert answer(sentiment("imdb-baseline"), ["class_0 (negative review)"]).final_answer == "negative"


# Label reading


def test_label_reading_takes_the_likeliest_and_generates_nothing(toy):
    model = ScriptedModel(["negative"])
    got = Assistant(model).answer(sentiment(reading="labels"))
    assert (got.final_answer, got.answer) == ("negative", "negative")
    assert got.label_scores["negative"] > got.label_scores["positive"]
    assert model.steps == 0
    assert len(got.calls) == 1
    assert got.calls[0].new_tokens == 0


def test_label_reading_of_a_published_template_scores_whole_replies():
    scored = []

    class Watched(ScriptedModel):
        def score_labels(self, prompts, labels, stop=None):
            scored.extend(*labels)
            return super().score_labels(prompts, labels, stop)

    got = Assistant(Watched(["This review belongs to 'class_1'"])).answer(sentiment("imdb-few-shot", reading="labels"))
    assert scored == ["This review belongs to 'class_0'", "This review belongs to 'class_1'"]
    assert got.final_answer == "positive"


def test_label_reading_after_reasoning_that_was_asked_for_scores_the_second_prompt():
    model = ScriptedModel(["Some reasoning.", "positive"])
    got = Assistant(model).answer(sentiment("zero-shot-cot", reading="labels"))
    assert [call.reply for call in got.calls] == ["Some reasoning.", "positive"]
    assert got.calls[1].messages[-1]["content"] == EXTRACT
    assert (got.reasoning, got.final_answer) == ("Some reasoning.", "positive")


def test_label_reading_is_refused_where_it_means_nothing():
    with pytest.raises(SettingError, match="'chat' has no labels"):
        answer(Request("hello", reading="labels"))
    with pytest.raises(SettingError, match="skip the reasoning"):
        answer(sentiment("static-cot", reading="labels"))


# Stop


@pytest.mark.parametrize("strategy", ["zero-shot", "zero-shot-cot", "static-cot", "self-consistency"])
def test_stop_ends_within_one_token_and_starts_no_further_call(strategy):
    stop, model = threading.Event(), ScriptedModel(["one two three four five"])
    steps = 0
    for snapshot in Assistant(model).stream(Request("3 and 4?", strategy, "word-problems"), stop):
        if snapshot.new_tokens == 2 and not stop.is_set():
            stop.set()
            steps = model.steps
    assert model.steps - steps <= 1
    assert len(model.history) == 1
    assert snapshot.done
    assert (snapshot.final_answer, snapshot.problem) == (None, "stopped before the end")


def test_closing_the_stream_ends_the_generation():
    model = ScriptedModel(["one two three four five"])
    stream = Assistant(model).stream(Request("hello"))
    for snapshot in stream:
        if snapshot.new_tokens == 2:
            break
    stream.close()
    assert model.steps == 2


# Compare


def deciding(prompt, sampling):
    """A reply that depends on all that a reply may depend on."""
    return f"{len(prompt.text) % 7} {sampling.seed}\nAnswer: {'positive' if len(prompt.text) % 2 else 'negative'}"


def untimed(one):
    return replace(one, seconds=0.0, calls=tuple(replace(c, seconds=0.0, first_token_seconds=None) for c in one.calls))


def test_a_comparison_gives_each_strategy_what_it_gives_alone(toy):
    names = [name for name in STRATEGIES if name != "dynamic-cot"]
    requests = [sentiment(name) for name in names]
    *_, together = Assistant(ScriptedModel(deciding)).compare(requests)
    alone = [answer(request, deciding) for request in requests]
    assert [untimed(one) for one in together] == [untimed(one) for one in alone]
    assert [one.strategy for one in together] == names


def test_the_first_calls_of_a_comparison_are_one_batch_and_the_others_a_second():
    model, batches = ScriptedModel(["Because.\nAnswer: 7"]), []
    generate = model.generate

    def counted(prompts, samplings, stop):
        batches.append(len(prompts))
        return generate(prompts, samplings, stop)

    model.generate = counted
    names = ["zero-shot", "zero-shot-cot", "static-cot", "self-consistency"]
    *_, answers = Assistant(model).compare([Request("3 and 4?", name, "word-problems") for name in names])
    assert batches == [4, 1 + 4]
    assert [len(one.calls) for one in answers] == [1, 2, 1, 5]


def test_columns_stream_side_by_side():
    model = ScriptedModel(lambda prompt, sampling: prompt.messages[-1]["content"])
    seen = [
        tuple(one.new_tokens for one in answers)
        for answers in Assistant(model).compare([Request("a b c d"), Request("a b c d")])
    ]
    assert (2, 2) in seen


# What is kept out, and what does not fit


def test_copies_of_the_question_are_excluded_with_the_reason(toy):
    got = answer(sentiment(message="A gorgeous, witty film!", retrieval=RetrievalSettings(k=8)))
    assert ids(got.demonstrations) == [hit for hit in ids(got.demonstrations) if hit != "r1"]
    assert [(kept.demonstration.id, kept.reason) for kept in got.excluded] == [("r1", "the same text as the question")]
    off = RetrievalSettings(k=8, guard=GuardSettings(enabled=False))
    got = answer(sentiment(message="A gorgeous, witty film!", retrieval=off))
    assert ids(got.demonstrations)[0] == "r1"
    assert "The leak guard is off." in got.notes


def test_compared_strategies_take_the_pins_that_are_theirs(toy):
    pinned = ("r4", "fixed-2")
    names = ("static-few-shot", "dynamic-few-shot", "zero-shot")
    requests = [sentiment(name, pinned=pinned, retrieval=RetrievalSettings(k=2)) for name in names]
    *_, (static, dynamic, plain) = Assistant(ScriptedModel()).compare(requests)
    assert ids(static.demonstrations) == ["fixed-2", "fixed-1"]
    assert ids(dynamic.demonstrations)[0] == "r4"
    assert not plain.demonstrations
    with pytest.raises(SettingError, match="no demonstration 'r99' to pin"):
        answer(sentiment(pinned=("r99",)))


def test_the_asked_row_banned_rows_and_pinned_rows(toy):
    got = answer(sentiment(sample_id="r3", banned=("r1",), pinned=("r4",), retrieval=RetrievalSettings(k=8)))
    assert ids(got.demonstrations)[0] == "r4"
    assert not {"r1", "r3"} & set(ids(got.demonstrations))
    assert {kept.demonstration.id: kept.reason for kept in got.excluded} == {
        "r1": "banned",
        "r3": "the same row as the question",
    }


def test_the_nearest_demonstration_is_shown_last(toy):
    prepared = Assistant(ScriptedModel()).prepare(sentiment(retrieval=RetrievalSettings(k=3)))
    nearest = prepared.selection.hits[0].demonstration
    assert prepared.prompt.messages[-3]["content"] == f"Review: {nearest.inputs['text']}"
    first = Assistant(ScriptedModel()).prepare(sentiment(retrieval=RetrievalSettings(k=3, order="nearest-first")))
    assert first.prompt.messages[1]["content"] == f"Review: {nearest.inputs['text']}"
    assert first.selection == prepared.selection


def test_a_chosen_selector_replaces_nearest_and_nothing_else(toy):
    def chosen(strategy, selector, seed=1):
        settings = RetrievalSettings(k=4, selector=selector)
        request = sentiment(strategy, retrieval=settings, sampling=SamplingSettings(seed=seed))
        return ids(Assistant(ScriptedModel()).prepare(request).selection.hits)

    assert chosen("dynamic-few-shot", "random") == chosen("random-few-shot", None)
    assert chosen("random-few-shot", "nearest") == chosen("random-few-shot", None)
    assert chosen("dynamic-few-shot", "none") == []
    balanced = chosen("dynamic-few-shot", "balanced")
    labels = {row: label for row, _, label in REVIEWS}
    assert Counter(labels[row] for row in balanced) == {0: 2, 1: 2}


def room(request, spare):
    """Return what is prepared where the context holds the full prompt, the reply, and `spare` tokens."""
    full = len(Assistant(ScriptedModel()).prepare(request).rendered.token_ids)
    model = ScriptedModel(context_tokens=full + request.sampling.max_new_tokens + spare)
    return Assistant(model).prepare(request)


def test_demonstrations_give_way_to_the_context_at_one_token_too_many(toy):
    request = sentiment(sampling=SamplingSettings(max_new_tokens=8))
    assert room(request, 1).dropped == room(request, 0).dropped == ()
    tight = room(request, -1)
    last = Assistant(ScriptedModel()).prepare(request).selection.hits[-1].demonstration.id
    assert tight.dropped == (f"demonstration {last} (rank 4)",)
    assert last not in ids(tight.selection.hits)
    assert len(tight.rendered.token_ids) + 8 <= len(room(request, 0).rendered.token_ids) + 7


def test_what_was_dropped_is_said_in_the_answer(toy):
    request = sentiment(sampling=SamplingSettings(max_new_tokens=8))
    full = len(Assistant(ScriptedModel()).prepare(request).rendered.token_ids)
    got = Assistant(ScriptedModel(context_tokens=full + 7)).answer(request)
    assert len(got.dropped) == 1
    assert len(got.demonstrations) == 3
    assert got.to_json()["dropped"] == list(got.dropped)


def test_history_is_sent_and_the_oldest_goes_first():
    past = tuple(
        Message(role=role, content=f"{role} {at} " + "x" * 100) for at in range(3) for role in ("user", "assistant")
    )
    request = Request("hello", history=past, sampling=SamplingSettings(max_new_tokens=8))
    tight = room(request, -1)
    assert [message["content"].split(" x")[0] for message in tight.prompt.messages[1:-1]] == [
        "user 1", "assistant 1", "user 2", "assistant 2",
    ]  # fmt: skip
    assert tight.dropped[0].startswith("earlier turn: user 0")


def test_a_question_that_cannot_fit_is_an_error():
    with pytest.raises(PromptTooLong, match="fit beside the reply"):
        Assistant(ScriptedModel(context_tokens=512)).prepare(Request("word " * 500))


# Indexes


def test_an_index_that_was_rebuilt_is_opened_again(toy, home):
    assistant = Assistant(ScriptedModel())
    assert assistant.prepare(sentiment()).selection.hits[0].demonstration.id == "r1"
    make_reviews(home, rows=[("new", "a witty film about nothing", 1), ("old", "something else", 0)])
    assert assistant.prepare(sentiment()).selection.hits[0].demonstration.id == "new"


def test_an_index_that_was_deleted_and_built_anew_is_opened_again(toy, home):
    assistant = Assistant(ScriptedModel())
    assistant.prepare(sentiment())
    delete_index("toy")
    make_reviews(home, rows=[("new", "a witty film about nothing", 1), ("old", "something else", 0)])
    assert assistant.prepare(sentiment()).selection.hits[0].demonstration.id == "new"


def test_an_index_that_was_deleted_is_missed(toy):
    assistant = Assistant(ScriptedModel())
    assistant.prepare(sentiment())
    delete_index("toy")
    with pytest.raises(IndexNotFound, match="no index named 'toy'"):
        assistant.prepare(sentiment())


def test_an_index_that_does_not_fit_the_task_says_why(home):
    make_problems(home)
    with pytest.raises(IndexMismatch) as error:
        answer(Request(WITTY, "dynamic-few-shot", "sentiment", "problems"))
    assert "does not fit the task 'sentiment': its output '7' is not a label" in error.value.sentence()
    with pytest.raises(IndexMismatch, match="it has the fields question; the task needs sentence1, sentence2"):
        answer(Request("a\nb", "dynamic-few-shot", "paraphrase", "problems"))


def test_an_index_without_rationales_cannot_show_any(toy):
    with pytest.raises(IndexMismatch) as error:
        answer(sentiment("dynamic-cot"))
    assert "has no rationales" in error.value.sentence()
    assert "--rationale" in error.value.sentence()


def test_an_index_with_rationales_shows_them(home):
    make_explained(home, "toy")
    prepared = Assistant(ScriptedModel()).prepare(sentiment("dynamic-cot"))
    assert "The writer says: a gorgeous witty film.\nAnswer: positive" in prepared.rendered.text


def test_a_task_without_an_index_says_how_to_build_one():
    with pytest.raises(IndexNotFound) as error:
        answer(Request("What is this?", "dynamic-few-shot", "topic"))
    assert "shotwise index build FILE --name NAME --task topic" in error.value.sentence()


# Mistakes


def test_names_and_readings_that_do_not_exist():
    with pytest.raises(UnknownName, match="reading"):
        Request("x", reading="aloud")
    for wrong in (Request("x", task="nope"), Request("x", strategy="nope"), Request("x", wording="nope")):
        with pytest.raises(UnknownName):
            answer(wrong)
    with pytest.raises(PromptError, match="not of 'chat'"):
        answer(Request("x", strategy="imdb-baseline"))
    with pytest.raises(PromptError, match="empty"):
        answer(Request(" "))


# Controls and label names


def test_random_labels_keep_the_demonstrations_and_draw_their_labels_by_seed(toy):
    def shown(strategy, seed):
        hits = answer(sentiment(strategy, sampling=SamplingSettings(seed=seed))).demonstrations
        return [hit.demonstration.id for hit in hits], [hit.demonstration.output for hit in hits]

    gold = shown("dynamic-few-shot", 0)
    drawn = [shown("random-labels", seed) for seed in range(8)]
    assert all(one[0] == gold[0] for one in drawn)
    assert len({tuple(one[1]) for one in drawn}) > 1
    assert drawn == [shown("random-labels", seed) for seed in range(8)]


def test_shuffled_order_shows_the_same_demonstrations_in_another_order_whatever_the_settings_say(toy):
    def prompt(strategy, seed, order):
        asked = sentiment(strategy, sampling=SamplingSettings(seed=seed), retrieval=RetrievalSettings(order=order))
        return answer(asked).calls[0].prompt

    nearest = prompt("dynamic-few-shot", 0, "nearest-last")
    drawn = {prompt("shuffled-order", seed, "nearest-last") for seed in range(8)}
    assert len(drawn) > 1
    assert drawn == {prompt("shuffled-order", seed, "nearest-first") for seed in range(8)}
    assert {len(one) for one in drawn} == {len(nearest)}


def test_random_labels_need_a_task_with_labels(toy):
    with pytest.raises(PromptError, match="draws labels by chance, and the task 'word-problems' has none"):
        answer(Request("2 + 2?", "random-labels", "word-problems"))


def test_label_names_stand_in_prompt_demonstrations_and_scores(toy):
    got = answer(sentiment(label_names=("wug", "dax"), reading="labels"))
    assert set(got.label_scores) == {"wug", "dax"}
    assert {hit.demonstration.output for hit in got.demonstrations} <= {"wug", "dax"}
    assert "positive" not in got.calls[0].prompt


@pytest.mark.parametrize("template", ["imdb-instruction", "imdb-few-shot", "imdb-few-shot-train", "imdb-baseline"])
@pytest.mark.parametrize("names", [("wug", "dax"), ("positive", "negative"), ("class_1", "class_0")])
def test_a_published_template_takes_other_label_names(toy, template, names):
    got = answer(sentiment(template, label_names=names, reading="labels"))
    assert list(got.label_scores) == list(names)
    assert all(name in got.calls[0].prompt for name in names)
    if "class_0" not in names:
        assert "class_" not in got.calls[0].prompt


def test_swapped_names_of_a_published_template_swap_what_is_said_of_them(toy):
    prompt = answer(sentiment("imdb-instruction", label_names=("class_1", "class_0"))).calls[0].prompt
    assert "class_1: In such film reviews, customers complain" in prompt
    assert "class_0: In such film reviews, customers show positive emotions" in prompt


# Many at once


def asked_in_every_way():
    """Requests that need different numbers of calls, of both readings."""
    words = "word-problems"
    return [
        sentiment(),
        sentiment("zero-shot", "a dull film", reading="labels"),
        Request("3 and 4?", "zero-shot-cot", words),
        sentiment("zero-shot-cot", reading="labels"),
        Request("How many?", "self-consistency", words, sampling=SamplingSettings(seed=3)),
        Request("3 and 4?", "static-cot", words),
        sentiment(message="a long and winding, gorgeous film", reading="labels"),
    ]


def by_prompt(prompt, sampling):
    """A reply that depends on nothing but the prompt and the seed."""
    if sampling.temperature:
        return f"Because.\nAnswer: {sampling.seed // 2}"
    return ("positive", "negative", "Four.\nAnswer: 7")[len(prompt.text) % 3]


def without_seconds(one):
    calls = tuple(replace(call, seconds=0.0, first_token_seconds=None) for call in one.calls)
    return replace(one, seconds=0.0, calls=calls)


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_all_at_once_are_answered_as_one_by_one(toy, batch_size):
    assistant = Assistant(ScriptedModel(by_prompt))
    together = assistant.answer_all(asked_in_every_way(), batch_size=batch_size)
    alone = [assistant.answer(request) for request in asked_in_every_way()]
    assert list(map(without_seconds, together)) == list(map(without_seconds, alone))
    assert all(one.done for one in together)


def test_a_real_model_answers_all_at_once_as_one_by_one(toy):
    assistant = Assistant(load_chat_model(ModelSettings(model="demo", device="cpu", dtype="float32")))
    short = SamplingSettings(max_new_tokens=6)
    requests = [
        sentiment(strategy, message, reading=reading, sampling=short)
        for strategy in ("zero-shot", "static-few-shot", "dynamic-few-shot")
        for reading in ("labels", "generate")
        for message in (WITTY, "dull", "a long, long film that I would not have missed for anything in the world")
    ]
    together = assistant.answer_all(requests, batch_size=4)
    for one, request in zip(together, requests, strict=True):
        alone = assistant.answer(request)
        assert (one.answer, one.final_answer, one.new_tokens) == (alone.answer, alone.final_answer, alone.new_tokens)
        assert (one.label_scores or {}) == pytest.approx(alone.label_scores or {}, abs=1e-5)


def test_labels_of_all_are_scored_in_one_call_and_replies_in_batches_of_similar_length(toy):
    scored, generated = [], []

    class Watched(ScriptedModel):
        def score_labels(self, prompts, labels, stop=None):
            scored.append(len(prompts))
            return super().score_labels(prompts, labels, stop)

        def generate(self, prompts, samplings, stop):
            generated.append([len(prompt.token_ids) for prompt in prompts])
            return super().generate(prompts, samplings, stop)

    messages = ["word " * count for count in (9, 1, 5, 3, 7)]
    Assistant(Watched()).answer_all([sentiment("zero-shot", text, reading="labels") for text in messages])
    assert (scored, generated) == ([5], [])
    Assistant(Watched()).answer_all([sentiment("zero-shot", text) for text in messages], batch_size=2)
    assert [len(batch) for batch in generated] == [2, 2, 1]
    assert list(itertools.chain(*generated)) == sorted(itertools.chain(*generated), reverse=True)


def test_seconds_of_a_batch_are_shared_out(toy):
    model = ScriptedModel(["one two three four five"], word_seconds=0.01)
    started = time.perf_counter()
    answers = Assistant(model).answer_all([sentiment("zero-shot", f"film {n}") for n in range(4)])
    took = time.perf_counter() - started
    assert 0.05 < sum(one.seconds for one in answers) < took


def test_stopped_in_the_middle_what_was_not_reached_says_so(toy):
    stop = threading.Event()

    def once(prompt, sampling):
        stop.set()
        return "positive"

    def answers(reading):
        stop.clear()
        requests = [sentiment("zero-shot", f"film {n}", reading=reading) for n in range(3)]
        return Assistant(ScriptedModel(once)).answer_all(requests, stop, batch_size=1)

    scored = answers("labels")
    assert [one.final_answer for one in scored] == ["positive", None, None]
    assert [one.problem for one in scored] == ["", "stopped before the end", "stopped before the end"]
    assert {one.problem for one in answers("generate")} == {"stopped before the end"}


def test_nothing_asked_is_nothing_answered():
    assert Assistant(ScriptedModel()).answer_all([]) == ()


# The same prompt with other demonstrations


def test_a_prompt_is_rebuilt_from_what_it_shows_and_with_other_demonstrations_and_inputs(toy):
    assistant = Assistant(ScriptedModel())
    request = sentiment(history=({"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}))
    prepared = assistant.prepare(request)
    assert len(prepared.shown) > 1
    assert assistant.rebuild(request, prepared, prepared.shown) == prepared.rendered
    turned = assistant.rebuild(request, prepared, prepared.shown[::-1])
    texts = [demonstration.inputs["text"] for demonstration in prepared.shown]
    assert sorted(texts, key=turned.text.index) == texts[::-1]
    asked = assistant.rebuild(request, prepared, prepared.shown[:1], {"text": "N/A"})
    assert asked.messages[-1]["content"] == "Review: N/A"
    assert (texts[0] in asked.text, texts[1] in asked.text, WITTY in asked.text) == (True, False, False)
    template = sentiment("imdb-few-shot")
    ready = assistant.prepare(template)
    assert assistant.rebuild(template, ready, ready.shown) == ready.rendered


def test_scored_labels_leave_the_room_of_a_long_reply_to_demonstrations(toy):
    scored = sentiment(reading="labels", sampling=SamplingSettings(max_new_tokens=200))
    whole = Assistant(ScriptedModel(context_tokens=100_000)).prepare(scored)
    tokens = len(whole.rendered.token_ids) + len("positive")  # its tokens are bytes
    assert Assistant(ScriptedModel(context_tokens=tokens)).prepare(scored).dropped == ()
    assert len(Assistant(ScriptedModel(context_tokens=tokens - 1)).prepare(scored).dropped) == 1
    written = replace(scored, reading="generate")
    assert Assistant(ScriptedModel(context_tokens=tokens)).prepare(written).dropped


def test_seconds_are_those_of_embedding_and_preparing_too(toy, monkeypatch):
    assistant = Assistant(ScriptedModel())
    embed, render = assistant.embed_ahead, assistant.model.renderer.render

    def slow_embed(requests):
        time.sleep(0.2)
        embed(requests)

    def slow_render(prompt):
        time.sleep(0.05)
        return render(prompt)

    monkeypatch.setattr(assistant, "embed_ahead", slow_embed)
    monkeypatch.setattr(assistant.model.renderer, "render", slow_render, raising=False)
    began = time.perf_counter()
    plain, *searching = assistant.answer_all([sentiment("zero-shot"), sentiment(), sentiment(message="a dull film")])
    whole = time.perf_counter() - began
    assert plain.seconds >= 0.05
    assert all(one.seconds >= 0.15 for one in searching)
    assert plain.seconds + sum(one.seconds for one in searching) <= whole, "shares add up"
