"""The texts of the data sets that strategies are compared on: a model that is trained here never learns from them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from assistant import paths
from assistant.data import open_source
from assistant.errors import DataError
from assistant.evaluation.demo_table.conversations import load_conversations
from assistant.evaluation.sets.datasets import ENDINGS, data_set_names, find_data_set, load_dataset

POOL_TOO = ("sst2", "trec", "ag_news")
"""Sets whose demonstrations are held out as well, so that none that is shown was learnt."""

OTHER_FILES: Mapping[str, tuple[str, ...]] = {
    "cb/validation": ("premise", "hypothesis"),
    "boolq/validation": ("passage", "question"),
    "arc_easy/validation": ("question",),
    "arc_easy/test": ("question",),
    "arc_challenge/validation": ("question",),
    "arc_challenge/test": ("question",),
    "openbookqa/validation": ("question",),
    "openbookqa/test": ("question",),
    "commonsenseqa/validation": ("question",),
    "math_word/addsub": ("question",),
    "math_word/asdiv": ("body", "question"),
    "math_word/singleeq": ("question",),
}
"""Columns of published parts for evaluation that are no data set here yet; of word problems, the whole files."""
CONVERSATIONS = "scripted conversations"
_NOT_ASKED = ("id", "label", "answer")


@dataclass(frozen=True)
class HeldOutTexts:
    """Data set → its texts, and the sets and files that were not there."""

    texts: Mapping[str, list[str]]
    skipped: tuple[str, ...]


def held_out_texts(data: Path) -> HeldOutTexts:
    """Return what must stay out of training, as far as its files are in the folder `data`.

    Of every known data set the texts of dev and test, of `POOL_TOO` those of the pool as well, of the
    built-in ones everything but labels and answers; of `OTHER_FILES` the named columns; what the user
    says in the scripted conversations of the demo model's table.
    """
    texts: dict[str, list[str]] = dict(_built_in())
    texts[CONVERSATIONS] = _unique(turn for turns in load_conversations() for turn in turns)
    skipped: list[str] = []
    for name in data_set_names():
        if find_data_set(name).built_in:
            continue
        try:
            loaded = load_dataset(name, data)
        except DataError:
            skipped.append(name)
            continue
        rows = [*loaded.dev, *loaded.test, *(loaded.train if name in POOL_TOO else ())]
        texts[name] = _unique(value for row in rows for value in row.inputs.values())
    for file, columns in OTHER_FILES.items():
        path = next((found for end in ENDINGS if (found := data / f"{file}{end}").is_file()), None)
        if path is None:
            skipped.append(file)
        else:
            texts[file] = _unique(_columns(path, columns))
    return HeldOutTexts(texts, tuple(skipped))


def _built_in() -> Iterator[tuple[str, list[str]]]:
    for path in sorted((paths.demo() / "data").glob("*.jsonl")):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        yield (
            f"built-in {path.stem}",
            _unique(str(row[name]) for row in rows for name in row if name not in _NOT_ASKED),
        )


def _columns(path: Path, columns: tuple[str, ...]) -> Iterator[str]:
    """Yield the columns of each row; a story and its question are one text."""
    for _, row in open_source(str(path)).rows():
        if isinstance(row, Mapping):
            values = [str(row[name]) for name in columns if row.get(name)]
            yield from [" ".join(values)] if columns[0] == "body" else values


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
