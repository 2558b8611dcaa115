"""Settings of a learning curve; they check themselves, each mistake in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from assistant.errors import SettingError
from assistant.evaluation.curves.ways import ZERO_SHOT, Way, find_way
from assistant.finetuning.generators.methods import METHODS
from assistant.finetuning.generators.settings import GeneratorSettings
from assistant.settings import RetrievalSettings

MOST_STEPS = 200
"""Of one training, unless `steps` says otherwise: what keeps a whole curve within about an hour on two cores."""
LEAST_STEPS = 60
"""From few rows more passes are made, so that weights have the time to change."""
_TUPLES = ("rows", "methods", "ranks")


@dataclass(frozen=True)
class CurveSettings:
    """Which numbers of labelled rows, by which methods, how often drawn, measured on how many others."""

    rows: tuple[int, ...] = (0, 16, 64, 250, 1000, 2000)
    """Labelled rows that a method may use, those that it sets apart for early stopping among them."""
    methods: tuple[str, ...] = (
        *("knn-vote", "static-few-shot", "dynamic-few-shot", "prompt-tuning", "lora"),
        *("classifier:feature-based", "classifier:full"),
    )
    """Names of the table of ways; zero-shot stands at 0 rows."""
    ranks: tuple[int, ...] = ()
    """Not empty: a sweep over the ranks of low-rank methods, all from one number of rows."""
    seeds: int = 3
    """Draws of the rows; the same seed also decides new weights and the order of learning."""
    test: int = 400
    """Held-out rows answered by everything, drawn evenly by label."""
    k: int = RetrievalSettings.k
    """Demonstrations shown, and rows that vote."""
    steps: int | None = None
    """Of every training; None: the method's own passes over its rows, within `LEAST_STEPS` and `MOST_STEPS`."""

    def __post_init__(self) -> None:
        """Check names, ranges, and what a sweep over ranks can be."""
        object.__setattr__(self, "rows", tuple(sorted(set(self.rows))))
        for name in self.methods:
            find_way(name)
        _require(bool(self.rows) and self.rows[0] >= 0, "The numbers of rows must be 0 or more.")
        _require(bool(self.methods), "No method is named.", "Say, for example, --methods dynamic-few-shot,lora.")
        for what, value, least in (("seeds", self.seeds, 1), ("held-out rows", self.test, 2), ("k", self.k, 1)):
            _require(value >= least, f"The number of {what} must be at least {least}, not {value}.")
        _require(self.steps is None or self.steps >= 1, f"A training has at least 1 step, not {self.steps}.")
        if self.ranks:
            self._check_sweep()

    def _check_sweep(self) -> None:
        for rank in self.ranks:
            GeneratorSettings(rank=rank)
        flat = [name for name in self.methods if "rank" not in getattr(METHODS.get(name), "settings", ())]
        _require(not flat, f"'{flat[0] if flat else ''}' has no rank to sweep.", "Choose lora, dora or qlora.")
        numbers = [number for number in self.rows if number]
        _require(
            len(numbers) == 1,
            f"All ranks are learnt from one number of rows; {len(numbers)} were named.",
            "Say, for example, --rows-list 1000.",
        )

    @property
    def ways(self) -> tuple[Way, ...]:
        """Return the methods' rows of the table, zero-shot left out, each once."""
        return tuple(find_way(name) for name in dict.fromkeys(self.methods) if name != ZERO_SHOT)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain data."""
        return {name: list(value) if name in _TUPLES else value for name, value in asdict(self).items()}

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> CurveSettings:
        """Return the settings in a recipe's file, without what is not one of them."""
        known = {field.name for field in fields(cls)}
        chosen: dict[str, Any] = {name: value for name, value in table.items() if name in known}
        chosen |= {name: tuple(chosen[name]) for name in _TUPLES if name in chosen}
        return cls(**chosen)


def kept_aside(rows: int) -> float:
    """Return which share of so many labelled rows a training sets apart to see when to stop: at most 200 of them."""
    return min(0.25, 200 / rows)


def planned_steps(wanted: int | None, rows: int, batch_size: int, passes: float) -> int:
    """Return the steps of a training on so many rows."""
    own = round(passes * rows / batch_size)
    return wanted or min(MOST_STEPS, max(LEAST_STEPS, own))


def _require(condition: bool, message: str, hint: str = "") -> None:
    if not condition:
        raise SettingError(message, hint)
