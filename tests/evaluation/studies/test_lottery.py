import json
from itertools import permutations

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import cochrans_q

from assistant.errors import SettingError
from assistant.evaluation.studies.lottery import cochran_q, lottery, plain, verdict
from assistant.prompting.tasks import load_task

TASK = load_task("sentiment")


def record(identity, scores, shown=(2, 1), gold="positive", group=""):
    orders = [list(order) for order in permutations(range(1, len(shown) + 1))]
    return {"id": identity, "group": group, "gold": [gold], "shown": list(shown), "orders": orders, "scores": scores}


RIGHT, WRONG = [-2.0, -0.1], [-0.1, -2.0]


def test_the_percentile_counts_worse_orders_and_half_of_the_equal_ones():
    # Orders of 3: accuracies of the six orders are 0, 1/2, 1/2, 1, 1, 1; shown is the fourth.
    first = [WRONG, RIGHT, WRONG, RIGHT, RIGHT, RIGHT]
    second = [WRONG, WRONG, RIGHT, RIGHT, RIGHT, RIGHT]
    shown = list(permutations((1, 2, 3)))[3]
    found = lottery("s", 3, TASK.labels, [record("a", first, shown), record("b", second, shown)])
    assert (found.lowest, found.mean, found.highest, found.shown_accuracy) == (0, pytest.approx(4 / 6), 1, 1)
    assert found.percentile == pytest.approx(100 * (3 + 3 / 2) / 6)
    assert [row.accuracy for row in found.rows] == [1, 1, 1, 0.5, 0.5, 0]
    assert [row.order for row in found.rows if row.shown] == [shown]
    assert found.swayed == 1


def test_an_order_that_does_not_matter_is_at_the_middle():
    found = lottery("s", 2, TASK.labels, [record(f"s{at}", [RIGHT, RIGHT]) for at in range(5)])
    assert (found.percentile, found.swayed, found.order_p_value) == (50, 0, 1)
    assert found.percentile_interval == (50, 50)
    assert "0 % of the answers depend on the order, but no order is measurably better" in verdict(found)


def test_the_ensemble_takes_the_mean_log_likelihood_over_all_orders():
    # Shown is wrong by a little, the other order right by far: the mean is right.
    scores = [[-0.1, -5.0], [-1.0, -0.9]]
    lucky = lottery("s", 2, TASK.labels, [record("a", scores, (2, 1)), record("b", scores[::-1], (2, 1))])
    assert lucky.ensemble_accuracy == 0, "the mean of -0.1, -1.0 is above that of -5.0, -0.9"
    assert (lucky.comparison.wins, lucky.comparison.losses, lucky.comparison.test) == (0, 1, "exact McNemar")
    unlucky = [record(f"s{at}", [[-2.0, -0.01], [-0.1, -0.2]], (2, 1)) for at in range(8)]
    found = lottery("s", 2, TASK.labels, unlucky)
    assert (found.shown_accuracy, found.ensemble_accuracy) == (0, 1)
    assert found.comparison.verdict == "better"
    assert found.comparison.p_value == pytest.approx(2 * 0.5**8)


def test_samples_with_fewer_demonstrations_are_left_out_and_counted():
    short = {**record("b", [RIGHT], (1,)), "orders": [[1]]}
    found = lottery("s", 2, TASK.labels, [record("a", [RIGHT, WRONG]), short])
    assert (found.n, found.left_out) == (1, 1)
    with pytest.raises(SettingError, match="No sample was shown 2"):
        lottery("s", 2, TASK.labels, [short])


def test_cochrans_q_is_that_of_statsmodels():
    draw = np.random.default_rng(3)
    for _ in range(20):
        right = (draw.random((30, 6)) < draw.random(6)).astype(float)
        assert cochran_q(right) == pytest.approx(cochrans_q(right).pvalue, abs=1e-12)


def test_a_planted_order_effect_is_found_and_its_luck_told():
    # With order (2, 1) every sample is right; with (1, 2) only every fourth.
    records = [record(f"s{at}", [RIGHT if at % 4 == 0 else WRONG, RIGHT], (2, 1)) for at in range(40)]
    found = lottery("dynamic-few-shot", 2, TASK.labels, records)
    assert found.order_p_value < 1e-6
    assert found.percentile == 75
    assert found.swayed == pytest.approx(0.75)
    said = verdict(found)
    assert "dynamic-few-shot: the shown order (100.0 %) is at percentile 75 (75 to 75) of its 2 orders" in said
    assert "differ measurably" in said
    assert json.loads(json.dumps(plain(found)))["verdict"] == said


def test_orders_that_differ_within_one_group_only_do_not_differ_measurably():
    film = [record(f"s{at}", [WRONG, RIGHT], group="film") for at in range(20)]
    others = [record(f"t{at}", [RIGHT, RIGHT], group=f"other {at}") for at in range(20)]
    found = lottery("s", 2, TASK.labels, [*film, *others])
    assert found.order_p_value == pytest.approx(1)
    assert "no order is measurably better" in verdict(found)
    alone = lottery("s", 2, TASK.labels, [{**one, "group": ""} for one in (*film, *others)])
    assert alone.order_p_value < 1e-4


def test_permuted_groups_find_what_cochrans_q_finds():
    draw = np.random.default_rng(3)
    right = (draw.random((40, 4)) < (0.5, 0.5, 0.6, 0.75)).astype(float)
    pairs = np.repeat(right, 2, axis=0)
    groups = [f"g{at // 2}" for at in range(80)]
    assert cochran_q(pairs, groups) == pytest.approx(cochran_q(right), abs=0.03)
    assert cochran_q(pairs) < cochran_q(right)
