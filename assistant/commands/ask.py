"""`ask`, `compare`, `prompt`: one message, answered or shown."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from assistant.commands.loading import check_requests, load_adaptable, load_assistant
from assistant.commands.options import STRATEGY, Json, ModelOptions, RequestOptions, Strategy, Text, grouped
from assistant.commands.showing import about, say_about, stream_answer
from assistant.commands.terminal import read_text, say, show, show_json
from assistant.errors import SettingError

if TYPE_CHECKING:
    from assistant.columns import Prepared
    from assistant.records import Answer


@grouped
def ask(
    text: Text, *, strategy: Strategy = STRATEGY, asked: RequestOptions, model: ModelOptions, as_json: Json = False
) -> None:
    """Answer one message."""
    request = asked.request(read_text(text), strategy)
    check_requests([request], model.settings())
    assistant = load_assistant(model.settings())
    if as_json:
        show_json(assistant.answer(request).to_json())
        return
    answer = stream_answer(assistant.stream(request))
    if answer is not None:
        say_about(answer)


@grouped
def compare(
    text: Text,
    *,
    strategies: Annotated[
        str | None, typer.Option(help="Names, separated by commas [default: up to four that suit the task].")
    ] = None,
    adapters: Annotated[
        str | None,
        typer.Option(help="Each strategy with each of these adapters: names or folders, none for the base model."),
    ] = None,
    asked: RequestOptions,
    model: ModelOptions,
    as_json: Json = False,
) -> None:
    """Answer one message by several strategies, or with several adapters, side by side."""
    if adapters is not None and model.adapter is not None:
        raise SettingError("--adapter and --adapters contradict each other.", "Name all in --adapters.")
    names = _compared(asked) if strategies is None else _names(strategies, "strategy")
    compared = [model.adapter] if adapters is None else _names(adapters, "adapter")
    message = read_text(text)
    requests = [replace(asked.request(message, name), adapter=adapter) for name in names for adapter in compared]
    check_requests(requests, model.settings())
    answers = _finished(load_adaptable(model.settings()).compare(requests))
    if as_json:
        show_json([answer.to_json() for answer in answers])
        return
    for answer in answers:
        made = f"{answer.strategy}, {answer.adapter_words}" if len(compared) > 1 else answer.strategy
        show(f"== {made}\n{answer.answer.strip()}")
        show("\n".join(f"   {line}" for line in about(answer)) + "\n")
    show(agreement(answers))


@grouped
def prompt(
    strategy: Annotated[str, typer.Argument(metavar="STRATEGY", help="The strategy's name.", show_default=False)],
    text: Text,
    asked: RequestOptions,
    model: ModelOptions,
    as_json: Json = False,
) -> None:
    """Print the exact prompt; no weights are loaded."""
    from assistant.answering import Assistant
    from assistant.generation.loading import load_prompt_model

    request = asked.request(read_text(text), strategy)
    check_requests([request], model.settings())
    prepared = Assistant(load_prompt_model(model.settings())).prepare(request)
    if as_json:
        show_json(_prompt_record(prepared))
        return
    show(prepared.rendered.text)
    for kept in prepared.selection.excluded:
        say(f"Kept out: {kept.demonstration.id}, {kept.reason}")
    for what in prepared.dropped:
        say(f"Dropped to fit the context: {what}")
    say(f"[{len(prepared.rendered.token_ids)} tokens]")


def agreement(answers: Sequence[Answer]) -> str:
    """Return one line on which final answers agree."""
    finals = Counter(answer.final_answer for answer in answers if answer.final_answer is not None)
    if not finals:
        return "No column gave a final answer."
    most, count = finals.most_common(1)[0]
    if count == 1:
        return "All final answers differ." if len(answers) > 1 else f"Final answer: {most}"
    return f"{count} of {len(answers)} agree: {most}"


def _compared(asked: RequestOptions) -> Sequence[str]:
    from assistant.prompting.strategies import compared_strategies
    from assistant.prompting.tasks import load_task

    return compared_strategies(load_task(asked.task), asked.index, asked.reading)


def _names(listed: str, kind: str) -> Sequence[str]:
    names = list(dict.fromkeys(name.strip() for name in listed.split(",") if name.strip()))
    if not names:
        raise SettingError(f"No {kind} was named.", f"See: shotwise {kind} list")
    return names


def _finished(rounds: Iterable[tuple[Answer, ...]]) -> tuple[Answer, ...]:
    """Return the last answers, with a line of progress on a terminal."""
    answers: tuple[Answer, ...] = ()
    for answers in rounds:
        if sys.stderr.isatty():
            counts = " · ".join(f"{answer.strategy} {answer.new_tokens}" for answer in answers)
            sys.stderr.write(f"\r\033[Ktokens: {counts}"[:120])
            sys.stderr.flush()
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    return answers


def _prompt_record(prepared: Prepared) -> dict[str, object]:
    return {
        "strategy": prepared.strategy.name,
        "task": prepared.task.name,
        "index": prepared.index,
        "prompt": prepared.rendered.text,
        "messages": [dict(message) for message in prepared.rendered.messages],
        "demonstrations": [hit.to_json() for hit in prepared.selection.hits],
        "excluded": [exclusion.to_json() for exclusion in prepared.selection.excluded],
        "dropped": list(prepared.dropped),
        "prompt_tokens": len(prepared.rendered.token_ids),
    }
