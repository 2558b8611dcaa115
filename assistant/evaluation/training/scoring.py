"""What a trained classifier is worth on rows it has never seen: its row of the leaderboard, kept in its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assistant.evaluation.metrics.leaderboard import summarise
from assistant.evaluation.outcomes import CLASSIFIER, Outcome, Sample
from assistant.evaluation.running.classifiers import classifier_outcomes
from assistant.finetuning.classifiers.predicting import load_classifier
from assistant.finetuning.classifiers.saved import add_scores, classifier_folder
from assistant.prompting.tasks import Task

KEPT = (
    *("n", "accuracy", "accuracy_interval", "macro_f1", "macro_f1_interval", "per_class", "confusion"),
    *("roc_auc", "brier", "expected_calibration_error", "seconds_median"),
)
"""What of a row of the leaderboard stands in a card."""


def held_out_outcomes(name: str, samples: Sequence[Sample], task: Task, device: str = "auto") -> list[Outcome]:
    """Return what a saved classifier answers to samples.

    Raises:
        ClassifierError: if it cannot be loaded.
    """
    return classifier_outcomes(load_classifier(name, device), samples, task)


def scored(name: str, samples: Sequence[Sample], task: Task, where: str, device: str = "auto") -> dict[str, Any]:
    """Return a classifier's figures on samples and write them into its card, under `where` they are from.

    Raises:
        ClassifierError: if it cannot be loaded.
    """
    (row,) = summarise(held_out_outcomes(name, samples, task, device), task)
    return _kept(name, row, where)


def keep_scores(name: str, results: Sequence[Mapping[str, Any]], where: str) -> dict[str, Any]:
    """Return a classifier's figures in the results of a run, also written into its card under `where` they are from.

    Every sample of a run is held out: those that the classifier has learnt from are left out of it.

    Raises:
        ClassifierError: if it is missing.
    """
    own = f"{CLASSIFIER}{classifier_folder(name).name}"
    return _kept(name, next(row for row in results if row["strategy"] == own), where)


def _kept(name: str, row: Mapping[str, Any], where: str) -> dict[str, Any]:
    figures = {key: row[key] for key in KEPT}
    add_scores(name, {where: figures})
    return figures


def confusion_lines(figures: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the confusion matrix as a head and rows of text: rows are what was meant, columns what was answered."""
    matrix = figures["confusion"]
    # A classifier always answers with a label: the column of unreadable replies stays empty.
    labels = matrix["labels"]
    head = ("meant \\ answered", *labels)
    rows = [
        (label, *(f"{count:,}" for count in counts[: len(labels)]))
        for label, counts in zip(labels, matrix["counts"], strict=True)
    ]
    return head, rows
