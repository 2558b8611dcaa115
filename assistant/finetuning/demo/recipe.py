"""The recipe of a demo model, as data: its size, and the stages of its training."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from assistant.errors import SettingError
from assistant.finetuning.demo.start import LAYERS, NARROWEST

DEFAULT = Path(__file__).parent / "recipe.toml"
_SHOWN = f"{DEFAULT.name} shows how one looks."
T = TypeVar("T")


@dataclass(frozen=True)
class Size:
    """A Llama's size and its tokenizer's."""

    vocabulary: int = 8192
    width: int = 256
    layers: int = 6
    heads: int = 4
    feed_forward: int = 512
    context_tokens: int = 2048
    tokenizer_episodes: int = 20_000
    """Episodes from which the tokenizer learns its vocabulary."""
    rope_theta: float = 1e6
    start_from_encoder: bool = True
    """Whether the token embeddings start from the default encoder's word vectors."""
    structured_start: bool = True
    """Whether some attention heads start as `start.py` says; needs word vectors and five layers."""
    meaning_layer: int = 2
    """Layer after which the end of a turn should tell the meaning of the turn's text."""


@dataclass(frozen=True)
class Stage:
    """A stretch of training: what is drawn, how much of it, how fast it is learnt."""

    name: str
    steps: int
    mixture: Mapping[str, float]
    """Weight of each kind of episode."""
    prose: float = 0.0
    """Share of examples that are plain English."""
    batch_tokens: int = 1024
    """Tokens of a batch, padding counted."""
    longest: int = 700
    """Tokens of the longest episode that is used."""
    learning_rate: float = 3e-4
    schedule: str = "constant_with_warmup"
    """Of the learning rate, as transformers calls it."""
    warmup_steps: int = 50
    weight_decay: float = 0.05
    meaning: float = 0.0
    """Weight of the sentence embedding as an extra target at the end of each turn."""


@dataclass(frozen=True)
class Recipe:
    """How a demo model is made."""

    name: str
    size: Size
    stages: tuple[Stage, ...]
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The recipe as it was read."""

    def fingerprint(self, stage: int) -> str:
        """Return a hash of everything that decides the weights after a stage."""
        decides = [asdict(self.size), self.seed, [asdict(one) for one in self.stages[: stage + 1]]]
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]


def load_recipe(path: Path | None = None, *, seed: int | None = None, steps: int | None = None) -> Recipe:
    """Return the recipe in a TOML file (None: the shipped model's); `steps` limits every stage, for a trial.

    Raises:
        SettingError: if it cannot be read or names something that no recipe has.
    """
    path = path or DEFAULT
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingError(f"The recipe {path} cannot be read: {error}.", _SHOWN) from error
    stages = [_made(Stage, entry, path) for entry in values.get("stages", [])]
    if not stages:
        raise SettingError(f"The recipe {path} has no [[stages]].", _SHOWN)
    limited = tuple(_limited(stage, steps) for stage in stages)
    size = _made(Size, values.get("size", {}), path)
    _check(size, stages, path)
    return Recipe(path.stem, size, limited, values.get("seed", 0) if seed is None else seed, values)


def _check(size: Size, stages: Sequence[Stage], path: Path) -> None:
    """Refuse what training could only stumble over later."""
    if size.width % (2 * size.heads):
        raise SettingError(
            f"{path}: width {size.width} does not divide among {size.heads} heads.", "Change one of them."
        )
    if size.start_from_encoder and size.structured_start and (size.layers < LAYERS or size.width < NARROWEST):
        raise SettingError(
            f"{path}: a structured start needs {LAYERS} layers and width {NARROWEST}.",
            "Make the model larger, or set structured_start = false.",
        )
    for stage in stages:
        if stage.longest > stage.batch_tokens:
            raise SettingError(
                f"{path}: the stage '{stage.name}' has batches of {stage.batch_tokens} tokens for episodes of up to "
                f"{stage.longest}.",
                "Raise batch_tokens or lower longest.",
            )


def _limited(stage: Stage, steps: int | None) -> Stage:
    return stage if steps is None else replace(stage, steps=min(steps, stage.steps))


def _made(kind: type[T], values: Mapping[str, Any], path: Path) -> T:
    known = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise SettingError(
            f"{path} sets {', '.join(unknown)}, which nothing reads.", f"There are {', '.join(sorted(known))}."
        )
    try:
        return kind(**values)
    except TypeError as error:
        raise SettingError(f"{path} lacks a setting: {error}.", _SHOWN) from error
