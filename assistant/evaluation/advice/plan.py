"""The plan of an advice: which strategies race on which samples, with how much; frozen before anything is asked."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from assistant.answering import Assistant, Request
from assistant.data import Fields
from assistant.errors import SettingError, ShotwiseError, UnknownName
from assistant.evaluation.advice.rows import MOST_ROWS, load_rows
from assistant.evaluation.outcomes import Arm, Sample
from assistant.evaluation.running.answers import message_of
from assistant.evaluation.running.baselines import baselines_for
from assistant.evaluation.sets.datasets import LoadedSet
from assistant.evaluation.sets.pools import pool_index, pool_index_name
from assistant.evaluation.sets.samples import ids_hash
from assistant.evaluation.statistics.sequential import ALPHA
from assistant.prompting.strategies import Strategy, find_strategy, strategies_for
from assistant.prompting.tasks import Task
from assistant.retrieval.building import BuildProgress
from assistant.retrieval.opened import DemonstrationIndex
from assistant.settings import AdviceSettings

DEV_SHARE = 0.6
"""The share of the budget that the race may spend; the rest is for test."""
BLOCK_SIZE = 16
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
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Strategy → why it does not race."""
    notes: tuple[str, ...] = ()
    block_size: int = BLOCK_SIZE
    alpha: float = ALPHA

    @property
    def hash(self) -> str:
        """Return the sha256 of everything but the name: two plans with the same one give the same advice."""
        record = {key: value for key, value in self.to_json().items() if key != "name"}
        return hashlib.sha256(json.dumps(record, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

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
        progress: Is told the name of an index that is built, and how far it is.

    Raises:
        ShotwiseError: if the data, the task, the index or the budget cannot be used.
    """
    settings = settings or AdviceSettings()
    loaded = load_rows(
        source, task=task, seed=settings.seed, pool=settings.pool, data_dir=data_dir, fields=fields, split=split
    )
    opened = _opened(loaded, index, settings.encoder, progress)
    arms, left_out = _arms(assistant, loaded, opened.name, settings)
    plan = AdvicePlan(
        name=name or "",
        task=loaded.task.name,
        arms=arms,
        baseline=_baseline(arms, settings.baseline),
        without_model=baselines_for(loaded.task),
        dev=_kept_together(loaded.dev[:MOST_ROWS]),
        test=_kept_together(loaded.test[:MOST_ROWS]),
        index=opened.name,
        settings=settings,
        data=_data_facts(source, loaded),
        model=_model_facts(assistant),
        left_out=left_out,
        notes=(*loaded.notes, *opened.notes, *assistant.model.notes),
    )
    _check_budget(plan)
    return plan if name else replace(plan, name=f"advice-{loaded.data.name[:40]}-{plan.hash[:8]}")


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


def _arms(
    assistant: Assistant, loaded: LoadedSet, index: str, settings: AdviceSettings
) -> tuple[tuple[Arm, ...], dict[str, str]]:
    """Return the arms that can answer, and why each other strategy cannot; named ones must be able to."""
    task, sample = loaded.task, loaded.dev[0]
    named = [find_strategy(name) for name in dict.fromkeys(settings.strategies)]
    arms, left_out = [], {}
    for strategy in named or strategies_for(task):
        if not named and (strategy.random_labels or strategy.order):
            left_out[strategy.name] = "it is a control, which nobody would use"
            continue
        arm = Arm(strategy.name, _reading(strategy, task, settings))
        try:
            _check_can_answer(assistant, arm, strategy, task, sample, index, settings)
        except ShotwiseError as error:
            if named:
                raise
            left_out[strategy.name] = str(error)
            continue
        arms.append(arm)
    if not arms:
        raise SettingError(f"No strategy can answer the task '{task.name}' here: {'; '.join(left_out.values())}")
    return tuple(arms), left_out


def _reading(strategy: Strategy, task: Task, settings: AdviceSettings) -> str:
    """Return how replies are read: labels are scored where there are any and no reasoning would be skipped."""
    if not task.labels or strategy.reasoning == "shown" or strategy.samples > 1:
        return "generate"
    return settings.reading or "labels"


def _check_can_answer(
    assistant: Assistant, arm: Arm, strategy: Strategy, task: Task, sample: Sample, index: str, settings: AdviceSettings
) -> None:
    shown = [one for one in task.demonstrations if one.rationale or strategy.reasoning != "shown"]
    if strategy.selector == "fixed" and not shown:
        raise SettingError(f"the task '{task.name}' has no demonstrations of its own that it could show")
    assistant.prepare(
        Request(
            message_of(task, sample),
            strategy=strategy.name,
            task=task.name,
            index=index,
            wording=settings.wording,
            retrieval=settings.retrieval,
            sampling=settings.sampling,
            reading=arm.reading,
            sample_id=sample.id,
            group=sample.group,
        )
    )


def _baseline(arms: Sequence[Arm], strategy: str) -> str:
    if not strategy:
        return arms[0].name
    found = next((arm.name for arm in arms if strategy in (arm.strategy, arm.name)), None)
    if found is None:
        raise UnknownName("strategy in this race", strategy, [arm.strategy for arm in arms])
    return found


def _kept_together(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """Return the samples with those of one group next to each other, where the first of them stood."""
    units: dict[str, list[Sample]] = {}
    for sample in samples:
        units.setdefault(f"group {sample.group}" if sample.group else f"row {sample.id}", []).append(sample)
    return tuple(sample for unit in units.values() for sample in unit)


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


def _model_facts(assistant: Assistant) -> dict[str, Any]:
    model = assistant.model
    identity = {key: value for key, value in getattr(model, "identity", {}).items() if key != "place"}
    return {"name": model.name, "adapter": model.adapter, "dtype": model.dtype, "identity": identity}


def _sha256(samples: Sequence[Sample]) -> str:
    text = json.dumps([asdict(sample) for sample in samples], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
