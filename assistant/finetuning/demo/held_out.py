"""Texts that must never be trained on, and the test whether another text is one of them or nearly one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from assistant.finetuning.demo.runs import Runs, text_key, words_of

T = TypeVar("T")

SHORT_TEXT = 60
"""Words up to which a text is short: sentences, questions, stories; above it are reviews, passages, chapters."""
RUN = 6
LONG_RUN = 13
"""As in the overlap test of Brown et al. 2020, where one of the two texts is long."""
COMMON = 20
ALIKE = 0.85

COPY, HOLDS, SHARES, SHARES_LONG, PART, SAME_WORDS = (
    "the same letters and digits",
    "holds the whole held-out text",
    f"{RUN} words in a row",
    f"{LONG_RUN} words in a row",
    "part of the held-out text",
    "nearly the same set of words",
)


class HeldOut:
    """Held-out texts in named groups, and what has been left out of training because of them.

    A text is held out if, by its words (casefolded, without punctuation), it

    - has the letters and digits of a held-out text (a copy);
    - holds a whole held-out text of 3 to 12 words in a row; those below 6 words count only inside
      texts of at most 60 words, because a chapter says "what is love" without asking it;
    - shares 6 words in a row with a held-out text, both of at most 60 words; or 13 in a row, of any
      size: two long reviews share six by chance more often than not;
    - has 3 to 7 words and is part of a held-out text of at most 60 words;
    - has 5 to 60 different words, at least 85 % of the two texts' words being in both (Jaccard).

    Words in a row that stand in more than 20 texts of a group ("what is the name of the") are its
    boilerplate: they tell nothing, and neither sharing them nor being one of them counts.
    """

    def __init__(self, groups: Mapping[str, Iterable[str]], common: int = COMMON) -> None:
        self.left_out: Counter[tuple[str, str]] = Counter()
        """(Group, reason) → rows that `keep` left out."""
        self.names = tuple(groups)
        self._keys: dict[str, int] = {}
        texts: list[list[list[str]]] = []
        for number, name in enumerate(self.names):
            found = list(dict.fromkeys(groups[name]))
            for text in found:
                self._keys.setdefault(text_key(text), number)
            texts.append([words_of(text) for text in found])
        self._keys.pop(text_key(""), None)
        short = [[words for words in group if len(words) <= SHORT_TEXT] for group in texts]
        self._whole = _Whole(short)
        self._parts = {length: Runs(length, short, common) for length in range(3, RUN)}
        self._runs, self._long_runs = Runs(RUN, short, common), Runs(LONG_RUN, texts, common)
        self._alike = _Alike(short)

    @classmethod
    def of(cls, groups: Mapping[str, Iterable[str]], common: int = COMMON) -> HeldOut:
        """Return the held-out texts of these groups: name of a data set → its texts."""
        return cls(groups, common)

    @property
    def keys(self) -> Collection[str]:
        """Return the keys (`text_key`) of the held-out texts."""
        return self._keys.keys()

    def find(self, text: str) -> tuple[str, str] | None:
        """Return the group of a held-out text that this one is or nearly is, and the reason; None if it is free."""
        copied = self._keys.get(text_key(text))
        number, reason = (copied, COPY) if copied is not None else self._near(words_of(text))
        return None if number is None else (self.names[number], reason)

    def why(self, text: str) -> str | None:
        """Return the group whose text this one is or nearly is, or None if it may be trained on."""
        found = self.find(text)
        return found[0] if found else None

    def keep(self, rows: Iterable[T], texts: Callable[[T], Iterable[str]] = lambda row: (str(row),)) -> list[T]:
        """Return the rows of which no text is held out; the others are counted in `left_out`, once each.

        `texts` gives the texts of a row; left out, the row is one.
        """
        kept: list[T] = []
        for row in rows:
            reason = next((found for text in texts(row) if (found := self.find(text))), None)
            if reason is None:
                kept.append(row)
            else:
                self.left_out[reason] += 1
        return kept

    def counts(self) -> list[dict[str, str | int]]:
        """Return how many rows were left out, by set and reason, as records keep it."""
        return [{"set": group, "why": why, "rows": rows} for (group, why), rows in self.left_out.items()]

    def _near(self, words: Sequence[str]) -> tuple[int | None, str]:
        tests: list[tuple[str, Callable[[Sequence[str]], int | None]]] = [(HOLDS, self._whole.group)]
        if len(words) <= SHORT_TEXT:
            tests.append((SHARES, self._runs.group))
        tests.append((SHARES_LONG, self._long_runs.group))
        if len(words) in self._parts:  # longer parts share a run
            tests.append((PART, self._parts[len(words)].group))
        if len(words) <= SHORT_TEXT:
            tests.append((SAME_WORDS, self._alike.group))
        for reason, test in tests:
            if (number := test(words)) is not None:
                return number, reason
        return None, ""


class _Whole:
    """Held-out texts of 3 to 12 words, by their first three; longer ones are found by their runs."""

    def __init__(self, groups: Sequence[Sequence[Sequence[str]]]) -> None:
        self._starts: dict[str, list[tuple[list[str], int]]] = {}
        for number, texts in enumerate(groups):
            for words in texts:
                if 3 <= len(words) < LONG_RUN:
                    self._starts.setdefault(" ".join(words[:3]), []).append((list(words), number))

    def group(self, words: Sequence[str]) -> int | None:
        """Return the group of a text that stands in these words, or None."""
        least = 3 if len(words) <= SHORT_TEXT else RUN
        for at in range(len(words) - 2):
            for whole, number in self._starts.get(f"{words[at]} {words[at + 1]} {words[at + 2]}", ()):
                if len(whole) >= least and list(words[at : at + len(whole)]) == whole:
                    return number
        return None


class _Alike:
    """Sets of words, found by their rarest ones: two that are alike enough share one of those (prefix filter)."""

    def __init__(self, groups: Sequence[Sequence[Sequence[str]]]) -> None:
        sets = [(frozenset(words), number) for number, texts in enumerate(groups) for words in texts]
        self._sets = [one for one in sets if len(one[0]) >= 5]
        self._texts_with = Counter(word for words, _ in self._sets for word in words)
        self._by_word: dict[str, list[int]] = {}
        for at, (words, _) in enumerate(self._sets):
            for word in self._rarest(words):
                self._by_word.setdefault(word, []).append(at)

    def group(self, words: Sequence[str]) -> int | None:
        """Return the group of a text with nearly the same set of words, or None."""
        asked = frozenset(words)
        if len(asked) < 5:
            return None
        for at in sorted({at for word in self._rarest(asked) for at in self._by_word.get(word, ())}):
            known, number = self._sets[at]
            if len(asked & known) >= ALIKE * len(asked | known):
                return number
        return None

    def _rarest(self, words: frozenset[str]) -> list[str]:
        """Return so many of the words that a set which has none of them is not alike enough."""
        ordered = sorted(words, key=lambda word: (self._texts_with[word], word))
        return ordered[: len(words) - math.ceil(ALIKE * len(words)) + 1]
