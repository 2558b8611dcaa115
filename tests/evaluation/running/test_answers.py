import json
import math
import threading
from dataclasses import replace

import pytest

from assistant.answering import Assistant, Request
from assistant.errors import RunProblem, SettingError
from assistant.evaluation.metrics.calibration import calibrated
from assistant.evaluation.outcomes import Arm, Outcome, Sample
from assistant.evaluation.running.answers import answer_samples, message_of, outcome_of, requests_for
from assistant.evaluation.running.reference_scores import CONTENT_FREE
from assistant.generation.chat_model import ScriptedModel
from assistant.prompting.tasks import load_task
from assistant.records import Answer
from assistant.settings import GuardSettings, RetrievalSettings, SamplingSettings
from tests.evaluation.runs import SAMPLES, assistant, reader
from tests.toys import make_explained, make_reviews

SENTIMENT = load_task("sentiment")


@pytest.fixture
def toy(home):
    return make_reviews(home)


def answered(arm=None, samples=SAMPLES, rule=reader, task=SENTIMENT, **changes):
    settings = {"index": "toy", "retrieval": RetrievalSettings(), "sampling": SamplingSettings(), "seed": 0, **changes}
    return answer_samples(assistant(rule), task, arm or Arm("zero-shot", "labels"), samples, **settings)


def test_there_is_one_outcome_per_sample_in_their_order():
    got = answered()
    assert [one.sample for one in got] == [sample.id for sample in SAMPLES]
    assert [one.targets for one in got] == [sample.targets for sample in SAMPLES]
    assert all(one.correct is (one.final_answer in one.targets) for one in got)
    assert [one.score for one in got] == [float(one.correct) for one in got]


@pytest.mark.parametrize("strategy", ["zero-shot", "static-few-shot", "dynamic-few-shot", "zero-shot-cot"])
@pytest.mark.parametrize("reading", ["labels", "generate"])
def test_an_outcome_says_what_the_answer_to_the_same_request_says(toy, strategy, reading):
    arm = Arm(strategy, reading)
    for outcome, sample in zip(answered(arm), SAMPLES, strict=True):
        request = Request(
            sample.inputs["text"], strategy, "sentiment", "toy", reading=reading, sample_id=sample.id, group=""
        )
        answer = assistant().answer(request)
        assert outcome.final_answer == answer.final_answer
        assert outcome.prompt == answer.calls[-1].prompt
        assert outcome.answer == answer.calls[-1].reply
        assert outcome.problem == answer.problem
        assert (outcome.calls, outcome.prompt_tokens) == (len(answer.calls), answer.prompt_tokens)
        assert outcome.label_scores == answer.label_scores
        assert outcome.demonstrations == tuple((hit.demonstration.id, hit.similarity) for hit in answer.demonstrations)
        assert outcome.arm == arm


def test_a_reply_that_cannot_be_read_is_wrong_and_has_its_reason():
    one, *_ = answered(Arm("zero-shot", "generate"), rule=lambda prompt, sampling: "Who knows?")
    assert (one.final_answer, one.correct, one.score) == (None, False, 0.0)
    assert "names no label" in one.problem
    assert one.answer == "Who knows?"


def test_all_replies_of_a_vote_are_kept():
    replies = iter(["Why.\nAnswer: positive", "So.\nAnswer: negative", *["Well.\nAnswer: positive"] * 3])
    (one,) = answered(Arm("self-consistency", "generate"), SAMPLES[:1], lambda prompt, sampling: next(replies))
    assert one.final_answer == "positive"
    assert [one.answer.count(f"Answer: {label}") for label in ("positive", "negative")] == [4, 1]
    assert one.calls == 5


def test_the_seed_travels_to_random_demonstrations(toy):
    def shown(seed):
        return [[row for row, _ in one.demonstrations] for one in answered(Arm("random-few-shot", "labels"), seed=seed)]

    assert shown(0) == shown(0)
    assert shown(0) != shown(1)
    assert [one.seed for one in answered(seed=3)] == [3] * len(SAMPLES)


def test_id_and_group_travel_to_the_leak_guard(toy):
    same_id = Sample("r1", {"text": "something else entirely"}, ("positive",))
    (one,) = answered(Arm("dynamic-few-shot", "labels"), [same_id], retrieval=RetrievalSettings(k=8))
    assert [(row, reason) for row, reason, _ in one.excluded] == [("r1", "the same row as the question")]
    (request,) = requests_for(
        SENTIMENT, Arm("zero-shot"), [replace(same_id, group="g")],
        index=None, retrieval=RetrievalSettings(), sampling=SamplingSettings(),
    )  # fmt: skip
    assert (request.sample_id, request.group) == ("r1", "g")


