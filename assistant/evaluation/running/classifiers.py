"""Saved classifiers as rows of the leaderboard: which fit a task, what they learnt from, and what they answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from assistant.errors import DataError, SettingError
from assistant.evaluation.metrics.text import score_sample
from assistant.evaluation.outcomes import CLASSIFIER, Arm, Outcome, Sample
from assistant.evaluation.running.wanted import Found, left_out
from assistant.finetuning.classifiers.saved import SavedClassifier, open_classifier
from assistant.prompting.tasks import Task


def classifier_arms(classifiers: Sequence[SavedClassifier]) -> tuple[Arm, ...]:
    """Return one arm per classifier."""
    return tuple(Arm(f"{CLASSIFIER}{one.name}", "none") for one in classifiers)


def classifier_facts(classifiers: Sequence[SavedClassifier]) -> dict[str, Mapping[str, Any]]:
    """Return name → what tells each classifier from every other."""
    return {one.name: one.identity() for one in classifiers}


def fitting_classifiers(names: Sequence[str], task: Task) -> tuple[SavedClassifier, ...]:
    """Return the classifiers of these names after checking that they answer the task.

    Raises:
        ClassifierError: if one is missing or damaged; SettingError: if it reads or says something else.
    """
    found = []
    for name in dict.fromkeys(names):
        saved = open_classifier(name)
        if set(saved.labels) != set(task.labels) or not set(saved.fields) <= set(task.fields):
            raise SettingError(
                f"The classifier '{saved.name}' was trained for the task '{saved.task}' (labels "
                f"{', '.join(saved.labels)}), which is not '{task.name}' ({', '.join(task.labels) or 'no labels'}).",
                "See: shotwise classifier list",
            )
        found.append(saved)
    return tuple(found)


def unlearnt(data: Found, classifiers: Sequence[SavedClassifier]) -> Found:
    """Return the samples without those that a classifier has learnt from, and a note on how many these were.

    All arms answer the same samples, so what one has learnt from is left out for all.

    Raises:
        DataError: if no sample is left.
    """
    notes = []
    kept = data.samples
    for one in classifiers:
        marks = one.marks()
        left = tuple(sample for sample in kept if not marks.know(_as_read(sample, one), data.group_column))
        if len(left) < len(kept):
            notes.append(
                f"{left_out(len(kept) - len(left))} because the classifier '{one.name}' has learnt from "
                "them, or from rows of their group."
            )
        kept = left
    if not kept:
        raise DataError("Every sample is one that a classifier has learnt from.", "Name rows that it has never seen.")
    return replace(data, samples=kept, notes=(*data.notes, *notes))


def _as_read(sample: Sample, saved: SavedClassifier) -> Sample:
    return replace(sample, inputs={name: sample.inputs[name] for name in saved.fields})


def classifier_outcomes(classifier: Any, samples: Sequence[Sample], task: Task) -> list[Outcome]:
    """Return what a loaded classifier answers to the samples; label scores are log-probabilities."""
    if not samples:
        return []
    began = time.perf_counter()
    predictions = classifier.predict([sample.inputs for sample in samples])
    seconds = (time.perf_counter() - began) / len(samples)
    outcomes = []
    for sample, one in zip(samples, predictions, strict=True):
        correct, score = score_sample(task, one.label, sample.targets)
        outcomes.append(
            Outcome(
                sample=sample.id,
                strategy=f"{CLASSIFIER}{classifier.saved.name}",
                reading="none",
                seed=0,
                targets=sample.targets,
                final_answer=one.label,
                correct=correct,
                score=score,
                answer=one.label,
                group=sample.group,
                label_scores=one.log_probabilities,
                seconds=seconds,
            )
        )
    return outcomes
