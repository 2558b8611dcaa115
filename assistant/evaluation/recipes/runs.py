"""Running a recipe: each of its runs becomes a plan, and the plans are carried out one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant import paths
from assistant.answering import Assistant
from assistant.evaluation.outcomes import Sample
from assistant.evaluation.recipes.recipe import Recipe, RecipeRun
from assistant.evaluation.running.learnt_rows import without_learnt
from assistant.evaluation.running.plan import Plan
from assistant.evaluation.running.planning import BuildReport, index_facts, prompts_sha256, with_model
from assistant.evaluation.running.progress import Report
from assistant.evaluation.running.runner import evaluate
from assistant.evaluation.sets.datasets import DataSet, LoadedSet, find_data_set, load_dataset, load_rows
from assistant.evaluation.sets.pools import pool_index
from assistant.evaluation.sets.samples import drawn
from assistant.generation.chat_model import ChatModel, StopSignal
from assistant.prompting.strategies import find_strategy
from assistant.prompting.tasks import load_task
from assistant.retrieval.encoders import DEFAULT
from assistant.settings import ModelSettings, RetrievalSettings, SamplingSettings


@dataclass(frozen=True)
class Conditions:
    """What is the same for all runs of a recipe; `data_dir=None` leaves the built-in data sets."""

    data_dir: str | None = None
    limit: int | None = None
    encoder: str = DEFAULT
    model: ModelSettings | None = None
    """The model that will be asked: samples that it, or its adapter, has learnt from are left out."""


def plan_recipe(
    recipe: Recipe,
    conditions: Conditions,
    *,
    building: BuildReport | None = None,
) -> tuple[list[tuple[RecipeRun, Plan]], list[str]]:
    """Return the plan of every run that can be carried out, without the model's part, and what is left out.

    Indexes that are missing are built. Data are read before the first question is asked.

    Raises:
        DataError: if a run that is not optional lacks its data, or the model has learnt from all its samples.
    """
    plans, left_out = [], []
    for run in recipe.runs:
        data = run.data_set(has_folder=conditions.data_dir is not None)
        if data is None:
            left_out.append(f"{run.title}: it needs the data set '{run.data}'; say --data DIR.")
        else:
            plans.append((run, _plan(recipe, run, data, conditions, building)))
    return plans, left_out


def run_plans(
    plans: list[tuple[RecipeRun, Plan]],
    assistant: Assistant,
    *,
    stop: StopSignal | None = None,
    report: Callable[[RecipeRun], Report] | None = None,
) -> list[tuple[RecipeRun, dict[str, Any]]]:
    """Return the record of every run; each has its own folder under `runs/`, and what is done there is not repeated.

    Raises:
        ShotwiseError: for whatever cannot be asked; what was finished before is kept.
    """
    records = []
    for run, plan in plans:
        if stop is not None and stop.is_set():
            break
        with in_roles(assistant.model, run.roles):
            complete = with_model(plan, assistant.model)
            tell = None if report is None else report(run)
            records.append((run, evaluate(complete, assistant, folder_of(complete), stop=stop, report=tell)))
    return records


def folder_of(plan: Plan) -> Path:
    """Return the folder of a run; other settings have another one, so that none is ever mixed."""
    return paths.runs() / f"{plan.name}-{plan.hash[:8]}"


@contextmanager
def in_roles(model: ChatModel, roles: str) -> Iterator[None]:
    """Let the model's prompts be rendered under `prompts/templates/ROLES.jinja` for a while; empty: its own."""
    if not roles:
        yield
        return
    own = model.renderer
    speaker: Any = model
    speaker.renderer = speaker.renderer.under((paths.prompts() / "templates" / f"{roles}.jinja").read_text("utf-8"))
    try:
        yield
    finally:
        speaker.renderer = own


def _plan(
    recipe: Recipe,
    run: RecipeRun,
    data: DataSet,
    conditions: Conditions,
    building: BuildReport | None,
) -> Plan:
    task = load_task(data.task)
    arms = run.arms(task)
    loaded = None if run.ids else load_dataset(data.name, conditions.data_dir)
    asked = {"sample": _samples(run, loaded, conditions)}
    (samples,), left_out = without_learnt(asked, data.fields.group or "", conditions.model)
    index = None
    if any(arm.is_baseline or find_strategy(arm.strategy).needs_index for arm in arms):
        pool = loaded or load_dataset(data.name, conditions.data_dir)
        name = f"{data.name} (train)"
        index = pool_index(pool, conditions.encoder, None if building is None else lambda done: building(name, done))
    return Plan(
        name=f"{recipe.name}-{run.name}",
        task=task.name,
        samples=samples,
        arms=arms,
        baseline=run.baseline or arms[0].name,
        seeds=tuple(range(run.seeds)),
        index=None if index is None else index.name,
        label_names=run.label_names,
        retrieval=RetrievalSettings(k=run.k),
        sampling=SamplingSettings(max_new_tokens=run.max_new_tokens),
        data=_data_facts(run, data, loaded),
        index_facts={} if index is None else index_facts(index),
        prompts_sha256=prompts_sha256(task, [find_strategy(arm.strategy) for arm in arms if not arm.is_baseline]),
        notes=(*_notes(run, data, loaded), *left_out),
    )


def _samples(run: RecipeRun, loaded: LoadedSet | None, conditions: Conditions) -> tuple[Sample, ...]:
    wished = run.limit if conditions.limit is None else min(run.limit, conditions.limit)
    if loaded is None:
        rows = load_rows(run.data, run.ids, run.part, conditions.data_dir)
        if wished >= len(rows):
            return rows
    else:
        rows = loaded.part(run.part)
        if run.seed == loaded.seed:
            return rows[:wished]
    by_label = load_task(find_data_set(run.data).task).labels
    return tuple(drawn(rows, run.seed, lambda one: one.targets[0] if by_label else "")[:wished])


def _notes(run: RecipeRun, data: DataSet, loaded: LoadedSet | None) -> tuple[str, ...]:
    notes = []
    if data.name != run.data:
        notes.append(
            f"The built-in data set '{data.name}' stands in for '{run.data}': no folder of data sets was named."
        )
    if run.published_reading:
        notes.append("These replies are also read by the published parser, which has a default class.")
    if run.roles:
        notes.append(f"Roles are written as in '{run.roles}.jinja', not in the model's own chat template.")
    return (*notes, *(loaded.notes if loaded is not None else (f"Contamination: {data.contamination}",)))


def _data_facts(run: RecipeRun, data: DataSet, loaded: LoadedSet | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"source": data.name, "title": data.title, "split": run.part, "terms": data.terms}
    if loaded is not None:
        facts |= {"sha256": dict(loaded.fingerprints), "seed": loaded.seed, "draw_seed": run.seed}
    return facts
