"""Markers that open or close a turn, and text made unable to spell one.

Escaping by deletion can be undone by nesting (`<|us<|user|>er|>`), and a tokenizer that splits
special tokens does nothing for templates whose markers are plain text (Zephyr's `<|user|>`).
So a marker is broken by insertion, and the result is counted again on the token ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from assistant.errors import PromptEscape

WORD_JOINER = "\u2060"
"""Invisible, forbids a line break, and no tokenizer's special token contains it."""

_BRACKETED = re.compile(r"<<[^<>\s]{1,60}>>|<[^<>\s]{1,60}>|\[/?[A-Z_]{2,40}\]")
_HEADING = re.compile(r"[^\n]{1,60}:|#+ [^\n]{1,60}")


def template_markers(segments: Iterable[str]) -> tuple[str, ...]:
    """Return the markers in what a chat template wrote between the contents, longest first.

    A marker is anything in brackets (`<|user|>`, `</s>`, `<<SYS>>`, `[INST]`) and any line that
    ends in a colon or begins with `#` (`### Human:`).
    """
    found: set[str] = set()
    for segment in segments:
        found.update(_BRACKETED.findall(segment))
        for line in _BRACKETED.sub("\n", segment).splitlines():
            if _HEADING.fullmatch(heading := line.strip()):
                found.add(heading)
    return _longest_first(found)


def neutralised(text: str, markers: Sequence[str]) -> str:
    """Return the text with a word joiner after the first character of every marker in it.

    Text without a marker comes back as it is. Markers that overlap are all broken: each place
    where one begins is found on the text as it was, and an insertion cannot complete another.
    """
    pattern = _beginnings(tuple(marker for marker in markers if len(marker) > 1))
    return text if pattern is None else pattern.sub(lambda match: match.group(0) + WORD_JOINER, text)


@lru_cache(maxsize=32)
def _beginnings(markers: tuple[str, ...]) -> re.Pattern[str] | None:
    if not markers:
        return None
    return re.compile(f"(?={'|'.join(re.escape(marker) for marker in _longest_first(markers))})(?s:.)")


def _longest_first(markers: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(markers), key=lambda marker: (-len(marker), marker)))


def marker_counts(
    token_ids: Sequence[int], text: str, special_ids: frozenset[int], markers: Sequence[str]
) -> dict[int | str, int]:
    """Return how often each special id is among the ids, and each marker in the decoded text."""
    counts: dict[int | str, int] = {marker: n for marker in markers if (n := text.count(marker))}
    for token in token_ids:
        if token in special_ids:
            counts[token] = counts.get(token, 0) + 1
    return counts


def refuse_escapes(found: dict[int | str, int], expected: dict[int | str, int]) -> None:
    """Check that a prompt has exactly the markers its template writes.

    Raises:
        PromptEscape: if there is one more, or one fewer.
    """
    if found != expected:
        odd = sorted({str(key) for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)})
        raise PromptEscape(
            f"Some text would have opened or closed a turn of its own (marker {', '.join(odd[:3])}).",
            "Remove the marker from the text.",
        )
