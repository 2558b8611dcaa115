"""From a task, a strategy and demonstrations to messages. Calls no model.

The order is fixed: instruction, demonstrations as earlier turns, history, question. What never
changes between questions therefore stands first, and a prefix of it can be reused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assistant.errors import SettingError
from assistant.prompting.parsing import ANSWER_MARKER
from assistant.prompting.strategies import Strategy
from assistant.prompting.tasks import EXTRACT, TRIGGER, Task, Wording
from assistant.prompting.templates import StaticTemplate, fill, load_template
from assistant.records import (
    HISTORY,
    INSTRUCTION,
    QUESTION,
    Demonstration,
    Message,
    Prompt,
    demonstration_origin,
)


def build_prompt(
    task: Task,
    strategy: Strategy,
    inputs: Mapping[str, str],
    demonstrations: Sequence[Demonstration] = (),
    history: Sequence[Message] = (),
    wording: str = "default",
) -> Prompt:
    """Return the messages that ask the question, demonstrations in the order given."""
    if strategy.template:
        return _static_prompt(template_of(task, strategy), inputs, history)
    words = task.wording(wording)
    turns = _instruction(task, strategy, words)
    for shown in demonstrations:
        origin = demonstration_origin(shown.id)
        turns.append((Message(role="user", content=_question(task, words, shown.inputs)), origin))
        turns.append((Message(role="assistant", content=demonstrated_reply(shown, strategy)), origin))
    turns += [(message, HISTORY) for message in history]
    question = _question(task, words, inputs)
    if strategy.reasoning == "asked":
        question = f"{question}\n\n{TRIGGER}"
    turns.append((Message(role="user", content=question), QUESTION))
    return Prompt(tuple(message for message, _ in turns), tuple(origin for _, origin in turns))


def extraction_prompt(prompt: Prompt, reasoning: str) -> Prompt:
    """Return the second prompt of zero-shot chain-of-thought: the reasoning, then "what is the answer?".

    Source: Kojima et al. 2022, section 3 (two-stage prompting), put into chat turns.
    """
    return prompt.then(
        (Message(role="assistant", content=reasoning), HISTORY),
        (Message(role="user", content=EXTRACT), QUESTION),
    )


def check_reading(reading: str, task: Task, strategy: Strategy) -> None:
    """Refuse to score labels where there are none, or where it would skip what the strategy is about.

    Raises:
        SettingError: saying which reading to choose instead.
    """
    if reading != "labels":
        return
    if not task.labels:
        raise SettingError(f"The task '{task.name}' has no labels to score.", "Choose the reading 'generate'.")
    if strategy.reasoning == "shown":
        raise SettingError(
            f"Scoring labels would skip the reasoning that '{strategy.name}' is about.",
            "Choose the reading 'generate'.",
        )


def demonstrated_reply(shown: Demonstration, strategy: Strategy) -> str:
    """Return what the assistant is shown to have replied to a demonstration."""
    if strategy.reasoning != "shown":
        return shown.output
    return f"Let's think step by step: {shown.rationale}\n{ANSWER_MARKER} {shown.output}"


def template_of(task: Task, strategy: Strategy) -> StaticTemplate:
    """Return the strategy's static template; if the task's labels were renamed, so are the template's."""
    template = load_template(strategy.template)
    return template.named(task.labels) if template.labels and task.named_anew else template


def label_names(task: Task, strategy: Strategy) -> dict[str, str]:
    """Return name in the prompt → label of the task, in the task's order."""
    own = template_of(task, strategy).labels if strategy.template else {}
    return {own.get(label, label): label for label in task.labels}


def label_replies(task: Task, strategy: Strategy) -> dict[str, str]:
    """Return label → the whole reply that would give it, for label scoring."""
    form = template_of(task, strategy).reply if strategy.template else "{{ label }}"
    return {label: fill(form, {"label": name}) for name, label in label_names(task, strategy).items()}


def _instruction(task: Task, strategy: Strategy, words: Wording) -> list[tuple[Message, str]]:
    text = words.instruction if strategy.reasoning == "none" else words.reasoning
    content = fill(text, {"labels": list(task.labels)})
    return [(Message(role="system", content=content), INSTRUCTION)] if content else []


def _question(task: Task, words: Wording, inputs: Mapping[str, str]) -> str:
    return fill(words.question, {**inputs, "labels": list(task.labels)})


def _static_prompt(template: StaticTemplate, inputs: Mapping[str, str], history: Sequence[Message]) -> Prompt:
    first = [(m, INSTRUCTION if m["role"] == "system" else QUESTION) for m in template.filled(inputs)]
    past = [(message, HISTORY) for message in history]
    at = 1 if first and first[0][0]["role"] == "system" else 0
    turns = first[:at] + past + first[at:]
    return Prompt(tuple(message for message, _ in turns), tuple(origin for _, origin in turns))
