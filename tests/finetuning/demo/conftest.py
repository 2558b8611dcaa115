"""Miniature stand-ins for the public sets, and what is made of them."""

import gzip
import json
import random

import pytest

from assistant.finetuning.demo.grounded import read_squad
from assistant.finetuning.demo.held_out import HeldOut
from assistant.finetuning.demo.labelled import Neighbours
from assistant.finetuning.demo.mixture import Episodes, Material
from assistant.finetuning.demo.sources import PUBLIC_SETS, read_sources
from assistant.finetuning.demo.talk import load_talk
from assistant.finetuning.demo.tokenizer import train_tokenizer
from assistant.retrieval.encoders import ToyEncoder

HELD_REVIEW = "the costume of film 777 is dull and flat for an hour"
HELD_QUESTION = "Who built the tower number 777 by the sea ?"
NOUNS = ("plot", "cast", "music", "ending", "camera", "script", "hero", "costume")


def write_rows(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)


def reviews(start, count=80):
    """Return made-up reviews, no two of them alike, of both classes."""
    rng = random.Random(start)
    return [
        {
            "text": f"the {rng.choice(NOUNS)} of film {n} is {'dull and flat' if n % 2 else 'bright and fresh'} today",
            "label": 1 - n % 2,
        }
        for n in range(start, start + count)
    ]


def questions():
    asked = {"HUM": "Who built the tower number", "LOC": "Where is the bridge number", "NUM": "How many steps has hill"}
    return [
        {"text": f"{start} {n} ?", "label": label, "fine_label": f"{label}:one"}
        for label, start in asked.items()
        for n in range(40)
    ]


def squad_rows():
    filler = "Nothing else is told in this very short piece about the town."
    for n in range(40):
        passage = f"{filler} Tower {n} was built in {1500 + n}. {filler}"
        answer = {"text": [f"{1500 + n}"], "answer_start": [passage.index(f"{1500 + n}")]}
        row = {"title": ("Rhine", "Kenya")[n % 2], "context": passage, "question": f"When was tower {n} built?"}
        yield {"id": f"q{n}", "answers": answer, **row}
        yield {"id": f"n{n}", "answers": {"text": [], "answer_start": []}, **row, "question": f"Who sold tower {n}?"}


def sentence(book, number):
    """Return a sentence of eight words, five of which stand in no other."""
    letters = "bdfgklmnprstvz"
    own = (f"{book[:2].lower()}{letters[number // 14]}o{letters[number % 14]}{vowel}" for vowel in "aeiou")
    return f"{book} tells that {' '.join(own)}."


def tables():
    """Yield the name of each set and its rows."""
    books = ("Physics", "Biology")
    yield "sst2/train", reviews(0)
    yield "sst2/train_sentences", [*reviews(100), {"text": HELD_REVIEW, "label": 0}]
    yield "review_sentences/yelp", reviews(200)
    yield "review_sentences/amazon", reviews(300)
    goods = [{"title": f"Thing {n}", "text": f"It is number {n} of its kind", "domain": "toys"} for n in range(200)]
    yield (
        "amazon_multidomain/all",
        [g | {"domain": ("toys", "books")[n // 2 % 2], "label": n % 2} for n, g in enumerate(goods)],
    )
    yield "trec/train", [*questions(), {"text": HELD_QUESTION, "label": "HUM", "fine_label": "HUM:one"}]
    trips = [("Find me a table for", "Restaurants_1"), ("Book a seat to town", "Buses_2")]
    yield (
        "sgd/train",
        [{"messages": [{"text": f"{says} {n} ."}], "services": [of]} for says, of in trips for n in range(30)],
    )
    for name in ("arc_easy", "gsm8k", "boolq", "commonsenseqa"):
        yield f"{name}/train", [{"question": f"What would {name} ask about item {n} ?"} for n in range(30)]
    yield "topical_chat/valid_freq", [{"messages": [{"text": f"I saw game number {n} last night"}]} for n in range(30)]
    asked = [{"instruction": f"Repeat the number {n} once", "context": "", "response": f"{n}"} for n in range(30)]
    yield "dolly/train", asked
    yield "instructions_small/lfs_1100", asked
    yield "squad/v1.1_dev", squad_rows()
    yield "squad/v2.0_dev", squad_rows()
    yield (
        "chatterbot_corpus/english",
        [{"category": "ai", "turns": [f"Say word {n}", f"Word {n} it is"]} for n in range(9)],
    )
    yield "imdb/unsupervised", [{"text": f"film {n} was<br /><br />long and plain"} for n in range(9)]
    pages = [{"text": f"{sentence(book, n)} Yes.", "book": book} for book in books for n in range(30)]
    yield "text_corpus/openstax", pages
    yield "text_corpus/standardebooks", [{"text": f"an ordinary paragraph number {n} of plain words"} for n in range(9)]
    licences = ("CC BY 4.0", "CC BY-NC 4.0")
    yield "text_corpus/african_storybook", [{"text": f"a story under {one}", "licence": one} for one in licences]


@pytest.fixture(scope="session")
def public_sets(tmp_path_factory):
    """Return a folder with a few made-up rows in the layout of each public set."""
    folder = tmp_path_factory.mktemp("public")
    for name, rows in tables():
        write_rows(folder / f"{name}.jsonl.gz", rows)
    assert all((folder / name).is_file() for name in PUBLIC_SETS)
    return folder


@pytest.fixture(scope="session")
def held_texts():
    """Return held-out texts that stand among the miniature sets."""
    return {"films": [HELD_REVIEW], "questions": [HELD_QUESTION]}


@pytest.fixture(scope="session")
def material(public_sets, held_texts):
    sources = read_sources(public_sets, HeldOut.of(held_texts))
    near = Neighbours(sources.texts, ToyEncoder().encode(sources.texts))
    return Material(sources, near, load_talk(), read_squad(public_sets))


@pytest.fixture(scope="session")
def words():
    """Return words that serve as names."""
    return tuple(f"{a}{b}" for a in ("ba", "do", "fi", "gu", "ka", "lo") for b in ("nt", "rk", "st", "mp", "ld"))


@pytest.fixture(scope="session")
def tokenizer(material, words):
    episodes = Episodes(material, words, 9)
    drawn = [episodes.draw(dict.fromkeys(episodes.kinds, 1.0)) for _ in range(150)]
    return train_tokenizer((message["content"] for one in drawn for message in one.messages), 700, 2048)
