"""A task: its fields, labels, instruction wordings, fixed demonstrations and parser.

Each task is one file in `prompts/tasks/`; adding a task is adding a file.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from assistant import paths
from assistant.errors import PromptError, SettingError, UnknownName
from assistant.prompting.parsing import Parsed, parse_label, parse_number, parse_text, split_reasoning
from assistant.prompting.templates import checked_keys, read_toml
from assistant.records import Demonstration, find_label

TRIGGER = "Let's think step by step."
_HOLE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
EXTRACT = "So what is the final answer? Reply with the final answer only."


@dataclass(frozen=True)
class Wording:
    """One way to put a task into words: templates for the instruction and for the question."""

    name: str
    question: str
    instruction: str
    reasoning: str
    """The instruction of strategies that reason before they answer."""


@dataclass(frozen=True)
class Task:
    """What is asked. `labels` is empty for tasks that are answered in free text."""

    name: str
    title: str
    about: str
    fields: tuple[str, ...]
    wordings: tuple[Wording, ...]
    demonstrations: tuple[Demonstration, ...]
    labels: tuple[str, ...] = ()
    label_values: Mapping[str, str] = field(default_factory=dict)
    """A label as data sets write it, in lower case → the label's name."""
    metric: str = "none"
    parser: str = "text"
    index: str = ""
    """The built-in index, or empty."""
    long_field: str = ""
    """The field that may run over several lines of a message."""
    examples: tuple[str, ...] = ()
    named_anew: bool = False
    """Whether the labels were given names, be they the same again: a template's own names then give way."""

    def wording(self, name: str = "default") -> Wording:
        """Return the wording of that name; `default` is the first.

        Raises:
            UnknownName: with the names there are.
        """
        if name == "default":
            return self.wordings[0]
        for wording in self.wordings:
            if wording.name == name:
                return wording
        raise UnknownName(f"wording of task '{self.name}'", name, [w.name for w in self.wordings])

    def inputs(self, message: str) -> dict[str, str]:
        """Return the message taken apart into the task's fields.

        A message for several fields is a JSON object, or lines (`name: text` or just text), or
        parts separated by `|||`.

        Raises:
            PromptError: if the parts do not fit the fields.
        """
        message = message.strip()
        if not message:
            raise PromptError("The message is empty.", "Type something first.")
        if len(self.fields) == 1:
            return {self.fields[0]: message}
        parts = _json_parts(message, self.fields) or _line_parts(message, self.fields, self.long_field)
        if parts is None:
            raise PromptError(
                f"The task '{self.name}' needs {len(self.fields)} texts: {', '.join(self.fields)}.",
                "Put each on a line of its own, or separate them by '|||'.",
            )
        return parts

    def message(self, inputs: Mapping[str, str]) -> str:
        """Return the inputs as a message that `inputs` reads back."""
        return "\n".join(inputs[name] for name in self.fields)

    def renamed(self, names: Sequence[str]) -> Task:
        """Return the task with its labels called otherwise, in the order of `labels`.

        Wordings that mention an old name are left out, because they would give its meaning away.

        Raises:
            SettingError: if there are not as many names as labels, or two are alike.
        """
        if not self.labels:
            raise SettingError(f"The task '{self.name}' has no labels to rename.", "Choose a task with labels.")
        if len(names) != len(self.labels) or len({name.casefold() for name in names}) != len(names):
            raise SettingError(
                f"The task '{self.name}' needs {len(self.labels)} different label names, in the order of "
                f"{', '.join(self.labels)}; given were: {', '.join(names)}."
            )
        new = dict(zip(self.labels, names, strict=True))
        silent = tuple(wording for wording in self.wordings if not _mentions(wording, self.labels))
        return replace(
            self,
            labels=tuple(names),
            label_values={value: new[name] for value, name in self.label_values.items()},
            wordings=silent or (_bare(self.wordings[0]),),
            demonstrations=tuple(replace(one, output=new[one.output]) for one in self.demonstrations),
            named_anew=True,
        )

    def label(self, value: str) -> str | None:
        """Return the label's name for a value as a data set writes it, or None."""
        return find_label(self.label_values, value)

    def adapt(self, demonstration: Demonstration) -> Demonstration | str:
        """Return the demonstration in this task's fields and label names, or why it cannot be."""
        given = demonstration.inputs
        if set(self.fields) <= set(given):
            inputs = {name: given[name] for name in self.fields}
        elif len(given) == len(self.fields):
            inputs = dict(zip(self.fields, given.values(), strict=True))
        else:
            return f"it has the fields {', '.join(given)}; the task needs {', '.join(self.fields)}"
        output = demonstration.output
        if self.labels:
            label = self.label(output)
            if label is None:
                return f"its output '{output[:40]}' is not a label of the task ({', '.join(self.labels)})"
            output = label
        return replace(demonstration, inputs=inputs, output=output)

    def parse(self, reply: str, *, reasoning: bool = False, names: Mapping[str, str] | None = None) -> Parsed:
        """Return the final answer of a reply, or why there is none.

        With `reasoning`, only what follows the last `Answer:` counts. `names` maps the names a
        static template uses to labels.
        """
        if reasoning:
            conclusion = split_reasoning(reply).conclusion
            if conclusion is None and self.parser != "text":
                return Parsed(None, "the reasoning does not end with 'Answer:'")
            reply = reply if conclusion is None else conclusion
        if self.labels:
            return parse_label(reply, names or {label: label for label in self.labels})
        return _PARSERS[self.parser](reply)


