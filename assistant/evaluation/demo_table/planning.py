"""From the parts to plans: every column becomes one evaluation, carried out and kept as `evaluate` does it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from assistant.errors import SettingError
from assistant.evaluation.demo_table.parts import SEED_STRIDE, Parts, Run
from assistant.evaluation.demo_table.rows import Questions, is_made, made_rows, squad_questions, task_of
from assistant.evaluation.outcomes import Arm
from assistant.evaluation.running.plan import Plan
from assistant.evaluation.running.planning import BuildReport, plan_evaluation, prompts_sha256
from assistant.evaluation.running.wanted import Wanted
from assistant.evaluation.sets.datasets import load_dataset
from assistant.evaluation.sets.pools import pool_index
from assistant.prompting.strategies import find_strategy
from assistant.prompting.tasks import load_task
from assistant.retrieval.encoders import DEFAULT
from assistant.settings import EvaluationSettings, RetrievalSettings, SamplingSettings

ROWS, SEEDS = 800, 3
"""Rows of the longest columns and seeds of demonstrations, unless others are asked for."""
FEWEST = 20
"""Rows of a shorter column where fewer are asked for, if the longest have as many."""


@dataclass(frozen=True)
class Conditions:
    """What is the same for all columns."""

    data_dir: str
    rows: int = ROWS
    """Rows of the longest columns; the others have fewer in proportion."""
    seeds: int = SEEDS
    encoder: str = DEFAULT
    questions: Questions | None = None
    """Questions about passages; None: those of SQuAD's test articles."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.rows < 1:
            raise SettingError(f"At least 1 row must be answered, not {self.rows}.", "Raise --rows.")
        if not 1 <= self.seeds <= SEED_STRIDE:
            raise SettingError(f"There must be 1 to {SEED_STRIDE} seeds, not {self.seeds}.", "Change --seeds.")

    def rows_of(self, run: Run) -> int:
        """Return how many rows a column asks at most: its own number in the whole table, never more."""
        return min(run.rows, self.rows, max(FEWEST, run.rows * self.rows // ROWS))


@dataclass(frozen=True)
class Planned:
    """One evaluation of a column."""

    run: Run
    """The column, as the parts name it."""
    asked: Run
    """The same under one set of label names."""
    plan: Plan

    @property
    def names(self) -> str:
        """Return the label names of this evaluation."""
        return "/".join(self.asked.label_names)


def plan_table(
    parts: Parts, conditions: Conditions, *, adapter: bool, building: BuildReport | None = None
) -> list[Planned]:
    """Return the plan of every evaluation, without the model's part; indexes of pools that are missing are built.

    Raises:
        DataError: if a data set is missing.
    """
    planner = _Planner(conditions, building)
    return [
        Planned(run, asked, planner.plan(asked))
        for run in parts.runs
        if adapter or not run.needs_adapter
        for asked in parts.expanded(run)
    ]


class _Planner:
    """Plans one evaluation after the other; the index of a pool is looked for once."""

    def __init__(self, conditions: Conditions, building: BuildReport | None) -> None:
        self._conditions, self._building = conditions, building
        self._indexes: dict[str, str] = {}
        self._questions = conditions.questions or squad_questions(conditions.data_dir)

    def plan(self, run: Run) -> Plan:
        """Return the plan of a run."""
        return self._of_made_rows(run) if is_made(run.source) else self._of_data_set(run)

    def _of_data_set(self, run: Run) -> Plan:
        conditions = self._conditions
        plan = plan_evaluation(
            Wanted(
                source=run.source,
                strategies=run.strategies,
                index=self._index(run.source),
                reading=run.reading,
                label_names=run.label_names,
                name=_name(run),
                data_dir=conditions.data_dir,
                evaluation=EvaluationSettings(limit=conditions.rows_of(run), seeds=conditions.seeds),
                retrieval=RetrievalSettings(k=run.k),
                sampling=SamplingSettings(max_new_tokens=run.max_new_tokens),
            )
        )
        return replace(plan, arms=plan.arms if run.baselines else plan.asked, seeds=self._seeds(run))

    def _of_made_rows(self, run: Run) -> Plan:
        samples = made_rows(run.source, self._conditions.rows_of(run), self._questions)
        task = load_task(task_of(run.source))
        arms = tuple(Arm(name, run.reading) for name in run.strategies)
        return Plan(
            name=_name(run),
            task=task.name,
            samples=samples,
            arms=arms,
            baseline=arms[0].name,
            seeds=self._seeds(run),
            label_names=run.label_names,
            retrieval=RetrievalSettings(k=run.k),
            sampling=SamplingSettings(max_new_tokens=run.max_new_tokens),
            data={"source": run.source, "sha256": _sha256([asdict(sample) for sample in samples]), "split": "test"},
            prompts_sha256=prompts_sha256(task, [find_strategy(name) for name in run.strategies]),
        )

    def _seeds(self, run: Run) -> tuple[int, ...]:
        return tuple(range(run.first_seed, run.first_seed + self._conditions.seeds))

    def _index(self, source: str) -> str:
        if source not in self._indexes:
            report = self._building
            loaded = load_dataset(source, self._conditions.data_dir)
            progress = None if report is None else lambda done: report(f"{source} (train)", done)
            self._indexes[source] = pool_index(loaded, self._conditions.encoder, progress).name
        return self._indexes[source]


def _name(run: Run) -> str:
    return f"demo-table-{run.name}"


def _sha256(rows: Sequence[Mapping[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False, sort_keys=True).encode("utf-8")).hexdigest()
