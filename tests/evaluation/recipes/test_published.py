from itertools import product

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from assistant.errors import DataError, SettingError, UnknownName
from assistant.evaluation.metrics.classification import macro_f1
from assistant.evaluation.recipes.published import Confusion, claim, claims, feasible, feasible_counts
from assistant.evaluation.statistics.intervals import wilson
from assistant.evaluation.statistics.paired import compare_arms

TABLE_2 = {"imdb-zephyr-t1": (0.85, 0.85), "imdb-zephyr-t2": (0.90, 0.90), "imdb-zephyr-t3": (0.50, 0.48)}


@pytest.mark.parametrize(("name", "accuracy", "macro_f1"), [(name, *two) for name, two in TABLE_2.items()])
def test_stored_outcomes_give_the_printed_table(name, accuracy, macro_f1):
    outcomes = claim(name).outcomes()
    gold, answered = [one.targets[0] for one in outcomes], [one.final_answer for one in outcomes]
    assert len(outcomes) == 20
    assert round(accuracy_score(gold, answered), 2) == accuracy
    assert round(f1_score(gold, answered, average="macro"), 2) == macro_f1
    assert [one.correct for one in outcomes] == [a == b for a, b in zip(gold, answered, strict=True)]
    assert claim(name).printed == {"accuracy": f"{accuracy:.2f}", "macro_f1": f"{macro_f1:.2f}"}


@pytest.mark.parametrize("name", TABLE_2)
def test_our_own_metrics_give_the_printed_table(name):
    outcomes, labels = claim(name).outcomes(), claim(name).labels
    gold, answered = [one.targets[0] for one in outcomes], [one.final_answer for one in outcomes]
    assert round(sum(one.correct for one in outcomes) / 20, 2) == TABLE_2[name][0]
    assert round(macro_f1(labels, gold, answered), 2) == TABLE_2[name][1]


def test_stored_outcomes_give_the_intervals_and_paired_tests():
    scores = {name: {one.sample: one.score for one in claim(name).outcomes()} for name in TABLE_2}
    right = {name: int(sum(of_arm.values())) for name, of_arm in scores.items()}
    assert wilson(right["imdb-zephyr-t1"], 20) == pytest.approx((0.640, 0.948), abs=5e-4)
    to_t1, to_t2 = compare_arms("imdb-zephyr-t3", scores, binary=True)
    assert (to_t1.wins, to_t1.losses, round(to_t1.p_value, 3)) == (10, 3, 0.092)
    assert (to_t2.wins, to_t2.losses, round(to_t2.p_value, 3)) == (10, 2, 0.039)
    assert not to_t1.settled
    assert not to_t2.settled
    t2_to_t1, _ = compare_arms("imdb-zephyr-t1", scores, binary=True)
    assert (t2_to_t1.wins, t2_to_t1.losses, t2_to_t1.p_value) == (2, 1, 1.0)


def test_85_percent_cannot_exist_with_ten_samples():
    assert feasible_counts(10, "0.85") == ()
    assert feasible_counts(20, "0.85") == (17,)
    assert feasible(10, {"accuracy": "0.85"}) == ()
    assert len(feasible(20, {"accuracy": "0.85", "macro_f1": "0.85"}, positives=10)) > 0
    impossible, possible = claim("imdb-zephyr-t1").sentences()
    assert impossible == "accuracy 0.85, macro f1 0.85: impossible with 10 samples."
    assert possible.startswith("accuracy 0.85, macro f1 0.85: possible with 20 samples (")


def test_a_claim_that_fits_is_possible_at_both_sizes():
    assert [check.ways > 0 for check in claim("imdb-zephyr-t2").checked()] == [True, True]


@pytest.mark.parametrize(
    ("name", "validation"), [("mrpc-bert-last2", 13), ("mrpc-bert-soft-prompt", 7), ("mrpc-llama-hard", 2)]
)
def test_both_splits_of_mrpc_are_possible(name, validation):
    of_validation, of_test = claim(name).checked()
    assert (of_validation.n, of_validation.ways) == (408, validation)
    assert of_test.n == 1725
    assert of_test.ways > 50


@pytest.mark.parametrize("positives", [None, 6])
@pytest.mark.parametrize("printed", [("0.86", "0.80", "0.89"), ("0.79", "0.77", "0.80"), ("0.50", "0.46", "0.53")])
def test_feasible_finds_every_matrix_and_no_other(printed, positives):
    n, names = 14, ("accuracy", "f1_negative", "f1_positive")
    expected = set()
    for tp, fn, fp in product(range(n + 1), repeat=3):
        tn = n - tp - fn - fp
        if tn < 0 or (positives is not None and tp + fn != positives):
            continue
        gold, answered = [1] * (tp + fn) + [0] * (fp + tn), [1] * tp + [0] * fn + [1] * fp + [0] * tn
        f1 = f1_score(gold, answered, average=None, labels=[0, 1], zero_division=0)
        values = (accuracy_score(gold, answered), *f1)
        if all(abs(value - float(one)) <= 0.005 + 1e-12 for value, one in zip(values, printed, strict=True)):
            expected.add(Confusion(tp, fn, fp, tn))
    assert set(feasible(n, dict(zip(names, printed, strict=True)), positives=positives)) == expected


def test_the_number_of_digits_says_how_far_off_a_figure_may_be():
    assert feasible_counts(8, "0.62") == feasible_counts(8, "0.63") == (5,)  # 0.625 rounds either way
    assert feasible_counts(8, "0.620") == ()
    assert feasible_counts(3, "1") == (2, 3)


def test_every_accuracy_that_exists_is_found_feasible():
    for n in (7, 30, 333):
        for right in np.linspace(0, n, 5, dtype=int):
            assert right in feasible_counts(n, f"{right / n:.2f}")


def test_figures_that_are_none_are_refused():
    for value in ("85 %", "1.2", "nan", "-0.1", "Infinity"):
        with pytest.raises(SettingError, match="no figure"):
            feasible_counts(10, value)
    with pytest.raises(SettingError, match="needs accuracy"):
        feasible(10, {"f1_positive": "0.8"})
    with pytest.raises(SettingError, match="n = 0"):
        feasible_counts(0, "0.5")


def test_unknown_claims_and_claims_without_outcomes_are_named():
    with pytest.raises(UnknownName, match="imdb-zephyr-t1"):
        claim("imdb-zephyr-t9")
    with pytest.raises(DataError, match="No outcomes are stored"):
        claim("mrpc-llama-hard").outcomes()
    assert list(claims())[:3] == list(TABLE_2)
