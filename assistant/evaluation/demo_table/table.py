"""Making the table: all evaluations one after the other, then the conversations; what is done is not repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assistant.answering import Assistant
from assistant.evaluation.demo_table.conversations import Talk, converse, load_conversations, plan_conversations
from assistant.evaluation.demo_table.figures import Column
from assistant.evaluation.demo_table.planning import Conditions, Planned
from assistant.evaluation.recipes.runs import folder_of
from assistant.evaluation.running.planning import with_model
from assistant.evaluation.running.progress import Report
from assistant.evaluation.running.runner import evaluate
from assistant.generation.chat_model import StopSignal

Titled = Callable[[str], Report]
"""From the title of a piece of work to what is told how far it is."""
Speaker = Callable[[bool], Assistant]
"""From whether its adapter is in use to the assistant that is asked."""


@dataclass(frozen=True)
class Measured:
    """What came out."""

    columns: Mapping[str, Column]
    namings: Mapping[str, tuple[str, ...]]
    """Column → label names of each of its evaluations."""
    talk: Talk


def measure(
    planned: Sequence[Planned], conditions: Conditions, speaker: Speaker, stop: StopSignal, report: Titled
) -> Measured | None:
    """Return what all evaluations and conversations came to, or None if that was stopped before the end.

    Raises:
        ShotwiseError: for whatever cannot be asked; what was finished before is kept.
    """
    records: dict[str, list[Mapping[str, Any]]] = {}
    namings: dict[str, list[str]] = {}
    for at, one in enumerate(planned, start=1):
        record = answered(one, speaker(one.run.adapter), stop, report(_title(one, at, len(planned))))
        if not record["finished"]:
            return None
        records.setdefault(one.run.name, []).append(record)
        namings.setdefault(one.run.name, []).append(one.names)
    talk = _talk(conditions, speaker(False), stop, report)
    if stop.is_set():
        return None
    columns = {name: Column(tuple(of_run)) for name, of_run in records.items()}
    return Measured(columns, {name: tuple(names) for name, names in namings.items()}, talk)


def answered(one: Planned, assistant: Assistant, stop: StopSignal, report: Report) -> dict[str, Any]:
    """Return the record of an evaluation: asked now, or what it came to before."""
    plan = with_model(one.plan, assistant.model)
    return evaluate(plan, assistant, folder_of(plan), stop=stop, report=report)


def _talk(conditions: Conditions, assistant: Assistant, stop: StopSignal, report: Titled) -> Talk:
    """Return the conversations; a conversation counts as many rows as it has turns."""
    scripts = load_conversations()
    wished = max(1, conditions.rows // len(scripts[0]))
    plan = plan_conversations(wished, assistant)
    return converse(plan, assistant, conditions.seeds, stop, report("small talk"))


def _title(one: Planned, at: int, of: int) -> str:
    names = f", {one.names}" if one.asked is not one.run else ""
    return f"{at} of {of}: {one.run.part}, {one.run.title}{names}"
