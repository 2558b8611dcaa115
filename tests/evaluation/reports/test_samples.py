from dataclasses import replace

from assistant.evaluation.outcomes import Outcome
from assistant.evaluation.reports import parts as report_parts
from assistant.evaluation.reports import samples as report_samples
from assistant.prompting.tasks import load_task
from tests.evaluation.toy_runs import SENTIMENT, label_outcomes, outcome, run_record, some_outcomes

MADE = some_outcomes()
RECORD = run_record(MADE)


def answered(name, answers):
    """Return the outcomes of one arm on samples that all mean "negative"."""
    return [outcome(SENTIMENT, f"s{at}", "negative", answer, strategy=name) for at, answer in enumerate(answers)]


def test_samples_survive_the_way_through_the_record():
    expected = [replace(one, seconds=round(one.seconds, 6)) for one in MADE]
    assert [Outcome.from_json(one) for one in RECORD["samples"]] == expected


def test_flipped_samples_are_those_of_the_comparison():
    arms = report_samples.outcomes_by_arm(RECORD)
    for pair in RECORD["pairs"]:
        found = report_samples.flips(arms, pair, most=10_000)
        assert {flip.before.sample for flip in found} == set(pair["flipped"])
        assert sum(bool(flip.after.correct) for flip in found) == pair["wins"]
        assert sum(bool(flip.before.correct) for flip in found) == pair["losses"]


def test_where_many_flipped_some_of_both_directions_are_shown():
    arms = report_samples.outcomes_by_arm(RECORD)
    pair = max(RECORD["pairs"], key=lambda pair: min(pair["wins"], pair["losses"]))
    assert min(pair["wins"], pair["losses"]) > 2
    shown = report_samples.flips(arms, pair, most=4)
    assert [bool(flip.after.correct) for flip in shown] == [False, False, True, True]


def test_flipped_samples_are_shown_with_both_prompts_and_answers():
    text = report_parts.samples(RECORD)
    flip = report_samples.flips(report_samples.outcomes_by_arm(RECORD), RECORD["pairs"][0], most=1)[0]
    first = text[text.index("Flipped samples") :]
    assert f"<summary>{flip.before.sample} " in first
    assert first.count(flip.before.prompt.splitlines()[0]) >= 2
    assert f"answered {flip.before.final_answer} → {flip.after.final_answer}" in first


def test_flips_follow_the_calibrated_answers():
    skewed = []
    for one in label_outcomes(SENTIMENT, strategy="fixed", skill=2.0):
        scores = {label: score + 3 * (label == "positive") for label, score in one.label_scores.items()}
        answer = max(scores, key=scores.get)
        right = answer == one.targets[0]
        skewed.append(replace(one, label_scores=scores, final_answer=answer, correct=right, score=float(right)))
    record = run_record(skewed, calibrations=("none", "batch"))
    arms = report_samples.outcomes_by_arm(record)
    assert list(arms) == ["fixed (labels)", "fixed (labels, batch)"]
    (pair,) = record["pairs"]
    assert pair["wins"] > pair["losses"]
    assert {flip.after.sample for flip in report_samples.flips(arms, pair, 99)} == set(pair["flipped"])
    assert "fixed (labels, batch) against fixed (labels)" in report_parts.samples(record)


def test_the_surest_errors_come_first():
    answers = [("positive", 1.0), ("negative", -1.0), ("positive", 5.0), ("positive", 2.0)]
    made = [
        outcome(SENTIMENT, str(at), "negative", answer, label_scores={"negative": 0.0, "positive": score})
        for at, (answer, score) in enumerate(answers)
    ]
    assert [one.sample for one in report_samples.worst_errors(made, 2)] == ["2", "3"]


def test_where_nothing_is_right_or_wrong_the_lowest_scores_come_first():
    task = load_task("summary")
    texts = ("the cat sat", "the cat", "a dog")
    made = [outcome(task, str(at), "the cat sat", text) for at, text in enumerate(texts)]
    assert [one.sample for one in report_samples.worst_errors(made, 5)] == ["2", "1"]


def test_confidence_is_the_share_of_the_answered_label():
    (one,) = answered("a", ["negative"])
    assert report_samples.confidence(one) == 0.0
    scored = replace(one, label_scores={"negative": -1000.0, "positive": -1000.0})
    assert report_samples.confidence(scored) == 0.5
    assert report_samples.confidence(replace(scored, final_answer=None)) == 0.0
    impossible = {"negative": float("-inf"), "positive": float("-inf")}
    assert report_samples.confidence(replace(scored, label_scores=impossible)) == 0.0


def test_samples_that_divide_the_strategies_most_come_first():
    arms = {
        "a": answered("a", ["negative", "negative", "negative"]),
        "b": answered("b", ["negative", "negative", "positive"]),
        "c": answered("c", ["negative", None, None]),
        "d": answered("d", ["negative", None, "positive"]),
    }
    found = report_samples.dividing(arms, list(arms), 9)
    assert [(one.sample, one.right) for one in found] == [("s1", 2), ("s2", 1)]
    assert found[0].answers == {"a": "negative", "b": "negative", "c": None, "d": None}


def test_where_strategies_disagree_is_told_with_who_said_what_and_the_prompt():
    text = report_parts.samples(RECORD)
    part = text[text.index("Where strategies disagree") : text.index("Worst errors")]
    first = report_samples.dividing(report_samples.outcomes_by_arm(RECORD), ["fixed (labels)", "nearest (labels)"], 99)
    assert part.count("Shortest prompt") == 10
    assert {one.sample for one in first} & set(part.replace("<", " ").replace(">", " ").split())
    assert "of 3 are right" in part


def test_long_prompts_are_cut_and_say_so():
    record = run_record([replace(one, prompt="word " * 5_000) for one in MADE])
    assert "19,000 more characters" in report_parts.samples(record)
