"""What a fine-tuned encoder changes: the vote of the nearest rows, before and after, on rows it has never seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

from assistant.data import Fields, Source
from assistant.evaluation.metrics.leaderboard import pairs_of, summarise
from assistant.evaluation.outcomes import Outcome, Sample
from assistant.evaluation.running.baselines import baseline_outcomes
from assistant.prompting.tasks import Task
from assistant.retrieval.building import BuildProgress
from assistant.retrieval.index import DemonstrationIndex, build_index, delete_index
from assistant.settings import RetrievalSettings
from assistant.tables import Row

BEFORE, AFTER = "knn-vote before", "knn-vote after"
_KEPT = ("accuracy", "accuracy_interval", "macro_f1")
BuildReport = Callable[[str, BuildProgress], None]


def effect_on_neighbours(
    name: str,
    encoders: tuple[str, str],
    rows: Sequence[Sample],
    samples: Sequence[Sample],
    task: Task,
    *,
    k: int = RetrievalSettings.k,
    report: BuildReport | None = None,
) -> dict[str, Any]:
    """Return the accuracies of the vote of the k nearest rows under two encoders, and their paired difference.

    Both see the same rows and obey the leak guard. The indexes are built for this and deleted again.

    Args:
        name: Begins the names of the two indexes.
        encoders: Before and after: names or folders.
        rows: Among which the nearest vote.
        samples: To answer.
        task: Of both.
        k: Rows that vote.
        report: Is told how far an index is, with its name.

    Raises:
        ShotwiseError: if an encoder cannot be loaded or an index not be built.
    """
    outcomes: list[Outcome] = []
    for when, encoder in zip((BEFORE, AFTER), encoders, strict=True):
        index = f"{name}-{when.rsplit(' ', 1)[1]}"
        outcomes += [replace(one, strategy=when) for one in _vote(index, encoder, rows, samples, task, k, report)]
    (pair,) = pairs_of(outcomes, task, BEFORE)
    results = {row["name"]: {key: row[key] for key in _KEPT} for row in summarise(outcomes, task)}
    return {
        "k": k,
        "rows": len(rows),
        "n": len(samples),
        "before": results[BEFORE],
        "after": results[AFTER],
        **{key: pair[key] for key in ("difference", "interval", "p_value", "verdict")},
    }


def _vote(
    name: str,
    encoder: str,
    rows: Sequence[Sample],
    samples: Sequence[Sample],
    task: Task,
    k: int,
    report: BuildReport | None,
) -> list[Outcome]:
    with index_of(name, encoder, rows, task, report) as index:
        return baseline_outcomes("knn-vote", samples, index, task, k)


@contextmanager
def index_of(
    name: str, encoder: str, rows: Sequence[Sample], task: Task, report: BuildReport | None = None
) -> Iterator[DemonstrationIndex]:
    """Yield an index of the rows by an encoder, which is deleted in the end.

    Raises:
        ShotwiseError: if the encoder cannot be loaded or the index not be built.
    """
    source = _Rows(name, rows)
    build_index(
        source,
        name,
        source.fields,
        task=task.name,
        encoder=encoder,
        progress=None if report is None else lambda progress: report(name, progress),
    )
    try:
        yield DemonstrationIndex.open(name)
    finally:
        delete_index(name)


class _Rows(Source):
    """Samples as a table of demonstrations."""

    def __init__(self, name: str, rows: Sequence[Sample]) -> None:
        super().__init__(name, f"training rows of {name}")
        self._rows = rows
        group = "group" if any(row.group for row in rows) else None
        self.fields = Fields(tuple(rows[0].inputs), "output", None, "id", group)

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for row in self._rows:
            digest.update(json.dumps(asdict(row), ensure_ascii=False, sort_keys=True).encode("utf-8"))
        return digest.hexdigest()

    def rows(self) -> Iterator[Row]:
        for line, row in enumerate(self._rows, start=1):
            yield line, {"id": row.id, **row.inputs, "output": row.targets[0], "group": row.group}

    def count(self) -> int | None:
        return len(self._rows)
