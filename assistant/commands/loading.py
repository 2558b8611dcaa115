"""What has to be there before a question is asked: checked names, the index, the model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from assistant.commands.terminal import BuildBar, say
from assistant.settings import ModelSettings

if TYPE_CHECKING:
    from assistant.answering import Assistant, Request
    from assistant.retrieval.building import BuildProgress


def build_missing(names: Collection[str] | None = None) -> tuple[str, ...]:
    """Build the built-in indexes that are missing (of `names`, None: of all) and return their names."""
    from assistant.retrieval.builtin import build_built_in, missing_built_in

    missing = missing_built_in(names)
    for name in missing:
        say(f"Building the built-in index '{name}' (once).")
        with BuildBar(name) as bar:
            build_built_in(_ignoring_name(bar.tell), names=(name,))
    return missing


def _ignoring_name(tell: Callable[[BuildProgress], None]) -> Callable[[str, BuildProgress], None]:
    return lambda name, progress: tell(progress)


def check_requests(requests: Sequence[Request], model: ModelSettings | None = None) -> None:
    """Check names, the model's folder and indexes before a model is loaded; build a missing built-in index.

    Raises:
        ShotwiseError: for the first thing that cannot work.
    """
    from assistant.generation.loading import check_model
    from assistant.prompting.strategies import find_strategy
    from assistant.prompting.tasks import load_task
    from assistant.retrieval.builtin import BUILT_IN
    from assistant.retrieval.opened import index_folder

    for request in requests:
        task, strategy = load_task(request.task), find_strategy(request.strategy)
        strategy.check_fits(task)
        task.wording(request.wording)
    if model is not None:
        for adapter in dict.fromkeys(request.adapter or model.adapter for request in requests):
            check_model(replace(model, adapter=adapter))
    for request in requests:
        task, strategy = load_task(request.task), find_strategy(request.strategy)
        name = request.index or task.index
        if strategy.needs_index and name in BUILT_IN:
            build_missing((name,))
        # A name that was given is checked even where it is not used: it may be a slip of the pen.
        if name and (strategy.needs_index or (request.index and name not in BUILT_IN)):
            index_folder(name)


def load_assistant(settings: ModelSettings) -> Assistant:
    """Return an assistant with the model loaded.

    Raises:
        ModelError: if it cannot be.
    """
    from assistant.answering import Assistant
    from assistant.generation.loading import load_chat_model

    return Assistant(load_chat_model(settings))


def load_adaptable(settings: ModelSettings) -> Assistant:
    """Return an assistant with the model loaded once, whose requests may name any adapter that fits it.

    Raises:
        ModelError: if it cannot be.
    """
    from assistant.answering import Assistant
    from assistant.generation.chat_models import load_chat_models

    models = load_chat_models(settings)
    return Assistant(models.get(None), models)
