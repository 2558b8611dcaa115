"""Findings on scores that were planted, so that what should be found is known."""

import random
from dataclasses import replace
from types import SimpleNamespace

import pytest

from assistant.evaluation.curves.cells import Cell, Scored
from assistant.evaluation.curves.findings import against_place, against_prompting, break_even, points_of
from assistant.evaluation.curves.rank_report import rank_report
from assistant.evaluation.curves.report import curve_report, verdicts
from assistant.evaluation.curves.settings import CurveSettings
from assistant.evaluation.outcomes import Sample
from assistant.prompting.tasks import load_task

N = 200
SAMPLES = tuple(Sample(f"s{at}", {"text": f"text {at}"}, ("positive",)) for at in range(N))
FACTS = {"source": "planted", "n": N}


def experiment(settings, numbers, cells=()):
    """What findings ask of an experiment, without rows or a model."""
    material = SimpleNamespace(task=load_task("sentiment"), test=SAMPLES, facts=FACTS, digest={}, notes=())
    return SimpleNamespace(
        name="prompt-or-tune", settings=settings, material=material, numbers=numbers, cells=cells, mark="ab12cd34",
        reading="labels", facts={"name": "planted"},
    )  # fmt: skip


def scored(method, rows, share, seed=0, rank=None):
    """A cell that gets about this share right, hard samples being hard for all."""
    draw = random.Random(f"{method} {rows} {seed} {rank}")
    right = [float(draw.gauss(0, 0.05) + at / N < share) for at in range(N)]
    return Cell(method, rows, seed, rank), Scored(
        method, rows, seed, rank, tuple(right), 2.0, 100 * N, 5.0, learnt=10, steps=3
    )


SHARES = {
    "dynamic-few-shot": {16: 0.60, 64: 0.65, 250: 0.70},
    "lora": {16: 0.30, 64: 0.66, 250: 0.90},
    "classifier:full": {16: 0.80, 64: 0.50, 250: 0.85},
    "prompt-tuning": {16: 0.30, 64: 0.40, 250: 0.50},
}


@pytest.fixture
def planted():
    found = dict([scored("zero-shot", 0, 0.5)])
    for method, by_rows in SHARES.items():
        found |= dict(scored(method, rows, share, seed) for rows, share in by_rows.items() for seed in range(3))
    settings = CurveSettings(rows=(0, 16, 64, 250), methods=tuple(SHARES), seeds=3)
    return found, experiment(settings, (0, 16, 64, 250), tuple(found))


def test_a_point_is_the_mean_of_its_draws_with_what_it_costs(planted):
    found, asked = planted
    (point,) = [one for one in points_of(found, asked) if (one.method, one.rows) == ("lora", 250)]
    means = [found[Cell("lora", 250, seed)].mean for seed in range(3)]
    assert point.score == pytest.approx(sum(means) / 3)
    assert (point.lowest_seed, point.highest_seed) == (min(means), max(means))
    assert point.interval.low < point.score < point.interval.high
    assert (point.seconds_per_1000, point.tokens_per_1000) == (pytest.approx(10.0), pytest.approx(100_000))


def test_tuning_breaks_even_where_it_stays_better_than_the_best_prompting(planted):
    found, asked = planted
    shown = points_of(found, asked)
    made = against_prompting(found, shown, asked)
    assert {one.baseline for one in made} == {"dynamic-few-shot"}
    assert break_even(made, "lora").rows == 250
    assert break_even(made, "classifier:full").rows == 250  # better at 16, but worse again at 64
    assert break_even(made, "prompt-tuning") is None
    (sentence,) = verdicts(shown, made, asked)
    assert sentence.startswith("From 250 labelled rows on, tuning beats the best prompting: lora by +")
    assert "classifier:full from 250 rows on" in sentence
    assert "prompt-tuning at none of the measured numbers" in sentence


def test_a_gain_that_more_rows_undo_and_one_not_measured_further_are_told_as_such(planted):
    found, asked = planted
    found |= dict(scored("classifier:full", 250, 0.5, seed) for seed in range(3))
    found |= dict(scored("lora", 64, 0.9, seed) for seed in range(3))
    found = {cell: one for cell, one in found.items() if (cell.method, cell.rows) != ("lora", 250)}
    shown = points_of(found, asked)
    made = against_prompting(found, shown, asked)
    (sentence,) = verdicts(shown, made, asked)
    assert sentence.startswith("From 64 labelled rows on, tuning beats the best prompting: lora by +")
    assert "over dynamic-few-shot there (measured up to 64); " in sentence
    assert "classifier:full at 16 rows, but not at the highest number" in sentence
    (sentence,) = verdicts(shown, [one for one in made if one.method != "lora"], asked)
    assert sentence.startswith("Tuning beats the best prompting at some numbers of rows only: classifier:full at 16")


