"""How well labels are told apart: accuracy, F1, confusion, ROC, Brier, calibration.

An answer of None is a reply that could not be read. It never counts as some label: it is an error,
a missing prediction of the label that was meant, and a column of its own in the confusion matrix.
All figures are scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

UNREADABLE = "unreadable"
BINS = 10
_UNREADABLE_CODE = -1

Answers = Sequence[str | None]
Curve = list[list[float]]


class Roc(NamedTuple):
    """Area under the ROC curve, and the curve (two labels) or one curve per label (more)."""

    auc: float
    curve: Curve | dict[str, Curve]


class Calibration(NamedTuple):
    """Rows of mean confidence, accuracy and number of answers, one per filled bin, and the expected error."""

    curve: list[list[float]]
    expected_error: float


def accuracy(targets: Sequence[str], answers: Answers) -> float:
    """Return the share of answers that are the target; an unreadable one is wrong."""
    return float(np.mean([answer == target for target, answer in zip(targets, answers, strict=True)]))


def codes(labels: Sequence[str], answers: Answers) -> NDArray[np.int64]:
    """Return each answer's place among the labels; -1 for what is no label, so unreadable."""
    places = {label: place for place, label in enumerate(labels)}
    return np.array([places.get(answer or "", _UNREADABLE_CODE) for answer in answers], dtype=np.int64)


def macro_f1(labels: Sequence[str], targets: Sequence[str], answers: Answers) -> float:
    """Return the mean F1 over the labels that occur among the targets.

    A label without a single sample cannot be judged and is left out; an unreadable answer is no
    class, but lowers the recall of the label that was meant.

    Source: scikit-learn, `f1_score(average="macro", labels=…, zero_division=0)`.
    """
    from sklearn.metrics import f1_score

    meant, given = codes(labels, targets), codes(labels, answers)
    return float(f1_score(meant, given, labels=np.unique(meant), average="macro", zero_division=0))


def macro_f1_of_counts(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the same from confusion matrices (… × labels × labels and unreadable): fast enough to be resampled."""
    labels = counts.shape[-2]
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    meant, given = counts.sum(axis=-1), counts[..., :labels].sum(axis=-2)
    occurs = meant > 0
    f1 = np.where(occurs, 2 * hits / np.maximum(meant + given, 1), 0.0)
    mean: NDArray[np.float64] = f1.sum(axis=-1) / np.maximum(occurs.sum(axis=-1), 1)
    return mean


def per_class(labels: Sequence[str], targets: Sequence[str], answers: Answers) -> list[dict[str, Any]]:
    """Return precision, recall, F1 and support of every label, in the labels' order.

    Source: scikit-learn, `precision_recall_fscore_support(zero_division=0)`.
    """
    from sklearn.metrics import precision_recall_fscore_support

    meant, given = codes(labels, targets), codes(labels, answers)
    columns = precision_recall_fscore_support(meant, given, labels=np.arange(len(labels)), zero_division=0)
    return [
        {"label": label, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for label, p, r, f, n in zip(labels, *columns, strict=True)
    ]


def confusion_cells(meant: NDArray[np.int64], given: NDArray[np.int64], labels: int) -> NDArray[np.int64]:
    """Return each sample's cell in the confusion matrix, counted row by row; the last column is unreadable."""
    return meant * (labels + 1) + np.where(given == _UNREADABLE_CODE, labels, given)


def confusion_counts(
    meant: NDArray[np.int64], given: NDArray[np.int64], labels: int, weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return how often each label (row) was answered as each label (column); the last column is unreadable."""
    cells = confusion_cells(meant, given, labels)
    counts = np.bincount(cells, weights=weights, minlength=labels * (labels + 1))
    return counts.reshape(labels, labels + 1).astype(np.float64)


def confusion(labels: Sequence[str], targets: Sequence[str], answers: Answers) -> dict[str, Any]:
    """Return the confusion matrix: rows are what was meant, columns what was answered, the last unreadable."""
    counts = confusion_counts(codes(labels, targets), codes(labels, answers), len(labels))
    return {
        "labels": list(labels),
        "columns": [*labels, UNREADABLE],
        "counts": [[int(count) for count in row] for row in counts],
    }


def probabilities(labels: Sequence[str], scores: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
    """Return the softmax of each sample's label scores, shape samples × labels.

    A label without a score has probability 0; a sample without any finite score is even over all.
    """
    table = np.array([[one.get(label, -np.inf) for label in labels] for one in scores], dtype=np.float64)
    highest = table.max(axis=1, keepdims=True)
    powers = np.exp(table - np.where(np.isfinite(highest), highest, 0.0))
    powers[~np.isfinite(highest[:, 0])] = 1.0
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def roc(labels: Sequence[str], targets: Sequence[str], shares: NDArray[np.float64]) -> Roc | None:
    """Return area and curve of the score: P(second label) for two labels, else each label against the rest.

    With more than two labels the area is the mean over the labels that occur. None if fewer than two
    labels occur among the targets: then there is nothing to tell apart.

    Source: scikit-learn, `roc_auc_score` (`multi_class="ovr", average="macro"`) and `roc_curve`.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    meant = codes(labels, targets)
    present = [place for place in range(len(labels)) if 0 < np.sum(meant == place) < len(meant)]
    if len(labels) == 2:
        present = present[-1:]
    curves: dict[str, Curve] = {}
    areas = []
    for place in present:
        positive = meant == place
        false_rate, true_rate, _ = roc_curve(positive, shares[:, place])
        curves[labels[place]] = [[float(x), float(y)] for x, y in zip(false_rate, true_rate, strict=True)]
        areas.append(float(roc_auc_score(positive, shares[:, place])))
    if not areas:
        return None
    return Roc(float(np.mean(areas)), curves[labels[1]] if len(labels) == 2 else curves)


def brier(labels: Sequence[str], targets: Sequence[str], shares: NDArray[np.float64]) -> float:
    """Return the mean over samples of the squared differences summed over all labels: 0 is best, 2 is worst.

    The same form for two labels and for more (as in lm-eval), so twice scikit-learn's default for two.

    Source: Brier 1950; scikit-learn, `brier_score_loss(scale_by_half=False)`.
    """
    from sklearn.metrics import brier_score_loss

    places = np.arange(len(labels))
    if len(labels) == 2:  # scikit-learn takes the second label's share here
        return float(brier_score_loss(codes(labels, targets), shares[:, 1], pos_label=1, scale_by_half=False))
    return float(brier_score_loss(codes(labels, targets), shares, labels=places, scale_by_half=False))


def calibration(labels: Sequence[str], targets: Sequence[str], shares: NDArray[np.float64]) -> Calibration:
    """Return how often the likeliest label is right in ten equal bins of its probability, and the expected error.

    The expected error is the mean gap between confidence and accuracy, weighted by the bins' sizes.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks"; scikit-learn, `calibration_curve`.
    """
    from sklearn.calibration import calibration_curve

    confidence = np.clip(shares.max(axis=1), 0.0, 1.0)
    right = shares.argmax(axis=1) == codes(labels, targets)
    accuracies, means = calibration_curve(right, confidence, n_bins=BINS, strategy="uniform", pos_label=True)
    places = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], confidence)
    sizes = np.bincount(places, minlength=BINS)
    sizes = sizes[sizes > 0]
    curve = [[float(c), float(a), int(n)] for c, a, n in zip(means, accuracies, sizes, strict=True)]
    return Calibration(curve, float(np.sum(sizes * np.abs(accuracies - means)) / len(right)))
