import time

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap
from sklearn.metrics import f1_score
from statsmodels.stats.proportion import proportion_confint

from assistant.errors import DataError, SettingError
from assistant.evaluation.statistics.intervals import (
    Interval,
    bootstrap,
    bootstrap_counts,
    bootstrap_of,
    group_codes,
    two_way_bootstrap,
    wilson,
)

SCORES = np.random.default_rng(7).random(120)


@pytest.mark.parametrize("n", [1, 2, 20, 408, 1821])
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.85, 1])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_wilson_equals_statsmodels(n, share, confidence):
    successes = round(share * n)
    theirs = proportion_confint(successes, n, alpha=1 - confidence, method="wilson")
    assert wilson(successes, n, confidence) == pytest.approx(np.clip(theirs, 0, 1), abs=1e-12)


@pytest.mark.parametrize(("successes", "low", "high"), [(17, 0.640, 0.948), (18, 0.699, 0.972), (10, 0.299, 0.701)])
def test_wilson_of_the_twenty_reviews_is_as_printed(successes, low, high):
    assert wilson(successes, 20) == pytest.approx((low, high), abs=5e-4)


@pytest.mark.parametrize(("n", "half"), [(20, 15.4), (200, 5.0), (408, 3.5), (872, 2.4), (1000, 2.2), (1821, 1.6)])
def test_wilson_half_width_at_85_percent(n, half):
    low, high = wilson(0.85 * n, n)
    assert 50 * (high - low) == pytest.approx(half, abs=0.06)


def test_wilson_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(0)
    drawn = generator.binomial(60, 0.9, size=4000)
    covered = np.mean([not wilson(int(successes), 60).excludes(0.9) for successes in drawn])
    assert 0.93 < covered < 0.975


