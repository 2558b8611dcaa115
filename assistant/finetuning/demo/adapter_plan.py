"""The plan of the demo model's adapter, as data: a recipe with one stage, and the shape of the LoRA."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.errors import SettingError
from assistant.finetuning.demo.recipe import Stage, load_recipe

DEFAULT = Path(__file__).parent / "adapter.toml"
_SHOWN = f"{DEFAULT.name} shows how one looks."


@dataclass(frozen=True)
class Lora:
    """The shape of a LoRA (Hu et al. 2021, LoRA: Low-Rank Adaptation of Large Language Models)."""

    targets: tuple[str, ...]
    """Linear layers that are adapted, by the last part of their names."""
    rank: int = 8
    alpha: int = 16
    """The adapted part is multiplied by `alpha / rank`."""
    dropout: float = 0.0


@dataclass(frozen=True)
class AdapterPlan:
    """How an adapter is trained."""

    stage: Stage
    lora: Lora
    seed: int


def load_adapter_plan(path: Path | None = None, *, seed: int | None = None, steps: int | None = None) -> AdapterPlan:
    """Return the plan in a TOML file (None: the shipped adapter's); `steps` limits it, for a trial.

    Raises:
        SettingError: if it cannot be read, has not exactly one stage, or names something that no plan has.
    """
    path = path or DEFAULT
    recipe = load_recipe(path, seed=seed, steps=steps)
    if len(recipe.stages) != 1:
        raise SettingError(f"The plan {path} has {len(recipe.stages)} [[stages]] instead of one.", _SHOWN)
    return AdapterPlan(recipe.stages[0], _lora(recipe.settings.get("lora"), path), recipe.seed)


def _lora(values: Any, path: Path) -> Lora:
    try:
        return Lora(**{**values, "targets": tuple(values["targets"])})
    except (TypeError, KeyError) as error:
        raise SettingError(f"The plan {path} has no usable [lora]: {error}.", _SHOWN) from error
