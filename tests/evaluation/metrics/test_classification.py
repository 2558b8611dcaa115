import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from assistant.evaluation.metrics import classification
from assistant.evaluation.metrics.classification import UNREADABLE

PAIR = ("negative", "positive")
THREE = ("sport", "business", "science")

# The twenty answers per template of a published IMDb experiment: ten negative reviews, then ten positive ones.
PUBLISHED = {
    "instruction": ("00000000000101111011", 0.85, 0.847),
    "demonstrations": ("10000000000111111111", 0.90, 0.900),
    "bare": ("01011111101011101110", 0.50, 0.479),
}


def random_answers(labels, n=200, seed=3):
    random = np.random.default_rng(seed)
    targets = [labels[place] for place in random.integers(len(labels), size=n)]
    scores = [{label: float(random.normal() + 2 * (label == target)) for label in labels} for target in targets]
    return targets, [max(one, key=one.get) for one in scores], scores


@pytest.mark.parametrize("template", PUBLISHED)
def test_published_figures_come_out_of_the_published_answers(template):
    digits, accuracy, f1 = PUBLISHED[template]
    targets, answers = [PAIR[0]] * 10 + [PAIR[1]] * 10, [PAIR[int(digit)] for digit in digits]
    assert classification.accuracy(targets, answers) == accuracy
    assert round(classification.macro_f1(PAIR, targets, answers), 3) == f1


@pytest.mark.parametrize("labels", [PAIR, THREE])
def test_figures_are_those_of_scikit_learn(labels):
    targets, answers, _ = random_answers(labels)
    assert classification.accuracy(targets, answers) == pytest.approx(
        metrics.accuracy_score(targets, answers), abs=1e-9
    )
    f1 = metrics.f1_score(targets, answers, labels=labels, average="macro")
    assert classification.macro_f1(labels, targets, answers) == pytest.approx(f1, abs=1e-9)
    report = metrics.classification_report(targets, answers, labels=labels, output_dict=True)
    for row in classification.per_class(labels, targets, answers):
        expected = report[row["label"]]
        for key, name in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score"), ("support", "support")):
            assert row[key] == pytest.approx(expected[name], abs=1e-9)
    matrix = classification.confusion(labels, targets, answers)
    assert [row[:-1] for row in matrix["counts"]] == metrics.confusion_matrix(targets, answers, labels=labels).tolist()


def test_an_unreadable_answer_is_an_error_and_never_a_class():
    targets = ["negative", "negative", "positive", "positive"]
    answers = ["negative", None, "positive", None]
    assert classification.accuracy(targets, answers) == 0.5
    matrix = classification.confusion(PAIR, targets, answers)
    assert matrix == {"labels": list(PAIR), "columns": [*PAIR, UNREADABLE], "counts": [[1, 0, 1], [0, 1, 1]]}
    rows = classification.per_class(PAIR, targets, answers)
    assert [(row["precision"], row["recall"]) for row in rows] == [(1.0, 0.5), (1.0, 0.5)]
    assert classification.macro_f1(PAIR, targets, answers) == pytest.approx(2 / 3, abs=1e-12)


def test_a_parser_that_defaults_to_a_class_would_be_seen():
    targets = ["positive"] * 5 + ["negative"] * 5
    unread = [None] * 10
    defaulted = ["positive"] * 10
    assert classification.accuracy(targets, defaulted) == 0.5
    assert classification.accuracy(targets, unread) == classification.macro_f1(PAIR, targets, unread) == 0.0
    assert [row[-1] for row in classification.confusion(PAIR, targets, unread)["counts"]] == [5, 5]


def test_swapped_labels_are_seen_in_the_confusion_matrix():
    targets, answers, _ = random_answers(PAIR)
    swapped = [PAIR[1 - PAIR.index(answer)] for answer in answers]
    straight = classification.confusion(PAIR, targets, answers)["counts"]
    crossed = classification.confusion(PAIR, targets, swapped)["counts"]
    assert [row[1::-1] for row in crossed] == [row[:2] for row in straight]
    assert classification.accuracy(targets, swapped) == pytest.approx(1 - classification.accuracy(targets, answers))


def test_a_label_called_unreadable_is_not_mistaken_for_a_failure():
    labels = (UNREADABLE, "clear")
    matrix = classification.confusion(labels, [UNREADABLE, "clear"], [UNREADABLE, None])
    assert matrix["counts"] == [[1, 0, 0], [0, 0, 1]]


def test_a_label_without_samples_does_not_lower_macro_f1():
    targets, answers = ["sport", "business"], ["sport", "business"]
    assert classification.macro_f1(THREE, targets, answers) == 1.0
    assert classification.macro_f1(THREE, targets, ["sport", "science"]) == 0.5


