"""How a sentence encoder is fine-tuned: settings that check themselves."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from assistant.errors import SettingError
from assistant.finetuning.classifiers.settings import DEVICES
from assistant.finetuning.encoders.losses import find_loss
from assistant.generation.sources import DEMO
from assistant.settings import EncoderSettings

ALIKE = ("yes", "entailment", "equivalent", "true")
"""Names of labels that say of a pair that its texts belong together."""


@dataclass(frozen=True)
class EncoderTraining:
    """Which encoder learns, from which pairs, and how."""

    encoder: str = EncoderSettings.encoder
    """`default` (the packaged all-MiniLM-L6-v2), a local folder or a hub id."""
    loss: str | None = None
    """A row of the table of losses; None: `batch-hard` for labels, `cosent` for pairs."""
    alike: str | None = None
    """The label that says of a pair that its texts belong together; None: the one that is so named."""
    max_tokens: int = 128
    """Tokens read of a text while training; longer ones are cut."""
    words: int | None = None
    """Words read of each text before it is tokenised; None: all."""
    rate: float = 2e-5
    """The highest learning rate of AdamW."""
    batch_size: int = 32
    """Texts or pairs per step."""
    passes: int = 3
    """Passes over the rows at most."""
    patience: int = 2
    """Passes without a lower loss on the rows kept aside after which training ends."""
    weight_decay: float = 0.01
    """Of AdamW."""
    warmup: float = 0.1
    """Share of all steps in which the learning rate rises from 0."""
    seed: int = 0
    """Of the pairs, dropout and the order of the rows."""
    device: str = "auto"
    """`auto`: a GPU if there is one, else the CPU."""

    def __post_init__(self) -> None:
        """Check names and ranges."""
        if self.loss is not None:
            find_loss(self.loss)
        if self.encoder == DEMO:
            raise SettingError(
                f"The built-in chat model '{DEMO}' is no sentence encoder.",
                f"Choose --encoder {EncoderSettings.encoder}, a folder or a hub id.",
            )
        if self.device not in DEVICES:
            raise SettingError(f"There is no device '{self.device}'.", f"Choose from: {', '.join(DEVICES)}.")
        for name, least, most in (
            ("max_tokens", 4, 131_072),
            ("words", 1, 1_000_000),
            ("batch_size", 2, 4096),
            ("passes", 1, 1000),
            ("patience", 1, 1000),
            ("seed", 0, 2**31 - 1),
        ):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                said = name.replace("_", " ")
                raise SettingError(f"The setting '{said}' must be from {least:,} to {most:,}, not {value}.")
        if not 0 < self.rate <= 1:
            raise SettingError(f"The learning rate must be above 0 and at most 1, not {self.rate}.")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain data."""
        return asdict(self)
