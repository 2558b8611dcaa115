"""Arithmetic stories with their solutions, written by a generator.

A story is a chain of one to four events on one quantity. Seeds below `TEST_SEEDS` are for
training; those above are kept for tests, with names and things that training never uses.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

TEST_SEEDS = 1_000_000

_TRAIN_NAMES = "Ana Ben Cara Dev Ella Finn Gita Hugo Iris Jon Kofi Lena Milo Nia Oren Pia Raj Sofia Timo Uma Vera Will"
_TEST_NAMES = "Abel Bianca Cyrus Dalia Enzo Farah Goran Hana Idris Jutta"
_NAMES = {"train": tuple(_TRAIN_NAMES.split()), "test": tuple(_TEST_NAMES.split())}
_TRAIN_THINGS = "apples pens books coins marbles stickers cards eggs balls cookies stamps flowers shells"
_THINGS = {
    "train": tuple(_TRAIN_THINGS.split()),
    "test": ("lemons", "badges", "ribbons", "candles", "magnets", "beads"),
}
_HOLDERS = ["boxes", "bags", "baskets", "packs", "jars", "shelves"]


@dataclass(frozen=True)
class Story:
    """A word problem: the question, its rationale in calculations, and the answer."""

    question: str
    rationale: str
    answer: int


def write_story(seed: int, steps: int) -> Story:
    """Return the story of that seed with `steps` (1 to 4) calculations."""
    rng = random.Random(seed * 8 + steps)
    split = "train" if seed < TEST_SEEDS else "test"
    name, thing = rng.choice(_NAMES[split]), rng.choice(_THINGS[split])
    friend = rng.choice([other for other in _NAMES[split] if other != name])
    text, reasons, total = _opening(rng, name, thing, steps)
    while len(reasons) < steps:
        sentence, reason, total = _event(rng, name, friend, thing, total)
        text.append(sentence)
        reasons.append(reason)
    ask = rng.choice(
        [
            f"How many {thing} does {name} have now?",
            f"How many {thing} does {name} have in the end?",
            f"How many {thing} are there now?",
        ]
    )
    return Story(" ".join([*text, ask]), " ".join(reasons), total)


def _opening(rng: random.Random, name: str, thing: str, steps: int) -> tuple[list[str], list[str], int]:
    if (steps > 1 and rng.random() < 0.6) or rng.random() < 0.3:
        many, each, holder = rng.randint(2, 9), rng.randint(2, 12), rng.choice(_HOLDERS)
        text = rng.choice(
            [
                f"{name} has {many} {holder} with {each} {thing} each.",
                f"There are {many} {holder}, and {name} puts {each} {thing} into each of them.",
                f"{name} buys {many} {holder} of {each} {thing}.",
            ]
        )
        return [text], [f"{name} has {many} * {each} = {many * each} {thing}."], many * each
    start = rng.randint(5, 60)
    return [rng.choice([f"{name} has {start} {thing}.", f"{name} starts with {start} {thing}."])], [], start


def _event(rng: random.Random, name: str, friend: str, thing: str, total: int) -> tuple[str, str, int]:
    kinds = ["gain", "gain"] + (["loss", "loss"] if total > 3 else []) + (["double"] if total < 60 else [])
    kinds += [f"share{parts}" for parts in (2, 3, 4, 5) if total % parts == 0 and total > parts]
    kind = rng.choice(kinds)
    if kind == "gain":
        more = rng.randint(2, 30)
        said = rng.choice(
            [f"{friend} gives {name} {more} more.", f"{name} finds {more} more {thing}.", f"{name} buys {more} more."]
        )
        return said, f"With {more} more there are {total} + {more} = {total + more}.", total + more
    if kind == "loss":
        less = rng.randint(1, min(total - 1, 30))
        said = rng.choice(
            [f"{name} gives {less} to {friend}.", f"{name} loses {less} of them.", f"{friend} takes {less} {thing}."]
        )
        return said, f"Without {less} there are {total} - {less} = {total - less}.", total - less
    if kind == "double":
        return f"Then {name} gets as many again.", f"As many again makes {total} * 2 = {total * 2}.", total * 2
    parts = int(kind.removeprefix("share"))
    said = f"{name} shares them equally among {parts} people and keeps one part."
    return said, f"One part is {total} / {parts} = {total // parts}.", total // parts
