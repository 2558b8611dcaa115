"""What a fine-tuned encoder changes: the vote of the nearest rows, and what a model answers that is shown them."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from assistant.answering import Assistant
from assistant.data import Fields, Source
from assistant.errors import SettingError
from assistant.evaluation.metrics.leaderboard import pairs_of, summarise
from assistant.evaluation.outcomes import Arm, Outcome, Sample
from assistant.evaluation.running.answers import answer_samples
from assistant.evaluation.running.baselines import baseline_outcomes
from assistant.generation.chat_model import StopSignal
from assistant.prompting.tasks import Task
from assistant.records import Query
from assistant.retrieval.building import BuildProgress
from assistant.retrieval.index import DemonstrationIndex, build_index, delete_index
from assistant.settings import GuardSettings, RetrievalSettings, SamplingSettings
from assistant.tables import Row

BEFORE, AFTER = "before", "after"
FEW_SHOT = "dynamic-few-shot"
_BY_LETTERS = GuardSettings(cosine=1.0)
_KEPT = ("accuracy", "accuracy_interval", "macro_f1")
BuildReport = Callable[[str, BuildProgress], None]


@dataclass(frozen=True)
class Shown:
    """A language model that answers with the nearest rows as demonstrations, and how many samples it is asked."""

    assistant: Assistant
    limit: int = 100
    """The first of the samples; a model costs more than a vote."""
    stop: StopSignal | None = None


def effect_of_encoder(
    name: str,
    encoders: tuple[str, str],
    rows: Sequence[Sample],
    samples: Sequence[Sample],
    task: Task,
    *,
    k: int = RetrievalSettings.k,
    shown: Shown | None = None,
    report: BuildReport | None = None,
) -> dict[str, Any] | None:
    """Return what the k nearest rows are worth under two encoders: their vote, and shown to a language model.

    None if the model was stopped before its last answer. Both see the same rows, and the leak guard tells copies by
    id, group and letters alone: a cosine means another thing under each. The indexes are deleted in the end.

    Args:
        name: Begins the names of the two indexes.
        encoders: Before and after: names or folders.
        rows: Among which the nearest are looked for.
        samples: To answer.
        task: Of both.
        k: Rows that vote, or are shown.
        shown: Who is shown them; None: they only vote, and `few_shot` is None.
        report: Is told how far an index is, with its name.

    Raises:
        SettingError: if no row would vote.
        ShotwiseError: if an encoder cannot be loaded, an index not be built, or the model not be asked.
    """
    if k < 1:
        raise SettingError(f"At least 1 of the nearest rows must vote, not {k}.")
    votes: list[Outcome] = []
    answers: list[Outcome] = []
    for when, encoder in zip((BEFORE, AFTER), encoders, strict=True):
        with index_of(f"{name}-{when}", encoder, rows, task, report) as index:
            votes += _renamed(baseline_outcomes("knn-vote", samples, index, task, k, _BY_LETTERS), when)
            if shown is not None:
                found = _answers(shown, index, samples[: shown.limit], task, k)
                if len(found) < len(samples[: shown.limit]):
                    return None
                answers += _renamed(found, when)
    few_shot = None
    if shown is not None:
        few_shot = {"strategy": FEW_SHOT, "model": shown.assistant.model.name, **_compared(answers, task)}
    return {"k": k, "rows": len(rows), **_compared(votes, task), "few_shot": few_shot}


def _answers(shown: Shown, index: DemonstrationIndex, samples: Sequence[Sample], task: Task, k: int) -> list[Outcome]:
    shown.assistant.open_index(index.name).embed_ahead([Query(sample.inputs).text() for sample in samples])
    return answer_samples(
        shown.assistant,
        task,
        Arm(FEW_SHOT, "labels"),
        samples,
        index=index.name,
        retrieval=RetrievalSettings(k=k, guard=_BY_LETTERS),
        sampling=SamplingSettings(),
        seed=0,
        stop=shown.stop,
    )


def _renamed(outcomes: Sequence[Outcome], name: str) -> list[Outcome]:
    return [replace(one, strategy=name, reading="none") for one in outcomes]


def _compared(outcomes: Sequence[Outcome], task: Task) -> dict[str, Any]:
    (pair,) = pairs_of(outcomes, task, BEFORE)
    results = {row["name"]: {key: row[key] for key in _KEPT} for row in summarise(outcomes, task)}
    return {
        "n": pair["n"],
        **results,
        **{key: pair[key] for key in ("difference", "interval", "p_value", "wins", "losses", "verdict")},
    }


@contextmanager
def index_of(
    name: str, encoder: str, rows: Sequence[Sample], task: Task, report: BuildReport | None = None
) -> Iterator[DemonstrationIndex]:
    """Yield an index of the rows by an encoder, under a name of its own that begins so, which is deleted in the end.

    Raises:
        ShotwiseError: if the encoder cannot be loaded or the index not be built.
    """
    name = f"{name[:60]}-{secrets.token_hex(6)}"  # no other index is built over, nor deleted
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
