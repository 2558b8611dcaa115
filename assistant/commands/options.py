"""The options that several commands share, each written once; defaults are those of the settings."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from assistant.settings import (
    DEFAULT_STRATEGY,
    DEFAULT_TASK,
    DTYPES,
    LOAD_IN,
    ORDERS,
    READINGS,
    SELECTORS,
    GuardSettings,
    ModelSettings,
    RetrievalSettings,
    SamplingSettings,
)

if TYPE_CHECKING:
    from assistant.answering import Request

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]
Text = Annotated[str, typer.Argument(metavar="TEXT", help="The message; - reads it from stdin.", show_default=False)]
IndexName = Annotated[str, typer.Argument(metavar="NAME", help="The index's name, or its folder.", show_default=False)]
K = Annotated[int, typer.Option("--k", "-k", help="Demonstrations shown.")]


def _one_of(names: tuple[str, ...]) -> str:
    return f"One of: {', '.join(names)}."


@dataclass(frozen=True)
class ModelOptions:
    """Which chat model, and how it is loaded."""

    model: Annotated[str, typer.Option(help="demo, scripted, a local folder or a hub id.")] = ModelSettings.model
    adapter: Annotated[
        str | None,
        typer.Option(help="PEFT adapter: a folder, a name under adapters/, or question-types; none: the base."),
    ] = None
    load_in: Annotated[str | None, typer.Option(help=f"Quantise while loading. {_one_of(LOAD_IN)}")] = None
    dtype: Annotated[str, typer.Option(help=f"Number format. {_one_of(DTYPES)}")] = ModelSettings.dtype
    device: Annotated[str, typer.Option(help="auto, cpu, cuda …")] = ModelSettings.device

    def settings(self) -> ModelSettings:
        """Return them as settings."""
        return ModelSettings(**{field.name: getattr(self, field.name) for field in dataclasses.fields(self)})


@dataclass(frozen=True)
class RequestOptions:
    """How a message is answered, but for the strategy."""

    task: Annotated[str, typer.Option(help="The task; see: shotwise task list.")] = DEFAULT_TASK
    index: Annotated[str | None, typer.Option(help="Index of demonstrations [default: the task's own].")] = None
    k: K = RetrievalSettings.k
    selector: Annotated[
        str | None, typer.Option(help=f"How the index is searched, instead of 'nearest'. {_one_of(SELECTORS)}")
    ] = None
    order: Annotated[str, typer.Option(help=f"Order in the prompt. {_one_of(ORDERS)}")] = RetrievalSettings.order
    no_guard: Annotated[bool, typer.Option("--no-guard", help="Also show copies of the question.")] = False
    wording: Annotated[str, typer.Option(help="Wording of the instruction; see: shotwise task show.")] = "default"
    reading: Annotated[str, typer.Option(help=f"How label tasks are read. {_one_of(READINGS)}")] = READINGS[0]
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = SamplingSettings.temperature
    top_p: Annotated[float, typer.Option(help="Nucleus of sampling.")] = SamplingSettings.top_p
    max_new_tokens: Annotated[int, typer.Option(help="Tokens after which a reply is cut.")] = (
        SamplingSettings.max_new_tokens
    )
    seed: Annotated[int, typer.Option(help="Of sampling and of random choices.")] = SamplingSettings.seed

    def request(self, message: str, strategy: str) -> Request:
        """Return the request for one message.

        Raises:
            ShotwiseError: if a setting is out of its range.
        """
        from assistant.answering import Request

        retrieval = RetrievalSettings(
            k=self.k, selector=self.selector, order=self.order, guard=GuardSettings(enabled=not self.no_guard)
        )
        sampling = SamplingSettings(self.temperature, self.top_p, self.max_new_tokens, self.seed)
        return Request(
            message=message,
            strategy=strategy,
            task=self.task,
            index=self.index,
            wording=self.wording,
            reading=self.reading,
            retrieval=retrieval,
            sampling=sampling,
        )


Strategy = Annotated[str, typer.Option(help="The strategy; see: shotwise strategy list.")]
STRATEGY = DEFAULT_STRATEGY


def grouped(function: Callable[..., None]) -> Callable[..., None]:
    """Return the command with every dataclass parameter spread into one option per field."""
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, type[Any]] = {
        name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)
    }
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(function).parameters.values():
        group = groups.get(parameter.name)
        if group is None:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[parameter.name]))
            continue
        kinds = get_type_hints(group, include_extras=True)
        parameters += [
            inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=kinds[field.name]
            )
            for field in dataclasses.fields(group)
        ]

    @functools.wraps(function)
    def command(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in dataclasses.fields(group)})
        function(**values)

    del command.__wrapped__
    vars(command)["__signature__"] = inspect.Signature(parameters)
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command
