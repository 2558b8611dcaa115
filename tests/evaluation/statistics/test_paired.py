import json
import time

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap
from scipy.stats import permutation_test as scipy_permutation
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from assistant.errors import DataError, UnknownName
from assistant.evaluation.statistics.intervals import wilson
from assistant.evaluation.statistics.p_values import holm, mcnemar_exact, permutation_test
from assistant.evaluation.statistics.paired import compare_arms, paired_bootstrap


@pytest.mark.parametrize(("wins", "losses", "p"), [(2, 1, 1.000), (10, 2, 0.039), (10, 3, 0.092)])
def test_mcnemar_of_the_twenty_reviews_is_as_printed(wins, losses, p):
    assert mcnemar_exact(wins, losses) == pytest.approx(p, abs=5e-4)


@pytest.mark.parametrize("wins", [0, 1, 5, 24, 60])
@pytest.mark.parametrize("losses", [0, 3, 24, 41])
def test_mcnemar_equals_statsmodels(wins, losses):
    theirs = mcnemar([[50, wins], [losses, 9]], exact=True).pvalue
    ours = mcnemar_exact(wins, losses)
    assert ours == pytest.approx(1.0 if wins == losses else theirs, abs=1e-12)
    assert ours == mcnemar_exact(losses, wins)


def test_negative_counts_are_refused():
    with pytest.raises(DataError):
        mcnemar_exact(-1, 2)


@pytest.mark.parametrize("p_values", [(0.039, 0.092, 1.0), (0.01, 0.01, 0.04, 0.03, 0.2), (0.5,), (0.9, 0.8, 0.001)])
def test_holm_equals_statsmodels(p_values):
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-12)


def test_holm_of_nothing_is_nothing():
    assert holm([]) == ()


