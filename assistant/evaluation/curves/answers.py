"""A cell answered: rows shown, voted with or learnt from, then every held-out row, and what that cost."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Event

from assistant.answering import Assistant
from assistant.evaluation.curves.cells import Cell, Scored
from assistant.evaluation.curves.experiment import Experiment
from assistant.evaluation.curves.rows import as_samples
from assistant.evaluation.curves.trained import Learnt, Tell, learn_classifier, saved_name, train_adapter, tuned_model
from assistant.evaluation.curves.ways import STATIC, VOTE, ZERO_SHOT
from assistant.evaluation.outcomes import Arm, Outcome, Sample
from assistant.evaluation.running.answers import answer_samples
from assistant.evaluation.running.baselines import baseline_outcomes
from assistant.evaluation.running.classifiers import classifier_outcomes
from assistant.evaluation.training.neighbours import index_of
from assistant.finetuning.classifiers.predicting import load_classifier
from assistant.finetuning.classifiers.saved import delete_classifier
from assistant.finetuning.generators.shelf import delete
from assistant.generation.loading import load_chat_model
from assistant.records import Query
from assistant.retrieval.index import DemonstrationIndex
from assistant.settings import GuardSettings, RetrievalSettings

BLOCK = 64
"""Held-out rows that are answered together; between two blocks a curve can be stopped."""
Answering = Callable[[Sequence[Sample]], list[Outcome]]
FIXED_ARM = "random-few-shot"
"""Shows all rows of an index that has no more than k, in the same order for every question."""


class Worker:
    """Does one cell after the other; the base model is in memory only while it answers."""

    def __init__(self, experiment: Experiment, stop: Event, tell: Tell, base: Assistant | None = None) -> None:
        """Take the base model if it is loaded already."""
        self._experiment, self._stop, self._tell = experiment, stop, tell
        self._base = base

    def done(self, cell: Cell) -> Scored | None:
        """Return what comes out for a cell, or None if it was stopped before its end.

        Raises:
            ShotwiseError: for whatever cannot be trained or asked.
        """
        if cell.way.kind == "adapter":
            return self._adapter(cell)
        if cell.way.kind == "classifier":
            return self._classifier(cell)
        if cell.method == ZERO_SHOT:
            return self._answered(cell, self._asking(self._assistant(), Arm(ZERO_SHOT, self._experiment.reading)))
        return self._shown(cell)

    def _assistant(self) -> Assistant:
        if self._base is None:
            self._base = Assistant(load_chat_model(self._experiment.model))
        return self._base

    def _shown(self, cell: Cell) -> Scored | None:
        """Answer with rows that are shown or that vote."""
        experiment = self._experiment
        rows = experiment.material.draw(cell.rows, cell.seed)
        if cell.method == STATIC:
            rows = rows[: experiment.settings.k]
        began = time.process_time()
        with self._index(cell, as_samples(rows)) as index:
            seconds = time.process_time() - began
            if cell.method == VOTE:
                task, k = experiment.material.task, experiment.settings.k
                answering: Answering = lambda some: baseline_outcomes(VOTE, some, index, task, k)  # noqa: E731
            else:
                arm = Arm(FIXED_ARM if cell.method == STATIC else cell.method, experiment.reading)
                answering = self._asking(self._assistant(), arm, index, guarded=cell.method != STATIC)
            found = self._answered(cell, answering)
        return found and replace(found, begin_seconds=0.0 if cell.method == STATIC else seconds)

    @contextmanager
    def _index(self, cell: Cell, rows: Sequence[Sample]) -> Iterator[DemonstrationIndex]:
        name = cell.name(self._experiment.mark)

        def told(_: str, progress: object) -> None:
            self._tell(f"embedding {getattr(progress, 'done', 0):,} of {len(rows):,} rows")

        with index_of(name, self._experiment.encoder, rows, self._experiment.material.task, told) as index:
            _ = index.encoder
            yield index

    def _asking(
        self, assistant: Assistant, arm: Arm, index: DemonstrationIndex | None = None, *, guarded: bool = True
    ) -> Answering:
        experiment = self._experiment
        retrieval = RetrievalSettings(k=experiment.settings.k, guard=GuardSettings(enabled=guarded))
        if index is not None and guarded:
            _ = assistant.open_index(index.name).encoder  # loading it is nobody's cost

        def answering(some: Sequence[Sample]) -> list[Outcome]:
            if index is not None and guarded:
                assistant.open_index(index.name).embed_ahead([Query(sample.inputs).text() for sample in some])
            return answer_samples(
                assistant,
                experiment.material.task,
                arm,
                some,
                index=None if index is None else index.name,
                retrieval=retrieval,
                sampling=experiment.sampling,
                seed=0,
                stop=self._stop,
            )

        return answering

    def _adapter(self, cell: Cell) -> Scored | None:
        experiment = self._experiment
        self._base = None
        gc.collect()  # base and training are not in memory at once
        learnt = train_adapter(cell, experiment, self._stop, self._tell)
        if learnt is None:
            return None
        assistant = Assistant(load_chat_model(tuned_model(cell, experiment)))
        found = self._answered(cell, self._asking(assistant, Arm(ZERO_SHOT, experiment.reading)))
        if found is None:
            return None
        delete(saved_name(cell, experiment))
        return _with(found, learnt)

    def _classifier(self, cell: Cell) -> Scored | None:
        experiment = self._experiment
        learnt = learn_classifier(cell, experiment, self._stop, self._tell)
        if learnt is None:
            return None
        name = saved_name(cell, experiment)
        loaded = load_classifier(name, experiment.model.device)
        found = self._answered(cell, lambda some: classifier_outcomes(loaded, some, experiment.material.task))
        if found is None:
            return None
        delete_classifier(name)
        return _with(found, learnt)

    def _answered(self, cell: Cell, answering: Answering) -> Scored | None:
        """Return the scores of all held-out rows, or None after a stop."""
        test = self._experiment.material.test
        outcomes: list[Outcome] = []
        began = time.process_time()
        for start in range(0, len(test), BLOCK):
            some = test[start : start + BLOCK]
            if self._stop.is_set():
                return None
            answered = answering(some)
            if len(answered) < len(some):
                return None
            outcomes += answered
            self._tell(f"answered {len(outcomes):,} of {len(test):,}")
        seconds = time.process_time() - began
        scores = tuple(float(one.score) for one in outcomes)
        tokens, dropped = (sum(getattr(one, name) for one in outcomes) for name in ("prompt_tokens", "dropped"))
        return Scored(cell.method, cell.rows, cell.seed, cell.rank, scores, seconds, tokens, dropped=dropped)


def _with(found: Scored, learnt: Learnt) -> Scored:
    return replace(
        found,
        begin_seconds=learnt.seconds,
        interrupted=learnt.interrupted,
        learnt=learnt.parameters,
        size_mb=learnt.size_mb,
        steps=learnt.steps,
    )
