"""Short passages about made-up people, shops, towns and things, with questions on what they say and do not say.

The sentences are our own and lie in `written.toml`.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from assistant.finetuning.demo.passages import Grounded
from assistant.finetuning.demo.sayings import capital, load_talk

UNANSWERABLE = 0.25
_ALTERNATIVES = re.compile(r"\[([^\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiouAEIOU])")
_STARTS = (
    "b",
    "br",
    "c",
    "d",
    "dr",
    "f",
    "g",
    "gl",
    "h",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "st",
    "t",
    "tr",
    "v",
    "w",
    "z",
)
_MIDDLES, _ENDINGS = (
    ("a", "e", "i", "o", "u", "ai", "ea", "oo"),
    ("l", "n", "r", "rd", "s", "ck", "m", "th", "ll", "nd"),
)


@dataclass(frozen=True)
class Fact:
    """Something that a passage may say about its subject, and how it is asked for."""

    say: tuple[str, ...]
    ask: tuple[str, ...]
    answer: str


@dataclass(frozen=True)
class Kind:
    """A kind of subject: its names, its pronouns (subject and possessive) and its facts."""

    names: tuple[str, ...]
    pronouns: tuple[tuple[str, str], ...]
    facts: tuple[Fact, ...]


def written_passages(rng: random.Random) -> Iterator[Grounded]:
    """Yield questions without end, each about a passage of three to six sentences of its own.

    A quarter ask for something that the passage does not say; three in ten passages tell of two
    subjects, and the question asks about one.
    """
    kinds, words = _read(Path(__file__).parent / "written.toml")
    while True:
        yield _Writer(rng, words).question(rng.choice(kinds))


class _Writer:
    """Writes one passage."""

    def __init__(self, rng: random.Random, words: Mapping[str, tuple[str, ...]]) -> None:
        self.rng, self.words = rng, words

    def question(self, kind: Kind) -> Grounded:
        """Return a passage and a question about it."""
        rng, pronouns = self.rng, self.rng.choice(kind.pronouns)
        two = rng.random() < 0.3
        facts = rng.sample(kind.facts, rng.randint(3, 4) if two else rng.randint(3, 6))
        told = {name: rng.sample(facts, 2) if two else facts for name in self._names(kind, 2 if two else 1)}
        asked = rng.choice(list(told))
        unsaid = [fact for fact in (facts if two else kind.facts) if fact not in told[asked]]
        fact = rng.choice(unsaid if unsaid and rng.random() < UNANSWERABLE else told[asked])
        lines: list[str] = []
        answer = None
        for name, known in told.items():
            for at, one in enumerate(known):
                slots = self._slots(name, pronouns, named=at == 0 or two or rng.random() < 0.35)
                say = [text for text in one.say if "{name}" in text or "{who" in text] if at == 0 or two else one.say
                lines.append(capital(self._filled(rng.choice(say), slots)))
                if one == fact and name == asked:
                    answer = self._filled(one.answer, slots)
        if two and rng.random() < 0.5:
            rng.shuffle(lines)
        passage = " ".join(lines)
        if answer and answer not in passage:
            answer = capital(answer)  # it begins a sentence
        question = self._filled(rng.choice(fact.ask), {"name": asked, "whose": f"{asked}'s"})
        return Grounded(" / ".join(told), passage, capital(question), answer)

    def _names(self, kind: Kind, count: int) -> list[str]:
        found: dict[str, None] = {}
        while len(found) < count:
            found[self._filled(self.rng.choice(kind.names), {})] = None
        return list(found)

    def _slots(self, name: str, pronouns: tuple[str, str], named: bool) -> dict[str, str]:
        who, whose = (name, f"{name}'s") if named else pronouns
        return {"name": name, "who": who, "whose": whose}

    def _filled(self, pattern: str, slots: dict[str, str]) -> str:
        """Return one reading of a pattern; the slots that it draws are added."""
        text = _ALTERNATIVES.sub(lambda found: self.rng.choice(found[1].split("|")), pattern)
        for slot in _SLOT.findall(text):
            if slot not in slots:
                slots[slot] = self._drawn(slot)
        return _ARTICLE.sub(r"\1n ", _SLOT.sub(lambda found: slots[found[1]], text))

    def _drawn(self, slot: str) -> str:
        """Return a word for a slot: a number, a made-up name, or one of a list (`Animal`: with capitals)."""
        if slot[0].isupper():
            return self._drawn(slot.lower()).title()
        rng = self.rng
        made = {
            "few": lambda: str(rng.randint(2, 19)),
            "some": lambda: str(rng.randint(20, 99)),
            "many": lambda: f"{rng.randint(1, 99)},{rng.randrange(0, 1000, 10):03}",
            "year": lambda: str(rng.randint(1700, 2024)),
            "price": lambda: f"{rng.randint(1, 99)} {rng.choice(('euros', 'dollars', 'pounds', 'crowns'))}",
            "date": lambda: f"{rng.randint(1, 28)} {rng.choice(self.words['month'])}",
            "invented": self._invented,
        }
        return made[slot]() if slot in made else self._filled(rng.choice(self.words[slot]), {})

    def _invented(self) -> str:
        rng = self.rng
        parts = [rng.choice(_STARTS) + rng.choice(_MIDDLES) for _ in range(rng.choice((1, 2, 2)))]
        return ("".join(parts) + rng.choice(_ENDINGS)).capitalize()


@cache
def _read(path: Path) -> tuple[tuple[Kind, ...], Mapping[str, tuple[str, ...]]]:
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    words = dict(load_talk().words) | {name: tuple(values) for name, values in table["words"].items()}
    kinds = tuple(
        Kind(
            tuple(kind["names"]),
            tuple((pair[0], pair[1]) for pair in kind["pronouns"]),
            tuple(Fact(tuple(fact["say"]), tuple(fact["ask"]), fact["answer"]) for fact in kind["fact"]),
        )
        for kind in table["kind"]
    )
    return kinds, words
