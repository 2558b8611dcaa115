"""THE TABLE of ways to make a classifier of a pretrained model: everything that offers or explains one reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assistant.errors import UnknownName

FEATURE_BASED, FROZEN_HEAD, LAST_2, FULL = "feature-based", "frozen-head", "last-2", "full"
SOFT_PROMPT, SOFT_PROMPT_FULL, LORA = "soft-prompt", "soft-prompt-full", "lora"


@dataclass(frozen=True)
class Method:
    """One way to train: what learns, how fast and how long unless a person says otherwise, and where it is from."""

    name: str
    trained: str
    """What learns; all else stays as it was pretrained."""
    about: str
    learning_rate: float | None
    """Of AdamW at its highest; None: nothing is learnt by gradient descent."""
    epochs: int
    """Passes over the training rows at most; early stopping may end before."""
    source: str

    @property
    def is_peft(self) -> bool:
        """Return whether what learns is a PEFT adapter, kept apart from the model."""
        return self.has_prompt or self.name == LORA

    @property
    def has_prompt(self) -> bool:
        """Return whether vectors stand before the text, in places that the text cannot have."""
        return self.name in (SOFT_PROMPT, SOFT_PROMPT_FULL)

    @property
    def is_whole(self) -> bool:
        """Return whether the trained model is saved whole: part of its own weights has learnt."""
        return self.name in (FROZEN_HEAD, LAST_2, FULL)


METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method(
            FEATURE_BASED,
            trained="a logistic regression",
            about="The body reads every text once; its mean-pooled vectors are what a logistic regression learns from.",
            learning_rate=None,
            epochs=0,
            source="Source document 004; Devlin et al. 2019, section 5.3",
        ),
        Method(
            FROZEN_HEAD,
            trained="the head",
            about="The body is frozen, the layers behind its last transformer layer learn.",
            learning_rate=1e-3,
            epochs=15,
            source="Source documents 002 and 004",
        ),
        Method(
            LAST_2,
            trained="the last two transformer layers and the head",
            about="What lies below the last two transformer layers is frozen.",
            learning_rate=1e-4,
            epochs=6,
            source="Source document 001",
        ),
        Method(
            FULL,
            trained="all weights",
            about="Every weight learns; the most accurate in most papers, and the dearest.",
            learning_rate=5e-5,
            epochs=4,
            source="Source documents 000, 002, 003 and 004; Devlin et al. 2019",
        ),
        Method(
            SOFT_PROMPT,
            trained="vectors before the input's embeddings, and the head",
            about="Prompt tuning at the input of a frozen encoder; prefix tuning, in every layer, is another thing.",
            learning_rate=1e-2,
            epochs=15,
            source="Source documents 001, 003 and 004; Lester et al. 2021",
        ),
        Method(
            SOFT_PROMPT_FULL,
            trained="vectors before the input's embeddings, all transformer layers and the head",
            about="A soft prompt whose encoder learns with it; 001 does not say that its own stayed frozen.",
            learning_rate=5e-5,
            epochs=4,
            source="Source document 001, read the other way",
        ),
        Method(
            LORA,
            trained="low-rank updates of the attention's weights, and the head",
            about="A frozen weight W is used as W + AB, and only the narrow A and B learn.",
            learning_rate=1e-3,
            epochs=8,
            source="Source documents 003 and 004; Hu et al. 2021",
        ),
    )
}


def find_method(name: str) -> Method:
    """Return the method of that name.

    Raises:
        UnknownName: with the nearest names and the whole list.
    """
    if name not in METHODS:
        raise UnknownName("method of classification", name, METHODS)
    return METHODS[name]
