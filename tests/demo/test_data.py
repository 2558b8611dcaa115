"""The built-in data sets: counts, ids, balance, arithmetic, and no row twice."""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pytest

from assistant import paths

FIELDS = {
    "reviews": ("id", "text", "label"),
    "pairs": ("id", "sentence1", "sentence2", "label"),
    "word_problems": ("id", "question", "rationale", "answer"),
    "about_shotwise": ("id", "question", "answer"),
}
PREFIX = {"reviews": "review", "pairs": "pair", "word_problems": "problem", "about_shotwise": "about"}
ROWS_AT_LEAST = {"reviews": 220, "pairs": 120, "word_problems": 120, "about_shotwise": 80}
ALLOWED = set(string.ascii_letters + string.digits + " .,:;!?'\"`()+-*/=" + "é" + "{}_[]<>|%&@#$~")
STEP = re.compile(r"(\d+(?: [-+*/] \d+)+) = (\d+)")


def file_of(name: str) -> Path:
    return paths.demo() / "data" / f"{name}.jsonl"


def rows_of(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in file_of(name).read_text(encoding="utf-8").splitlines()]


def grams(text: str) -> frozenset[str]:
    squeezed = re.sub(r"[\W_]+", " ", text.lower()).strip()
    return frozenset(squeezed[i : i + 5] for i in range(max(1, len(squeezed) - 4)))


def value(expression: str) -> int:
    """Work out `a + b - c` or `a * b` from left to right; a mix of the two kinds is refused."""
    parts = expression.split()
    operators = set(parts[1::2])
    assert operators <= {"+", "-"} or operators <= {"*", "/"}, f"mixed operators: {expression}"
    total = int(parts[0])
    for operator, number in zip(parts[1::2], map(int, parts[2::2]), strict=True):
        if operator == "/":
            assert total % number == 0, f"not a whole number: {expression}"
            total //= number
        else:
            total = {"+": total + number, "-": total - number, "*": total * number}[operator]
    return total


def share(rows: Sequence[dict[str, str]], label: str) -> float:
    return Counter(row["label"] for row in rows)[label] / len(rows)


@pytest.mark.parametrize("name", FIELDS)
def test_rows_have_exactly_their_fields_and_none_is_empty(name: str) -> None:
    rows = rows_of(name)
    assert len(rows) >= ROWS_AT_LEAST[name]
    for row in rows:
        assert tuple(row) == FIELDS[name]
        assert all(isinstance(text, str) and text and text == text.strip() for text in row.values()), row["id"]


@pytest.mark.parametrize("name", FIELDS)
def test_ids_count_up_without_a_gap(name: str) -> None:
    rows = rows_of(name)
    assert [row["id"] for row in rows] == [f"{PREFIX[name]}-{n:03}" for n in range(1, len(rows) + 1)]


@pytest.mark.parametrize("name", FIELDS)
def test_files_are_plain_text_with_one_newline_per_row(name: str) -> None:
    raw = file_of(name).read_bytes().decode("utf-8", errors="strict")
    assert raw.endswith("}\n")
    assert "\r" not in raw
    assert "\n\n" not in raw
    odd = {character for character in raw.replace("\\", "").replace("\n", "") if character not in ALLOWED}
    assert not odd
    assert "  " not in raw


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("reviews", ("text",)),
        ("pairs", ("sentence1", "sentence2")),
        ("word_problems", ("question",)),
        ("word_problems", ("rationale",)),
        ("about_shotwise", ("question",)),
        ("about_shotwise", ("answer",)),
    ],
)
def test_no_two_rows_are_nearly_the_same(name: str, fields: tuple[str, ...]) -> None:
    sets = [(row["id"], grams(" ".join(row[field] for field in fields))) for row in rows_of(name)]
    near = [(a, b) for (a, left), (b, right) in combinations(sets, 2) if len(left & right) >= 0.8 * len(left | right)]
    assert not near


def test_reviews_are_balanced_and_short() -> None:
    rows = rows_of("reviews")
    assert share(rows, "positive") == share(rows, "negative") == 0.5
    assert all(6 <= len(row["text"].split()) <= 45 for row in rows)


def test_pairs_mean_the_same_in_about_six_of_ten_rows() -> None:
    rows = rows_of("pairs")
    assert {row["label"] for row in rows} == {"yes", "no"}
    assert 0.55 <= share(rows, "yes") <= 0.65
    assert all(row["sentence1"] != row["sentence2"] for row in rows)


@pytest.mark.parametrize("row", rows_of("word_problems"), ids=lambda row: row["id"])
def test_every_step_of_a_rationale_is_true_and_the_last_is_the_answer(row: dict[str, str]) -> None:
    steps = STEP.findall(row["rationale"])
    sentences = [part for part in re.split(r"(?<=\.)(?: |$)", row["rationale"]) if part]
    assert 1 <= len(steps) == len(sentences) == row["rationale"].count("=") <= 4
    assert all(value(left) == int(right) for left, right in steps)
    assert steps[-1][1] == row["answer"]


def test_answers_about_shotwise_have_one_to_three_sentences() -> None:
    for row in rows_of("about_shotwise"):
        assert 1 <= len(re.findall(r"[.!?](?= |$)", row["answer"])) <= 3, row["id"]
