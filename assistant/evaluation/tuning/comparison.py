"""A fine-tuned model against its base, on the same held-out rows under the same prompts.

On rows of its own task this says what was gained; on those of another, what was forgotten.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from assistant import paths
from assistant.answering import Assistant
from assistant.errors import AdapterError, DataError, UnknownName
from assistant.evaluation.metrics.leaderboard import sample_means
from assistant.evaluation.metrics.text import RIGHT_OR_WRONG
from assistant.evaluation.outcomes import Arm, Outcome, Sample
from assistant.evaluation.running.learnt_rows import learnt_by
from assistant.evaluation.running.plan import Plan
from assistant.evaluation.running.planning import index_facts, prompts_sha256, with_model
from assistant.evaluation.running.progress import Report
from assistant.evaluation.running.runner import evaluate
from assistant.evaluation.sets.datasets import LoadedSet, data_set_names
from assistant.evaluation.sets.pools import pool_index
from assistant.evaluation.statistics.paired import compare_arms
from assistant.evaluation.tuning.source import Place
from assistant.finetuning.generators.adapter_record import read_record, write_record
from assistant.finetuning.generators.card import card, is_model
from assistant.finetuning.generators.methods import find_method
from assistant.finetuning.generators.shelf import Entry
from assistant.generation.chat_model import StopSignal
from assistant.generation.loading import load_chat_model
from assistant.prompting.building import check_reading
from assistant.prompting.strategies import find_strategy
from assistant.retrieval.building import BuildProgress
from assistant.settings import (
    DEFAULT_STRATEGY,
    READINGS,
    EvaluationSettings,
    ModelSettings,
    RetrievalSettings,
    SamplingSettings,
)

BASE, TUNED = "base", "tuned"


@dataclass(frozen=True)
class Question:
    """How base and fine-tuned model are compared."""

    place: Place
    model: ModelSettings
    """The base; its adapter is set here, and its quantisation as it was trained unless one is given."""
    limit: int = EvaluationSettings.limit
    """Held-out rows answered, drawn evenly by label."""
    strategy: str | None = None
    """None: that of the training, on its own rows; else zero-shot."""
    reading: str | None = None
    """`labels` or `generate`; None: labels where the task has them."""
    sampling: SamplingSettings = field(default_factory=SamplingSettings)

    def __post_init__(self) -> None:
        """Check the reading before anything is loaded."""
        if self.reading is not None and self.reading not in READINGS:
            raise UnknownName("reading", self.reading, READINGS)


@dataclass(frozen=True)
class Gain:
    """What the fine-tuned model scores beside its base: means over the same rows, 0…1, and their difference."""

    name: str
    source: str
    task: str
    metric: str
    strategy: str
    reading: str
    n: int
    base: float
    tuned: float
    difference: float
    interval: tuple[float, float]
    """95 %, paired."""
    p_value: float
    wins: int
    losses: int
    verdict: str
    own: bool
    """Whether it was trained on this source."""
    left_out: int = 0
    """Rows that were not measured on because it, or its base, has learnt from them or from their group."""

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain data."""
        return {**asdict(self), "interval": list(self.interval)}


def default_place(entry: Entry, data_dir: str | None = None, source: str | None = None) -> Place:
    """Return where the rows of an adapter's own training were found, at `source` if it lies elsewhere now.

    Raises:
        AdapterError: if that was not recorded and no source is given.
    """
    record = read_record(entry.folder)
    if not record and source is None:
        raise AdapterError(f"It is not recorded what '{entry.name}' was trained on.", "Name rows: a SOURCE.")
    if not record:
        return Place(str(source), data_dir=data_dir)
    data = record["data"]
    columns = data.get("columns", {})
    where = source or data["source"]
    # Once any split was written down of a known data set, and none was taken.
    whole = data.get("split") == "train" or where in data_set_names()
    return Place(
        where,
        task=record["task"]["name"],
        data_dir=data_dir,
        split=None if whole else data.get("split"),
        inputs=tuple(columns.get("inputs", ())),
        output=columns.get("output"),
        rationale=columns.get("rationale"),
        id=columns.get("id"),
        group=columns.get("group"),
    )


def compare_with_base(
    entry: Entry,
    question: Question,
    *,
    stop: StopSignal,
    report: Report | None = None,
    building: Callable[[BuildProgress], None] | None = None,
) -> Gain | None:
    """Return what a fine-tuned model gains over its base on rows that neither ever saw; None if it was stopped.

    What was answered before is not asked again.

    Raises:
        DataError: if the rows are not those that some were learnt from.
        ShotwiseError: for whatever cannot be loaded or asked.
    """
    record = read_record(entry.folder)
    own = bool(record) and record["data"].get("source") == question.place.name
    most = record["data"].get("most_rows") if own else None
    loaded = question.place.load(most, scored=True)
    if own and record["data"]["sha256"] != dict(loaded.fingerprints):
        raise DataError(
            f"'{question.place.name}' has changed since '{entry.name}' was trained on a part of it.",
            "Give the file as it was, or rows from elsewhere.",
        )
    every = len(loaded.test)
    loaded = replace(loaded, test=_unseen(loaded, _both(entry, question.model).values()))
    if not loaded.test:
        raise DataError(
            f"'{entry.name}', or its base, has learnt from every row that would be measured on.", "Name other rows."
        )
    plan = _plan(entry, question, loaded, record if own else {}, building)
    outcomes: dict[str, list[Outcome]] = {}
    for who, settings in _both(entry, _as_trained(question.model, record)).items():
        run = _answered(plan, f"with-{entry.name}" if who == TUNED else who, settings, stop, report)
        if not run["finished"]:
            return None
        outcomes[who] = [Outcome.from_json(one) for one in run["samples"]]
    gain = replace(_gain(entry, question, loaded, plan, outcomes, own), left_out=every - len(loaded.test))
    _remember(entry, gain)
    return gain


