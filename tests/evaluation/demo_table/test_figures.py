"""Shares, differences and verdicts, held against hand-made outcomes."""

import numpy as np
import pytest

from assistant.evaluation.demo_table.figures import (
    Column,
    Figure,
    difference,
    measured,
    share,
    share_of,
    unreadable,
    verdict,
)
from assistant.evaluation.demo_table.parts import Check
from assistant.evaluation.statistics.intervals import Interval, two_way_bootstrap, wilson
from assistant.prompting.tasks import load_task
from tests.evaluation.toy_runs import label_outcomes, outcome, run_record

TASK = load_task("sentiment")


def column(*runs):
    return Column(tuple(run_record(made, data={"n": 60}) for made in runs))


def right(strategy, marks, seed=0, reading="labels"):
    """Return outcomes that are right where the mark is 1; a mark of None cannot be read."""
    answers = {1: "positive", 0: "negative", None: None}
    return [
        outcome(TASK, f"s{at}", "positive", answers[mark], strategy=strategy, seed=seed, reading=reading)
        for at, mark in enumerate(marks)
    ]


def check(**changes):
    return Check(**({"part": "sentiment", "title": "t", "run": "natural", "arm": "zero-shot"} | changes))


def test_one_seed_has_wilsons_interval():
    found = share(column(label_outcomes(TASK, strategy="zero-shot")), "zero-shot")
    made = label_outcomes(TASK, strategy="zero-shot")
    count = sum(one.correct for one in made)
    assert (found.value, found.n) == (pytest.approx(count / 60), 60)
    assert found.interval == wilson(count, 60)


def test_several_seeds_widen_the_interval_by_their_spread():
    marks = [1] * 40 + [0] * 20
    steady = share(column(right("a", marks) + right("a", marks, seed=1)), "a")
    lucky = share(column(right("a", [1] * 60) + right("a", [1] * 20 + [0] * 40, seed=1)), "a")
    assert steady.value == pytest.approx(lucky.value)
    assert lucky.interval.high - lucky.interval.low > 2 * (steady.interval.high - steady.interval.low)


def test_each_naming_counts_once_whatever_its_seeds():
    first, second = [1, 1, 0, 1], [0, 1, 0, 0]
    several = column(right("a", first) + right("a", [1, 1, 1, 1], seed=1), right("a", second, seed=10))
    assert several.scores("a")["s2"] == {0: 0.5, 1: 0.0}
    found = share(several, "a")
    assert found.value == pytest.approx(((3 / 4 + 1) / 2 + 1 / 4) / 2)
    assert found.n == 4
    assert found.interval == two_way_bootstrap(np.array([[1, 1, 0.5, 1], second], dtype=float), None)


def test_differences_are_paired_by_row():
    marks = [1, 0] * 30
    columns = {"natural": column(right("zero-shot", [0, 0] * 30) + right("static-few-shot", marks))}
    found = difference(check(arm="static-few-shot", over="zero-shot"), columns)
    assert (found.value, found.n) == (0.5, 60)
    assert found.interval.excludes(0)
    back = difference(check(arm="zero-shot", over="static-few-shot"), columns)
    assert back.value == -0.5


def test_the_same_strategy_can_be_compared_across_columns():
    columns = {"natural": column(right("zero-shot", [0] * 10)), "adapted": column(right("zero-shot", [1] * 10))}
    found = measured(check(run="adapted", over_run="natural"), columns)
    assert found is not None
    assert found.value == 1.0
    assert measured(check(run="adapted", over_run="elsewhere"), columns) is None


def test_only_written_replies_can_be_unreadable():
    scored = column(right("a", [1, 1]))
    written = column(right("a", [1, None, None, 0], reading="generate"))
    assert unreadable([scored]) is None
    found = unreadable([scored, written])
    assert (found.value, found.n) == (0.5, 4)


def test_replies_of_one_group_are_no_independent_evidence():
    flags = [True] * 5 + [False] * 5
    alone, grouped = share_of(flags, [str(at) for at in range(10)]), share_of(flags, ["a"] * 5 + ["b"] * 5)
    assert grouped.interval.high - grouped.interval.low > alone.interval.high - alone.interval.low


@pytest.mark.parametrize(
    ("value", "bars", "said"),
    [
        (0.70, {"least": 70}, "reached"),
        (0.68, {"least": 70}, "missed by 2.0 points"),
        (0.69, {"least": 70}, "missed by 1.0 point"),
        (0.08, {"most": 10}, "reached"),
        (0.125, {"most": 10}, "missed by 2.5 points"),
        (0.46, {"near": 5}, "reached"),
        (0.58, {"near": 5}, "missed by 3.0 points"),
        (0.40, {"near": 5}, "missed by 5.0 points"),
        (0.40, {}, ""),
    ],
)
def test_verdicts_say_by_how_much_a_bar_is_missed(value, bars, said):
    figure = Figure(value, Interval(value - 0.1, value + 0.1), 100)
    assert verdict(check(**bars), figure) == said


def test_a_certain_difference_needs_an_interval_above_zero():
    certain = check(over="static-few-shot", least=0, certain=True)
    assert verdict(certain, Figure(0.05, Interval(0.01, 0.09), 100)) == "reached"
    assert verdict(certain, Figure(0.05, Interval(-0.01, 0.11), 100)) == "missed: the interval includes 0"
    assert verdict(certain, Figure(-0.05, Interval(-0.09, -0.01), 100)) == "missed by 5.0 points"
    assert verdict(certain, Figure(0.0, Interval(0.0, 0.0), 100)) == "missed: the interval includes 0"


def test_a_figure_that_misses_by_less_than_is_printed_is_not_called_missed_by_nothing():
    assert verdict(check(least=70), Figure(0.69996, Interval(0.6, 0.8), 100)) == "missed by less than 0.1 points"
