"""A passage with a question, and what is done with any of them: sentences, passages exchanged."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

_ENDS = re.compile(r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!\b(?:Mr|Dr|St|vs|No)\.)(?<!\b(?:Mrs|etc)\.)\s+(?=[A-Z\"“'(\d])")


@dataclass(frozen=True)
class Grounded:
    """A question about a passage; its answer is words of the passage, or None if the passage does not say."""

    title: str
    """What the passage is taken from: passages of one title tell of one subject."""
    passage: str
    question: str
    answer: str | None
    also: tuple[str, ...] = ()
    """Other words that are right too."""

    def told_by(self, passage: str) -> bool:
        """Return whether the answer stands in a passage, whatever it means there."""
        answers = (text.casefold() for text in (self.answer, *self.also) if text)
        return any(answer in passage.casefold() for answer in answers)


def sentences(text: str) -> list[str]:
    """Return the sentences of a text; joined by spaces they are the text."""
    return _ENDS.split(text)


def swapped(question: Grounded, others: Sequence[Grounded], rng: random.Random) -> Grounded:
    """Return the question with a passage of another title that does not hold the answer, if 20 draws find one."""
    drawn = rng.sample(others, min(len(others), 20))
    fits = (one.passage for one in drawn if one.title != question.title and not question.told_by(one.passage))
    passage = next(fits, None)
    return question if passage is None else Grounded(question.title, passage, question.question, None)
