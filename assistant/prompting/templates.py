"""Template files and the filling of their holes (the owner of jinja2).

A template is rendered once, with values as plain data: braces inside a value are never
looked at again. A hole without a value stops the run instead of printing nothing.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jinja2

from assistant import paths
from assistant.errors import PromptError, UnknownName
from assistant.records import Message

# Prompts are plain text, not HTML: escaping "<" would change what the model reads.
_ENVIRONMENT = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701

ChatTemplateError = jinja2.TemplateError
"""What a model's own chat template raises when it refuses a conversation."""


@functools.lru_cache(maxsize=512)
def _compiled(text: str) -> jinja2.Template:
    return _ENVIRONMENT.from_string(text)


def fill(text: str, values: Mapping[str, Any]) -> str:
    """Return the template text with its holes filled, without white space at either end.

    Raises:
        PromptError: if a hole has no value, or the text is not a template.
    """
    try:
        return _compiled(text).render(**values).strip()
    except jinja2.UndefinedError as error:
        raise PromptError(
            f"A template has a hole without a value: {error}.", f"It may use: {', '.join(sorted(values))}."
        ) from None
    except jinja2.TemplateSyntaxError as error:
        raise PromptError(f"A template cannot be read: {error}.") from None


def read_toml(path: Path) -> dict[str, Any]:
    """Return the parsed file.

    Raises:
        PromptError: if the file is not valid UTF-8 TOML; the sentence names the file and line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PromptError(f"{path.name} cannot be read: {error}.") from None


def checked_keys(path: Path, table: Mapping[str, Any], known: Sequence[str], required: Sequence[str]) -> None:
    """Refuse a table with an unknown key (a typing error) or without a required one.

    Raises:
        PromptError: naming the file and the key.
    """
    for key in table:
        if key not in known:
            raise PromptError(f"{path.name} has an unknown key '{key}'.", f"Known keys: {', '.join(known)}.")
    for key in required:
        if key not in table:
            raise PromptError(f"{path.name} lacks '{key}'.")


@dataclass(frozen=True)
class StaticTemplate:
    """A published prompt kept as it was printed: messages with a hole for the input."""

    name: str
    title: str
    task: str
    source: str
    messages: tuple[Message, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    """The task's label name → the name this prompt uses for it."""
    reply: str = "{{ label }}"
    """What an ideal reply looks like; label scoring scores it with each label."""
    max_words: int = 0
    """Words of the input that are kept, 0: all."""
    any_label: str = ""
    """How the prompt writes "some label", if it does."""

    def named(self, names: Sequence[str]) -> StaticTemplate:
        """Return the template with other names for its labels, in their order, wherever they stand."""
        new = dict(zip(self.labels.values(), names, strict=True))
        if self.any_label:
            new[self.any_label] = "X"
        written = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in new))
        messages = tuple(
            Message(role=m["role"], content=written.sub(lambda found: new[found[0]], m["content"]))
            for m in self.messages
        )
        return replace(self, messages=messages, labels={name: name for name in names})

    def filled(self, inputs: Mapping[str, str]) -> tuple[Message, ...]:
        """Return the messages with the input put in."""
        if self.max_words:
            inputs = {name: " ".join(text.split()[: self.max_words]) for name, text in inputs.items()}
        return tuple(Message(role=m["role"], content=fill(m["content"], inputs)) for m in self.messages)


_TEMPLATE_KEYS = ("title", "task", "source", "messages", "labels", "reply", "max_words", "any_label")


@functools.cache
def _read_template(path: Path) -> StaticTemplate:
    table = read_toml(path)
    checked_keys(path, table, _TEMPLATE_KEYS, _TEMPLATE_KEYS[:4])
    messages = tuple(Message(role=m["role"], content=m["content"]) for m in table["messages"])
    return StaticTemplate(
        name=path.stem,
        title=table["title"],
        task=table["task"],
        source=table["source"],
        messages=messages,
        labels=dict(table.get("labels", {})),
        reply=table.get("reply", "{{ label }}"),
        max_words=int(table.get("max_words", 0)),
        any_label=table.get("any_label", ""),
    )


def load_template(name: str) -> StaticTemplate:
    """Return the static template `prompts/templates/NAME.toml`.

    Raises:
        UnknownName: if there is no such file.
        PromptError: if the file cannot be used.
    """
    folder = paths.prompts() / "templates"
    files = {path.stem: path for path in folder.glob("*.toml")}
    if name not in files:
        raise UnknownName("template", name, files)
    return _read_template(files[name])
