from dataclasses import replace

import pytest

from assistant.evaluation.reports import parts as report_parts
from assistant.evaluation.reports.words import flattened, headline, kept_out, p_value, pair_sentence, warnings
from tests.evaluation.toy_runs import SENTIMENT, label_outcomes, run_record, some_outcomes

MADE = some_outcomes()
RECORD = run_record(MADE)


def test_the_headline_names_a_winner_where_the_statistics_do():
    found = headline(RECORD)
    assert found[0] == "Measurably better than fixed (labels): nearest (labels)."
    assert found[1].startswith("Highest accuracy: nearest (labels), ")
    assert found[2].endswith(" after Holm: better.")
    assert found[3].startswith("Without a language model, knn-vote reaches ")


def test_the_headline_names_no_winner_that_the_statistics_do_not_name():
    fixed = label_outcomes(SENTIMENT, strategy="fixed", n=20)
    ahead = [replace(one, strategy="other") for one in fixed]
    wrong = next(place for place, one in enumerate(fixed) if not one.correct)
    ahead[wrong] = replace(ahead[wrong], correct=True, score=1.0)
    found = headline(run_record([*fixed, *ahead]))
    assert found[0] == "No strategy is measurably better than fixed (labels)."
    assert found[1].startswith("Highest accuracy: other (labels)")
    assert "not distinguishable with n = 20" in found[2]
    turned = [replace(one, strategy="fixed") for one in ahead] + [replace(one, strategy="other") for one in fixed]
    behind = headline(run_record(turned))
    assert behind[0] == found[0]
    assert behind[1].startswith("Highest accuracy: fixed (labels)")


def test_without_a_language_model_there_is_nothing_to_recommend():
    votes = label_outcomes(SENTIMENT, strategy="knn-vote", reading="none")
    assert headline(run_record(votes)) == ["Nothing was answered by a language model."]


def test_a_baseline_without_a_language_model_that_does_as_well_is_named():
    made = [
        *label_outcomes(SENTIMENT, strategy="fixed", skill=0.0),
        *label_outcomes(SENTIMENT, strategy="knn-vote", reading="none", skill=4.0),
    ]
    assert headline(run_record(made))[-1].endswith("That is at least as high as any strategy here.")


def test_a_clean_run_needs_no_warning():
    assert warnings(RECORD) == []


def test_a_run_that_was_stopped_or_unguarded_is_stamped():
    assert "stopped early" in warnings(RECORD | {"finished": False})[0]
    unguarded = RECORD | {"settings": {"retrieval": {"guard": {"enabled": False}}}}
    assert "The leak guard was off" in warnings(unguarded)[0]


def test_many_unreadable_replies_are_a_warning():
    unread = [replace(one, final_answer=None, correct=False, problem="x") for one in MADE[:10]]
    assert warnings(run_record([*unread, *MADE[10:]])) == [
        "fixed (labels): 17 % of the replies could not be read; each counts as an error."
    ]


def test_rows_of_different_length_are_a_warning():
    assert "between 30 and 60 samples" in warnings(run_record(MADE[30:]))[0]


def test_rows_kept_out_are_counted_once_for_all_calibrations():
    made = [replace(MADE[0], excluded=(("9", "the same row as the question", None),)), *MADE[1:]]
    record = run_record(made, calibrations=("none", "batch"))
    assert kept_out(record) == [("fixed (labels)", "the same row as the question", 1)]
    assert "the same row as the question" in report_parts.problems(record)
    assert "No row had to be kept out" in report_parts.problems(RECORD)


def test_unreadable_replies_are_told_with_their_reason():
    text = report_parts.problems(RECORD)
    assert "the reply names no label" in text
    assert "Read, but longer than a label" in text


@pytest.mark.parametrize(("value", "text"), [(0.5, "p = 0.500"), (0.0312, "p = 0.031"), (0.0004, "p < 0.001")])
def test_p_values_are_never_given_as_zero(value, text):
    assert p_value(value) == text


def test_a_comparison_in_one_sentence():
    pair = {"a": "x", "b": "y", "n": 200, "wins": 24, "losses": 13, "difference": 0.055, "interval": [-0.005, 0.115]}
    pair |= {"p_value": 0.099, "p_holm": 0.297, "test": "exact McNemar", "verdict": "not distinguishable with n = 200"}
    assert pair_sentence(pair) == (
        "y against x: +5.5 points (-0.5 to +11.5); better on 24 samples, worse on 13; exact McNemar, p = 0.099, "
        "p = 0.297 after Holm: not distinguishable with n = 200."
    )


def test_settings_are_listed_by_their_full_names():
    values = {"a": {"b": 1, "c": []}, "d": [{"e": None}], "f": [1, 2]}
    assert flattened(values) == [("a.b", "1"), ("a.c", "–"), ("d.1.e", "–"), ("f", "1, 2")]


def test_a_missing_correlation_is_explained():
    row = {"name": "fixed", "n": 4, "seeds": [0], "answers": 40, "parse_failures": 1}
    record = {"task": {"metric": "similarity"}, "results": [row, {**row, "name": "nearest", "parse_failures": 0}]}
    (said,) = warnings(record)
    assert said.startswith("No Pearson or Spearman where a grade could not be read (fixed):")