def test_the_nearest_similarity_counts_what_was_kept_out_too(toy):
    copy = Sample("copy", {"text": "a dull film"}, ("negative",))
    (guarded,) = answered(Arm("dynamic-few-shot", "labels"), [copy])
    assert guarded.nearest_similarity == pytest.approx(1.0, abs=1e-6)
    assert max(cosine for _, cosine in guarded.demonstrations) < 0.95
    off = RetrievalSettings(guard=GuardSettings(enabled=False))
    (open_one,) = answered(Arm("dynamic-few-shot", "labels"), [copy], retrieval=off)
    assert open_one.demonstrations[0][0] == "r0"
    (plain,) = answered(samples=[copy])
    assert plain.nearest_similarity is None


def test_other_label_names_stand_in_the_prompt_and_outcomes_speak_of_the_tasks_own(toy):
    def rule(prompt, sampling):
        return "dax" if reader(prompt, sampling) == "positive" else "wug"

    for reading in ("labels", "generate"):
        got = answered(Arm("zero-shot", reading), rule=rule, label_names=("wug", "dax"), calibrations=("contextual",))
        assert {one.final_answer for one in got} == {"negative", "positive"}
        assert all("wug" in one.prompt and "positive" not in one.prompt for one in got)
        assert {one.answer for one in got} == {"wug", "dax"}
        assert all(one.correct for one in got)
        if reading == "labels":
            assert all(set(one.label_scores) == {"negative", "positive"} for one in got)
            assert all(set(scores) == {"negative", "positive"} for scores in got[0].reference_scores["contextual"])
            assert got[0].label_lengths == {"negative": (3, 3), "positive": (3, 3)}


def test_what_calibrations_need_is_kept_only_where_it_was_asked_for(toy):
    arm = Arm("dynamic-few-shot", "labels")
    assert answered(arm)[0].reference_scores == {}
    got = answered(arm, calibrations=("none", "batch", "contextual", "dc-pmi"))
    for one in got:
        assert {name: len(scores) for name, scores in one.reference_scores.items()} == {
            "contextual": len(CONTENT_FREE),
            "dc-pmi": 1,
        }
        assert all(math.isfinite(value) for scores in one.reference_scores["contextual"] for value in scores.values())
    assert answered(Arm("zero-shot", "generate"), calibrations=("contextual",))[0].reference_scores == {}


def test_label_lengths_are_characters_and_tokens_of_the_reply():
    (one,) = answered(samples=SAMPLES[:1])
    assert one.label_lengths == {"negative": (8, 8), "positive": (8, 8)}
    (published,) = answered(Arm("imdb-baseline", "labels"), SAMPLES[:1])
    assert published.label_lengths == {"negative": (7, 7), "positive": (7, 7)}


def test_after_a_stop_only_finished_answers_come_back():
    stop = threading.Event()
    asked = []

    def rule(prompt, sampling):
        asked.append(prompt)
        if len(asked) == 3:
            stop.set()
        return "positive"

    got = answered(Arm("zero-shot", "generate"), rule=rule, stop=stop)
    assert len(got) < len(SAMPLES)
    assert all(one.final_answer == "positive" for one in got)
    stop.set()
    assert answered(stop=stop) == []


@pytest.mark.parametrize("reading", ["labels", "generate"])
def test_a_text_that_does_not_fit_is_a_problem_of_that_sample_alone(toy, reading):
    samples = [SAMPLES[0], Sample("long", {"text": "far too long " * 400}, ("negative",)), SAMPLES[1]]
    short = Assistant(ScriptedModel(reader, context_tokens=2000))
    settings = {"index": "toy", "retrieval": RetrievalSettings(), "sampling": SamplingSettings(), "seed": 4}
    calibrations = ("contextual", "tokens") if reading == "labels" else ()
    for arm in (Arm("zero-shot", reading), Arm("dynamic-few-shot", reading)):
        got = answer_samples(short, SENTIMENT, arm, samples, calibrations=calibrations, **settings)
        assert [one.sample for one in got] == [sample.id for sample in samples]
        assert [one.final_answer for one in got] == ["positive", None, "negative"]
        assert got[1].problem == "the question does not fit into the context"
        assert (got[1].correct, got[1].score, got[1].seed, got[1].calls) == (False, 0.0, 4, 0)
        for calibration in calibrations:
            assert [one.final_answer for one in calibrated(got, calibration)][1] is None
    (alone,) = answer_samples(short, SENTIMENT, Arm("zero-shot", reading), samples[1:2], **settings)
    assert alone.problem