def test_paired_bootstrap_equals_scipy_on_the_differences():
    generator = np.random.default_rng(0)
    a, b = generator.random(80), generator.random(80)
    theirs = scipy_bootstrap(
        (b - a,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(6)
    ).confidence_interval
    assert paired_bootstrap(a, b, seed=6) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_scores_that_are_no_pairs_are_refused():
    with pytest.raises(DataError, match="3 and 2"):
        paired_bootstrap([1, 2, 3], [1, 2])


@pytest.mark.parametrize("seed", range(4))
def test_exact_permutation_equals_scipy(seed):
    differences = np.random.default_rng(seed).normal(0.3, 1, 9).round(1)
    theirs = scipy_permutation(
        (differences,), np.sum, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    ).pvalue
    assert permutation_test(differences) == pytest.approx(theirs, abs=1e-12)


def test_permutation_of_right_and_wrong_is_mcnemar():
    differences = [1] * 10 + [-1] * 2 + [0] * 8
    assert permutation_test(differences) == pytest.approx(mcnemar_exact(10, 2), abs=1e-12)


def test_drawn_permutations_come_near_the_exact_ones():
    differences = [1] * 20 + [-1] * 9
    assert permutation_test(differences, draws=20_000) == pytest.approx(mcnemar_exact(20, 9), abs=0.01)


def test_whole_groups_change_sign():
    differences = np.array([0.5, 0.1, -0.2, 0.4, 0.3, 0.2, 0.1])
    groups = ["a", "a", "b", "b", "c", "c", ""]
    sums = [0.6, 0.2, 0.5, 0.1]
    assert permutation_test(differences, groups=groups) == permutation_test(sums) == 2 / 16


def test_a_single_group_proves_nothing():
    assert permutation_test([1.0] * 50, groups=["film"] * 50) == 1.0


def test_no_difference_has_p_one_and_no_samples_an_error():
    assert permutation_test([0.0, 0.0]) == 1.0
    with pytest.raises(DataError, match="n = 0"):
        permutation_test([])


def test_permutations_are_quick_and_decided_by_the_seed():
    differences = np.random.default_rng(0).normal(0.02, 1, 2000)
    start = time.process_time()
    first = permutation_test(differences, seed=1)
    assert time.process_time() - start < 2
    assert first == permutation_test(differences, seed=1)


def arm(*right):
    return {f"s{row}": float(one) for row, one in enumerate(right)}


def scores(n, better, worse):
    """Return the scores of a baseline and of an arm that wins `better` and loses `worse` samples."""
    base = [0.0] * better + [1.0] * worse + [1.0] * (n - better - worse)
    other = [1.0] * better + [0.0] * worse + [1.0] * (n - better - worse)
    return {"base": arm(*base), "other": arm(*other)}


def test_a_clear_difference_is_better_and_the_reverse_is_worse():
    made = scores(200, 40, 10)
    (found,) = compare_arms("base", made, binary=True)
    assert (found.verdict, found.needed, found.test) == ("better", None, "exact McNemar")
    assert (found.n, found.wins, found.losses) == (200, 40, 10)
    assert found.difference == pytest.approx(0.15)
    assert found.flipped == tuple(f"s{row}" for row in range(50))
    (back,) = compare_arms("other", made, binary=True)
    assert back.verdict == "worse"


def test_the_seed_documents_pairs_are_not_distinguishable_after_holm():
    t1 = arm(*(int(a == b) for a, b in zip("0" * 10 + "1" * 10, "00000000000101111011", strict=True)))
    t2 = arm(*(int(a == b) for a, b in zip("0" * 10 + "1" * 10, "10000000000111111111", strict=True)))
    t3 = arm(*(int(a == b) for a, b in zip("0" * 10 + "1" * 10, "01011111101011101110", strict=True)))
    to_t1, to_t2 = compare_arms("t3", {"t1": t1, "t2": t2, "t3": t3}, binary=True)
    assert (to_t1.wins, to_t1.losses) == (10, 3)
    assert to_t1.p_value == pytest.approx(0.092, abs=5e-4)
    assert (to_t2.wins, to_t2.losses) == (10, 2)
    assert to_t2.p_value == pytest.approx(0.039, abs=5e-4)
    assert to_t2.p_holm == pytest.approx(0.077, abs=5e-4)
    assert to_t2.interval.excludes(0)
    assert to_t2.verdict.startswith("not distinguishable with n = 20; about ")


def test_what_is_not_distinguishable_says_how_many_more():
    (found,) = compare_arms("base", scores(200, 16, 10), binary=True)
    # 3 points at 13 % discordant: 1,132 samples, 932 more.
    assert found.needed == 930
    assert found.verdict == "not distinguishable with n = 200; about 930 more needed"


def test_no_difference_seen_gives_no_number():
    (found,) = compare_arms("base", scores(20, 3, 3), binary=True)
    assert found.needed is None
    assert found.verdict == "not distinguishable with n = 20; no difference was seen"
    assert found.p_value == 1


def test_groups_make_the_test_a_permutation_of_groups():
    made = scores(200, 40, 10)
    groups = {sample: f"film {int(sample[1:]) // 50}" for sample in made["base"]}
    (found,) = compare_arms("base", made, groups=groups, binary=True)
    assert found.test == "sign-flip permutation by group"
    assert not found.settled  # all flipped samples belong to one film
    (alone,) = compare_arms("base", made, groups=dict.fromkeys(made["base"], ""), binary=True)
    assert alone.test == "exact McNemar"


def test_scores_between_0_and_1_are_permuted():
    generator = np.random.default_rng(0)
    base = {f"s{row}": float(one) for row, one in enumerate(generator.random(100) * 0.5)}
    other = {sample: one + 0.2 for sample, one in base.items()}
    (found,) = compare_arms("base", {"base": base, "other": other}, binary=False)
    assert (found.test, found.verdict) == ("sign-flip permutation", "better")
    assert found.difference == pytest.approx(0.2)


def test_only_samples_of_both_are_compared():
    made = {"base": arm(1, 0, 1), "other": {"s2": 0.0, "s1": 1.0, "s9": 1.0}, "elsewhere": {"x": 1.0}}
    (found,) = compare_arms("base", made, binary=True)
    assert (found.n, found.flipped) == (2, ("s1", "s2"))


def test_an_unknown_baseline_is_named():
    with pytest.raises(UnknownName, match="bse"):
        compare_arms("bse", {"base": arm(1)}, binary=True)


def test_a_comparison_is_plain_data():
    (found,) = compare_arms("base", scores(20, 10, 2), binary=True)
    plain = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (plain["a"], plain["b"], plain["n"], plain["wins"], plain["losses"]) == ("base", "other", 20, 10, 2)
    assert plain["interval"] == list(found.interval)


def test_equal_differences_are_compared_however_their_squares_are_rounded():
    made = {"base": arm(0.1, 0.2, 0.3), "other": arm(0.2, 0.3, 0.4)}
    for other in (made, {"base": arm(0, 0, 0), "other": arm(0.1, 0.1, 0.1)}):
        (found,) = compare_arms("base", other, binary=False)
        assert found.difference == pytest.approx(0.1)
        assert (found.wins, found.settled) == (3, False)


def test_arms_that_always_agree_may_still_differ_by_the_bound_of_none_in_n():
    (found,) = compare_arms("base", scores(10, 0, 0), binary=True)
    reach = wilson(0, 10).high
    assert found.interval == pytest.approx((-reach, reach))
    assert found.verdict == "not distinguishable with n = 10; no difference was seen"
    (always,) = compare_arms("base", scores(10, 10, 0), binary=True)
    assert always.interval == pytest.approx((1 - reach, 1))
    groups = {f"s{row}": f"film {row // 5}" for row in range(10)}
    (grouped,) = compare_arms("base", scores(10, 0, 0), groups=groups, binary=True)
    assert grouped.interval.high == pytest.approx(wilson(0, 2).high)


def test_a_lucky_draw_is_no_finding_however_many_samples_there_are():
    luck = {0: 0.45, 1: 0.5, 2: 0.8}
    base = {f"s{row}": 0.5 for row in range(300)}
    drawn = {
        sample: {seed: score + 0.01 * (row % 2) for seed, score in luck.items()} for row, sample in enumerate(base)
    }
    (found,) = compare_arms("base", {"base": base, "drawn": drawn}, binary=False)
    assert found.p_holm < 0.05
    assert not found.settled
    assert found.needed is None
    assert found.verdict == "not distinguishable with n = 300; more samples do not help, other seeds come out otherwise"


def seeded(*counts_of_right, seeds=5):
    """Samples that are right under so many of the seeds."""
    return {
        f"s{row}": {seed: float((seed + row) % seeds < right) for seed in range(seeds)}
        for row, right in enumerate(counts_of_right)
    }


def test_means_over_seeds_are_tested_by_their_size_and_not_by_their_sign():
    base = seeded(*[0] * 30, *[5] * 30, *[5] * 240)
    other = seeded(*[5] * 30, *[4] * 30, *[5] * 240)
    (found,) = compare_arms("base", {"base": base, "other": other}, binary=True)
    assert (found.wins, found.losses) == (30, 30)
    assert found.difference == pytest.approx(0.08)
    assert found.test == "sign-flip permutation"
    assert (found.p_value < 0.001, found.verdict) == (True, "better")


def test_seeds_that_change_nothing_leave_an_exact_test():
    base, other = seeded(*[0] * 12, *[5] * 30), seeded(*[5] * 12, *[5] * 30)
    (found,) = compare_arms("base", {"base": base, "other": other}, binary=True)
    assert (found.test, found.p_value) == ("exact McNemar", pytest.approx(2 * 0.5**12))


def test_drawn_arms_are_compared_over_the_seeds_that_both_have():
    five = seeded(*[3] * 40)
    first = {sample: {seed: scores[seed] for seed in range(3)} for sample, scores in five.items()}
    other = seeded(*[2] * 40, seeds=3)
    (found,) = compare_arms("other", {"other": other, "five": five}, binary=True)
    (same,) = compare_arms("other", {"other": other, "five": first}, binary=True)
    assert (found.difference, found.interval, found.p_value) == (same.difference, same.interval, same.p_value)
