"""Carrying out a plan: block by block, each kept at once, resumed after a kill, stopped on request."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from assistant.answering import Assistant
from assistant.errors import RunProblem, ShotwiseError
from assistant.evaluation.outcomes import Arm, Outcome
from assistant.evaluation.running.answers import answer_samples
from assistant.evaluation.running.baselines import baseline_outcomes
from assistant.evaluation.running.checks import check_ids, check_parser
from assistant.evaluation.running.classifiers import classifier_outcomes
from assistant.evaluation.running.journal import FILE as JOURNAL
from assistant.evaluation.running.journal import Journal, locked
from assistant.evaluation.running.plan import Block, Plan, check_key, difference
from assistant.evaluation.running.progress import DONE, FAILED, RUNNING, STOPPED, Report, Tally, write_json
from assistant.evaluation.running.record import RECORD, run_record
from assistant.evaluation.running.reference_scores import ReferenceScores
from assistant.generation.chat_model import StopSignal
from assistant.prompting.strategies import find_strategy
from assistant.prompting.tasks import load_task
from assistant.records import Query

PLAN = "plan.json"
ADVICE_PLAN = "advice-plan.json"
"""What an advice keeps in its folder instead."""


Publish = Callable[[dict[str, Any]], None]
"""Is given the record before the run counts as done: writes reports."""


def evaluate(
    plan: Plan,
    assistant: Assistant,
    folder: Path,
    *,
    stop: StopSignal | None = None,
    report: Report | None = None,
    publish: Publish | None = None,
) -> dict[str, Any]:
    """Return the run's record, also written as `run.json`; finished blocks in the folder are not repeated.

    When `stop` is set, the block at hand is given up, and the record says that it is not finished.
    A run is told to be done after `publish` has returned: whoever is told finds the reports.

    Raises:
        RunProblem: if the folder belongs to another plan or process, or a parser cannot be trusted.
        ShotwiseError: for whatever cannot be asked; what was finished before is kept.
    """
    task = load_task(plan.task)
    check_ids(plan.samples)
    for arm in plan.asked:
        check_parser(task, find_strategy(arm.strategy))
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        keep_plan(plan, folder)
        run = _Run(plan, assistant, folder, stop or threading.Event(), report)
        try:
            record = run.record(finished=run.work())
            if publish is not None:
                publish(record)
            run.tell_end(finished=record["finished"])
            return record
        except BaseException as error:
            why = error.sentence() if isinstance(error, ShotwiseError) else f"It broke off: {type(error).__name__}."
            run.tally.tell(FAILED, why)
            raise


def keep_plan(plan: Plan, folder: Path) -> None:
    """Write the plan down, or compare it with the one that is there.

    Raises:
        RunProblem: if the folder was made under another plan; the message says what differs.
    """
    path = folder / PLAN
    if (folder / ADVICE_PLAN).exists():
        raise RunProblem(f"The folder '{folder.name}' is that of an advice.", "Choose another --name.")
    if not path.exists():
        if (folder / JOURNAL).exists():
            raise RunProblem(f"The run '{folder.name}' has a journal and no plan.", "Choose another --name.")
        write_json(path, {"created": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **plan.to_json()})
        return
    kept, _ = read_plan(folder)
    if kept.hash != plan.hash:
        raise RunProblem(
            f"The run '{folder.name}' was planned otherwise: {difference(kept.settings(), plan.settings())}.",
            "Choose another --name, or give the same settings to go on with it.",
        )


def read_plan(folder: Path) -> tuple[Plan, str]:
    """Return the plan of a run's folder, and when it was made.

    Raises:
        RunProblem: if there is none that this version can read.
    """
    try:
        record = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        created = str(record.pop("created"))
        return Plan.from_json(record), created
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunProblem(
            f"The plan of the run '{folder.name}' cannot be read by this version.", "Choose another --name."
        ) from error


class _Run:
    """One process's work on a plan."""

    def __init__(self, plan: Plan, assistant: Assistant, folder: Path, stop: StopSignal, report: Report | None) -> None:
        self.plan, self.assistant, self.folder, self.stop = plan, assistant, folder, stop
        self.task = load_task(plan.task)
        self.journal = Journal(folder)
        self.tally = Tally(plan, folder, report)
        self._references = ReferenceScores(assistant)
        self._classifiers: dict[str, Any] = {}
        self._embedding: dict[int, float] = {}
        """First sample of a stretch → seconds that embedding took for each of it."""

    def work(self) -> bool:
        """Do what is not done yet and return whether all is; False after a stop."""
        for block in self.plan.blocks():
            done = self.journal.blocks.get(block.key)
            if done is not None:
                self.tally.add(block.arm, done)
        self.tally.tell(RUNNING, "Going on." if self.journal.blocks else "Beginning.")
        steps = [*self._checks("first"), *self._blocks(), *self._checks("again")]
        return all(step() for step in steps)

    def _blocks(self) -> Iterator[Callable[[], bool]]:
        for block in self.plan.blocks():
            yield lambda block=block: self._block(block)  # type: ignore[misc]

    def _checks(self, when: str) -> Iterator[Callable[[], bool]]:
        """Yield the questions that are asked twice: a seed must mean the same at the end as at the beginning."""
        if self.plan.check_size:
            for arm in self.plan.asked:
                yield lambda arm=arm: self._check(arm, when)  # type: ignore[misc]

    def _block(self, block: Block) -> bool:
        if block.key in self.journal.blocks:
            return True
        begin = time.perf_counter()
        outcomes = self._answer(block)
        if len(outcomes) < block.end - block.start:
            return False
        self.journal.append(block.key, outcomes)
        self.tally.add(block.arm, outcomes, time.perf_counter() - begin)
        self.tally.tell(RUNNING, self.tally.about(block))
        return True

    def _check(self, arm: Arm, when: str) -> bool:
        block = self.plan.check(arm)
        key = check_key(block, when)
        if key in self.journal.blocks:
            return True
        outcomes = self._answer(block)
        if len(outcomes) < block.end:
            return False
        self.journal.append(key, outcomes)
        return True

    def _answer(self, block: Block) -> list[Outcome]:
        plan, samples = self.plan, self.plan.samples[block.start : block.end]
        if self.stop.is_set():
            return []
        if block.arm.classifier:
            return classifier_outcomes(self._classifier(block.arm.classifier), samples, self.task)
        if block.arm.is_baseline:
            return self._with_embedding(block, self._baseline(block))
        self._embed_ahead(block.start)
        outcomes = answer_samples(
            self.assistant,
            self.task,
            block.arm,
            samples,
            index=plan.index,
            retrieval=plan.retrieval,
            sampling=plan.sampling,
            seed=block.seed,
            calibrations=plan.calibrations,
            label_names=plan.label_names,
            wording=plan.wording,
            stop=self.stop,
            references=self._references,
        )
        return self._with_embedding(block, outcomes)

    def _with_embedding(self, block: Block, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Return the outcomes with their shares of the embedding, which is done once for all that search."""
        if not self._embeds(block.arm):
            return list(outcomes)
        size = self.plan.block_size
        return [
            replace(one, seconds=one.seconds + self._embedding.get(at // size * size, 0.0))
            for at, one in enumerate(outcomes, start=block.start)
        ]

    def _embeds(self, arm: Arm) -> bool:
        if arm.is_baseline:
            return arm.strategy != "majority"
        return find_strategy(arm.strategy).needs_index and self.plan.retrieval.k > 0

    def _baseline(self, block: Block) -> list[Outcome]:
        plan = self.plan
        index = self.assistant.open_index(plan.index or self.task.index)
        for start in range(0, len(plan.samples), plan.block_size):
            self._embed_ahead(start)
        return baseline_outcomes(
            block.arm.strategy,
            plan.samples[block.start : block.end],
            index,
            self.task,
            plan.retrieval.k,
            plan.retrieval.guard,
        )

    def _classifier(self, name: str) -> Any:
        """Return the saved classifier, loaded once; one that is not the planned one is refused."""
        if name not in self._classifiers:
            from assistant.finetuning.classifiers.predicting import load_classifier

            loaded = load_classifier(name)
            if loaded.saved.identity() != self.plan.classifiers.get(name):
                raise RunProblem(f"The classifier '{name}' is not the one that was planned.", "Choose another --name.")
            self._classifiers[name] = loaded
        return self._classifiers[name]

    def _embed_ahead(self, start: int) -> None:
        """Embed the questions of the whole stretch of samples at once.

        An embedding depends a little on its company in the batch, so that company must not depend on
        which blocks a killed run had finished.
        """
        if self._searches:
            stretch = self.plan.samples[start : start + self.plan.block_size]
            index = self.assistant.open_index(self.plan.index or self.task.index)
            # Loading the encoder is nobody's share.
            _ = index.encoder
            began = time.perf_counter()
            index.embed_ahead([Query(sample.inputs).text() for sample in stretch])
            self._embedding.setdefault(start, (time.perf_counter() - began) / len(stretch))

    @cached_property
    def _searches(self) -> bool:
        return any(
            not arm.classifier and (arm.is_baseline or find_strategy(arm.strategy).needs_index)
            for arm in self.plan.arms
        )

    def record(self, finished: bool) -> dict[str, Any]:
        """Return the record of what there is, and write it."""
        _, created = read_plan(self.folder)
        record = run_record(self.plan, self.journal.blocks, finished=finished, created=created)
        write_json(self.folder / RECORD, record)
        return record

    def tell_end(self, *, finished: bool) -> None:
        """Tell that nothing more is done."""
        self.tally.tell(*(DONE, "Done.") if finished else (STOPPED, "Stopped; the same command goes on."))
