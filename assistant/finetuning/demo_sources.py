"""Where the demo model's training text comes from: public sets in a folder, and our own writing."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant import paths
from assistant.errors import DataError

PUBLIC_SETS = (
    "sst2/train.jsonl.gz",
    "review_sentences/yelp.jsonl.gz",
    "review_sentences/amazon.jsonl.gz",
    "trec/train.jsonl.gz",
    "chatterbot_corpus/english.jsonl.gz",
    "instructions_small/lfs_1100.jsonl.gz",
    "imdb/unsupervised.jsonl.gz",
    "text_corpus/openstax.jsonl.gz",
    "text_corpus/standardebooks.jsonl.gz",
    "text_corpus/african_storybook.jsonl.gz",
)
TEST_SETS = ("sst2/test.jsonl.gz",)
_OPEN_LICENCE = "CC BY"


@dataclass(frozen=True)
class Labelled:
    """A text and its class."""

    text: str
    label: str


@dataclass(frozen=True)
class Sources:
    """Everything the episodes are made from."""

    reviews: tuple[Labelled, ...]
    """Film, shop and restaurant sentences, `negative` or `positive`."""
    questions: tuple[Labelled, ...]
    """Questions and the kind of answer they ask for."""
    exchanges: tuple[tuple[str, str], ...]
    """Small talk: what is said, what is replied."""
    instructions: tuple[tuple[str, str], ...]
    prose: tuple[str, ...]
    """Paragraphs of plain English."""
    talk: Mapping[str, Any]
    """Our own `small_talk.toml`."""
    held_out: frozenset[str]
    """Keys (`text_key`) of every text of a test set or a built-in data set; none of them is trained on."""
    left_out: int
    """Rows not used because they are held out."""


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a gzipped JSON-Lines file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def text_key(text: str) -> str:
    """Return a hash of the text's letters and digits, by which copies are found."""
    return hashlib.sha256(re.sub(r"[\W_]+", "", text.casefold()).encode()).hexdigest()[:20]


def read_sources(folder: Path) -> Sources:
    """Return the sources, without any row that also stands in a test set or a built-in data set.

    Raises:
        DataError: if a set is missing.
    """
    missing = [name for name in (*PUBLIC_SETS, *TEST_SETS) if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"{folder} lacks {', '.join(missing)}.",
            "assistant/demo/README.md says where each public set is found and how its rows look.",
        )
    held_out = _held_out_keys(folder)
    reviews, questions = _reviews(folder), _questions(folder)
    exchanges, instructions = list(_exchanges(folder)), list(_instructions(folder))
    used_rows = [tuple(row for row in rows if text_key(row.text) not in held_out) for rows in (reviews, questions)]
    used_pairs = [
        tuple(pair for pair in pairs if text_key(pair[0]) not in held_out) for pairs in (exchanges, instructions)
    ]
    found = len(reviews) + len(questions) + len(exchanges) + len(instructions)
    return Sources(
        reviews=used_rows[0],
        questions=used_rows[1],
        exchanges=used_pairs[0],
        instructions=used_pairs[1],
        prose=tuple(_prose(folder)),
        talk=tomllib.loads((Path(__file__).parent / "small_talk.toml").read_text(encoding="utf-8")),
        held_out=held_out,
        left_out=found - sum(map(len, used_rows)) - sum(map(len, used_pairs)),
    )


def _held_out_keys(folder: Path) -> frozenset[str]:
    keys = {text_key(row["text"]) for name in TEST_SETS for row in read_rows(folder / name)}
    for path in sorted((paths.demo() / "data").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            keys |= {
                text_key(value) for name, value in json.loads(line).items() if name not in ("id", "label", "answer")
            }
    return frozenset(keys)


def _reviews(folder: Path) -> list[Labelled]:
    names = ("negative", "positive")
    rows: list[Labelled] = []
    for part in ("sst2/train", "review_sentences/yelp", "review_sentences/amazon"):
        for row in read_rows(folder / f"{part}.jsonl.gz"):
            if len(row["text"].split()) >= 4:
                rows.append(Labelled(row["text"].strip(), names[row["label"]]))
    return rows


_TREC = {
    "ABBR": "abbreviation",
    "DESC": "description",
    "ENTY": "entity",
    "HUM": "person",
    "LOC": "location",
    "NUM": "number",
}


def _questions(folder: Path) -> list[Labelled]:
    return [Labelled(row["text"].strip(), _TREC[row["label"]]) for row in read_rows(folder / "trec/train.jsonl.gz")]


def _exchanges(folder: Path) -> Iterator[tuple[str, str]]:
    dull = {"sex", "politics", "botprofile", "gossip"}
    for row in read_rows(folder / "chatterbot_corpus/english.jsonl.gz"):
        turns = row["turns"]
        if row["category"] not in dull and len(turns) == 2 and all(2 < len(turn) < 160 for turn in turns):
            yield turns[0].strip(), turns[1].strip()


def _instructions(folder: Path) -> Iterator[tuple[str, str]]:
    for row in read_rows(folder / "instructions_small/lfs_1100.jsonl.gz"):
        asked = "\n".join(part.strip() for part in (row["instruction"], row["context"]) if part.strip())
        if len(asked) < 300 and len(row["response"]) < 200:
            yield asked, row["response"].strip()


def _prose(folder: Path) -> Iterator[str]:
    for row in read_rows(folder / "imdb/unsupervised.jsonl.gz"):
        yield re.sub(r"(<br\s*/?>\s*)+", "\n", row["text"])
    for name in ("openstax", "standardebooks", "african_storybook"):
        for row in read_rows(folder / f"text_corpus/{name}.jsonl.gz"):
            if name != "african_storybook" or (row["licence"].startswith(_OPEN_LICENCE) and "NC" not in row["licence"]):
                yield row["text"]


def spoken(pattern: str, rng: random.Random) -> str:
    """Return one reading of a pattern in which `[a|b|]` offers alternatives."""
    return re.sub(r"\[([^\]]*)\]", lambda choice: rng.choice(choice.group(1).split("|")), pattern).strip()


def pieces(texts: Iterable[str], words: int, rng: random.Random) -> Iterator[str]:
    """Yield stretches of about `words` words from each text, one per text."""
    for text in texts:
        parts = text.split(" ")
        start = rng.randrange(max(1, len(parts) - words))
        yield " ".join(parts[start : start + words]).strip()
