"""From a reply to the part of it that is scored.

A reply that cannot be read is a problem of its own kind, in words; it never becomes a
default class (strategies.md calls that the parser's own opinion).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

ANSWER_MARKER = "Answer:"
# Models like to print the marker in bold: **Answer:** 4, or **Answer**: 4.
_BEFORE = r"(?:^|[\s*_]|(?<=\.))[*_]{0,3}"
_MARKER = re.compile(_BEFORE + r"answer[*_]{0,3}\s*:[*_]{0,3}", re.IGNORECASE)
_HALF_MARKER = re.compile(_BEFORE + r"(?:a|an|ans|answ|answe|answer[*_]{0,3})?\Z", re.IGNORECASE)
# A hyphen after a digit is a range or a subtraction, not a sign.
_NUMBER = re.compile(r"(?:(?<!\d)-)?\d[\d,]*(?:\.\d+)?")
# "not positive", "isn't really positive", "non-positive", right before a label's name.
_NEGATION = re.compile(
    r"(?:(?<!\w)(?:not|never|cannot|non)|n['\u2019]t)"
    r"(?:[^\w.,;:!?]+(?:a|an|the|at all|be|very|really|quite|so|entirely|clearly|exactly|particularly)(?!\w))*"
    r"[^\w.,;:!?]+\Z"
)
_NEGATION_REACH = 80


class Parsed(NamedTuple):
    """The final answer, or None and the reason why there is none."""

    final_answer: str | None
    problem: str = ""


class Reasoned(NamedTuple):
    """A reply split at its answer marker; `conclusion` is None if there is no marker."""

    reasoning: str
    conclusion: str | None


def split_reasoning(reply: str) -> Reasoned:
    """Return what stands before and after the last `Answer:` of the reply."""
    marks = list(_MARKER.finditer(reply))
    if not marks:
        return Reasoned(reply.strip(), None)
    last = marks[-1]
    return Reasoned(reply[: last.start()].strip(), reply[last.end() :].strip())


def reasoning_so_far(reply: str) -> Reasoned:
    """Return the same of a reply that is still being written, without an end that may become the marker."""
    split = split_reasoning(reply)
    if split.conclusion is not None:
        return split
    reply = reply.rstrip()
    half = _HALF_MARKER.search(reply)
    return Reasoned((reply[: half.start()] if half else reply).strip(), None)


def parse_label(reply: str, names: Mapping[str, str]) -> Parsed:
    """Return the one label that the reply names.

    `names` maps a name that may stand in the reply to the label it means. The reply either is
    a name, or mentions exactly one label as a whole word; longer names are looked for first,
    so that "not entailment" is not read as "entailment". "not positive" names no label: what
    else the model meant is not ours to say. Within a sentence a single letter is a name only as
    it is written: "a" is an article.
    """
    if not reply.strip():
        return Parsed(None, "the reply is empty")
    by_name = {name.casefold(): label for name, label in names.items()}
    bare = reply.strip().strip(".!\"'`*()[] ").casefold()
    if bare in by_name:
        return Parsed(by_name[bare])
    mentions = _mentions(reply, names)
    found = {label for _, label in mentions}
    if len(found) == 1:
        label = found.pop()
        if any(_NEGATION.search(reply[max(0, at - _NEGATION_REACH) : at].casefold()) for at, _ in mentions):
            return Parsed(None, f"the reply negates a label: {label}")
        return Parsed(label)
    if found:
        return Parsed(None, f"the reply names several labels: {', '.join(sorted(found))}")
    return Parsed(None, f"the reply names no label ({', '.join(names)})")


def _mentions(reply: str, names: Mapping[str, str]) -> list[tuple[int, str]]:
    """Return where in the reply a name stands as a whole word, and the label it means."""
    longest_first = sorted(names, key=len, reverse=True)
    forms = (re.escape(name) if len(name) == 1 else f"(?i:{re.escape(name)})" for name in longest_first)
    pattern = "|".join(f"({form})" for form in forms)
    found = re.finditer(rf"(?<!\w)(?:{pattern})(?!\w)", reply)
    return [(at.start(), names[longest_first[(at.lastindex or 1) - 1]]) for at in found]


def parse_number(reply: str) -> Parsed:
    """Return the last number of the reply in plain digits, without separators or a zero fraction."""
    numbers = _NUMBER.findall(reply.replace("\u2212", "-"))
    if not numbers:
        return Parsed(None, "the reply has no number" if reply.strip() else "the reply is empty")
    return Parsed(plain_number(numbers[-1]))


def plain_number(text: str) -> str:
    """Return a number as digits: `1,200.50` → `1200.5`, `7.0` → `7`."""
    text = text.replace(",", "")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole = digits.lstrip("0")
    digits = whole if whole and not whole.startswith(".") else f"0{whole}"
    return sign + digits if digits != "0" else "0"


def parse_text(reply: str) -> Parsed:
    """Return the whole reply."""
    text = reply.strip()
    return Parsed(text) if text else Parsed(None, "the reply is empty")
