"""From what a person asks for to a plan: data found, strategies sorted out, mistakes told before a model is loaded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from assistant import paths
from assistant.errors import IndexMismatch, IndexNotFound, SettingError, UnknownName
from assistant.evaluation.outcomes import BASELINES, CALIBRATIONS, Arm
from assistant.evaluation.running.baselines import FITTED, baselines_for, rows_are_left
from assistant.evaluation.running.classifiers import (
    classifier_arms,
    classifier_facts,
    fitting_classifiers,
    unlearnt,
)
from assistant.evaluation.running.learnt_rows import unseen
from assistant.evaluation.running.plan import Plan, is_random
from assistant.evaluation.running.reference_scores import REFERENCED, check_calibration
from assistant.evaluation.running.wanted import Found, Wanted, found_samples
from assistant.evaluation.sets.pools import pool_index
from assistant.generation.chat_model import ChatModel
from assistant.prompting.strategies import Strategy, find_strategy, strategies_for
from assistant.prompting.tasks import Task
from assistant.records import Demonstration
from assistant.retrieval.building import BuildProgress
from assistant.retrieval.builtin import BUILT_IN, build_built_in
from assistant.retrieval.opened import DemonstrationIndex
from assistant.settings import READINGS, GuardSettings

__all__ = ["CHOICES_OF_READING", "Wanted", "named", "plan_evaluation", "with_model"]

BOTH = "both"
CHOICES_OF_READING = (*READINGS, BOTH)
_MOST_UNFIT = 1000
"""Rows of an index that are tried before it is said not to fit."""

BuildReport = Callable[[str, BuildProgress], None]


def plan_evaluation(wanted: Wanted, report: BuildReport | None = None) -> Plan:
    """Return the plan of what is wanted, without the model's part (see `with_model`).

    A missing index of the data set's training part, or a missing built-in one, is built; `report`
    is told how far that is, with the index's name.

    Raises:
        ShotwiseError: for the first thing that cannot be done, in one sentence.
    """
    strategies, data, readings = _checked(wanted)
    task = data.task
    classifiers = fitting_classifiers(wanted.classifiers, task)
    data = unseen(unlearnt(data, classifiers), wanted.model)
    index = _index(wanted, data, strategies, report)
    data = unseen(data, None, index)
    chosen = strategies or (_fitting(task, index, readings, wanted) if wanted.ask_model else [])
    _check_index(index, task, chosen)
    arms, notes = _arms(chosen, readings, wanted) if chosen or wanted.ask_model else ((), ())
    arms, more = _with_baselines(arms, data, index, wanted.retrieval.guard)
    arms = (*arms, *classifier_arms(classifiers))
    plan = Plan(
        name=wanted.name or "",
        task=task.name,
        samples=data.samples,
        arms=arms,
        baseline=_baseline(wanted.baseline, arms),
        seeds=tuple(range(wanted.evaluation.seeds)),
        index=None if index is None else index.name,
        wording=wanted.wording,
        label_names=wanted.label_names,
        calibrations=("none", *(name for name in dict.fromkeys(wanted.calibrations) if name != "none")),
        retrieval=wanted.retrieval,
        sampling=wanted.sampling,
        block_size=wanted.evaluation.block_size,
        check_size=wanted.evaluation.check_size,
        data=data.facts,
        index_facts={} if index is None else index_facts(index),
        prompts_sha256=prompts_sha256(task, chosen),
        classifiers=classifier_facts(classifiers),
        notes=(*data.notes, *notes, *more, *(index.notes if index is not None else ())),
    )
    return replace(plan, notes=(*plan.notes, *_seed_notes(plan)))


def _checked(wanted: Wanted) -> tuple[list[Strategy], Found, tuple[str, ...]]:
    """Return strategies, data and readings; what can be refused before an index is built is refused here."""
    if wanted.name is not None:
        paths.checked_name(wanted.name, "evaluation")
    strategies = [find_strategy(name) for name in dict.fromkeys(wanted.strategies)]
    data = found_samples(wanted)
    if wanted.label_names:
        data.task.renamed(wanted.label_names)
    data.task.wording(wanted.wording)
    readings = _readings(wanted, data.task)
    for strategy in strategies:
        strategy.check_fits(data.task)
    if strategies:
        _arms(strategies, readings, wanted)
    return strategies, data, readings


def with_model(plan: Plan, model: ChatModel) -> Plan:
    """Return the plan with the facts of the loaded model and, where it has none, a name made of its settings."""
    return named(replace(plan, model=model_facts(model), notes=(*plan.notes, *model.notes)))


def named(plan: Plan) -> Plan:
    """Return the plan with a name, made of its data and settings where it has none."""
    return plan if plan.name else replace(plan, name=f"{_stem(str(plan.data['source']))}-{plan.hash[:8]}")


def model_facts(model: ChatModel) -> dict[str, Any]:
    """Return what tells one loaded model from another."""
    return {
        "name": model.name,
        "adapter": model.adapter,
        "dtype": model.dtype,
        "context_tokens": model.context_tokens,
        "identity": dict(getattr(model, "identity", {})),
        "chat_template_sha256": getattr(model.renderer, "template_hash", ""),
    }


def _stem(source: str) -> str:
    """Return the beginning of a run's name, from the name of its data."""
    return re.sub(r"[^A-Za-z0-9]+", "-", Path(source).name.split(".")[0]).strip("-")[:40] or "run"


