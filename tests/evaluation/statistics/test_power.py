import numpy as np
import pytest

from assistant.errors import SettingError
from assistant.evaluation.statistics.p_values import mcnemar_exact
from assistant.evaluation.statistics.power import (
    detectable_gap,
    power_record,
    samples_needed_for_scores,
    winners_curse,
)


@pytest.mark.parametrize(
    ("gap", "needed"),
    [
        (0.02, (979, 1960, 2941, 3923)),
        (0.03, (434, 870, 1306, 1742)),
        (0.05, (155, 312, 469, 626)),
    ],
)
def test_samples_needed_is_the_known_table(gap, needed):
    for discordant, expected in zip((0.05, 0.10, 0.15, 0.20), needed, strict=True):
        assert samples_needed_for_scores(gap, discordant) == expected


def test_that_many_samples_really_have_that_power():
    n = samples_needed_for_scores(0.05, 0.15)
    generator = np.random.default_rng(0)
    counts = generator.multinomial(n, [0.10, 0.05, 0.85], size=1500)
    found = np.mean([mcnemar_exact(int(wins), int(losses)) < 0.05 for wins, losses, _ in counts])
    assert 0.74 < found < 0.86  # the exact test is a little conservative


def test_the_sign_of_the_gap_does_not_matter():
    assert samples_needed_for_scores(-0.05, 0.2) == samples_needed_for_scores(0.05, 0.2) == 626


def test_a_gap_of_nothing_needs_no_number():
    with pytest.raises(SettingError, match="gap of 0"):
        samples_needed_for_scores(0, 0.1)


def test_scores_need_fewer_samples_than_right_and_wrong_if_they_differ_less():
    assert samples_needed_for_scores(0.1, 0.02) < samples_needed_for_scores(0.1, 0.1)
    with pytest.raises(SettingError, match="mean square"):
        samples_needed_for_scores(0.5, 0.1)


@pytest.mark.parametrize(("n", "discordant"), [(155, 0.05), (312, 0.1), (1742, 0.2), (155, 0.2)])
def test_detectable_gap_is_the_inverse(n, discordant):
    gap = detectable_gap(n, discordant)
    assert samples_needed_for_scores(gap, discordant) == pytest.approx(n, abs=1)


def test_too_few_samples_detect_no_gap():
    assert detectable_gap(10, 0.1) is None
    assert detectable_gap(100, 0.0) is None
    with pytest.raises(SettingError):
        detectable_gap(0, 0.1)


@pytest.mark.parametrize(("n", "k", "points"), [(20, 3, 6.4), (20, 10, 10.9), (200, 3, 2.1), (200, 10, 3.8)])
def test_winners_curse_is_the_known_table(n, k, points):
    assert 100 * winners_curse(0.85, n, k) == pytest.approx(points, abs=0.1)


@pytest.mark.parametrize(("k", "points"), [(3, 1.0), (10, 1.7)])
def test_winners_curse_of_a_thousand_samples(k, points):
    assert 100 * winners_curse(0.85, 1000, k) == pytest.approx(points, abs=0.1)


def test_winners_curse_equals_a_simulation():
    drawn = np.random.default_rng(0).binomial(50, 0.6, size=(40_000, 4)).max(axis=1) / 50 - 0.6
    assert winners_curse(0.6, 50, 4) == pytest.approx(drawn.mean(), abs=0.002)


def test_a_single_strategy_has_no_curse():
    assert winners_curse(0.85, 20, 1) == pytest.approx(0, abs=1e-12)
    assert winners_curse(1.0, 20, 5) == 0
    with pytest.raises(SettingError):
        winners_curse(0.5, 0, 1)


def test_the_power_record_says_it_in_sentences():
    record = power_record(200, 3, 0.85, 0.15)
    assert record["detectable_gap"] == pytest.approx(0.0763, abs=1e-3)
    assert "a true gap of 7.6 points" in record["sentences"][0]
    assert "up to 2.1 points better" in record["sentences"][1]
    alone = power_record(10, 1, 0.5, 0.1)
    assert alone["detectable_gap"] is None
    assert len(alone["sentences"]) == 1


def test_answers_that_never_differ_leave_the_power_open():
    record = power_record(69, 1, 0.5, 0.0)
    assert record["sentences"] == [
        "On all 69 samples the answers are equally good, so that nothing tells which gap would be seen."
    ]


def test_scores_that_differ_little_show_small_gaps():
    gap = detectable_gap(100, 0.004, scores=True)
    assert samples_needed_for_scores(gap, 0.004) == pytest.approx(100, abs=1)
    assert gap > 0.004  # more than right and wrong could differ
    record = power_record(100, 2, 0.2, 0.004, scores=True)
    assert record["sentences"][0].startswith(
        "With n = 100 and scores that differ by 6.3 points (root mean square), a true gap of 1.8 points would be seen"
    )
