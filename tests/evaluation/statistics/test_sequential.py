import json
import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta, binom

from assistant.errors import DataError, SettingError, UnknownName
from assistant.evaluation.statistics.sequential import Race, _Bets, log_evidence


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (1, 0), (10, 2), (3, 9), (60, 40)])
@pytest.mark.parametrize("prior", [0.5, 1, 4])
def test_evidence_equals_the_integral_it_stands_for(wins, losses, prior):
    mixed, _ = quad(
        lambda share: 2 * beta.pdf(share, prior, prior) * binom.pmf(wins, wins + losses, share), 0.5, 1, epsabs=1e-14
    )
    expected = math.log(mixed / binom.pmf(wins, wins + losses, 0.5))
    assert log_evidence(wins, losses, prior) == pytest.approx(expected, abs=1e-6)


def test_evidence_is_fair_at_one_half_and_loses_below():
    for share, most in ((0.5, 1 + 1e-9), (0.4, 1)):
        for pairs in (1, 5, 40):
            worth = sum(binom.pmf(w, pairs, share) * math.exp(log_evidence(w, pairs - w)) for w in range(pairs + 1))
            assert worth <= most
            assert share < 0.5 or worth == pytest.approx(1)


def test_fractional_differences_are_bet_on_as_whole_ones_are():
    whole, fractional = _Bets(1.0), _Bets(1.0)
    for difference in [1, -1, 1, 1, 0, 1, -1, 1]:
        whole.add(difference)
        fractional.add(difference)
    fractional.add(1e-12)  # changes the method, and nothing else
    assert fractional.log_evidence == pytest.approx(whole.log_evidence, abs=1e-6)


def test_evidence_stays_finite_far_out():
    assert log_evidence(5000, 0) > 3000
    assert log_evidence(0, 5000) < -5


def test_what_makes_no_sense_is_refused():
    with pytest.raises(SettingError):
        log_evidence(-1, 2)
    with pytest.raises(SettingError, match="between -1 and 1"):
        _Bets(1.0).add(2.0)


def test_looking_after_every_sample_is_wrong_in_at_most_5_percent():
    generator = np.random.default_rng(0)
    stopped = fixed = 0
    for _ in range(300):
        signs = generator.choice([-1.0, 0.0, 1.0], size=200, p=[0.15, 0.7, 0.15])
        wins, losses = np.cumsum(signs > 0), np.cumsum(signs < 0)
        stopped += any(log_evidence(*counts) >= np.log(1 / 0.05) for counts in zip(wins, losses, strict=True))
        running = np.cumsum(signs)
        pairs = np.maximum(1, np.cumsum(np.abs(signs)))
        fixed += bool((np.abs(running) / np.sqrt(pairs) > 1.96)[10:].any())
    assert stopped / 300 <= 0.05
    assert fixed / 300 > 0.15  # the usual test, looked at as often, is wrong far too often


def race(shares, n, block, seed, groups=None):
    """Run a race of arms that are right with these probabilities."""
    generator = np.random.default_rng(seed)
    names = [f"arm {number}" for number in range(len(shares))]
    run = Race(names)
    for start in range(0, n, block):
        if run.settled:
            break
        ease = generator.random(block)  # one difficulty a sample: arms agree more than chance
        right = {
            name: {f"s{start + row}": float(0.6 * ease[row] + 0.4 * generator.random() < share) for row in range(block)}
            for name, share in zip(names, shares, strict=True)
        }
        run.add({name: right[name] for name in run.still_in})
    return run


def test_the_best_arm_is_hardly_ever_dropped_and_equal_arms_all_stay():
    dropped_best = sum("arm 0" not in race([0.7, 0.7, 0.7, 0.7], 200, 10, seed).still_in for seed in range(150))
    assert dropped_best / 150 <= 0.05


def test_clear_losers_leave_early():
    runs = [race([0.8, 0.78, 0.45, 0.4], 300, 10, seed) for seed in range(20)]
    assert all("arm 0" in run.still_in for run in runs)
    left = [[one.arm for one in run.exits] for run in runs]
    assert sum({"arm 2", "arm 3"} <= set(names) for names in left) >= 19
    assert np.median([one.samples for run in runs for one in run.exits if one.arm == "arm 3"]) <= 120


