"""Which samples of an advice also stand among its demonstrations, and how often such a row was shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from assistant.errors import IndexProblem
from assistant.evaluation.advice.plan import AdvicePlan
from assistant.evaluation.outcomes import Arm, Outcome, Sample
from assistant.evaluation.running.checks import pool_overlap
from assistant.prompting.tasks import Task
from assistant.retrieval.opened import DemonstrationIndex

Outcomes = Mapping[Arm, Sequence[Outcome]]


def leakage(plan: AdvicePlan, task: Task, dev: Outcomes, test: Outcomes) -> dict[str, Any]:
    """Return for dev and test how many answered samples equal a row of the index, by text and by id.

    `shown` counts, for each arm, the samples to which such a row was shown. A part is None if the
    index is gone.
    """
    parts = ("dev", plan.dev, dev), ("test", plan.test, test)
    try:
        index = DemonstrationIndex.open(plan.index)
    except IndexProblem:
        return {"guard": plan.settings.retrieval.guard.enabled, "dev": None, "test": None}
    counted = {name: _counted(task, index, samples, outcomes) for name, samples, outcomes in parts}
    return {"guard": plan.settings.retrieval.guard.enabled, **counted}


def _counted(task: Task, index: DemonstrationIndex, samples: Sequence[Sample], outcomes: Outcomes) -> dict[str, Any]:
    asked = {one.sample for of_arm in outcomes.values() for one in of_arm}
    overlap = pool_overlap([sample for sample in samples if sample.id in asked], task, index)
    shown = {arm.name: overlap.shown(of_arm) for arm, of_arm in outcomes.items()}
    return {
        "n": len(asked),
        "same_text": len(overlap.same_text),
        "same_id": len(overlap.same_id),
        "samples": sorted(overlap.same_text),
        "shown": {name: count for name, count in shown.items() if count},
    }


def leak_notes(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a reader should know of the leaks that `leakage` found."""
    if not found["guard"]:
        yield "THE LEAK GUARD WAS OFF: demonstrations may be the samples themselves."
    for part in ("dev", "test"):
        counted = found[part]
        if counted is None:
            yield f"The index is gone, so that samples of {part} that also stand in it could not be counted."
        elif counted["same_text"]:
            shown = sum(counted["shown"].values())
            what = f"{shown:,} answers were given with such a row in sight" if shown else "none was shown for itself"
            yield (
                f"{counted['same_text']:,} of {counted['n']:,} {part} samples also stand among the demonstrations, "
                f"word for word; {what}."
            )
