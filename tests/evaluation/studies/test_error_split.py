from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import minimize

from assistant.evaluation.studies.error_split import best_assignment, best_offsets, cross_fitted, halves_of


def test_the_assignment_is_the_best_of_all_by_brute_force():
    draw = np.random.default_rng(1)
    for _ in range(20):
        said, gold = draw.integers(-1, 4, 40), draw.integers(0, 4, 40)
        rows = draw.choice(40, 30, replace=False)
        found = best_assignment(said, gold, rows, 4)

        def right(meant, said=said, gold=gold, rows=rows):
            return sum(said[row] >= 0 and meant[said[row]] == gold[row] for row in rows)

        assert right(found) == max(right(meant) for meant in permutations(range(4)))


def test_of_equal_assignments_the_one_that_changes_least_is_taken():
    nothing = np.array([-1, -1])
    assert best_assignment(nothing, np.array([0, 1]), np.array([0, 1]), 3) == (0, 1, 2)


def test_offsets_are_those_of_the_most_likely_intercepts():
    draw = np.random.default_rng(4)
    gold = draw.choice(3, 300, p=[0.6, 0.3, 0.1])
    scores = draw.normal(0, 1, (300, 3)) + np.eye(3)[gold] + [2.0, 0.0, -1.0]

    def loss(offsets):
        moved = scores + np.array([0.0, *offsets])
        return (np.log(np.exp(moved).sum(1)) - moved[np.arange(300), gold]).sum()

    best = minimize(loss, [0.0, 0.0]).x
    found = best_offsets(scores, gold)
    assert found[1:] - found[0] == pytest.approx(best, abs=0.05)


def test_offsets_of_nothing_change_nothing():
    assert best_offsets(np.zeros((0, 3)), np.array([], dtype=int)).tolist() == [0, 0, 0]


def test_offsets_of_very_sure_scores_stay_finite():
    scores = np.array([[0.0, -900.0], [0.0, -1000.0], [0.0, -800.0]])
    assert np.isfinite(best_offsets(scores, np.array([1, 1, 0]))).all()


def test_halves_share_the_labels_and_nothing_else():
    gold = np.array([0] * 10 + [1] * 20 + [2] * 6)
    first, second = halves_of(gold, None, 0)
    assert sorted([*first, *second]) == list(range(36))
    assert np.bincount(gold[first]).tolist() == np.bincount(gold[second]).tolist() == [5, 10, 3]
    assert halves_of(gold, None, 1)[0].tolist() != first.tolist()


def test_each_half_is_repaired_as_the_other_half_teaches():
    gold = np.array([0, 1, 0, 1])
    said = np.array([1, 0, 0, 1])
    halves = (np.array([0, 1]), np.array([2, 3]))
    found = cross_fitted(said, gold, None, halves, 2)
    assert found.assignments == ((1, 0), (0, 1))
    assert found.right.tolist() == [0, 0, 1, 1]
    assert found.mapped.tolist() == found.evened.tolist() == [0, 0, 0, 0]
