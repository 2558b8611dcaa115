"""What is said in open conversation: intents, things told and asked for later, words with a new meaning.

The sentences are our own and lie in `talk.toml` and `talk_words.toml`; `talk.py` makes conversations of them.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_ALTERNATIVES = re.compile(r"\[([^\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")
_NUMBERS = tuple(str(number) for number in range(2, 100))
_SHORTER = {
    "what is": "what's",
    "I am": "I'm",
    "do not": "don't",
    "that is": "that's",
    "how is": "how's",
    "who is": "who's",
    "where is": "where's",
    "cannot": "can't",
    "it is": "it's",
    "you are": "you're",
}


@dataclass(frozen=True)
class Intent:
    """Something a user may say, in many ways, and what is replied."""

    kind: str
    ask: tuple[str, ...]
    reply: tuple[str, ...]
    named: tuple[str, ...] = ()
    """Replies once the user's name is known."""
    more: tuple[str, ...] = ()
    """Replies to "tell me more"."""
    place: str = ""
    """`first` or `last` in a conversation, or anywhere."""


@dataclass(frozen=True)
class Memory:
    """Something a user tells about themselves and asks for later."""

    slots: Mapping[str, str]
    """Slot of the sentences → list of words that it is drawn from."""
    tell: tuple[str, ...]
    noted: tuple[str, ...]
    ask: tuple[str, ...]
    recall: tuple[str, ...]
    unknown: tuple[str, ...]
    """Replies if it was never told."""
    weight: float = 1.0
    """How often it is told, beside the others."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the slots that stand in the questions: they say which of several things is asked for."""
        return tuple(slot for slot in self.slots if any(f"{{{slot}}}" in pattern for pattern in self.ask))


@dataclass(frozen=True)
class Saying:
    """Ways to say something, and the replies to it."""

    ask: tuple[str, ...]
    reply: tuple[str, ...]


@dataclass(frozen=True)
class Meaning:
    """A meaning that a word may be given, and statements that it fits."""

    meaning: str
    statements: tuple[str, ...]


@dataclass(frozen=True)
class Redefinition:
    """Words, pairs of opposite meanings for them, and how to ask."""

    words: tuple[str, ...]
    pairs: tuple[tuple[Meaning, Meaning], ...]
    ask: tuple[str, ...]
    again: tuple[str, ...]
    plain: tuple[str, ...]
    yes: tuple[str, ...]
    no: tuple[str, ...]


@dataclass(frozen=True)
class Talk:
    """All that the conversations are made of."""

    intents: tuple[Intent, ...]
    memories: tuple[Memory, ...]
    made_up: tuple[Saying, ...]
    """Questions whose reply only the conversation can tell."""
    follow_up: Saying
    """What may be said after any reply, and what is replied if there is no more to tell."""
    sum: Saying
    """Small sums, with the slots `a`, `b` and `sum`."""
    share: Mapping[str, float]
    """Kind of intent → how often it is drawn."""
    rationale: Mapping[str, tuple[str, ...]]
    """Kind of intent → what is thought before the reply, where steps are asked for."""
    redefinition: Redefinition
    words: Mapping[str, tuple[str, ...]]
    """Name of a list → its words."""

    def speak(self, pattern: str, rng: random.Random, slots: MutableMapping[str, str] | None = None) -> str:
        """Return one reading of a pattern: an alternative of each `[a|b|]`, a word for each `{list}`.

        `slots` says which words stand where; those it lacks are drawn and added to it.
        """
        known = {} if slots is None else slots
        text = _ALTERNATIVES.sub(lambda found: rng.choice(found[1].split("|")), pattern).strip()
        for name in _SLOT.findall(text):
            if name not in known:
                known[name] = rng.choice(self.words[name])
        return _SLOT.sub(lambda found: known[found[1]], text)


def load_talk() -> Talk:
    """Return the conversations of `talk.toml` and `talk_words.toml`."""
    return _read(Path(__file__).parent)


@cache
def _read(folder: Path) -> Talk:
    said, words = (
        tomllib.loads((folder / name).read_text(encoding="utf-8")) for name in ("talk.toml", "talk_words.toml")
    )
    frames: list[str] = said["frames"]["ask"]
    new = words["redefinition"]
    pairs = tuple((_meaning(pair["first"]), _meaning(pair["second"])) for pair in new.pop("pair"))
    return Talk(
        intents=tuple(_intent(table, frames) for table in said["intent"]),
        memories=tuple(Memory(**_tuples(table)) for table in words["memory"]),
        made_up=tuple(Saying(**_tuples(table)) for table in words["made_up"]),
        follow_up=Saying(**_tuples(said["follow_up"])),
        sum=Saying(**_tuples(said["sum"])),
        share=said["share"],
        rationale=_tuples(said["rationale"]),
        redefinition=Redefinition(pairs=pairs, **_tuples(new)),
        words={**_tuples(words["words"]), "number": _NUMBERS},
    )


def _meaning(table: Mapping[str, Any]) -> Meaning:
    return Meaning(**_tuples(table))


def _intent(table: dict[str, Any], frames: Sequence[str]) -> Intent:
    named = [frame.replace("{term}", term) for term in table.pop("terms", ()) for frame in frames]
    return Intent(**_tuples({**table, "ask": [*table.get("ask", ()), *named]}))


def _tuples(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def capital(text: str) -> str:
    """Return the text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def as_typed(text: str, rng: random.Random) -> str:
    """Return the text as a person may type it: contracted, with or without capital and full stop."""
    if rng.random() < 0.3:
        for long, short in _SHORTER.items():
            text = re.sub(rf"\b{long}\b(?!$|\?)", short, text)
    if text[-1:].isalnum():
        text += rng.choice(("", "", ".", ".", "!"))
    elif text.endswith("?") and rng.random() < 0.15:
        text = text[:-1]
    if rng.random() < 0.07:
        return capital(rng.choice(("so, ", "well, ", "okay, ", "hey, ", "now ", "um, "))) + text
    return text.lower() if rng.random() < 0.05 else text if rng.random() < 0.25 else capital(text)
