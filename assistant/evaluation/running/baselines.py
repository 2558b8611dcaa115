"""Rows of the leaderboard without a language model: majority, kNN vote, logistic regression.

A strategy that shows retrieved demonstrations has to beat these, which see the same index.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from assistant.errors import IndexMismatch, SettingError, UnknownName
from assistant.evaluation.metrics.text import RIGHT_OR_WRONG, grade, score_sample
from assistant.evaluation.outcomes import BASELINES, Outcome, Sample
from assistant.prompting.tasks import Task
from assistant.records import Demonstration, Query, Selection
from assistant.retrieval.encoders import Vectors
from assistant.retrieval.guard import normalised
from assistant.retrieval.opened import DemonstrationIndex
from assistant.retrieval.selectors import Pool, select
from assistant.settings import GuardSettings, RetrievalSettings

FITTED = ("majority", "logistic-regression")
"""Baselines that learn from all rows of the index at once."""
_MOST_STEPS = 2000


@dataclass(frozen=True)
class _Answered:
    """What a baseline makes of one sample."""

    final_answer: str | None
    label_scores: Mapping[str, float] | None = None
    selection: Selection = field(default_factory=Selection)
    nearest: float | None = None


def baselines_for(task: Task) -> tuple[str, ...]:
    """Return the baselines that can answer a task: labels can be learnt, other answers only copied."""
    if task.labels:
        return BASELINES
    return ("majority", "knn-vote") if task.metric in RIGHT_OR_WRONG else ("knn-vote",)


def baseline_outcomes(
    name: str,
    samples: Sequence[Sample],
    index: DemonstrationIndex,
    task: Task,
    k: int = RetrievalSettings.k,
    guard: GuardSettings | None = None,
) -> list[Outcome]:
    """Return what a baseline answers to the samples, knowing the rows of the index.

    The vote of the k nearest obeys the leak guard; the two that are fitted leave out every row
    with the id, the group or the text of a sample. Label scores are log-probabilities.

    Raises:
        UnknownName: if there is no such baseline.
        SettingError: if it cannot answer this task; IndexMismatch: if no row of the index fits it.
    """
    if name not in BASELINES:
        raise UnknownName("baseline", name, BASELINES)
    if name not in baselines_for(task):
        raise SettingError(
            f"The baseline '{name}' cannot answer the task '{task.name}'.",
            f"Choose from: {', '.join(baselines_for(task))}.",
        )
    if not samples:
        return []
    started = time.perf_counter()
    answered = _BASELINES[name](samples, index, task, RetrievalSettings(k=k, guard=guard or GuardSettings()))
    seconds = (time.perf_counter() - started) / len(samples)
    return [_outcome(name, sample, one, task, seconds) for sample, one in zip(samples, answered, strict=True)]


def _outcome(name: str, sample: Sample, answered: _Answered, task: Task, seconds: float) -> Outcome:
    correct, score = score_sample(task, answered.final_answer, sample.targets)
    hits, excluded = answered.selection.hits, answered.selection.excluded
    return Outcome(
        sample=sample.id,
        strategy=name,
        reading="none",
        seed=0,
        targets=sample.targets,
        final_answer=answered.final_answer,
        correct=correct,
        score=score,
        answer=answered.final_answer or "",
        problem="" if answered.final_answer is not None else "no row of the index may be used",
        group=sample.group,
        label_scores=answered.label_scores,
        demonstrations=tuple((hit.demonstration.id, hit.similarity) for hit in hits),
        excluded=tuple((one.demonstration.id, one.reason, one.similarity) for one in excluded),
        nearest_similarity=answered.nearest,
        seconds=seconds,
    )


def _majority(
    samples: Sequence[Sample], index: DemonstrationIndex, task: Task, settings: RetrievalSettings
) -> list[_Answered]:
    counts = Counter(row.output for _, row in _fitting_rows(index, task, _seen(samples, settings)))
    known = task.labels or tuple(counts)
    # The label that stands first in the task wins a tie.
    best = max(known, key=lambda label: (counts[label], -known.index(label)))
    scores = _log_shares({label: counts[label] for label in task.labels}) if task.labels else None
    return [_Answered(best, scores)] * len(samples)


def _knn_vote(
    samples: Sequence[Sample], index: DemonstrationIndex, task: Task, settings: RetrievalSettings
) -> list[_Answered]:
    index.embed_ahead([_text(sample) for sample in samples])
    pool = Pool(index, adapt=task.adapt)
    answers = []
    for sample in samples:
        query = Query(sample.inputs, sample.id, sample.group)
        selection = select("nearest", query, pool, settings, labels=task.labels)
        votes = Counter(hit.demonstration.output for hit in selection.hits)
        # Counter keeps the order in which outputs were met, which is the order of nearness.
        winner = _mean_grade(votes) if task.metric == "similarity" else max(votes, key=votes.__getitem__, default=None)
        scores = _log_shares({label: votes[label] for label in task.labels}) if task.labels else None
        cosines = [*(hit.similarity for hit in selection.hits), *(one.similarity for one in selection.excluded)]
        nearest = max((cosine for cosine in cosines if cosine is not None), default=None)
        answers.append(_Answered(winner, scores, selection, nearest))
    return answers


def _mean_grade(votes: Mapping[str, int]) -> str | None:
    """Return the mean of grades: between 1 and 4 lies 2.5, which a vote would never say."""
    grades = [
        number for written, count in votes.items() if (number := grade(written)) is not None for _ in range(count)
    ]
    return f"{sum(grades) / len(grades):.2f}" if grades else None


def _logistic_regression(
    samples: Sequence[Sample], index: DemonstrationIndex, task: Task, settings: RetrievalSettings
) -> list[_Answered]:
    from sklearn.linear_model import LogisticRegression

    rows = _fitting_rows(index, task, _seen(samples, settings))
    outputs = [row.output for _, row in rows]
    if len(set(outputs)) < 2:
        return _majority(samples, index, task, settings)
    index.embed_ahead([_text(sample) for sample in samples])
    asked = np.stack([index.embed(_text(sample)) for sample in samples])
    model = LogisticRegression(max_iter=_MOST_STEPS)
    model.fit(index.units([at for at, _ in rows]).astype(np.float64), outputs)
    logs = model.predict_log_proba(asked.astype(np.float64))
    nearest = _nearest(index, asked)
    answers = []
    for at, row in enumerate(logs):
        known = dict(zip(map(str, model.classes_), map(float, row), strict=True))
        least = min(known.values())
        scores = {label: known.get(label, least + math.log(1e-3)) for label in task.labels}
        answers.append(_Answered(max(scores, key=scores.__getitem__), scores, nearest=float(nearest[at])))
    return answers


def _nearest(index: DemonstrationIndex, asked: Vectors) -> Vectors:
    cosines, _ = index.nearest(asked, 1)
    found: Vectors = cosines[:, 0]
    return found


def _log_shares(votes: Mapping[str, int]) -> dict[str, float]:
    """Return log-probabilities of labels from counts; one more vote is shared by all, so that none is impossible."""
    total = sum(votes.values()) + 1
    return {label: math.log((count + 1 / len(votes)) / total) for label, count in votes.items()}


def _text(sample: Sample) -> str:
    return Query(sample.inputs).text()


@dataclass(frozen=True)
class _Seen:
    """What marks a row of the index as one of the samples."""

    ids: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()

    def has(self, row: Demonstration) -> bool:
        return row.id in self.ids or row.group in self.groups or normalised(row.text()) in self.texts


def _seen(samples: Sequence[Sample], settings: RetrievalSettings) -> _Seen:
    if not settings.guard.enabled:
        return _Seen()
    return _Seen(
        frozenset(sample.id for sample in samples),
        frozenset(sample.group for sample in samples if sample.group),
        frozenset(normalised(_text(sample)) for sample in samples),
    )


def rows_are_left(samples: Sequence[Sample], index: DemonstrationIndex, task: Task, guard: GuardSettings) -> bool:
    """Return whether the baselines that are fitted may use any row of the index: not all are evaluated themselves."""
    seen = _seen(samples, RetrievalSettings(guard=guard))
    return next(_usable_rows(index, task, seen), None) is not None


def _usable_rows(index: DemonstrationIndex, task: Task, seen: _Seen) -> Iterator[tuple[int, Demonstration]]:
    for at in range(len(index)):
        adapted = task.adapt(index.demonstration(at))
        if isinstance(adapted, Demonstration) and not seen.has(adapted):
            yield at, adapted


def _fitting_rows(index: DemonstrationIndex, task: Task, seen: _Seen) -> list[tuple[int, Demonstration]]:
    rows = list(_usable_rows(index, task, seen))
    if not rows:
        raise IndexMismatch(
            f"No row of the index '{index.name}' can be used for the task '{task.name}'.",
            "Choose another index, or other samples.",
        )
    return rows


_BASELINES: Mapping[str, Callable[[Sequence[Sample], DemonstrationIndex, Task, RetrievalSettings], list[_Answered]]] = {
    "majority": _majority,
    "knn-vote": _knn_vote,
    "logistic-regression": _logistic_regression,
}
