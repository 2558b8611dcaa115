"""Which strategies race in an advice, and why each other one does not."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.answering import Assistant
from assistant.errors import PromptEscape, PromptTooLong, SettingError, ShotwiseError
from assistant.evaluation.outcomes import Arm, Sample
from assistant.evaluation.running.answers import requests_for
from assistant.evaluation.sets.datasets import LoadedSet
from assistant.prompting.strategies import Strategy, find_strategy, strategies_for
from assistant.prompting.tasks import Task
from assistant.settings import AdviceSettings

_TRIED = 20
"""Samples of which one must fit into the context; a text that does not is a problem of its own."""


def racing_arms(
    assistant: Assistant, loaded: LoadedSet, index: str, settings: AdviceSettings
) -> tuple[tuple[Arm, ...], dict[str, str]]:
    """Return the arms that can answer, and why each other strategy cannot; named ones must be able to.

    Raises:
        ShotwiseError: if a named strategy cannot answer, or none can.
    """
    task = loaded.task
    named = [find_strategy(name) for name in dict.fromkeys(settings.strategies)]
    arms, left_out = [], {}
    for strategy in named or strategies_for(task):
        control = "" if named else _control(strategy)
        if control:
            left_out[strategy.name] = control
            continue
        arm = Arm(strategy.name, _reading(strategy, task, settings))
        try:
            _check_can_answer(assistant, arm, strategy, task, loaded.dev[:_TRIED], index, settings)
        except ShotwiseError as error:
            if named:
                raise
            left_out[strategy.name] = str(error)
            continue
        arms.append(arm)
    if not arms:
        raise SettingError(f"No strategy can answer the task '{task.name}' here: {'; '.join(left_out.values())}")
    return tuple(arms), left_out


def _control(strategy: Strategy) -> str:
    """Return why nobody would use a strategy that is there for others to be compared with, else ""."""
    if strategy.selector == "random":
        return "it is a control: what one draw of demonstrations reaches, another may not"
    return "it is a control, which nobody would use" if strategy.random_labels or strategy.order else ""


def _reading(strategy: Strategy, task: Task, settings: AdviceSettings) -> str:
    """Return how replies are read: labels are scored where there are any and no reasoning would be skipped."""
    if not task.labels or strategy.reasoning == "shown" or strategy.samples > 1:
        return "generate"
    return settings.reading or "labels"


def _check_can_answer(
    assistant: Assistant,
    arm: Arm,
    strategy: Strategy,
    task: Task,
    samples: Sequence[Sample],
    index: str,
    settings: AdviceSettings,
) -> None:
    """Refuse a strategy that can be asked about none of the samples."""
    shown = [one for one in task.demonstrations if one.rationale or strategy.reasoning != "shown"]
    if strategy.selector == "fixed" and not shown:
        raise SettingError(f"the task '{task.name}' has no demonstrations of its own that it could show")
    unfit: ShotwiseError | None = None
    for request in requests_for(
        task,
        arm,
        samples,
        index=index,
        retrieval=settings.retrieval,
        sampling=settings.sampling,
        wording=settings.wording,
    ):
        try:
            assistant.prepare(request)
            return
        except (PromptTooLong, PromptEscape) as error:
            unfit = unfit or error
    if unfit is not None:
        raise unfit
