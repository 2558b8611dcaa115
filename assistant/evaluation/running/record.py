"""`run.json`: what was planned, what came out, how sure that is, and what a reader should know."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from assistant.errors import IndexProblem
from assistant.evaluation.metrics.calibration import TRANSDUCTIVE
from assistant.evaluation.metrics.leaderboard import pairs_of, sample_means, summarise
from assistant.evaluation.metrics.text import RIGHT_OR_WRONG
from assistant.evaluation.outcomes import Arm, Outcome
from assistant.evaluation.running.checks import Overlap, below_chance, different_answers, one_label, pool_overlap
from assistant.evaluation.running.plan import Plan, check_key
from assistant.evaluation.running.shortfalls import shortfall_notes
from assistant.evaluation.statistics.power import power_record
from assistant.prompting.tasks import Task, load_task
from assistant.retrieval.opened import DemonstrationIndex

FORMAT = 1
RECORD = "run.json"
_LIBRARIES = ("torch", "transformers", "peft", "sentence-transformers", "faiss-cpu", "scikit-learn", "scipy", "numpy")

Blocks = Mapping[str, Sequence[Outcome]]


def run_record(plan: Plan, blocks: Blocks, *, finished: bool, created: str) -> dict[str, Any]:
    """Return the record of a run from its plan and the finished blocks of its journal."""
    task = load_task(plan.task)
    by_arm = outcomes_by_arm(plan, blocks)
    outcomes = [outcome for of_arm in by_arm.values() for outcome in of_arm]
    overlap = _overlap(plan, task)
    results = summarise(outcomes, task, calibrations=plan.calibrations) if outcomes else []
    pairs = pairs_of(outcomes, task, plan.baseline, calibrations=plan.calibrations) if outcomes else []
    tried = sum(row["kind"] == "strategy" for row in results)
    groups = {sample.group for sample in plan.samples if sample.group}
    return {
        "format": FORMAT,
        "name": plan.name,
        "created": created,
        "finished": finished,
        "task": {"name": task.name, "labels": list(task.labels), "metric": task.metric},
        "settings": plan.settings(),
        "settings_hash": plan.hash,
        "versions": versions(),
        "data": {**plan.data, "n": len(plan.samples), "ids_sha256": plan.ids_sha256, "groups": len(groups)},
        "model": dict(plan.model),
        "index": dict(plan.index_facts) or None,
        "leakage": _leakage(plan, overlap, by_arm),
        "checks": list(_checks(plan, blocks)),
        "baseline": plan.baseline,
        "tried": tried,
        "results": results,
        "pairs": pairs,
        "power": _power(by_arm, task, tried),
        "notes": list(_notes(plan, blocks, by_arm, overlap, task)),
        "samples": [outcome.to_json() for outcome in outcomes],
    }


def outcomes_by_arm(plan: Plan, blocks: Blocks) -> dict[Arm, list[Outcome]]:
    """Return the outcomes of every arm that has any, in the plan's order of arms, seeds and samples."""
    found: dict[Arm, list[tuple[int, int, Outcome]]] = {}
    for block in plan.blocks():
        for at, outcome in enumerate(blocks.get(block.key, ())):
            found.setdefault(block.arm, []).append((block.seed, block.start + at, outcome))
    return {
        arm: [outcome for *_, outcome in sorted(found[arm], key=lambda one: one[:2])]
        for arm in plan.arms
        if arm in found
    }


