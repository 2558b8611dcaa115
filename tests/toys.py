"""A small table, an index of it by the toy encoder, and a chat model without weights."""

import json

from assistant.data import Fields
from assistant.retrieval.index import DemonstrationIndex, build_index

REVIEWS = (
    ("r0", "a dull film", 0),
    ("r1", "a gorgeous witty film", 1),
    ("r2", "nobody cares about this film", 0),
    ("r3", "lovely and warm from start to end", 1),
    ("r4", "tedious and far too long", 0),
    ("r5", "a joy to watch with friends", 1),
    ("r6", "the jokes in {braces} fall flat", 0),
    ("r7", "the acting is superb", 1),
)
PROBLEMS = (
    ("p0", "Ann has 3 apples and buys 4. How many has she?", "7", "3 and 4 make 7."),
    ("p1", "Ben has 9 pens and loses 2. How many are left?", "7", "9 less 2 is 7."),
    ("p2", "Cleo reads 5 pages a day. How many in 3 days?", "15", "3 times 5 is 15."),
)


def write_reviews(folder, rows=REVIEWS):
    """Return a JSON Lines file of reviews; the labels are SST-2's numbers."""
    path = folder / "reviews.jsonl"
    lines = (json.dumps({"id": row, "text": text, "label": label}) for row, text, label in rows)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def make_reviews(folder, name="toy", rows=REVIEWS):
    """Return an opened index of reviews, its labels named as the task names them."""
    labels = {"0": "negative", "1": "positive"}
    build_index(
        str(write_reviews(folder, rows)),
        name,
        Fields(("text",), "label", id="id"),
        task="sentiment",
        labels=labels,
        encoder="toy",
    )
    return DemonstrationIndex.open(name)


def make_problems(folder, name="problems"):
    """Return an opened index of word problems with rationales."""
    path = folder / "problems.jsonl"
    keys = ("id", "question", "answer", "rationale")
    path.write_text("\n".join(json.dumps(dict(zip(keys, row, strict=True))) for row in PROBLEMS), encoding="utf-8")
    build_index(str(path), name, Fields(("question",), "answer", "rationale", "id"), encoder="toy")
    return DemonstrationIndex.open(name)


def make_explained(folder, name="explained"):
    """Return an opened index of reviews with a rationale each."""
    path = folder / "explained.jsonl"
    lines = (
        json.dumps({"id": row, "text": text, "label": label, "why": f"The writer says: {text}."})
        for row, text, label in REVIEWS
    )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    build_index(str(path), name, Fields(("text",), "label", "why", "id"), encoder="toy")
    return DemonstrationIndex.open(name)
