"""What the studies share: variants of one request, asked block by block, with progress, a stop, and a memory.

All variants are asked about one block of samples before the next block begins. A study that is
stopped has therefore asked every variant about the same samples, and its report is complete, only smaller.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant import paths
from assistant.answering import Assistant
from assistant.errors import DataError, IndexNotFound, RunProblem
from assistant.evaluation.outcomes import Arm, Outcome, Sample
from assistant.evaluation.running.answers import answer_samples
from assistant.evaluation.running.journal import append_sealed, sealed_lines
from assistant.evaluation.running.plan import Plan
from assistant.evaluation.running.progress import DONE, RUNNING, STOPPED, Progress, Report
from assistant.evaluation.running.record import versions
from assistant.evaluation.statistics.intervals import Interval, bootstrap, wilson
from assistant.generation.chat_model import StopSignal
from assistant.prompting.tasks import Task, load_task
from assistant.retrieval.opened import DemonstrationIndex
from assistant.settings import RetrievalSettings, SamplingSettings

BLOCK = 32
"""Samples that are asked at once, and lost at most when a study is killed."""

Records = list[dict[str, Any]]
Step = Callable[[Sequence[Sample]], Records]
"""From a block of samples to one record of plain data per sample; fewer if it was stopped meanwhile."""


def _silent(progress: Progress) -> None:
    del progress


class Memory:
    """Finished blocks, one line with a checksum each, in a file or (without one) only while the study runs.

    A last line that was torn by a kill is cut off. The file is held by one memory at a time.
    """

    def __init__(self, path: Path | None = None, *, fresh: bool = False) -> None:
        """Read what is there; `fresh` forgets it.

        Raises:
            RunProblem: if another process works on it, or a line before the last is damaged.
        """
        self.path = path
        self._blocks: dict[str, Records] = {}
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        self._hold(path)
        if fresh:
            path.unlink(missing_ok=True)
        lines, whole = sealed_lines(path, "Delete the file, and study anew.")
        self._blocks = {line["block"]: line["records"] for line in lines}
        if path.exists() and path.stat().st_size > whole:
            os.truncate(path, whole)

    def get(self, key: str) -> Records | None:
        """Return the records of a finished block, or None."""
        return self._blocks.get(key)

    def put(self, key: str, records: Records) -> None:
        """Keep the records of a block."""
        self._blocks[key] = records
        if self.path is not None:
            append_sealed(self.path, {"block": key, "records": records})

    def _hold(self, path: Path) -> None:
        """Hold the right to write the file for as long as this memory lives."""
        lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
        weakref.finalize(self, os.close, lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunProblem(
                "The same study is being worked on by another process.", "Wait until that is done."
            ) from error


@dataclass(frozen=True)
class Study:
    """Whom a study asks and about what, and what it does on the way."""

    assistant: Assistant
    task: Task
    samples: Sequence[Sample]
    index: str | None = None
    """None: the task's own."""
    retrieval: RetrievalSettings = field(default_factory=RetrievalSettings)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    wording: str = "default"
    memory: Memory = field(default_factory=Memory)
    stop: StopSignal = field(default_factory=threading.Event)
    report: Report = _silent

    def __post_init__(self) -> None:
        """Refuse a study of nothing."""
        if not self.samples:
            raise DataError("There is no sample to study.", "Give a source with labelled rows.")

    def open_index(self) -> DemonstrationIndex:
        """Return the index that is searched.

        Raises:
            IndexNotFound: if none was named and the task has none of its own.
        """
        name = self.index or self.task.index
        if not name:
            raise IndexNotFound(f"The task '{self.task.name}' has no built-in index.", "Name one with --index.")
        return DemonstrationIndex.open(name)


def memory_of(study: str, plan: Plan, *, fresh: bool = False) -> Memory:
    """Return the memory of a study: the same study of the same plan finds what it did before."""
    return Memory(paths.runs() / ".studies" / f"{study}-{plan.hash[:16]}.jsonl", fresh=fresh)


def study_of(plan: Plan, assistant: Assistant, memory: Memory, stop: StopSignal, report: Report) -> Study:
    """Return the study of what was planned for an evaluation: its samples, its index, its settings."""
    return Study(
        assistant=assistant,
        task=load_task(plan.task),
        samples=plan.samples,
        index=plan.index,
        retrieval=plan.retrieval,
        sampling=plan.sampling,
        wording=plan.wording,
        memory=memory,
        stop=stop,
        report=report,
    )


