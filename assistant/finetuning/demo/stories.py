"""Arithmetic with solutions, written by a generator: stories, bare chains of calculations, single calculations.

A story is a chain of events on one quantity. Seeds below `TEST_SEEDS` are for training, those from it
on for tests: they have names and things that training never uses, and their chains of two or more
calculations are others than any that training sees, whatever the seed.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass

from assistant.finetuning.demo import story_words as words

TEST_SEEDS = 1_000_000
LARGEST = 100
"""Total that no calculation goes beyond."""
_TABLE = 12
_TEST_SHARE = 5
"""One of so many chains of calculations is for tests only."""


@dataclass(frozen=True)
class Story:
    """A word problem: the question, its rationale in calculations, and the answer."""

    question: str
    rationale: str
    answer: int


@dataclass(frozen=True)
class _Event:
    """One thing that happens to the total; `start` is the only one without a calculation."""

    kind: str
    n: int
    before: int
    after: int

    @property
    def calculation(self) -> str:
        """Return it as in `34 + 12 = 46`, or nothing."""
        sign = {"groups": "*", "more": "+", "fewer": "-", "double": "*"}.get(self.kind, "/")
        return f"{self.before} {sign} {self.n} = {self.after}" if self.kind != "start" else ""


def write_story(seed: int, steps: int, largest: int = LARGEST) -> Story:
    """Return the story of that seed with `steps` calculations; no total is above `largest`.

    Raises:
        ValueError: if `steps` is not 1 to 6 or `largest` not 30 to 100.
    """
    rng = random.Random(f"story {seed} {steps} {largest}")
    events = _chain_for(rng, seed, steps, largest)
    side = _side(seed)
    thing, name, *friends = rng.choice(words.THINGS[side]), *rng.sample(words.NAMES[side], 3)
    told = _told(rng, events, thing, name, friends)
    asks = words.ASK + words.ASK_LEFT * 2 * (events[-1].kind in ("fewer", "share", "half"))
    ask = rng.choice(asks).format(name=name, thing=thing)
    reasons = [_reason(event, f"{name} has", f" {thing}") for event in events if event.calculation]
    return Story(" ".join([*told, ask]), " ".join(reasons), events[-1].after)


def write_chain(seed: int, steps: int, largest: int = LARGEST) -> Story:
    """Return the bare chain of `steps` calculations of that seed, its rationale in the words of the stories'.

    Raises:
        ValueError: if `steps` is not 1 to 6 or `largest` not 30 to 100.
    """
    rng = random.Random(f"chain {seed} {steps} {largest}")
    events = _chain_for(rng, seed, steps, largest)
    parts = [rng.choice(words.CHAIN[event.kind]).format(n=event.n, many=event.before) for event in events]
    if rng.random() < 0.5:
        text = ", ".join(parts).capitalize() + "."
    else:
        text = " ".join(f"{part.capitalize()}." for part in parts)
    reasons = [_reason(event, "There are", "") for event in events if event.calculation]
    return Story(f"{text} {rng.choice(words.CHAIN_ASK)}".strip(), " ".join(reasons), events[-1].after)


def write_drill(seed: int, largest: int = LARGEST) -> tuple[str, str]:
    """Return a single calculation as a question, and its result.

    Drills practise every step that stories take, so those of training and of tests have calculations in common.

    Raises:
        ValueError: if `largest` is not 30 to 100.
    """
    rng = random.Random(f"drill {seed} {largest}")
    event = rng.choice([one for one in _events(rng, rng.randint(1, 4), largest) if one.calculation])
    sign = event.calculation.split()[1]
    text = rng.choice(words.DRILLS[sign] + words.ANY_DRILL)
    return text.format(a=event.before, b=event.n, sign=sign), str(event.after)


def _side(seed: int) -> str:
    return "train" if seed < TEST_SEEDS else "test"


def _chain_for(rng: random.Random, seed: int, steps: int, largest: int) -> list[_Event]:
    """Return the first chain drawn that belongs to the side of the seed; chains of one step belong to both."""
    while True:
        events = _events(rng, steps, largest)
        chain = " ".join(event.calculation for event in events if event.calculation)
        for_tests = zlib.crc32(chain.encode()) % _TEST_SHARE == 0
        if steps == 1 or for_tests == (_side(seed) == "test"):
            return events


def _events(rng: random.Random, steps: int, largest: int) -> list[_Event]:
    if not 1 <= steps <= 6 or not 30 <= largest <= LARGEST:
        raise ValueError(f"1 to 6 steps and totals of 30 to {LARGEST}, not {steps} and {largest}")
    if rng.random() < (0.5 if steps > 1 else 0.25):
        each = _smaller(rng, 2, _TABLE)
        many = _smaller(rng, 2, min(_TABLE, largest // each))
        events = [_Event("groups", each, many, many * each)]
    else:
        start = _smaller(rng, 4, min(90, largest * 2 // 3))
        events = [_Event("start", start, start, start)]
    while sum(event.kind != "start" for event in events) < steps:
        events.append(_next(rng, events[-1].after, largest))
    return events


def _next(rng: random.Random, total: int, largest: int) -> _Event:
    kinds = ["more"] * 3 * (total <= largest - 10) + ["fewer"] * 3 * (total >= 6)
    kinds += ["double"] * (2 * total <= min(largest, _TABLE**2))
    kinds += ["half"] * (total % 2 == 0 and 8 <= total <= _TABLE**2)
    parts = [n for n in (3, 4, 5) if total % n == 0 and 2 < total // n <= _TABLE]
    kind = rng.choice(kinds + ["share"] * bool(parts))
    if kind == "more":
        more = _smaller(rng, 2, min(30, largest - total))
        return _Event(kind, more, total, total + more)
    if kind == "fewer":
        less = _smaller(rng, 2, min(30, total - 2))
        return _Event(kind, less, total, total - less)
    if kind == "double":
        return _Event(kind, 2, total, total * 2)
    n = 2 if kind == "half" else rng.choice(parts)
    return _Event(kind, n, total, total // n)


def _smaller(rng: random.Random, low: int, high: int) -> int:
    """Return a number of the range, small ones more often: half of the draws are in its lower 35 %."""
    return low + int((high - low + 1) * rng.random() ** 1.5)


def _reason(event: _Event, has: str, thing: str) -> str:
    """Return the one sentence in which an event's calculation is always written."""
    return {
        "groups": f"{has} {event.calculation}{thing}.",
        "more": f"With {event.n} more there are {event.calculation}.",
        "fewer": f"Without {event.n} there are {event.calculation}.",
        "double": f"As many again makes {event.calculation}.",
    }.get(event.kind, f"One part is {event.calculation}.")


