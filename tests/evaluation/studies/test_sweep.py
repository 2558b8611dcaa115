import json
from dataclasses import replace

import numpy as np
import pytest

from assistant.answering import Assistant
from assistant.errors import SettingError
from assistant.evaluation.metrics.leaderboard import pairs_of
from assistant.evaluation.metrics.leaderboard import summarise as leaderboard
from assistant.evaluation.outcomes import Arm, Outcome, Sample
from assistant.evaluation.studies.study import Study
from assistant.evaluation.studies.sweep import (
    COLUMNS,
    MAJORITY,
    NO_DEMONSTRATIONS,
    RANDOM,
    SELECTED,
    VOTE,
    lines,
    plain,
    summarise,
    sweep,
    table,
    verdicts,
)
from assistant.evaluation.studies.sweep_report import sweep_report
from assistant.generation.chat_model import ScriptedModel
from assistant.prompting.tasks import load_task
from assistant.settings import RetrievalSettings
from tests.toys import make_reviews

TASK = load_task("sentiment")
ARM = Arm("dynamic-few-shot", "generate")
SAMPLES = [
    Sample(f"s{at}", {"text": text}, (label,))
    for at, (text, label) in enumerate(
        [("a dull dull film", "negative"), ("witty and warm", "positive"), ("far too long", "negative")]
    )
]


@pytest.fixture
def study(home):
    make_reviews(home)
    return Study(Assistant(ScriptedModel()), TASK, SAMPLES, "toy", RetrievalSettings())


def outcomes(right, group=lambda at: ""):
    return [
        Outcome(f"s{at}", "dynamic-few-shot", "generate", 0, ("x",), "x", bool(one), float(one), group=group(at),
                prompt_tokens=10, seconds=0.5)
        for at, one in enumerate(right)
    ]  # fmt: skip


def test_every_selector_is_asked_at_every_k_and_random_with_every_seed(study):
    found = sweep(study, ARM, (2, 0, 1), SELECTED, (0, 1, 2))
    expected = {(k, selector) for k in (1, 2) for selector in (*SELECTED, MAJORITY, VOTE)}
    assert set(found) == expected | {(0, NO_DEMONSTRATIONS), (0, MAJORITY)}
    assert {len(found[k, RANDOM]) for k in (1, 2)} == {3}
    assert all(len(by_seed) == 1 for (_, selector), by_seed in found.items() if selector != RANDOM)
    for (k, selector), by_seed in found.items():
        for asked in by_seed:
            assert [one.sample for one in asked] == ["s0", "s1", "s2"]
            if selector not in (MAJORITY, VOTE):
                assert all(len(one.demonstrations) == k for one in asked)


def test_random_draws_differ_by_seed_and_are_the_same_for_all_samples(study):
    by_seed = sweep(study, ARM, (2,), (RANDOM,), (0, 1, 2, 3))[2, RANDOM]
    drawn = [{tuple(identity for identity, _ in one.demonstrations) for one in asked} for asked in by_seed]
    assert len({frozenset(one) for one in drawn}) > 1
    assert all(len(one) == 1 for one in drawn), "no sample of this study is in the index, so nothing is kept out"


def test_the_majority_is_the_most_frequent_label_of_the_index(study, home):
    make_reviews(home, rows=(("a", "good", 1), ("b", "fine", 1), ("c", "bad", 0)))
    (asked,) = sweep(study, ARM, (0,), ("nearest",), (0,))[0, MAJORITY]
    assert [one.final_answer for one in asked] == ["positive"] * 3
    assert [one.correct for one in asked] == [False, True, False]


@pytest.mark.parametrize(
    ("strategy", "seeds", "said"),
    [("static-few-shot", (0, 1), "nothing to sweep"), ("random-few-shot", (0, 1), "nothing to sweep"),
     ("dynamic-few-shot", (0, 0), "at least 2 seeds")],
)  # fmt: skip
def test_what_cannot_be_swept_is_refused(study, strategy, seeds, said):
    with pytest.raises(SettingError, match=said):
        sweep(study, Arm(strategy, "generate"), (1,), SELECTED, seeds)