def _unseen(loaded: LoadedSet, models: Iterable[ModelSettings]) -> tuple[Sample, ...]:
    """Return the samples of test that none of the models has learnt from."""
    learnt = [marks for model in models for _, marks in learnt_by(model)]
    known = (any(marks.know(sample, loaded.group_column) for marks in learnt) for sample in loaded.test)
    return tuple(sample for sample, is_known in zip(loaded.test, known, strict=True) if not is_known)


def _as_trained(base: ModelSettings, record: Mapping[str, Any]) -> ModelSettings:
    """Return how the base is loaded: what was learnt beside weights in four bits is measured beside them too."""
    if base.load_in is not None or not record or is_model(record):
        return base
    return replace(base, load_in=find_method(record["settings"]["method"]).load_in)


def _both(entry: Entry, base: ModelSettings) -> dict[str, ModelSettings]:
    """Return how base and fine-tuned model are loaded."""
    tuned = replace(base, model=str(entry.folder)) if entry.whole else replace(base, adapter=str(entry.folder))
    return {BASE: replace(base, adapter=None), TUNED: tuned}


def _plan(
    entry: Entry,
    question: Question,
    loaded: LoadedSet,
    record: Mapping[str, Any],
    building: Callable[[BuildProgress], None] | None,
) -> Plan:
    """Return the plan of one of the two evaluations, without its name and its model's part."""
    task, settings = loaded.task, record.get("settings", {})
    strategy = find_strategy(question.strategy or settings.get("strategy") or DEFAULT_STRATEGY)
    strategy.check_fits(task)
    written = strategy.reasoning == "shown" or not task.labels
    reading = question.reading or ("generate" if written else "labels")
    check_reading(reading, task, strategy)
    index = pool_index(loaded, progress=building) if strategy.needs_index else None
    arm = Arm(strategy.name, reading)
    return Plan(
        name="",
        task=task.name,
        samples=tuple(map(_stripped, loaded.test[: question.limit])),
        arms=(arm,),
        baseline=arm.name,
        index=None if index is None else index.name,
        wording=settings.get("wording", "default"),
        retrieval=RetrievalSettings(k=settings.get("k") or RetrievalSettings.k),
        sampling=question.sampling,
        check_size=0,
        data=question.place.facts(loaded, None),
        index_facts={} if index is None else index_facts(index),
        prompts_sha256=prompts_sha256(task, [strategy]),
    )


def _stripped(sample: Sample) -> Sample:
    return replace(sample, inputs={name: text.strip() for name, text in sample.inputs.items()})


def _answered(plan: Plan, who: str, settings: ModelSettings, stop: StopSignal, report: Report | None) -> dict[str, Any]:
    """Return the record of one of the two, kept under `runs/` as `evaluate` keeps it."""
    assistant = Assistant(load_chat_model(settings))
    plan = with_model(plan, assistant.model)
    folder = paths.runs() / f"tuned-{who}-{plan.name}"
    record = evaluate(replace(plan, name=folder.name), assistant, folder, stop=stop, report=report)
    del assistant
    gc.collect()  # of the two models, one at a time is in memory
    return record


def _gain(
    entry: Entry, question: Question, loaded: LoadedSet, plan: Plan, outcomes: dict[str, list[Outcome]], own: bool
) -> Gain:
    task, (arm,) = loaded.task, plan.arms
    scores = {who: sample_means(of_one, task) for who, of_one in outcomes.items()}
    groups = {sample.id: sample.group for sample in plan.samples}
    (found,) = compare_arms(BASE, scores, groups=groups, binary=task.metric in RIGHT_OR_WRONG)
    means = {who: sum(of_one.values()) / len(of_one) for who, of_one in scores.items()}
    return Gain(
        name=entry.name,
        source=question.place.name,
        task=task.name,
        metric=task.metric,
        strategy=arm.strategy,
        reading=arm.reading,
        n=found.n,
        base=means[BASE],
        tuned=means[TUNED],
        difference=found.difference,
        interval=(found.interval.low, found.interval.high),
        p_value=found.p_value,
        wins=found.wins,
        losses=found.losses,
        verdict=found.verdict,
        own=own,
    )


def _remember(entry: Entry, gain: Gain) -> None:
    """Write the figures into the record and the card of what was made here; newer ones replace older ones."""
    record = read_record(entry.folder)
    if not record:
        return
    key = ("source", "task", "strategy", "reading")
    new = gain.to_json()
    others = [one for one in record.get("scores", []) if any(one[name] != new[name] for name in key)]
    record["scores"] = [*others, new]
    write_record(entry.folder, record, card(record))
