"""How a classifier is trained: settings that check themselves; a default stands here or in the table of methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from assistant.errors import SettingError
from assistant.finetuning.classifiers.methods import FULL, Method, find_method
from assistant.settings import EncoderSettings

DEVICES = ("auto", "cpu", "cuda", "mps")
BFLOAT16 = "bfloat16"
DTYPES = ("auto", "float32", BFLOAT16)


@dataclass(frozen=True)
class ClassifierSettings:
    """Which model learns, what of it, from how much of each text, and how."""

    encoder: str = EncoderSettings.encoder
    """`default` (the packaged all-MiniLM-L6-v2), `demo`, a local folder or a hub id."""
    method: str = FULL
    """A row of the table of methods."""
    max_tokens: int = 256
    """Tokens read of a text or pair, special ones included; longer ones are cut."""
    words: int | None = None
    """Words read of each text before it is tokenised; None: all."""
    learning_rate: float | None = None
    """Of AdamW at its highest; None: the method's."""
    batch_size: int = 16
    """Rows per step."""
    epochs: int | None = None
    """Passes over the rows at most; None: the method's."""
    patience: int = 2
    """Passes without a lower loss on the rows kept aside after which training ends."""
    weight_decay: float = 0.01
    """Of AdamW."""
    warmup: float = 0.1
    """Share of all steps in which the learning rate rises from 0."""
    attention_dropout: float | None = None
    """Share of the attention's weights that is dropped while learning; None: as the model has it. On a CPU, 0 takes
    a third off a step over long texts: numbers are drawn for every pair of tokens, and fast attention cannot drop."""
    seed: int = 0
    """Of new weights, dropout and the order of the rows."""
    device: str = "auto"
    """`auto`: a GPU if there is one, else the CPU."""
    dtype: str = "auto"
    """In which matrices are multiplied; the weights stay float32. `auto`: bfloat16 on a CUDA GPU that has it, else
    float32. A CPU without instructions for bfloat16 is slower by it, not faster."""
    virtual_tokens: int = 20
    """Vectors of a soft prompt."""
    rank: int = 8
    """Of LoRA's updates."""

    def __post_init__(self) -> None:
        """Check names and ranges."""
        find_method(self.method)
        if self.device not in DEVICES:
            raise SettingError(f"There is no device '{self.device}'.", f"Choose from: {', '.join(DEVICES)}.")
        if self.dtype not in DTYPES:
            raise SettingError(f"There is no dtype '{self.dtype}'.", f"Choose from: {', '.join(DTYPES)}.")
        for name, least, most in (
            ("max_tokens", 4, 131_072),
            ("words", 1, 1_000_000),
            ("batch_size", 1, 4096),
            ("epochs", 1, 1000),
            ("patience", 1, 1000),
            ("seed", 0, 2**31 - 1),
            ("virtual_tokens", 1, 4096),
            ("rank", 1, 512),
        ):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise SettingError(f"{_said(name)} must be from {least:,} to {most:,}, not {value}.")
        if self.learning_rate is not None and not 0 < self.learning_rate <= 10:
            raise SettingError(f"The learning rate must be above 0 and at most 10, not {self.learning_rate}.")
        if not 0 <= self.weight_decay <= 1:
            raise SettingError(f"The weight decay must be from 0 to 1, not {self.weight_decay}.")
        if self.attention_dropout is not None and not 0 <= self.attention_dropout < 1:
            raise SettingError(f"The attention dropout must be from 0 to below 1, not {self.attention_dropout}.")
        if not 0 <= self.warmup < 1:
            raise SettingError(f"The warmup must be from 0 to below 1, not {self.warmup}.")

    @property
    def row(self) -> Method:
        """Return the method's row of the table."""
        return find_method(self.method)

    @property
    def rate(self) -> float:
        """Return the learning rate that is used: 0 where there is none."""
        return self.learning_rate or self.row.learning_rate or 0.0

    @property
    def passes(self) -> int:
        """Return the passes over the rows that are made at most."""
        return self.epochs or self.row.epochs

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain data, the learning rate and the passes as they are used."""
        return {**asdict(self), "learning_rate": self.rate or None, "epochs": self.passes or None}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ClassifierSettings:
        """Return the settings that `to_json` wrote.

        Raises:
            SettingError: if one is unknown or out of its range.
        """
        unknown = set(record) - {field.name for field in fields(cls)}
        if unknown:
            raise SettingError(f"There is no setting '{sorted(unknown)[0]}' of a classifier.")
        return cls(**record)


def _said(name: str) -> str:
    return f"The setting '{name.replace('_', ' ')}'"