def _readings(wanted: Wanted, task: Task) -> tuple[str, ...]:
    chosen = wanted.reading or ("labels" if task.labels else "generate")
    if chosen not in CHOICES_OF_READING:
        raise UnknownName("reading", chosen, CHOICES_OF_READING)
    if chosen != "generate" and not task.labels:
        raise SettingError(f"The task '{task.name}' has no labels to score.", "Choose --reading generate.")
    for name in wanted.calibrations:
        if name not in CALIBRATIONS:
            raise UnknownName("calibration", name, CALIBRATIONS)
    if chosen == "generate" and set(wanted.calibrations) - {"none"}:
        raise SettingError("Only label scores can be calibrated.", "Choose --reading labels or both.")
    return ("labels", "generate") if chosen == BOTH else (chosen,)


def _index(
    wanted: Wanted, data: Found, strategies: Sequence[Strategy], report: BuildReport | None
) -> DemonstrationIndex | None:
    """Return the opened index, or None if the task has none and no strategy insists on one."""
    if wanted.index is None and data.loaded is not None:
        name = f"{data.loaded.data.name} (train)"
        return pool_index(data.loaded, progress=None if report is None else lambda progress: report(name, progress))
    name = wanted.index or data.task.index
    if name in BUILT_IN:
        build_built_in(report, names=(name,))
    if name:
        return DemonstrationIndex.open(name)
    needing = next((strategy for strategy in strategies if strategy.needs_index), None)
    if needing is not None:
        raise IndexNotFound(
            f"The task '{data.task.name}' has no built-in index, and '{needing.name}' needs one.",
            f"Build one from rows that are not evaluated: shotwise index build FILE --name NAME --task "
            f"{data.task.name}, then say --index NAME.",
        )
    return None


def _fitting(task: Task, index: DemonstrationIndex | None, readings: Sequence[str], wanted: Wanted) -> list[Strategy]:
    """Return the strategies that can be evaluated; where labels alone are scored, those that write nothing first."""
    explained = index is not None and bool(index.manifest.fields.get("rationale"))
    found = []
    for strategy in strategies_for(task):
        lacks_index = strategy.needs_index and index is None
        lacks_rationales = strategy.needs_index and strategy.reasoning == "shown" and not explained
        writes = strategy.reasoning != "none" and "generate" not in readings
        uncalibrated = strategy.reasoning == "asked" and bool(set(wanted.calibrations) & set(REFERENCED))
        if not (lacks_index or lacks_rationales or writes or uncalibrated):
            found.append(strategy)
    return found