_SENTENCES = {
    "start": words.START,
    "groups": words.GROUPS,
    "more": words.MORE,
    "fewer": words.FEWER,
    "double": words.DOUBLE,
    "share": words.SHARE,
    "half": words.HALF + words.SHARE,
}


def _told(rng: random.Random, events: list[_Event], thing: str, name: str, friends: list[str]) -> list[str]:
    """Return the sentences of the events, some after a scene, some at a time of the day."""
    told: list[str] = []
    if rng.random() < 0.2:
        told.append(rng.choice(words.SCENES).format(name=name, thing=thing, friend=friends[0]))
    times = [""] * len(events)
    if rng.random() < 0.35:
        times = [words.TIMES[at] for at in sorted(rng.sample(range(len(words.TIMES)), len(events)))]
    pronoun = words.PRONOUNS[name]
    for at, (event, time) in enumerate(zip(events, times, strict=True)):
        friend = rng.choice(friends)
        clear = at > 0 and all(words.PRONOUNS[other] != pronoun for other in friends)
        filled = rng.choice(_SENTENCES[event.kind]).format(
            who=pronoun if clear and rng.random() < 0.6 else name,
            name=name,
            friend=friend,
            thing=thing,
            n=event.n,
            many=event.before,
            holder=rng.choice(words.HOLDERS),
        )
        told.append(_at_time(filled, time, (name, friend)))
    return told


def _at_time(sentence: str, time: str, names: tuple[str, ...]) -> str:
    if not time or sentence.startswith("At "):
        return sentence[0].upper() + sentence[1:]
    return f"{time}, {sentence if sentence.startswith(names) else sentence[0].lower() + sentence[1:]}"