def test_power_is_real_for_two_arms_far_apart():
    settled = sum(race([0.8, 0.6], 400, 10, seed).still_in == ("arm 0",) for seed in range(40))
    assert settled >= 36


def test_an_exit_says_who_beat_it():
    run = Race(["good", "bad"])
    block = {"good": {f"s{row}": 1.0 for row in range(20)}, "bad": {f"s{row}": float(row < 2) for row in range(20)}}
    (left,) = run.add(block)
    assert (left.arm, left.rival, left.samples, left.wins, left.losses) == ("bad", "good", 20, 18, 0)
    assert left.p_value == pytest.approx(math.exp(-log_evidence(18, 0)))
    assert "bad was dropped after 20 samples: good did better on 18 and worse on 0" in left.sentence()
    assert run.settled
    assert run.still_in == ("good",)
    assert run.standings() == ("good", "bad")
    assert (run.mean("good"), run.mean("bad")) == (1.0, 0.1)
    assert json.loads(json.dumps(left.to_json()))["rival"] == "good"


def test_more_rivals_ask_for_more_evidence():
    for rivals, leaves in ((1, True), (30, False)):
        run = Race(["good", "bad", *(f"same {number}" for number in range(rivals - 1))])
        scores = {name: {f"s{row}": float(name == "good") for row in range(8)} for name in run.arms}
        assert bool(run.add(scores)) is leaves


def test_several_rivals_weigh_together_and_never_less_than_bonferroni():
    run = Race(["bad", "a", "b", "c"])
    block = {name: {f"s{row}": float(name != "bad") for row in range(7)} for name in run.arms}
    (left,) = run.add(block)
    assert left.p_value == pytest.approx(math.exp(-log_evidence(7, 0)))  # three rivals, all as strong
    lone = Race(["bad", "a", "b", "c"])
    block["b"] = block["c"] = block["bad"]
    assert lone.add(block) == ()
    worth = math.exp(log_evidence(7, 0)) / 3 + 2 / 3
    assert worth < 20


def test_a_group_counts_as_one_bet():
    run = Race(["good", "bad"])
    samples = [f"s{row}" for row in range(40)]
    block = {"good": dict.fromkeys(samples, 1.0), "bad": dict.fromkeys(samples, 0.0)}
    assert run.add(block, groups=dict.fromkeys(samples, "one film")) == ()
    assert run.still_in == ("good", "bad")


def test_scores_between_0_and_1_race_too():
    generator = np.random.default_rng(0)
    run = Race(["good", "bad"])
    for start in range(0, 400, 20):
        if not run.settled:
            ids = [f"s{start + row}" for row in range(20)]
            low = generator.random(20) * 0.5
            run.add(
                {
                    "good": dict(zip(ids, low + 0.3 * generator.random(20), strict=True)),
                    "bad": dict(zip(ids, low, strict=True)),
                }
            )
    assert run.still_in == ("good",)


def test_a_block_must_be_whole_and_new():
    run = Race(["a", "b"])
    with pytest.raises(DataError, match="no scores of b"):
        run.add({"a": {"s1": 1.0}})
    with pytest.raises(DataError, match="different samples"):
        run.add({"a": {"s1": 1.0}, "b": {"s2": 1.0}})
    run.add({"a": {"s1": 1.0}, "b": {"s1": 1.0}})
    with pytest.raises(DataError, match="once only"):
        run.add({"a": {"s1": 1.0}, "b": {"s1": 1.0}})


def test_a_race_needs_different_arms_and_a_sensible_error_rate():
    for arms in ([], ["a", "a"]):
        with pytest.raises(SettingError, match="different arms"):
            Race(arms)
    with pytest.raises(SettingError, match="error rate"):
        Race(["a"], alpha=5)
    with pytest.raises(UnknownName):
        Race(["a"]).mean("b")
    assert Race(["a"]).mean("a") is None
    assert Race(["a"]).settled