@pytest.mark.parametrize("labels", [PAIR, THREE])
def test_macro_f1_from_counts_is_the_same(labels):
    targets, answers, _ = random_answers(labels, n=60)
    answers = [None if place % 7 == 0 else answer for place, answer in enumerate(answers)]
    counts = np.array(classification.confusion(labels, targets, answers)["counts"], dtype=float)
    expected = classification.macro_f1(labels, targets, answers)
    assert classification.macro_f1_of_counts(counts) == pytest.approx(expected, abs=1e-12)


def test_probabilities_are_a_softmax():
    shares = classification.probabilities(THREE, [{"sport": np.log(2), "business": 0.0, "science": 0.0}])
    assert shares == pytest.approx(np.array([[0.5, 0.25, 0.25]]), abs=1e-12)


def test_scores_that_are_absent_or_infinite_have_no_share():
    shares = classification.probabilities(PAIR, [{"positive": -1000.0}, {"positive": 0.0, "negative": -np.inf}, {}])
    assert shares.tolist() == [[0.0, 1.0], [0.0, 1.0], [0.5, 0.5]]


def test_roc_of_two_labels_is_that_of_the_second_label():
    targets, _, scores = random_answers(PAIR)
    shares = classification.probabilities(PAIR, scores)
    found = classification.roc(PAIR, targets, shares)
    positive = [target == "positive" for target in targets]
    assert found.auc == pytest.approx(metrics.roc_auc_score(positive, shares[:, 1]), abs=1e-9)
    x, y, _ = metrics.roc_curve(positive, shares[:, 1])
    assert np.allclose(found.curve, np.column_stack([x, y]), atol=1e-9)


def test_roc_area_by_hand():
    # Of the four pairs of a positive and a negative sample, three are in the right order.
    shares = np.array([[0.9, 0.1], [0.6, 0.4], [0.65, 0.35], [0.2, 0.8]])
    assert classification.roc(PAIR, ["negative", "negative", "positive", "positive"], shares).auc == 0.75


def test_roc_of_many_labels_is_each_against_the_rest():
    targets, _, scores = random_answers(THREE)
    shares = classification.probabilities(THREE, scores)
    found = classification.roc(THREE, targets, shares)
    places = [THREE.index(target) for target in targets]
    expected = metrics.roc_auc_score(places, shares, multi_class="ovr", average="macro")
    assert found.auc == pytest.approx(expected, abs=1e-9)
    assert list(found.curve) == list(THREE)
    assert found.curve["business"][0] == [0.0, 0.0]
    assert found.curve["business"][-1] == [1.0, 1.0]


def test_there_is_no_roc_where_only_one_label_occurs():
    assert classification.roc(PAIR, ["positive"] * 3, np.full((3, 2), 0.5)) is None
    two_of_three = classification.roc(THREE, ["sport", "business"], np.eye(3)[:2])
    assert list(two_of_three.curve) == ["sport", "business"]


@pytest.mark.parametrize("labels", [PAIR, THREE])
def test_brier_is_the_sum_over_labels(labels):
    targets, _, scores = random_answers(labels)
    shares = classification.probabilities(labels, scores)
    truth = np.array([[label == target for label in labels] for target in targets], dtype=float)
    expected = np.mean(np.sum((shares - truth) ** 2, axis=1))
    assert classification.brier(labels, targets, shares) == pytest.approx(expected, abs=1e-9)


def test_brier_of_one_sure_error_is_two():
    assert classification.brier(PAIR, ["negative"], np.array([[0.0, 1.0]])) == 2.0
    assert classification.brier(THREE, ["sport"], np.array([[0.0, 0.0, 1.0]])) == 2.0


@pytest.mark.parametrize("labels", [PAIR, THREE])
def test_calibration_curve_is_that_of_scikit_learn(labels):
    targets, answers, scores = random_answers(labels)
    shares = classification.probabilities(labels, scores)
    found = classification.calibration(labels, targets, shares)
    right = [target == answer for target, answer in zip(targets, answers, strict=True)]
    accuracies, confidences = calibration_curve(right, shares.max(axis=1), n_bins=10)
    assert np.allclose([row[0] for row in found.curve], confidences, atol=1e-9)
    assert np.allclose([row[1] for row in found.curve], accuracies, atol=1e-9)
    assert sum(row[2] for row in found.curve) == len(targets)


def test_expected_calibration_error_by_hand():
    # Two answers at 0.9, one of them right (gap 0.4); two at 0.6, both right (gap 0.4 too).
    shares = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]])
    found = classification.calibration(PAIR, ["negative", "positive", "negative", "positive"], shares)
    assert [row[2] for row in found.curve] == [2, 2]
    assert found.expected_error == pytest.approx(0.4, abs=1e-12)