def planted(n=200):
    """Return a sweep in which 'nearest' is far better than random at k = 2, and 'bm25' just as good."""
    draw = np.random.default_rng(0)
    chance = [outcomes(draw.random(n) < 0.5) for _ in range(5)]
    return {
        (0, NO_DEMONSTRATIONS): [outcomes(draw.random(n) < 0.4)],
        (2, RANDOM): chance,
        (2, "nearest"): [outcomes(draw.random(n) < 0.9)],
        (2, "bm25"): [outcomes(draw.random(n) < 0.5)],
        (2, MAJORITY): [outcomes([1] * (n // 2) + [0] * (n // 2))],
    }


def test_a_planted_gain_is_found_and_a_missing_one_is_not_claimed():
    found = summarise(ARM, planted())
    said = {one.selector: one for one in found.contrasts}
    assert set(said) == {"nearest", "bm25"}
    assert said["nearest"].verdict == "nearest is better than random"
    assert said["bm25"].verdict == "bm25 is not distinguishable from random with n = 200"
    assert said["nearest"].difference == pytest.approx(0.4, abs=0.1)
    assert said["nearest"].interval.low > 0.25
    assert said["nearest"].p_holm == pytest.approx(2 * said["nearest"].p_value)
    assert verdicts(found) == ["k = 2: nearest better than random (n = 200, 2 comparisons, corrected after Holm)."]


def test_nothing_found_is_said_in_words():
    both = outcomes([1, 0] * 10)
    arms = {(k, selector): by_seed for k in (4, 1) for selector, by_seed in ((RANDOM, [both] * 2), ("nearest", [both]))}
    found = summarise(ARM, arms)
    how = "(n = 20, 2 comparisons, corrected after Holm)"
    assert verdicts(found) == [f"k = 1, 4: no selector is distinguishable from random {how}."]
    assert (found.contrasts[0].difference, found.contrasts[0].p_value) == (0, 1)


def test_the_vote_without_a_model_is_held_beside_the_best_selector():
    arms = {(2, "nearest"): [outcomes([1, 0] * 10)], (1, VOTE): [outcomes([1] * 15 + [0] * 5)]}
    (said,) = verdicts(summarise(ARM, arms))
    assert "reaches 75.0 % (53.1 to 88.8) at k = 1; with it, at best 50.0 % (29.9 to 70.1): nearest at k = 2." in said


def test_a_point_states_the_mean_over_seeds_and_their_spread():
    found = summarise(ARM, {(1, RANDOM): [outcomes([1, 1, 1, 0]), outcomes([1, 0, 0, 0])]})
    (point,) = found.points
    assert (point.n, point.seeds, point.score) == (4, 2, 0.5)
    assert (point.lowest_seed, point.highest_seed) == (0.25, 0.75)
    assert (point.prompt_tokens, point.seconds) == (10, 0.5)
    assert point.interval.low < 0.5 < point.interval.high


def test_points_and_contrasts_are_as_sure_as_the_leaderboard_is():
    draw = np.random.default_rng(2)
    chance = [
        [replace(one, strategy="random-few-shot", seed=seed) for one in outcomes(draw.random(100) < share)]
        for seed, share in enumerate((0.3, 0.5, 0.7))
    ]
    chosen = [outcomes(draw.random(100) < 0.8)]
    found = summarise(ARM, {(2, RANDOM): chance, (2, "nearest"): chosen})
    made = [
        replace(one, targets=("positive",), final_answer="positive" if one.correct else "negative")
        for by_seed in (*chance, *chosen)
        for one in by_seed
    ]
    rows = {row["strategy"]: row for row in leaderboard(made, TASK)}
    (pair,) = pairs_of(made, TASK, "random-few-shot (generate)")
    assert list(found.points[0].interval) == pytest.approx(rows["random-few-shot"]["accuracy_interval"])
    assert list(found.points[1].interval) == pytest.approx(rows["dynamic-few-shot"]["accuracy_interval"])
    assert list(found.contrasts[0].interval) == pytest.approx(pair["interval"])


def test_a_task_without_right_and_wrong_is_swept_by_its_own_measure(home):
    make_reviews(home)
    task = load_task("summary")
    samples = [Sample(f"d{at}", {"dialogue": f"#A#: Hi {at}.\n#B#: Bye."}, ("A greets B.",)) for at in range(4)]
    study = Study(Assistant(ScriptedModel()), task, samples, "toy", RetrievalSettings())
    report = sweep_report(study, ARM, (0,), ("nearest",), (0,))
    assert report.tables[0].title == "ROUGE-L over the number of demonstrations"
    assert report.findings["measure"] == "ROUGE-L"
    assert "accuracy" not in report.csv.lower()
    assert "accuracy" not in json.dumps(report.findings).lower()
    assert report.plots[0].words.startswith("ROUGE-L over k")


def test_the_table_has_a_row_per_point():
    found = summarise(ARM, planted())
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in table(found)]
    assert [(row["k"], row["selector"]) for row in rows] == [
        (0, NO_DEMONSTRATIONS), (2, RANDOM), (2, "nearest"), (2, "bm25"), (2, MAJORITY),
    ]  # fmt: skip
    assert rows[1]["score"] == found.points[1].score
    assert rows[1]["low"] < rows[1]["score"] < rows[1]["high"]


def test_every_line_begins_without_demonstrations_but_those_without_a_model():
    drawn = lines(summarise(ARM, planted()))
    assert [k for k, *_ in drawn["nearest"]] == [0, 2]
    assert [k for k, *_ in drawn[MAJORITY]] == [2]
    assert set(drawn) == {RANDOM, "nearest", "bm25", MAJORITY}


def test_a_sweep_is_plain_data():
    record = json.loads(json.dumps(plain(summarise(ARM, planted(40)))))
    assert record["points"][0]["selector"] == NO_DEMONSTRATIONS
    assert record["verdicts"]
