import pytest

from assistant.evaluation.advice.words import recommendation
from assistant.evaluation.statistics.paired import compare_arms

N = 100


def advice(right, tokens, finalists, untested=(), dropped=()):
    """Return the recommendation for arms that are right on the first so many samples, or on given ones."""
    scores = {
        name: {f"s{row}": float(row in rows) for row in range(N)}
        for name, rows in ((name, range(rows) if isinstance(rows, int) else rows) for name, rows in right.items())
    }
    rows = [
        {
            "name": name,
            "strategy": name,
            "kind": "strategy" if name in tokens else "baseline",
            "n": N,
            "answers": N,
            "accuracy": sum(of_arm.values()) / N,
            "accuracy_interval": [0.1, 0.9],
            "prompt_tokens": N * tokens.get(name, 0),
            "new_tokens": 0,
        }
        for name, of_arm in scores.items()
    ]
    return recommendation(
        rows, compare_arms(finalists[0], scores, binary=True), finalists, "accuracy", untested, dropped=dropped
    )


def test_what_is_better_than_all_is_recommended():
    found = advice({"a": 90, "b": 60, "majority": 40}, {"a": 100, "b": 50}, ["a", "b"])
    assert (found["kind"], found["use"]) == ("strategy", "a")
    assert found["sentence"] == "Use a: on 100 test samples its accuracy is 90.0 % (10.0 to 90.0), better than b."
    assert found["more"] == [
        "Every baseline without a language model is worse; the best of them, majority, reaches 40.0 % (10.0 to 90.0)."
    ]


def test_a_rival_that_test_finds_better_is_recommended_and_it_is_said():
    found = advice({"a": 60, "b": 90}, {"a": 100, "b": 50}, ["a", "b"])
    assert (found["kind"], found["use"]) == ("strategy", "b")
    assert "better than a, which dev had favoured (60.0 % (10.0 to 90.0))" in found["sentence"]


@pytest.mark.parametrize(
    ("tokens", "use", "words"),
    [
        ({"a": 100, "b": 50}, "b", "b costs fewer tokens (50 an answer, not 100), so use it"),
        ({"a": 50, "b": 100}, "a", "a costs fewer tokens (50 an answer, not 100), so use it"),
        ({"a": 50, "b": 50}, "a", "they cost the same, so use a, which dev favoured"),
    ],
)
def test_of_equals_the_cheaper_is_recommended(tokens, use, words):
    found = advice({"a": 80, "b": 82}, tokens, ["a", "b"])
    assert (found["kind"], found["use"]) == ("no difference", use)
    assert found["sentence"] == f"No measurable difference between a and b on 100 test samples; {words}."


def test_of_three_equals_the_cheapest_is_recommended_and_a_loser_is_not_among_them():
    found = advice({"a": 80, "b": 82, "c": 30, "d": 79}, {"a": 90, "b": 60, "c": 1, "d": 200}, ["a", "b", "c", "d"])
    assert found["use"] == "b"
    assert "between a, b and d on" in found["sentence"]
    assert "b costs the fewest tokens (60 an answer, not up to 200)" in found["sentence"]


def test_a_baseline_without_a_model_that_is_better_is_said_first():
    found = advice({"a": 50, "b": 52, "knn-vote": 95}, {"a": 10, "b": 20}, ["a", "b"], untested=["c", "d"])
    assert (found["kind"], found["use"]) == ("no model", "knn-vote")
    assert found["sentence"].startswith("Use knn-vote, which asks no language model: on 100 test samples")
    assert found["more"][0].startswith("Or else: No measurable difference between a and b")
    assert found["more"][1] == "Still in the race at its end, but not tested: c and d."


def test_what_is_no_better_than_the_most_frequent_answer_is_not_to_be_relied_on():
    found = advice({"a": 52, "majority": 50, "knn-vote": 20}, {"a": 10}, ["a"])
    assert found["use"] == "a"
    assert any(
        "a is not even measurably better than always giving the most frequent answer" in one for one in found["more"]
    )
    trusted = advice({"a": 90, "majority": 50}, {"a": 10}, ["a"])
    assert not any("do not rely" in one for one in trusted["more"])


def test_what_the_race_dropped_is_not_recommended_for_being_cheap():
    found = advice({"a": 80, "b": 78}, {"a": 100, "b": 10}, ["a", "b"], dropped=["b"])
    assert (found["kind"], found["use"]) == ("strategy", "a")
    assert found["sentence"].endswith("; b did clearly worse on dev.")
    assert found["more"] == [
        "b costs less (10 tokens an answer, not 100); on dev it was clearly worse, the test alone cannot tell."
    ]


def test_a_tie_leaves_out_what_the_race_dropped():
    found = advice({"a": 80, "b": 81, "c": 78}, {"a": 100, "b": 90, "c": 10}, ["a", "b", "c"], dropped=["c"])
    assert (found["kind"], found["use"]) == ("no difference", "b")
    assert "between a and b on" in found["sentence"]
    assert found["more"][0].startswith("c costs less (10 tokens an answer, not 90);")


def test_every_baseline_is_asked_about_not_only_the_highest():
    # 46 right answers that a has too are clearly fewer than its 60; 45 others may be chance.
    few = advice({"a": 60, "knn-vote": range(46), "majority": range(55, 100)}, {"a": 10}, ["a"])
    assert few["more"][0].startswith("Without a language model, majority reaches 45.0 %")
    assert "Every baseline" not in " ".join(few["more"])