def versions() -> dict[str, str]:
    """Return the version of this program, of Python, and of every installed library that figures depend on."""
    found = {"shotwise": importlib.metadata.version("shotwise"), "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _overlap(plan: Plan, task: Task) -> Overlap | None:
    """Return which samples also stand in the index or among the task's demonstrations, or None if it is gone."""
    name = plan.index or task.index
    try:
        index = DemonstrationIndex.open(name) if name and plan.index_facts else None
    except IndexProblem:
        return None
    return pool_overlap(plan.samples, task, index)


def _leakage(plan: Plan, overlap: Overlap | None, by_arm: Mapping[Arm, Sequence[Outcome]]) -> dict[str, Any]:
    guard = plan.retrieval.guard
    if overlap is None:
        return {"guard": guard.enabled, "same_text": None, "same_id": None, "shown": {}}
    shown = {arm.name: overlap.shown(of_arm) for arm, of_arm in by_arm.items()}
    return {
        "guard": guard.enabled,
        "same_text": len(overlap.same_text),
        "same_id": len(overlap.same_id),
        "samples": sorted(overlap.same_text),
        "shown": {name: count for name, count in shown.items() if count},
    }


def _checks(plan: Plan, blocks: Blocks) -> Iterator[dict[str, Any]]:
    for arm in plan.asked:
        block = plan.check(arm)
        first, again = (blocks.get(check_key(block, when)) for when in ("first", "again"))
        if first is not None and again is not None:
            different = list(different_answers(first, again))
            yield {"name": arm.name, "seed": block.seed, "n": len(first), "different": different}


def _power(by_arm: Mapping[Arm, Sequence[Outcome]], task: Task, tried: int) -> dict[str, Any] | None:
    """Return what the samples can show that all strategies answered, or None if there are no two of them."""
    means = [sample_means(of_arm, task) for arm, of_arm in by_arm.items() if not arm.is_baseline]
    shared = set.intersection(*(set(one) for one in means)) if means else set()
    if tried < 1 or len(means) < 2 or not shared:
        return None
    n = len(shared)
    best = max(sum(one[sample] for sample in shared) / n for one in means)
    differing = [sum((a[sample] - b[sample]) ** 2 for sample in shared) / n for a, b in combinations(means, 2)]
    scores = task.metric not in RIGHT_OR_WRONG
    return power_record(n, tried, best, sum(differing) / len(differing), scores=scores)


def _notes(
    plan: Plan,
    blocks: Blocks,
    by_arm: Mapping[Arm, Sequence[Outcome]],
    overlap: Overlap | None,
    task: Task,
) -> Iterator[str]:
    yield from plan.notes
    for check in _checks(plan, blocks):
        if check["different"]:
            yield (
                f"{check['name']} answered {len(check['different'])} of {check['n']} samples otherwise when asked "
                f"again with the same seed: its figures cannot be reproduced."
            )
    if task.metric in RIGHT_OR_WRONG:
        warned = ((arm, below_chance(of_arm, task.labels)) for arm, of_arm in by_arm.items())
        yield from (f"{arm.name}: {warning}" for arm, warning in warned if warning)
        stuck = {arm.name: one_label(of_arm, task.labels) for arm, of_arm in by_arm.items() if not arm.is_baseline}
        if any(stuck.values()):
            named = ", ".join(f"{name} ('{label}')" for name, label in stuck.items() if label)
            yield f"Whatever the sample, the same label was named by: {named}."
    yield from _leak_notes(plan, overlap, by_arm)
    for name in plan.calibrations:
        if name in TRANSDUCTIVE:
            yield f"The calibration '{name}' looks at the inputs of all evaluated samples (not at their targets)."
    yield from shortfall_notes(plan.retrieval.k, by_arm)
    answered = min(len({one.sample for one in by_arm.get(arm, ())}) for arm in plan.arms)
    if answered < len(plan.samples):
        yield f"Not finished: {answered} of {len(plan.samples)} samples were answered by every strategy."


def _leak_notes(plan: Plan, overlap: Overlap | None, by_arm: Mapping[Arm, Sequence[Outcome]]) -> Iterator[str]:
    if overlap is None:
        yield "The index is gone, so that samples that also stand in it could not be counted."
        return
    if not plan.retrieval.guard.enabled and plan.index_facts:
        yield "THE LEAK GUARD WAS OFF: demonstrations may be the samples themselves."
    n = len(overlap.same_text)
    if n:
        shown = sum(overlap.shown(of_arm) for of_arm in by_arm.values())
        what = f"{shown} answers were given with such a row in sight" if shown else "none was shown for itself"
        yield f"{n} of {len(plan.samples)} samples also stand among the demonstrations, word for word; {what}."