@pytest.mark.parametrize("strategy", ["dynamic-few-shot", "static-few-shot"])
def test_demonstrations_that_did_not_fit_are_counted_retrieved_and_fixed_alike(toy, strategy):
    arm, settings = Arm(strategy, "labels"), {"retrieval": RetrievalSettings(), "sampling": SamplingSettings()}
    (whole,) = answered(arm, SAMPLES[:1])
    assert (whole.dropped, whole.cut) == (0, False)
    tight = Assistant(ScriptedModel(reader, context_tokens=whole.prompt_tokens))
    (short,) = answer_samples(tight, SENTIMENT, arm, SAMPLES[:1], index="toy", seed=0, **settings)
    assert short.dropped >= 1
    assert short.dropped + len(short.demonstrations) == len(whole.demonstrations)


def test_a_reply_that_was_ended_by_the_limit_is_marked(toy):
    arm = Arm("zero-shot", "generate")
    (cut,) = answered(arm, SAMPLES[:1], lambda *_: "positive, " * 9, sampling=SamplingSettings(max_new_tokens=5))
    (whole,) = answered(arm, SAMPLES[:1], sampling=SamplingSettings(max_new_tokens=50))
    assert (cut.cut, whole.cut) == (True, False)


def test_every_prompt_is_rendered_once(toy, monkeypatch):
    asking, rendered = assistant(), []
    render = asking.model.renderer.render

    def counting(prompt):
        rendered.append(prompt)
        return render(prompt)

    monkeypatch.setattr(asking.model.renderer, "render", counting)
    settings = {"index": "toy", "retrieval": RetrievalSettings(), "sampling": SamplingSettings(), "seed": 0}
    answer_samples(asking, SENTIMENT, Arm("dynamic-few-shot", "labels"), SAMPLES, calibrations=("tokens",), **settings)
    assert len(rendered) == len(SAMPLES)


def test_content_free_prompts_are_paid_once_by_who_needs_them(toy):
    got = answered(Arm("static-few-shot", "labels"), calibrations=("contextual", "dc-pmi"))
    for name, calls in (("contextual", 3), ("dc-pmi", 1)):
        costs = {one.reference_costs[name] for one in got}
        assert len(costs) == 1
        assert costs.pop().calls == calls
        paid = calibrated(got, name)
        assert sum(one.calls for one in paid) == len(SAMPLES) + calls
        assert sum(one.prompt_tokens for one in paid) > sum(one.prompt_tokens for one in got)
        assert sum(one.seconds for one in paid) > sum(one.seconds for one in got)
    retrieved = answered(Arm("dynamic-few-shot", "labels"), calibrations=("contextual",))
    sets = {one.reference_costs["contextual"].prompts for one in retrieved}
    assert len(sets) > 1
    assert sum(one.calls for one in calibrated(retrieved, "contextual")) == len(SAMPLES) + 3 * len(sets)
    assert sum(one.calls for one in calibrated(retrieved, "batch")) == len(SAMPLES)


def test_an_outcome_is_read_as_it_was_written_and_an_older_one_with_defaults(toy):
    one = replace(answered(Arm("static-few-shot", "labels"), calibrations=("contextual",))[0], dropped=2, cut=True)
    record = json.loads(json.dumps(one.to_json()))
    assert Outcome.from_json(record).to_json() == record
    assert (Outcome.from_json(record).dropped, Outcome.from_json(record).cut) == (2, True)
    for name in ("dropped", "cut", "reference_costs"):
        del record[name]
    old = Outcome.from_json(record)
    assert (old.dropped, old.cut, old.reference_costs) == (0, False, {})


def test_no_samples_are_no_work():
    assert answered(samples=()) == []


@pytest.mark.parametrize(
    "text", ["two\nlines", "a ||| b", "sentence1: x", '{"sentence1": "x"}', "\tindented", "“quotes” \\ and \u2028"]
)
def test_whatever_a_pair_contains_reaches_the_task_unchanged(text):
    task = load_task("paraphrase")
    sample = Sample("p", {"sentence1": text, "sentence2": f"{text} too"}, ("paraphrase",))
    assert task.inputs(message_of(task, sample)) == {name: value.strip() for name, value in sample.inputs.items()}


def test_a_text_that_looks_like_json_reaches_a_task_of_one_field_unchanged():
    sample = Sample("j", {"text": json.dumps({"text": "x"})}, ("positive",))
    assert SENTIMENT.inputs(message_of(SENTIMENT, sample)) == sample.inputs


@pytest.mark.parametrize(("final", "problem"), [("positive", "unsure"), (None, "")])
def test_an_answer_that_is_read_and_unread_at_once_stops_the_run(final, problem):
    answer = Answer("zero-shot", "sentiment", "m", None, "x", final_answer=final, problem=problem, done=True)
    with pytest.raises(RunProblem, match="'s0' was read as"):
        outcome_of(SAMPLES[0], Arm("zero-shot"), answer, SENTIMENT, {})


def test_labels_are_not_scored_where_reasoning_is_shown(home):
    make_explained(home)
    with pytest.raises(SettingError, match="would skip the reasoning"):
        answered(Arm("dynamic-cot", "labels"), index="explained")
