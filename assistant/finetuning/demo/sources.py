"""Where the demo model's training text comes from: public sets in a folder, and our own writing."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.errors import DataError
from assistant.finetuning.demo.held_out import HeldOut
from assistant.finetuning.demo.labelled import Labelled, LabelledTask

PUBLIC_SETS = (
    "sst2/train.jsonl.gz",
    "sst2/train_sentences.jsonl.gz",
    "review_sentences/yelp.jsonl.gz",
    "review_sentences/amazon.jsonl.gz",
    "amazon_multidomain/all.jsonl.gz",
    "trec/train.jsonl.gz",
    "sgd/train.jsonl.gz",
    "arc_easy/train.jsonl.gz",
    "gsm8k/train.jsonl.gz",
    "boolq/train.jsonl.gz",
    "commonsenseqa/train.jsonl.gz",
    "topical_chat/valid_freq.jsonl.gz",
    "dolly/train.jsonl.gz",
    "squad/v1.1_dev.jsonl.gz",
    "squad/v2.0_dev.jsonl.gz",
    "chatterbot_corpus/english.jsonl.gz",
    "instructions_small/lfs_1100.jsonl.gz",
    "imdb/unsupervised.jsonl.gz",
    "text_corpus/openstax.jsonl.gz",
    "text_corpus/standardebooks.jsonl.gz",
    "text_corpus/african_storybook.jsonl.gz",
)
SENTIMENT = ("negative", "positive")
QUESTION_TYPES = {
    "ABBR": "abbreviation",
    "DESC": "description",
    "ENTY": "entity",
    "HUM": "person",
    "LOC": "location",
    "NUM": "number",
}
LONGEST = 24
"""Words of a text that is classified; longer ones are cut."""
_SEED = 0
_OPEN_LICENCE = "CC BY"


@dataclass(frozen=True)
class Sources:
    """Everything the episodes are made from."""

    tasks: Mapping[str, LabelledTask]
    """Classes of many kinds: sentiment, question types, domains, services, books, kinds of text."""
    exchanges: tuple[tuple[str, str], ...]
    """Small talk: what is said, what is replied."""
    instructions: tuple[tuple[str, str], ...]
    prose: tuple[str, ...]
    """Paragraphs of plain English."""
    held_out: HeldOut

    @property
    def texts(self) -> tuple[str, ...]:
        """Return every text that is classified, once."""
        return tuple(dict.fromkeys(text for task in self.tasks.values() for text in task.texts))


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a gzipped JSON-Lines file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def check_sets(folder: Path, names: Iterable[str]) -> None:
    """Refuse a folder that lacks one of the sets.

    Raises:
        DataError: naming all that are missing.
    """
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"{folder} lacks {', '.join(missing)}.",
            "assistant/demo/README.md says where each public set is found and how its rows look.",
        )


def read_sources(folder: Path, held_out: HeldOut) -> Sources:
    """Return the sources, without any row that is held out or nearly so.

    Raises:
        DataError: if a set is missing.
    """
    check_sets(folder, PUBLIC_SETS)
    tasks = {name: LabelledTask(name, _kept(rows, held_out), weight) for name, (rows, weight) in _tasks(folder).items()}
    return Sources(
        tasks=tasks,
        exchanges=tuple(held_out.keep(_exchanges(folder), lambda pair: (pair[0],))),
        instructions=tuple(held_out.keep(_instructions(folder), lambda pair: (pair[0],))),
        prose=tuple(_prose(folder)),
        held_out=held_out,
    )


def _kept(rows: Iterable[Labelled], held_out: HeldOut) -> tuple[Labelled, ...]:
    return tuple(held_out.keep(rows, lambda row: (row.text,)))


def _tasks(folder: Path) -> dict[str, tuple[list[Labelled], float]]:
    domains, liking = _amazon(folder)
    return {
        "sentiment": ([*_sentiment(folder), *liking], 6.0),
        "domain": (domains, 1.0),
        "question-type": ([Labelled(row["text"], QUESTION_TYPES[row["label"]]) for row in _trec(folder)], 2.0),
        "fine-question-type": ([Labelled(row["text"], row["fine_label"]) for row in _trec(folder)], 3.0),
        "service": (_services(folder), 2.0),
        "book": (_books(folder), 4.0),
        "kind": (_kinds(folder), 2.0),
    }


def _trec(folder: Path) -> Iterator[dict[str, Any]]:
    for row in read_rows(folder / "trec/train.jsonl.gz"):
        yield row | {"text": row["text"].strip()}


def _sentiment(folder: Path) -> list[Labelled]:
    rows = [
        Labelled(row["text"].strip(), SENTIMENT[row["label"]])
        for part in ("sst2/train_sentences", "review_sentences/yelp", "review_sentences/amazon")
        for row in read_rows(folder / f"{part}.jsonl.gz")
        if len(row["text"].split()) <= 30
    ]
    phrases = [
        Labelled(row["text"].strip(), SENTIMENT[row["label"]])
        for row in read_rows(folder / "sst2/train.jsonl.gz")
        if 5 <= len(row["text"].split()) <= 22
    ]
    return [*rows, *random.Random(_SEED).sample(phrases, min(20_000, len(phrases)))]


def _amazon(folder: Path) -> tuple[list[Labelled], list[Labelled]]:
    """Return product reviews by domain and, others, by whether the writer likes the product."""
    rows = list(read_rows(folder / "amazon_multidomain/all.jsonl.gz"))
    texts = [_short(f"{row['title']}. {row['text']}") for row in rows]
    domains = [Labelled(text, row["domain"]) for text, row in zip(texts, rows, strict=True)]
    liking = [Labelled(text, SENTIMENT[row["label"]]) for text, row in zip(texts, rows, strict=True)]
    return domains[1::2], liking[::2]


def _services(folder: Path) -> list[Labelled]:
    rows = [
        Labelled(_short(row["messages"][0]["text"]), row["services"][0].split("_")[0])
        for row in read_rows(folder / "sgd/train.jsonl.gz")
        if row["messages"]
    ]
    return random.Random(_SEED).sample(rows, min(6000, len(rows)))


def _books(folder: Path) -> list[Labelled]:
    """Return sentences of textbooks and the book that each stands in."""
    found: dict[str, list[str]] = {}
    for row in read_rows(folder / "text_corpus/openstax.jsonl.gz"):
        for sentence in re.split(r"(?<=[.?!])\s+", row["text"]):
            if 8 <= len(sentence.split()) <= LONGEST:
                found.setdefault(row.get("book", ""), []).append(sentence)
    rng = random.Random(_SEED)
    return [Labelled(text, book) for book, texts in found.items() for text in rng.sample(texts, min(500, len(texts)))]


def _kinds(folder: Path) -> list[Labelled]:
    """Return texts of different kinds: questions of science, of every day, stories with numbers, chat and more."""
    texts = {
        "science": _column(folder / "arc_easy/train.jsonl.gz", "question"),
        "maths": _column(folder / "gsm8k/train.jsonl.gz", "question"),
        "wiki": _column(folder / "boolq/train.jsonl.gz", "question"),
        "common": _column(folder / "commonsenseqa/train.jsonl.gz", "question"),
        "instruction": _column(folder / "dolly/train.jsonl.gz", "instruction"),
        "chat": [
            turn["text"] for row in read_rows(folder / "topical_chat/valid_freq.jsonl.gz") for turn in row["messages"]
        ],
    }
    rng = random.Random(_SEED)
    rows = []
    for kind, found in texts.items():
        short = [_short(text) for text in found if len(text.split()) >= 4]
        rows += [Labelled(text, kind) for text in rng.sample(short, min(800, len(short)))]
    return rows


def _column(path: Path, name: str) -> list[str]:
    return [row[name] for row in read_rows(path)]


def _short(text: str) -> str:
    return " ".join(text.split()[:LONGEST])


def _exchanges(folder: Path) -> Iterator[tuple[str, str]]:
    dull = {"sex", "politics", "botprofile", "gossip"}
    for row in read_rows(folder / "chatterbot_corpus/english.jsonl.gz"):
        turns = row["turns"]
        if row["category"] not in dull and len(turns) == 2 and all(2 < len(turn) < 160 for turn in turns):
            yield turns[0].strip(), turns[1].strip()


def _instructions(folder: Path) -> Iterator[tuple[str, str]]:
    for name in ("instructions_small/lfs_1100", "dolly/train"):
        for row in read_rows(folder / f"{name}.jsonl.gz"):
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
