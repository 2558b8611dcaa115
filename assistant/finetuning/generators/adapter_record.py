"""`training.json`: what an adapter was trained on, with what, and how it went; and the README beside it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from assistant import __version__, paths
from assistant.errors import SettingError
from assistant.finetuning.generators.adapting import Counts
from assistant.finetuning.generators.methods import METHODS
from assistant.finetuning.generators.progress import Curve
from assistant.finetuning.generators.settings import GeneratorSettings
from assistant.finetuning.marks import Marks
from assistant.generation.adapters import TRAINING_FILE, weights_sha256
from assistant.generation.loading import Base
from assistant.generation.sources import DEMO
from assistant.prompting.tasks import load_task
from assistant.records import Demonstration

CARD = "README.md"
MERGED_FILE = "merged.json"
"""In a model that an adapter without a record was merged into: all that is known of where it is from."""
FORMAT, KIND = 1, "generator"
_NEEDED = ("base", "task", "data", "settings", "rows", "parameters", "curve")


@dataclass(frozen=True)
class TrainingData:
    """Rows of one task to learn from, and where they come from."""

    task: str
    rows: tuple[Demonstration, ...]
    """In the task's fields and label names; some are set apart for validation."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Source, sha256, terms …: what a reader of the record must know, and what finds the held-out rows again."""
    index: str | None = None
    """Of demonstrations retrieved into the training prompts."""
    weight: float = 1.0
    """In a mixture: how often each of its rows is learnt in an epoch; 0.5 is half of the rows, once."""
    group_column: str = ""

    def __post_init__(self) -> None:
        """Check the weight."""
        if not 0 < self.weight <= 100:
            raise SettingError(f"The weight of a task in a mixture is above 0 and at most 100, not {self.weight:g}.")


@dataclass(frozen=True)
class Learnt:
    """What came out of a training."""

    curve: Curve
    counts: Counts
    rows: Mapping[str, Any]
    """Learnt from, set apart, left out and why."""
    steps: int
    tokens: int
    seconds: float
    """Of all processes that had a share in it."""
    peak_mb: float


def base_name(base: Base) -> str:
    """Return the name of a base that means the same elsewhere: never where it lies on this machine."""
    if base.folder is None:
        return base.name
    folder = base.folder.resolve()
    return DEMO if folder == (paths.demo() / "model").resolve() else folder.name


def plan_of(base: Base, data: Sequence[TrainingData], settings: GeneratorSettings) -> dict[str, Any]:
    """Return everything that decides the weights, as plain data; the first task is the one it is compared on."""
    first, *others = (_part_plan(one) for one in data)
    return {
        "base": {
            "model": base_name(base),
            "revision": base.revision,
            "weights_sha256": weights_sha256(base.folder) if base.folder is not None else {},
            "encoder_decoder": base.encoder_decoder,
        },
        **first,
        "also": others,
        "chat_template_sha256": base.renderer.template_hash,
        "seed": settings.seed,
        "settings": settings.to_json(),
    }


def _part_plan(data: TrainingData) -> dict[str, Any]:
    """Return what one task of a mixture contributes to the plan."""
    task = paths.prompts() / "tasks" / f"{load_task(data.task).name}.toml"
    return {
        "task": {"name": data.task, "sha256": hashlib.sha256(task.read_bytes()).hexdigest()},
        "data": {"rows_sha256": rows_sha256(data.rows), **data.facts},
        "index": data.index,
        "weight": data.weight,
    }


def rows_sha256(rows: Sequence[Demonstration]) -> str:
    """Return the hash of the rows in their order."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(asdict(row), ensure_ascii=False, sort_keys=True).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def training_record(name: str, plan: Mapping[str, Any], learnt: Learnt) -> dict[str, Any]:
    """Return the record of a finished training."""
    import peft
    import torch
    import transformers
    import trl

    best = learnt.curve.best
    return {
        "format": FORMAT,
        "kind": KIND,
        "shotwise": __version__,
        "name": name,
        **plan,
        "rows": dict(learnt.rows),
        "parameters": {"trainable": learnt.counts.trainable, "total": learnt.counts.total},
        "steps": learnt.steps,
        "tokens": learnt.tokens,
        "seconds": round(learnt.seconds, 1),
        "peak_mb": learnt.peak_mb,
        "best": None if best is None else {"step": best[0], "validation_loss": round(best[1], 6)},
        "curve": learnt.curve.thinned(),
        "versions": {library.__name__: library.__version__ for library in (torch, transformers, peft, trl)},
    }


def write_record(folder: Path, record: Mapping[str, Any], card: str) -> None:
    """Write the record and the card into an adapter's folder, each whole or not at all."""
    for name, text in ((TRAINING_FILE, json.dumps(record, ensure_ascii=False) + "\n"), (CARD, card)):
        draft = folder / f"{name}.new"
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, folder / name)


def write_merged(folder: Path, adapter: str, method: str, base: str) -> None:
    """Write from what a model was merged whose adapter was not made here."""
    facts = {"format": FORMAT, "merged_from": adapter, "method": method, "base": base}
    (folder / MERGED_FILE).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def read_merged(folder: Path) -> dict[str, str]:
    """Return from what a model was merged whose adapter was not made here; empty if it is no such model."""
    try:
        found = json.loads((folder / MERGED_FILE).read_text(encoding="utf-8"))
        return {key: str(found[key]) for key in ("merged_from", "method", "base")}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def marks_of(data: Sequence[TrainingData]) -> Marks:
    """Return by what the rows that were learnt from, or chose the best weights, are known again."""
    marks = Marks()
    for one in data:
        marks |= Marks.of(one.rows, one.group_column)
    return marks


def read_record(folder: Path) -> dict[str, Any]:
    """Return the record in an adapter's folder; empty if it was not made here, or cannot be read."""
    try:
        record = json.loads((folder / TRAINING_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    known = isinstance(record, dict) and (record.get("format"), record.get("kind")) == (FORMAT, KIND)
    return record if known and _whole(record) else {}


def _whole(record: Mapping[str, Any]) -> bool:
    """Return whether the record has what is read of it, by a method that is known here."""
    parts = all(isinstance(record.get(key), dict) for key in _NEEDED)
    return parts and record["settings"].get("method") in METHODS
