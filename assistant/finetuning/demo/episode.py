"""What the demo model is trained on: conversations, and the texts whose meaning it should notice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from assistant.records import Message


@dataclass(frozen=True)
class Episode:
    """A conversation whose replies are learnt."""

    messages: tuple[Message, ...]
    meanings: tuple[str, ...] = ()
    """Per reply, the text that it is about, or ""; empty if no reply is about one."""
    guessed: frozenset[int] = frozenset()
    """Replies that nothing before them tells: they are shown, not learnt."""
    repeats_from: int | None = None
    """Exchange from which on what the user says is learnt too, because it has been said before."""


def system(content: str) -> tuple[Message, ...]:
    """Return the system turn; none if there is nothing to say."""
    return (Message(role="system", content=content),) if content else ()


def exchange(asked: str, reply: str) -> tuple[Message, Message]:
    """Return what the user says and what the assistant replies."""
    return (Message(role="user", content=asked), Message(role="assistant", content=reply))


def classified(
    instruction: str,
    rows: Sequence[tuple[str, str]],
    prefix: str = "",
    guessed: Iterable[int] = (),
    repeats_from: int | None = None,
) -> Episode:
    """Return texts and their label names as turns, each text after the prefix."""
    turns = [message for text, name in rows for message in exchange(prefix + text, name)]
    messages = (*system(instruction), *turns)
    return Episode(messages, tuple(text for text, _ in rows), frozenset(guessed), repeats_from)


def first_showings(names: Sequence[str]) -> list[int]:
    """Return where each name stands for the first time."""
    return [at for at, name in enumerate(names) if name not in names[:at]]
