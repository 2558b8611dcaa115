"""A working folder of one's own, a small table, and an encoder whose rows are not of unit length."""

import json

import numpy as np
import pytest

from assistant.data import Fields
from assistant.retrieval.encoders import ToyEncoder
from assistant.retrieval.index import DemonstrationIndex, build_index

FIELDS = Fields(("text",), "label", group="film")
OPENINGS = ("a gorgeous film about", "the dullest account of", "nobody needs another", "a witty look at")
SUBJECTS = ("love", "war", "trains", "the sea", "a long winter", "two brothers", "an old house", "the circus")


class UnnormalisedEncoder(ToyEncoder):
    """The toy with rows of many lengths, as encoders without a normalising layer give them."""

    name = "unnormalised"

    def encode(self, texts):
        rows = super().encode(texts)
        return rows * np.array([[1.0 + len(text) % 7] for text in texts], dtype=np.float32)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOTWISE_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


@pytest.fixture
def rows():
    return [
        {"id": f"r{n}", "text": f"{opening} {subject}", "label": n % 2, "film": f"m{n // 4}"}
        for n, (opening, subject) in enumerate((o, s) for o in OPENINGS for s in SUBJECTS)
    ]


@pytest.fixture
def table(tmp_path, rows):
    path = tmp_path / "reviews.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def index(table):
    build_index(table, "reviews", FIELDS, encoder="toy", labels={"0": "negative", "1": "positive"})
    return DemonstrationIndex.open("reviews")
