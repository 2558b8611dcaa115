"""The plan of an advice: which strategies race on which samples, with how much; frozen before anything is asked."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from assistant.answering import Assistant
from assistant.data import Fields
from assistant.errors import SettingError, UnknownName
from assistant.evaluation.advice.arms import racing_arms
from assistant.evaluation.advice.rows import MOST_ROWS, load_rows
from assistant.evaluation.outcomes import Arm, Sample
from assistant.evaluation.running.baselines import baselines_for
from assistant.evaluation.running.learnt_rows import without_learnt
from assistant.evaluation.running.planning import index_facts, model_facts, prompts_sha256
from assistant.evaluation.sets.datasets import LoadedSet
from assistant.evaluation.sets.pools import pool_index, pool_index_name
from assistant.evaluation.sets.samples import ids_hash
from assistant.evaluation.statistics.power import ALPHA
from assistant.prompting.strategies import Strategy, find_strategy
from assistant.retrieval.building import BuildProgress
from assistant.retrieval.opened import DemonstrationIndex
from assistant.settings import AdviceSettings, ModelSettings

DEV_SHARE = 0.6
"""The share of the budget that the race may spend; the rest is for test."""
BLOCK_SIZE = 16
WORDS = ("name", "left_out", "notes")
"""What a plan says of itself, and what decides nothing."""
FINALISTS = 3


@dataclass(frozen=True)
class AdvicePlan:
    """Everything that decides an advice. `dev` chooses, `test` reports; no sample is in both."""

    name: str
    task: str
    arms: tuple[Arm, ...]
    baseline: str
    """Name of an arm."""
    without_model: tuple[str, ...]
    dev: tuple[Sample, ...]
    test: tuple[Sample, ...]
    index: str
    settings: AdviceSettings
    data: Mapping[str, Any]
    model: Mapping[str, Any]
    """Name, adapter, number format, context and identity of the chat model."""
    index_facts: Mapping[str, Any] = field(default_factory=dict)
    """Rows, encoder and hashes of the index."""
    prompts_sha256: str = ""
    """Of the task's file and of every template that is used."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Strategy → why it does not race."""
    notes: tuple[str, ...] = ()
    block_size: int = BLOCK_SIZE
    alpha: float = ALPHA

    @property
    def hash(self) -> str:
        """Return the sha256 of the settings: two plans with the same one give the same advice."""
        record = self.decisive()
        return hashlib.sha256(json.dumps(record, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def decisive(self) -> dict[str, Any]:
        """Return everything that decides the outcomes, as plain data: no name, and no words about the plan."""
        return {key: value for key, value in self.to_json().items() if key not in WORDS}

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain data; the samples as their number and hash."""
        record = asdict(replace(self, dev=(), test=()))
        for part in ("dev", "test"):
            samples: tuple[Sample, ...] = getattr(self, part)
            record[part] = {"n": len(samples), "ids_sha256": ids_hash(samples), "sha256": _sha256(samples)}
        plain: dict[str, Any] = json.loads(json.dumps(record))
        return plain

    def arm(self, name: str) -> Arm:
        """Return the arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)


def plan_advice(
    source: str,
    assistant: Assistant,
    settings: AdviceSettings | None = None,
    *,
    task: str | None = None,
    data_dir: str | Path | None = None,
    fields: Fields | None = None,
    split: str | None = None,
    index: str | None = None,
    name: str | None = None,
    model: ModelSettings | None = None,
    progress: Callable[[str, BuildProgress], None] | None = None,
) -> AdvicePlan:
    """Return the plan for a table or a known data set; the index of its pool is built if none is given.

    Args:
        source: A file, a hub data set, or the name of a known data set.
        assistant: Whose model is asked; nothing is generated yet.
        settings: Budget, strategies and the rest.
        task: What is asked; a known data set has its own.
        data_dir: Folder of known data sets that are not built in.
        fields: The columns of the source; None guesses them.
        split: Of a hub data set.
        index: The index that demonstrations come from.
        name: Of the run; None makes one from the data and the plan's hash.
        model: How the assistant's model was loaded: what it, or its adapter, has learnt from is not measured on.
        progress: Is told the name of an index that is built, and how far it is.

    Raises:
        ShotwiseError: if the data, the task, the index or the budget cannot be used.
    """
    settings = settings or AdviceSettings()
    loaded = load_rows(
        source, task=task, seed=settings.seed, pool=settings.pool, data_dir=data_dir, fields=fields, split=split
    )
    opened = _opened(loaded, index, settings.encoder, progress)
    loaded = _unseen(loaded, model, opened)
    plan = _planned(loaded, opened, assistant, settings, _data_facts(source, loaded))
    _check_budget(plan)
    return replace(plan, name=name or f"advice-{loaded.data.name[:40]}-{plan.hash[:8]}")


def _unseen(loaded: LoadedSet, model: ModelSettings | None, index: DemonstrationIndex) -> LoadedSet:
    """Return the rows with no sample in dev and test that model or encoder has learnt from, and a note on how many."""
    parts = {"dev sample": loaded.dev, "test sample": loaded.test}
    (dev, test), notes = without_learnt(parts, loaded.group_column, model, index)
    return replace(loaded, dev=dev, test=test, notes=(*loaded.notes, *notes))


def _planned(
    loaded: LoadedSet,
    opened: DemonstrationIndex,
    assistant: Assistant,
    settings: AdviceSettings,
    data: Mapping[str, Any],
) -> AdvicePlan:
    """Return the plan, without a name."""
    arms, left_out = racing_arms(assistant, loaded, opened.name, settings)
    return AdvicePlan(
        name="",
        task=loaded.task.name,
        arms=arms,
        baseline=_baseline(arms, settings.baseline),
        without_model=baselines_for(loaded.task),
        dev=_shuffled(loaded.dev[:MOST_ROWS], settings.seed),
        test=tuple(sample for unit in _units(loaded.test[:MOST_ROWS]) for sample in unit),
        index=opened.name,
        settings=settings,
        data=data,
        model=model_facts(assistant.model),
        index_facts=index_facts(opened),
        prompts_sha256=prompts_sha256(loaded.task, [find_strategy(arm.strategy) for arm in arms]),
        left_out=left_out,
        notes=(*loaded.notes, *opened.notes, *assistant.model.notes),
    )


def calls_per_answer(strategy: Strategy) -> int:
    """Return how often the model is called for one answer."""
    return strategy.samples if strategy.samples > 1 else 2 if strategy.reasoning == "asked" else 1


def _opened(
    loaded: LoadedSet, index: str | None, encoder: str, progress: Callable[[str, BuildProgress], None] | None
) -> DemonstrationIndex:
    if index is not None:
        return DemonstrationIndex.open(index)
    name = pool_index_name(loaded, encoder)
    return pool_index(loaded, encoder, None if progress is None else partial(progress, name))


def _baseline(arms: Sequence[Arm], strategy: str) -> str:
    if not strategy:
        return arms[0].name
    found = next((arm.name for arm in arms if strategy in (arm.strategy, arm.name)), None)
    if found is None:
        raise UnknownName("strategy in this race", strategy, [arm.strategy for arm in arms])
    return found


def _units(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Return the samples of each group, and each that has none, where the first of them stood."""
    units: dict[str, list[Sample]] = {}
    for sample in samples:
        units.setdefault(f"group {sample.group}" if sample.group else f"row {sample.id}", []).append(sample)
    return list(units.values())


def _shuffled(samples: Sequence[Sample], seed: int) -> tuple[Sample, ...]:
    """Return the samples in an order of chance, which the race relies on; groups stay together."""
    units = _units(samples)
    random.Random(f"race {seed}").shuffle(units)
    return tuple(sample for unit in units for sample in unit)


def in_blocks(samples: Sequence[Sample], size: int) -> list[tuple[Sample, ...]]:
    """Return the samples in blocks of about `size`; a group is never split."""
    blocks: list[list[Sample]] = []
    for place, sample in enumerate(samples):
        same = place > 0 and sample.group != "" and sample.group == samples[place - 1].group
        if not blocks or (len(blocks[-1]) >= size and not same):
            blocks.append([])
        blocks[-1].append(sample)
    return [tuple(block) for block in blocks]


def _check_budget(plan: AdvicePlan) -> None:
    """Refuse a budget that does not pay for one block of the race and one of the test."""
    costs = sorted(calls_per_answer(find_strategy(arm.strategy)) for arm in plan.arms)
    race, test = (len(in_blocks(samples, plan.block_size)[0]) for samples in (plan.dev, plan.test))
    least = max(race * sum(costs) / DEV_SHARE, test * sum(costs[-FINALISTS:]) / (1 - DEV_SHARE))
    if plan.settings.budget < least:
        raise SettingError(
            f"{plan.settings.budget:,} model calls are too few for {len(costs)} strategies.",
            f"Allow at least {math.ceil(least):,} with --budget, or name fewer with --strategies.",
        )


def _data_facts(source: str, loaded: LoadedSet) -> dict[str, Any]:
    groups = {sample.group for sample in (*loaded.dev, *loaded.test) if sample.group}
    return {
        "source": Path(source).name if Path(source).exists() else source,
        "title": loaded.data.title,
        "sha256": dict(loaded.fingerprints),
        "seed": loaded.seed,
        "pool": len(loaded.pool),
        "dev": len(loaded.dev),
        "test": len(loaded.test),
        "groups": len(groups),
    }


def _sha256(samples: Sequence[Sample]) -> str:
    text = json.dumps([asdict(sample) for sample in samples], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
