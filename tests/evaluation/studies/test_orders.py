import json
import threading
from itertools import permutations

import numpy as np
import pytest

from assistant.answering import Assistant
from assistant.errors import SettingError
from assistant.evaluation.outcomes import Arm, Sample
from assistant.evaluation.studies.orders import score_orders
from assistant.evaluation.studies.study import Memory, Study
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
    from assistant.evaluation.running.answers import answer_samples

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
