"""SQuAD's development set as grounded questions: whole articles are for training or for test, passages are cut short.

Source: Rajpurkar et al. 2016 and 2018, CC BY-SA 4.0.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from assistant.finetuning.demo.passages import Grounded, sentences, swapped
from assistant.finetuning.demo.sources import check_sets, read_rows

FILES = ("squad/v2.0_dev.jsonl.gz", "squad/v1.1_dev.jsonl.gz")
"""Version 1.1 adds 13 articles; what both have is read once."""
LONGEST_PASSAGE = 60
LONGEST_ANSWER = 10
"""Words of the longest answer that is trained on."""
_TEST_SHARE = 160
"""Thousandths of all hashes; it makes 10 of the 48 articles test articles."""


def is_test_title(title: str) -> bool:
    """Return whether an article is kept for tests: decided by a hash of its title."""
    return int(hashlib.sha256(title.encode()).hexdigest(), 16) % 1000 < _TEST_SHARE


def read_squad(folder: Path, rng: random.Random | None = None) -> list[Grounded]:
    """Return the questions on the 38 training articles; passages are cut to at most 60 words, where `rng` says.

    Without `rng` they are always cut in the same places.

    Raises:
        DataError: if a file is missing.
    """
    rng = rng or random.Random(0)
    rows = (row for row in _rows(folder) if not is_test_title(row["title"]))
    found = [one for row in rows if (one := _grounded(row, rng))]
    return [one for one in found if one.answer is None or len(one.answer.split()) <= LONGEST_ANSWER]


def test_questions(folder: Path, n: int, seed: int) -> list[Grounded]:
    """Return n questions on the test articles in random order, or as many as there are.

    Half have an answer; a quarter were written to have none, though the passage is on their
    subject; the others are asked about a passage of another article. Passages are cut as in
    training; a question whose answer stands in a sentence of more than 60 words is not used.

    Raises:
        DataError: if a file is missing.
    """
    rng = random.Random(seed)
    rows = [row for row in _rows(folder) if is_test_title(row["title"])]
    rng.shuffle(rows)
    found = [one for row in rows if (one := _grounded(row, rng))]
    answered = [one for one in found if one.answer is not None]
    unanswered = [one for one in found if one.answer is None]
    n = min(n, len(answered) * 4 // 3, len(unanswered) * 4)
    foreign, written = n // 4, n // 2 - n // 4
    told = n - foreign - written
    others = [swapped(one, answered, rng) for one in answered[told : told + foreign]]
    chosen = [*answered[:told], *unanswered[:written], *(one for one in others if one.answer is None)]
    rng.shuffle(chosen)
    return chosen


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of both versions, each id once."""
    seen: set[str] = set()
    for name in FILES:
        check_sets(folder, [name])
        for row in read_rows(folder / name):
            if row["id"] not in seen:
                seen.add(row["id"])
                yield row


def _grounded(row: Mapping[str, Any], rng: random.Random) -> Grounded | None:
    """Return the row with a short passage, or None if the passage cannot be cut so short."""
    texts = [" ".join(text.split()) for text in row["answers"]["text"]]
    question = " ".join(row["question"].split())
    parts = sentences(" ".join(row["context"].split()))
    if not texts:
        passage = _around(parts, _nearest(parts, question), rng)
        return Grounded(row["title"], passage, question, None) if passage else None
    answer = Counter(texts).most_common(1)[0][0]
    holding = [at for at, part in enumerate(parts) if answer in part]
    if not holding:
        return None
    at = max(holding, key=lambda at: _shared(parts[at], question))
    passage = _around(parts, at, rng)
    also = tuple(dict.fromkeys(text for text in texts if text != answer))
    return Grounded(row["title"], passage, question, answer, also) if passage else None


def _nearest(parts: list[str], question: str) -> int:
    return max(range(len(parts)), key=lambda at: _shared(parts[at], question))


def _shared(part: str, question: str) -> int:
    """Return how many different longer words the two have in common."""
    one, other = (set(re.findall(r"\w{4,}|\d+", text.casefold())) for text in (part, question))
    return len(one & other)


def _around(parts: list[str], at: int, rng: random.Random) -> str:
    """Return whole sentences around number `at`, at most 60 words; empty if it alone has more."""
    first, last = at, at + 1
    words = len(parts[at].split())
    if words > LONGEST_PASSAGE:
        return ""
    while True:
        sides = [side for side in (first - 1, last) if 0 <= side < len(parts)]
        sides = [side for side in sides if words + len(parts[side].split()) <= LONGEST_PASSAGE]
        if not sides:
            return " ".join(parts[first:last])
        side = rng.choice(sides)
        words += len(parts[side].split())
        first, last = min(first, side), max(last, side + 1)