def test_bootstrap_equals_scipy_with_the_same_resamples():
    theirs = scipy_bootstrap(
        (SCORES,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(3)
    ).confidence_interval
    assert bootstrap(SCORES, seed=3) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_bootstrap_in_blocks_equals_bootstrap_at_once(monkeypatch):
    whole = bootstrap(SCORES, seed=3)
    monkeypatch.setattr("assistant.evaluation.statistics.intervals._AT_ONCE", 1000)
    assert bootstrap(SCORES, seed=3) == whole


def test_the_seed_alone_decides_the_interval():
    assert bootstrap(SCORES, seed=1) == bootstrap(SCORES, seed=1) != bootstrap(SCORES, seed=2)


def test_bootstrap_of_any_statistic_equals_scipy_for_the_median():
    theirs = scipy_bootstrap(
        (SCORES,), np.median, n_resamples=500, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    ours = bootstrap_of(lambda rows: float(np.median(SCORES[rows])), len(SCORES), seed=5, draws=500)
    assert ours == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_bootstrap_of_counts_equals_bootstrap_of_rows_for_macro_f1():
    generator = np.random.default_rng(1)
    gold, answered = generator.integers(0, 3, 90), generator.integers(0, 3, 90)

    def of_counts(counts):
        table = counts.reshape(-1, 3, 3)
        right = np.einsum("dii->di", table)
        return (2 * right / (table.sum(axis=1) + table.sum(axis=2))).mean(axis=1)

    def of_rows(rows):
        return f1_score(gold[rows], answered[rows], average="macro")

    ours = bootstrap_counts(gold * 3 + answered, 9, of_counts, seed=4, draws=300)
    assert ours == pytest.approx(bootstrap_of(of_rows, 90, seed=4, draws=300), abs=1e-9)


@pytest.mark.parametrize("uneven", [False, True])
def test_whole_groups_are_drawn(uneven):
    sizes = [1, 2, 7, 3, 4, 9, 2, 5] if uneven else [4] * 8
    groups = [f"film {group}" for group, size in enumerate(sizes) for _ in range(size)]
    values = np.random.default_rng(2).random(len(groups))
    members = [np.flatnonzero(np.asarray(groups) == name) for name in dict.fromkeys(groups)]
    generator = np.random.default_rng(9)
    means = []
    for _ in range(2000):  # the definition, spelled out
        drawn = generator.integers(0, len(sizes), len(sizes))
        means.append(values[np.concatenate([members[group] for group in drawn])].mean())
    expected = np.percentile(means, [2.5, 97.5])
    assert bootstrap(values, groups=groups, seed=9, draws=2000) == pytest.approx(expected, abs=1e-12)
    rows = bootstrap_of(lambda rows: float(values[rows].mean()), len(values), groups=groups, seed=9, draws=2000)
    assert rows == pytest.approx(expected, abs=1e-12)


def test_groups_that_agree_inside_widen_the_interval():
    values = np.repeat(np.random.default_rng(0).integers(0, 2, 40), 10)
    groups = [str(row // 10) for row in range(400)]
    alone, together = bootstrap(values), bootstrap(values, groups=groups)
    assert together.high - together.low > 2.5 * (alone.high - alone.low)


def test_samples_without_a_group_stand_alone():
    assert bootstrap(SCORES, groups=[""] * 120, seed=3) == bootstrap(SCORES, seed=3)
    codes, count = group_codes(5, ["a", "", "a", "", "b"])
    assert count == 4
    assert codes.tolist() == [0, 1, 0, 2, 3]


def test_one_group_or_one_sample_teaches_nothing():
    assert bootstrap([0.2, 0.9, 0.4], groups=["film"] * 3) == (0.0, 1.0)
    assert bootstrap([0.7], bounds=(-1.0, 1.0)) == (-1.0, 1.0)
    assert bootstrap_of(lambda rows: 0.5, 3, groups=["film"] * 3) == (0.0, 1.0)
    assert bootstrap_counts([0, 1], 2, lambda counts: counts[:, 0], groups=["x", "x"]) == (0.0, 1.0)


def test_equal_values_give_no_false_certainty_at_the_ends():
    assert bootstrap([1.0] * 20) == wilson(20, 20)
    assert bootstrap([0.0] * 20, groups=[str(row // 2) for row in range(20)]) == wilson(0, 10)
    assert bootstrap([0.5] * 20) == (0.5, 0.5)


@pytest.mark.parametrize("call", [lambda: wilson(0, 0), lambda: bootstrap([]), lambda: bootstrap_of(len, 0)])
def test_no_samples_no_interval(call):
    with pytest.raises(DataError, match="n = 0"):
        call()


def test_impossible_settings_are_refused():
    with pytest.raises(SettingError, match="21 successes in 20"):
        wilson(21, 20)
    with pytest.raises(SettingError, match="confidence"):
        wilson(1, 2, confidence=95)
    with pytest.raises(SettingError, match="draws"):
        bootstrap([0.5, 1.0], draws=0)
    with pytest.raises(DataError, match="3 values, but 2 groups"):
        bootstrap([1, 2, 3], groups=["a", "b"])


def test_ten_thousand_draws_of_two_thousand_samples_are_quick():
    values = np.random.default_rng(0).random(2000)
    start = time.process_time()
    bootstrap(values)
    bootstrap(values, groups=[str(row // 5) for row in range(2000)])
    assert time.process_time() - start < 2


def test_an_interval_excludes_what_lies_outside():
    assert Interval(0.01, 0.2).excludes(0.0)
    assert not Interval(0.0, 0.2).excludes(0.0)


def test_the_two_way_bootstrap_knows_that_seeds_differ():
    # Every sample is the same, but the seeds are not: resampling samples alone would give a point.
    differences = np.repeat(np.array([[0.0], [0.1], [0.2], [0.3], [0.4]]), 50, axis=1)
    low, high = two_way_bootstrap(differences)
    assert low == pytest.approx(0.2 - 1.96 * np.sqrt(0.02 / 4), abs=0.02)
    assert high == pytest.approx(0.2 + 1.96 * np.sqrt(0.02 / 4), abs=0.02)


def test_with_one_row_the_two_way_bootstrap_is_the_ordinary_one():
    draw = np.random.default_rng(5)
    values = draw.random(400)
    low, high = two_way_bootstrap(values[None, :])
    half = 1.96 * values.std() / 20
    assert (low, high) == (
        pytest.approx(values.mean() - half, abs=0.003),
        pytest.approx(values.mean() + half, abs=0.003),
    )


def test_whole_groups_are_resampled():
    values = np.repeat([0.0, 1.0], 100)[None, :]
    alone = two_way_bootstrap(values)
    grouped = two_way_bootstrap(values, [f"g{at // 50}" for at in range(200)])
    assert grouped.high - grouped.low > 3 * (alone.high - alone.low)