def facts_of(plan: Plan) -> dict[str, Any]:
    """Return what the findings of a study hold for, as an evaluation's record says it."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": plan.settings(),
        "settings_hash": plan.hash,
        "versions": versions(),
        "data": {**plan.data, "n": len(plan.samples), "ids_sha256": plan.ids_sha256},
        "model": dict(plan.model),
        "index": dict(plan.index_facts) or None,
    }


@dataclass(frozen=True)
class Variant:
    """One way to ask every sample; the name stands in the study's report and memory."""

    name: str
    arm: Arm
    retrieval: RetrievalSettings
    seed: int = 0
    label_names: tuple[str, ...] = ()


def ask_variants(study: Study, variants: Sequence[Variant]) -> dict[str, list[Outcome]]:
    """Return the outcomes of every variant by its name, all for the same samples, in their order.

    If the study is stopped, these are the samples of the blocks that all variants have finished.
    """
    steps = {variant.name: _asking(study, variant) for variant in variants}
    answered = in_blocks(study, steps)
    return {name: [Outcome.from_json(record) for record in records] for name, records in answered.items()}


def _asking(study: Study, variant: Variant) -> Step:
    def ask(samples: Sequence[Sample]) -> Records:
        outcomes = answer_samples(
            study.assistant,
            study.task,
            variant.arm,
            samples,
            index=study.index,
            retrieval=variant.retrieval,
            sampling=study.sampling,
            seed=variant.seed,
            label_names=variant.label_names,
            wording=study.wording,
            stop=study.stop,
        )
        return [outcome.to_json() for outcome in outcomes]

    return ask


def in_blocks(study: Study, steps: Mapping[str, Step], *, size: int = BLOCK) -> dict[str, Records]:
    """Return the records of every step by its name, for all samples or those before the stop."""
    blocks = [study.samples[at : at + size] for at in range(0, len(study.samples), size)]
    clock = _Clock(len(study.samples) * len(steps), study.report)
    found: dict[str, Records] = {name: [] for name in steps}
    for block in blocks:
        done = _one_block(study, steps, block, clock)
        if done is None:
            clock.tell(STOPPED)
            return found
        for name, records in done.items():
            found[name] += records
    clock.tell(DONE)
    return found


def _one_block(
    study: Study, steps: Mapping[str, Step], block: Sequence[Sample], clock: _Clock
) -> dict[str, Records] | None:
    """Return the block's records by step, or None if the study was stopped before all had them."""
    mark = _digest([asdict(sample) for sample in block])[:16]
    done: dict[str, Records] = {}
    for name, step in steps.items():
        records = study.memory.get(f"{name} {mark}")
        remembered = records is not None
        if records is None:
            if study.stop.is_set():
                return None
            records = step(block)
            if len(records) < len(block):
                return None
            study.memory.put(f"{name} {mark}", records)
        done[name] = records
        clock.add(name, len(block), remembered=remembered)
    return done


class _Clock:
    """Tells progress; what was remembered says nothing about the time that is left."""

    def __init__(self, total: int, report: Report) -> None:
        self._done = self._asked = 0
        self._total, self._report = total, report
        self._begin = time.perf_counter()

    def add(self, name: str, samples: int, *, remembered: bool) -> None:
        self._done += samples
        self._asked += 0 if remembered else samples
        self.tell(RUNNING, name)

    def tell(self, state: str, sentence: str = "") -> None:
        seconds = time.perf_counter() - self._begin
        left = (self._total - self._done) * seconds / self._asked if self._asked and state == RUNNING else None
        self._report(Progress(state, sentence, self._done, self._total, seconds, left))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def groups_of(outcomes: Sequence[Outcome]) -> list[str] | None:
    """Return the group of every outcome, or None if samples have no groups and stand alone."""
    groups = [outcome.group for outcome in outcomes]
    return groups if any(groups) else None


def interval_of(values: NDArray[np.float64], groups: Sequence[str] | None) -> Interval:
    """Return the 95 % interval of a mean: Wilson's if every value is 0 or 1 and stands alone, else the bootstrap's."""
    if groups is None and bool(np.isin(values, (0.0, 1.0)).all()):
        return wilson(float(values.sum()), len(values))
    return bootstrap(values, groups=groups)
