import json
import threading
from itertools import permutations

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import cochrans_q

from assistant.answering import Assistant
from assistant.errors import SettingError
from assistant.evaluation.orders import cochran_q, lottery, plain, score_orders, verdict
from assistant.evaluation.outcomes import Arm, Sample
from assistant.evaluation.studies import Memory, Study
from assistant.generation.chat_model import ScriptedModel
from assistant.prompting.tasks import load_task
from assistant.settings import RetrievalSettings
from tests.toys import REVIEWS, make_reviews

TASK = load_task("sentiment")
RETRIEVED, STATIC = Arm("dynamic-few-shot", "labels"), Arm("static-few-shot", "labels")
SAMPLES = [Sample(f"s{at}", {"text": text}, ("positive",)) for at, text in enumerate(("so witty", "too long", "dull"))]


def study(strategy_k=3, index="toy", model=None, **options):
    model = model or ScriptedModel()
    return Study(Assistant(model), TASK, SAMPLES, index, RetrievalSettings(k=strategy_k), **options)


def record(identity, scores, shown=(2, 1), gold="positive", group=""):
    orders = [list(order) for order in permutations(range(1, len(shown) + 1))]
    return {"id": identity, "group": group, "gold": [gold], "shown": list(shown), "orders": orders, "scores": scores}


RIGHT, WRONG = [-2.0, -0.1], [-0.1, -2.0]


def test_all_orders_of_the_retrieved_demonstrations_are_scored(home):
    make_reviews(home)
    model = ScriptedModel()
    records = score_orders(study(model=model), RETRIEVED)
    assert [one["id"] for one in records] == ["s0", "s1", "s2"]
    labels = {text: ("negative", "positive")[label] for _, text, label in REVIEWS}
    for at, one in enumerate(records):
        assert one["orders"] == [list(order) for order in permutations((1, 2, 3))]
        assert one["shown"] == [3, 2, 1], "nearest last"
        prompts = model.history[6 * at : 6 * at + 6]
        shown = [[m["content"].removeprefix("Review: ") for m in p.messages if m["role"] == "user"] for p in prompts]
        assert len({tuple(texts) for texts in shown}) == 6
        assert len({frozenset(texts) for texts in shown}) == 1
        # The scripted model says the label of the demonstration that stands last.
        for texts, scores in zip(shown, one["scores"], strict=True):
            assert TASK.labels[int(np.argmax(scores))] == labels[texts[-2]]
        by_rank = dict(zip(one["orders"][0], shown[0], strict=False))
        assert all(
            [by_rank[rank] for rank in order] == texts[:3] for order, texts in zip(one["orders"], shown, strict=True)
        )


def test_fixed_demonstrations_are_shown_in_the_order_of_the_task():
    (one, *_) = score_orders(study(4, index=None), STATIC)
    assert one["shown"] == [1, 2, 3, 4]
    assert len(one["scores"]) == 24


def test_the_scores_of_the_shown_order_are_those_of_an_ordinary_answer(home):
    make_reviews(home)
    asked = study()
    (one, *_) = score_orders(asked, RETRIEVED)
    from assistant.evaluation.answers import answer_samples

    (answered, *_) = answer_samples(
        asked.assistant,
        TASK,
        RETRIEVED,
        SAMPLES,
        index="toy",
        retrieval=asked.retrieval,
        sampling=asked.sampling,
        seed=0,
    )
    at = one["orders"].index(one["shown"])
    assert one["scores"][at] == pytest.approx([answered.label_scores[label] for label in TASK.labels])


def test_a_stopped_lottery_goes_on_later(home, tmp_path):
    make_reviews(home)
    stop = threading.Event()
    stop.set()
    assert score_orders(study(stop=stop), RETRIEVED) == []
    model = ScriptedModel()
    memory = tmp_path / "memory.jsonl"
    first = score_orders(study(model=model, memory=Memory(memory)), RETRIEVED)
    asked = len(model.history)
    assert json.loads(json.dumps(first)) == score_orders(study(model=model, memory=Memory(memory)), RETRIEVED)
    assert len(model.history) == asked


@pytest.mark.parametrize(
    ("strategy", "k", "said"),
    [
        ("zero-shot", 4, "shows no demonstrations"),
        ("dynamic-few-shot", 5, "2 to 4 demonstrations, not 5"),
        ("dynamic-few-shot", 1, "2 to 4 demonstrations, not 1"),
        ("static-cot", 4, "cannot be scored"),
        ("imdb-few-shot", 4, "shows no demonstrations"),
    ],
)
def test_what_has_no_orders_or_too_many_is_refused(strategy, k, said):
    with pytest.raises(SettingError, match=said):
        score_orders(study(k), Arm(strategy, "labels"))


def test_tasks_without_labels_are_refused():
    task = load_task("word-problems")
    asked = Study(Assistant(ScriptedModel()), task, [Sample("1", {"question": "1 + 1?"}, ("2",))])
    with pytest.raises(SettingError, match="scores labels"):
        score_orders(asked, Arm("static-few-shot", "labels"))


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