def _check_index(index: DemonstrationIndex | None, task: Task, strategies: Sequence[Strategy]) -> None:
    """Refuse an index that a strategy searches in vain.

    Raises:
        IndexMismatch: if none of its first rows fits the task, or has the rationale that is shown.
    """
    searching = [strategy for strategy in strategies if strategy.needs_index]
    if index is None or not searching:
        return
    reason = ""
    explained = False
    for at in range(min(len(index), _MOST_UNFIT)):
        adapted = task.adapt(index.demonstration(at))
        if isinstance(adapted, Demonstration):
            explained = explained or bool(adapted.rationale)
            reason = ""
            if explained:
                break
        elif at == 0:
            reason = adapted
    if reason:
        raise IndexMismatch(
            f"The index '{index.name}' does not fit the task '{task.name}': {reason}.", "Choose another index or task."
        )
    showing = next((strategy for strategy in searching if strategy.reasoning == "shown"), None)
    if showing is not None and not explained:
        raise IndexMismatch(
            f"The index '{index.name}' has no rationales, and '{showing.name}' shows them.",
            "Build it with --rationale FIELD, or leave the strategy out.",
        )


def _arms(
    strategies: Sequence[Strategy], readings: Sequence[str], wanted: Wanted
) -> tuple[tuple[Arm, ...], tuple[str, ...]]:
    """Return the arms that can be, and notes on those that cannot."""
    arms, notes = [], []
    for strategy in strategies:
        for reading in readings:
            if reading == "labels" and strategy.reasoning == "shown":
                notes.append(f"{strategy.name} shows its reasoning: scoring labels would skip it, and was left out.")
                continue
            if reading == "labels":
                for calibration in wanted.calibrations:
                    check_calibration(strategy, calibration)
            arms.append(Arm(strategy.name, reading))
    if not arms:
        raise SettingError("No strategy is left to evaluate: " + " ".join(notes), "Choose --reading generate.")
    return tuple(arms), tuple(notes)


def _with_baselines(
    arms: tuple[Arm, ...], data: Found, index: DemonstrationIndex | None, guard: GuardSettings
) -> tuple[tuple[Arm, ...], tuple[str, ...]]:
    """Return the arms with those that ask no language model, and a note on those that cannot be."""
    if index is None:
        return arms, ("There is no index, so the rows without a language model (majority, kNN vote …) are missing.",)
    names = [name for name in BASELINES if name in baselines_for(data.task)]
    notes: tuple[str, ...] = ()
    left_out = [name for name in names if name in FITTED]
    if left_out and not rows_are_left(data.samples, index, data.task, guard):
        names = [name for name in names if name not in left_out]
        notes = (
            f"Every row of the index is evaluated itself, so none is left to fit: no {' and no '.join(left_out)}.",
        )
    return (*arms, *(Arm(name, "none") for name in names)), notes


def _baseline(name: str | None, arms: Sequence[Arm]) -> str:
    """Return the name of the arm that the others are compared with: the first, unless another is named."""
    if name is None:
        return arms[0].name
    for arm in arms:
        if name in (arm.name, arm.strategy):
            return arm.name
    raise UnknownName("strategy in this evaluation", name, dict.fromkeys(arm.strategy for arm in arms))


def _seed_notes(plan: Plan) -> tuple[str, ...]:
    """Return which arms were repeated with several seeds, if any was."""
    if len(plan.seeds) == 1:
        return ()
    repeated = [arm.name for arm in plan.asked if is_random(arm, plan.retrieval, plan.sampling)]
    once = len(plan.asked) - len(repeated)
    if not repeated:
        return ("Nothing is drawn by chance: everything was answered once.",)
    rest = f"; the other {once} draw nothing by chance and were answered once" if once else ""
    return (f"Answered with {len(plan.seeds)} seeds: {', '.join(repeated)}{rest}.",)


def index_facts(index: DemonstrationIndex) -> dict[str, Any]:
    """Return what tells one index from another; when it was built does not."""
    manifest = index.manifest
    return {
        "name": index.name,
        "rows": manifest.count,
        "metric": manifest.metric,
        "encoder": dict(manifest.encoder),
        "source": manifest.source.get("fingerprint", ""),
        "files": {name: kept.sha256 for name, kept in sorted(manifest.files.items())},
    }


def prompts_sha256(task: Task, strategies: Sequence[Strategy]) -> str:
    """Return the hash of every prompt file that is used."""
    templates = sorted({strategy.template for strategy in strategies if strategy.template})
    files = [paths.prompts() / "tasks" / f"{task.name}.toml"]
    files += [paths.prompts() / "templates" / f"{name}.toml" for name in templates]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode("utf-8") + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