_PARSERS: Mapping[str, Callable[[str], Parsed]] = {"text": parse_text, "number": parse_number, "label": parse_text}


def _mentions(wording: Wording, names: Sequence[str]) -> bool:
    """Return whether the wording itself writes one of the names, outside its holes."""
    written = " ".join(_HOLE.sub(" ", text) for text in (wording.question, wording.instruction, wording.reasoning))
    words = set(re.findall(r"\w+", written.casefold()))
    return any(name.casefold() in words for name in names)


def _bare(wording: Wording) -> Wording:
    """Return a wording that says nothing but what may be answered."""
    answer = 'Answer with one of: {{ labels | join(", ") }}.'
    return replace(
        wording, name="bare", instruction=answer, reasoning=f'Think, then end with a line "Answer:". {answer}'
    )


def _json_parts(message: str, fields: tuple[str, ...]) -> dict[str, str] | None:
    if not message.startswith("{"):
        return None
    try:
        parts = json.loads(message)
    except ValueError:
        return None
    if not all(isinstance(parts.get(name), str) and parts[name].strip() for name in fields):
        return None
    return {name: parts[name].strip() for name in fields}


def _line_parts(message: str, fields: tuple[str, ...], long_field: str) -> dict[str, str] | None:
    separator = "|||" if "|||" in message else "\n"
    lines = [line.strip() for line in message.split(separator) if line.strip()]
    if len(lines) > len(fields) and long_field:
        at, spare = fields.index(long_field), len(lines) - len(fields)
        lines[at : at + spare + 1] = ["\n".join(lines[at : at + spare + 1])]
    if len(lines) != len(fields):
        return None
    return {name: _without_name(line, name) for name, line in zip(fields, lines, strict=True)}


def _without_name(line: str, name: str) -> str:
    words = r"\s*".join(re.findall(r"[a-z]+|\d+", name.casefold()))
    return re.sub(rf"^{words}\s*:\s+", "", line, flags=re.IGNORECASE)


_TASK_KEYS = ("title", "about", "fields", "metric", "index", "parser", "long_field", "examples")
_TASK_TABLES = ("labels", "wordings", "demonstrations")


@functools.cache
def _read_task(path: Path) -> Task:
    table = read_toml(path)
    checked_keys(path, table, _TASK_KEYS + _TASK_TABLES, ("title", "about", "fields", "wordings", "demonstrations"))
    fields = tuple(table["fields"])
    labels: Mapping[str, list[str]] = table.get("labels", {})
    return Task(
        name=path.stem,
        title=table["title"],
        about=table["about"],
        fields=fields,
        wordings=tuple(_read_wording(path, wording) for wording in table["wordings"]),
        demonstrations=tuple(
            _read_demonstration(path, number, one, fields) for number, one in enumerate(table["demonstrations"], 1)
        ),
        labels=tuple(labels),
        label_values={value.casefold(): name for name, values in labels.items() for value in (name, *values)},
        metric=table.get("metric", "none"),
        parser="label" if labels else table.get("parser", "text"),
        index=table.get("index", ""),
        long_field=table.get("long_field", ""),
        examples=tuple(table.get("examples", ())),
    )


def _read_wording(path: Path, table: Mapping[str, Any]) -> Wording:
    keys = ("name", "question", "instruction", "reasoning")
    checked_keys(path, table, keys, keys)
    return Wording(**{key: table[key] for key in keys})


def _read_demonstration(path: Path, number: int, table: Mapping[str, Any], fields: tuple[str, ...]) -> Demonstration:
    checked_keys(path, table, (*fields, "output", "rationale"), (*fields, "output"))
    return Demonstration(
        id=f"fixed-{number}",
        inputs={name: table[name] for name in fields},
        output=table["output"],
        rationale=table.get("rationale", ""),
    )


def task_names() -> tuple[str, ...]:
    """Return the names of all tasks, `chat` and `sentiment` first, then by alphabet."""
    names = sorted(path.stem for path in (paths.prompts() / "tasks").glob("*.toml"))
    return tuple(sorted(names, key=lambda name: (name not in ("chat", "sentiment"), name)))


def load_task(name: str) -> Task:
    """Return the task `prompts/tasks/NAME.toml`.

    Raises:
        UnknownName: if there is no such file.
        PromptError: if the file cannot be used.
    """
    if name not in task_names():
        raise UnknownName("task", name, task_names())
    return _read_task(paths.prompts() / "tasks" / f"{name}.toml")


def list_tasks() -> tuple[Task, ...]:
    """Return all tasks."""
    return tuple(load_task(name) for name in task_names())