def test_without_a_measurable_gain_no_break_even_is_claimed(planted):
    found, asked = planted
    found = {cell: one for cell, one in found.items() if cell.method in ("zero-shot", "dynamic-few-shot")}
    found |= dict(
        scored("lora", rows, SHARES["dynamic-few-shot"][rows], seed) for rows in (16, 64, 250) for seed in range(3)
    )
    shown = points_of(found, asked)
    (sentence,) = verdicts(shown, against_prompting(found, shown, asked), asked)
    assert sentence == "Up to 250 labelled rows no tuning beats the best prompting measurably (n = 200)."


def test_a_curve_that_was_stopped_claims_no_more_than_tuning_was_measured_at(planted):
    found, asked = planted
    found = {cell: one for cell, one in found.items() if cell.method == "dynamic-few-shot"}
    found |= dict(scored("lora", 16, SHARES["dynamic-few-shot"][16], seed) for seed in range(3))
    shown = points_of(found, asked)
    (sentence,) = verdicts(shown, against_prompting(found, shown, asked), asked)
    assert sentence.startswith("Up to 16 labelled rows no tuning")
    found |= dict(scored("prompt-tuning", rows, 0.3, seed) for rows in (16, 64) for seed in range(3))
    shown = points_of(found, asked)
    (sentence,) = verdicts(shown, against_prompting(found, shown, asked), asked)
    assert sentence.startswith("Up to 64 labelled rows (lora up to 16) no tuning")


def test_nothing_is_held_against_prompting_that_is_not_measured_yet(planted):
    found, asked = planted
    found = {cell: one for cell, one in found.items() if (cell.method, cell.rows) != ("dynamic-few-shot", 64)}
    made = against_prompting(found, points_of(found, asked), asked)
    assert {one.rows for one in made} == {16, 250}


def test_dropped_demonstrations_are_told(planted):
    found, asked = planted
    cell = Cell("dynamic-few-shot", 64, 1)
    found[cell] = replace(found[cell], dropped=12)
    notes = curve_report(asked, found).notes
    assert any(note.endswith("dynamic-few-shot, 64 rows: 12.") for note in notes)


def test_the_draws_luck_widens_the_interval(planted):
    found, asked = planted
    lucky = {cell: one for cell, one in found.items() if cell.method != "lora"}
    for seed, share in enumerate((0.5, 0.9, 0.99)):
        lucky |= dict([scored("lora", 250, share, seed)])
    width = {}
    for name, cells in (("steady", found), ("lucky", lucky)):
        (point,) = [one for one in points_of(cells, asked) if (one.method, one.rows) == ("lora", 250)]
        width[name] = point.interval.high - point.interval.low
    assert width["lucky"] > 1.5 * width["steady"]


def test_the_report_says_what_is_missing_and_draws_a_line_for_each_method(planted):
    found, asked = planted
    asked.cells = (*found, Cell("lora", 1000))
    report = curve_report(asked, found, ["a flaw"])
    assert not report.finished
    assert any("1 of" in note and "missing" in note for note in report.notes)
    assert "a flaw" in report.notes
    assert report.findings["break_even"] == {"lora": 250, "prompt-tuning": None, "classifier:full": 250}
    chart = report.plots[0].svg()
    assert all(name in chart for name in (*SHARES, "zero-shot: no row"))
    assert report.csv.count("\n") == 1 + len(report.findings["points"])


def test_a_rank_sweep_holds_every_rank_against_base_and_lowest():
    shares = {2: 0.70, 4: 0.71, 8: 0.90, 16: 0.50}
    found = dict([scored("zero-shot", 0, 0.3)])
    found |= dict(scored("lora", 100, share, seed, rank) for rank, share in shares.items() for seed in range(2))
    settings = CurveSettings(rows=(0, 100), methods=("lora",), ranks=(2, 4, 8, 16), seeds=2)
    asked = experiment(settings, (0, 100), tuple(found))
    report = rank_report(asked, found)
    assert report.verdicts[0].startswith("Every rank gains measurably over the base; from +")
    assert report.verdicts[1] == "Against the lowest rank, measurably better: rank 8; worse: rank 16."
    assert [row[0] for row in report.tables[0].rows] == ["base", "2", "4", "8", "16"]
    (gain, *_) = against_place(Cell("zero-shot", 0), [Cell("lora", 100, 0, 2)], found, asked)
    assert gain.difference == pytest.approx(0.4, abs=0.05)
