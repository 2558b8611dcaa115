"""Label names that say nothing about what they name: only demonstrations tell what is meant."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence

FUNCTION_WORDS = 120
"""The most frequent words of a text ("the", "of") make poor names."""
WORDS = 2500
NUMBERED = tuple(f"class_{number}" for number in range(10))
"""The usual names of classes that have none."""
_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"


def frequent_words(texts: Iterable[str], count: int = WORDS) -> tuple[str, ...]:
    """Return words of 3 to 9 letters that are frequent in the texts, without the most frequent ones."""
    counts = Counter(word for text in texts for word in re.findall(r"\b[a-z]{3,9}\b", text))
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return tuple(ranked[FUNCTION_WORDS : FUNCTION_WORDS + count])


def arbitrary_names(count: int, words: Sequence[str], rng: random.Random) -> list[str]:
    """Return `count` different names: words, numbered classes, letters, digits or made-up words."""
    kind = rng.choices(("words", "classes", "letters", "digits", "made up"), (56, 18, 10, 6, 10))[0]
    if kind == "words":
        return rng.sample(words, count)
    if kind == "classes":
        return rng.sample(NUMBERED[:count], count)
    if kind == "letters":
        return rng.sample("ABCDEFGH", count)
    if kind == "digits":
        return rng.sample("0123456789", count)
    found: dict[str, None] = {}
    while len(found) < count:
        found[_made_up(rng)] = None
    return list(found)


def _made_up(rng: random.Random) -> str:
    return "".join(rng.choice(_CONSONANTS) + rng.choice(_VOWELS) for _ in range(rng.choice([1, 2, 2])))
