"""The first thing a person sees: what this is, and messages to try."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from assistant.prompting.tasks import load_task


@dataclass(frozen=True)
class Starter:
    """A message to try, and how it is asked."""

    title: str
    message: str
    task: str
    strategy: str = ""
    """Empty: whatever is chosen."""


def starters(task: str) -> tuple[Starter, ...]:
    """Return the messages that the empty chat of a task offers."""
    own = tuple(Starter(_shortened(example), example, task) for example in load_task(task).examples[:4])
    if task != "chat":
        return own
    review = load_task("sentiment").examples[0]
    problem = load_task("word-problems").examples[0]
    return (
        Starter("Say hello", own[0].message, "chat", "zero-shot"),
        Starter("Judge a review by retrieved demonstrations", review, "sentiment", "dynamic-few-shot"),
        Starter("Give a word a new meaning", own[1].message, "chat", "zero-shot"),
        Starter("Solve a word problem step by step", problem, "word-problems", "dynamic-cot"),
    )


def greeting(task: str) -> str:
    """Return the Markdown that stands in an empty chat; it holds our own words only."""
    if task == "chat":
        return (
            "## What would you like to try?\n"
            "One model, many ways of asking. Choose a strategy, send a message, "
            "and read the exact prompt beside the answer."
        )
    found = load_task(task)
    return f"## {found.title}\n{found.about}"


def _shortened(text: str, width: int = 64) -> str:
    return textwrap.shorten(text, width, placeholder=" …")
