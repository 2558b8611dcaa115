"""One learning curve before its first cell: rows, settings, model, and the mark that tells it from every other."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from assistant import paths
from assistant.errors import SettingError
from assistant.evaluation.curves.cells import Cell, cells_of
from assistant.evaluation.curves.rows import Material
from assistant.evaluation.curves.settings import CurveSettings
from assistant.evaluation.running.planning import prompts_sha256
from assistant.generation.loading import SCRIPTED
from assistant.prompting.strategies import find_strategy
from assistant.retrieval.encoders import DEFAULT
from assistant.settings import NO_ADAPTER, ModelSettings, SamplingSettings


@dataclass(frozen=True)
class Experiment:
    """What is measured, on what, with which language model."""

    name: str
    """Of the recipe."""
    settings: CurveSettings
    material: Material
    model: ModelSettings
    facts: dict[str, Any] = field(default_factory=dict)
    """Of the loaded model: what tells it from every other."""
    encoder: str = DEFAULT
    """Of the rows that are retrieved, and of those that vote."""
    sampling: SamplingSettings = field(default_factory=SamplingSettings)

    def __post_init__(self) -> None:
        """Refuse a model that nothing can be learnt with."""
        trains = [way for way in self.settings.ways if way.kind == "adapter"]
        if self.model.adapter not in (None, NO_ADAPTER):
            raise SettingError("This recipe trains adapters of its own, from the base.", "Leave out --adapter.")
        if self.model.load_in is not None and trains:
            raise SettingError("Base and adapters are compared with the same weights.", "Leave out --load-in.")
        if self.model.model == SCRIPTED and trains:
            raise SettingError("The scripted model has no weights to adapt.", "Choose another --model.")

    @property
    def reading(self) -> str:
        """Return how answers are read: labels by their likelihood where the task has them."""
        return "labels" if self.material.task.labels else "generate"

    @property
    def numbers(self) -> tuple[int, ...]:
        """Return the numbers of labelled rows that there are."""
        return self.material.numbers(self.settings.rows)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Return all cells in the order of work."""
        return cells_of(self.settings, self.numbers)

    def with_model(self, facts: dict[str, Any]) -> Experiment:
        """Return it with the facts of the loaded model."""
        return replace(self, facts=facts)

    @property
    def mark(self) -> str:
        """Return the hash of what all cells share; rows, methods, seeds and steps are in the keys of the cells."""
        task = self.material.task
        identity = {name: value for name, value in (self.facts.get("identity") or {}).items() if name != "place"}
        shared = {
            "rows": self.material.digest,
            "task": task.name,
            "prompts": prompts_sha256(task, [find_strategy(name) for name in ("zero-shot", "dynamic-few-shot")]),
            "model": {**self.facts, "identity": identity},
            "encoder": self.encoder,
            "sampling": asdict(self.sampling),
        }
        text = json.dumps(shared, sort_keys=True, default=str)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]

    @property
    def folder(self) -> Path:
        """Return where its cells and its report are kept."""
        return paths.runs() / "curves" / f"{self.name}-{self.mark}"


def check_ways(experiment: Experiment) -> None:
    """Refuse a method that cannot answer the task.

    Raises:
        SettingError: naming the first.
    """
    for way in experiment.settings.ways:
        reason = way.fits(experiment.material.task)
        if reason:
            raise SettingError(f"'{way.name}' cannot be measured: {reason}.", "Leave it out of --methods.")
