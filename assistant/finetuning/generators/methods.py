"""THE TABLE of methods: everything that offers, explains or runs a way of fine-tuning reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from assistant.errors import UnknownName

WIDTH = 2048
"""Of the networks that the learning rates of the table are for."""
_LEAST, _MOST = 0.25, 8.0
Form = Literal["weights", "soft prompt", "model"]


@dataclass(frozen=True)
class Method:
    """A way of fine-tuning a language model."""

    name: str
    title: str
    about: str
    """What is learnt, in one sentence."""
    form: Form
    """`weights`: changes inside layers; `soft prompt`: vectors before the prompt; `model`: all weights."""
    learning_rate: float
    """Where none is given, for AdamW and a network of that width."""
    source: str
    """Where it was published."""
    peft_type: str = ""
    """As the adapter's config has it; empty where there is no adapter."""
    settings: tuple[str, ...] = ()
    """Which of `rank`, `alpha`, `dropout`, `targets`, `virtual_tokens` it reads."""
    load_in: str | None = None
    """Quantisation of the frozen weights."""

    def rate_at(self, width: int | None) -> float:
        """Return the learning rate for a network of that width (None: not known), in inverse proportion to it.

        Source: Yang et al. 2022, Tensor Programs V: Tuning Large Neural Networks via Zero-Shot Hyperparameter Transfer.
        """
        return self.learning_rate * (min(_MOST, max(_LEAST, WIDTH / width)) if width else 1.0)

    @property
    def mergeable(self) -> bool:
        """Return whether what is learnt can be folded into the weights, so that it costs nothing to serve."""
        return self.form == "weights"


_LOW_RANK = ("rank", "alpha", "dropout", "targets")
METHODS = {
    row.name: row
    for row in (
        Method(
            name="lora",
            title="LoRA",
            about="Two thin matrices beside each chosen weight matrix; their product is added to it.",
            form="weights",
            learning_rate=5e-4,
            source="Hu et al. 2021, LoRA: Low-Rank Adaptation of Large Language Models",
            peft_type="LORA",
            settings=_LOW_RANK,
        ),
        Method(
            name="dora",
            title="DoRA",
            about="LoRA for the direction of each weight column, and its length learnt apart.",
            form="weights",
            learning_rate=5e-4,
            source="Liu et al. 2024, DoRA: Weight-Decomposed Low-Rank Adaptation",
            peft_type="LORA",
            settings=_LOW_RANK,
        ),
        Method(
            name="qlora",
            title="QLoRA",
            about="LoRA beside weights that are kept in four bits: a large model fits into a small memory.",
            form="weights",
            learning_rate=5e-4,
            source="Dettmers et al. 2023, QLoRA: Efficient Finetuning of Quantized LLMs",
            peft_type="LORA",
            settings=_LOW_RANK,
            load_in="4bit",
        ),
        Method(
            name="ia3",
            title="(IA)³",
            about="One factor for each key, value and inner feed-forward activation.",
            form="weights",
            learning_rate=5e-3,
            source="Liu et al. 2022, Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than "
            "In-Context Learning",
            peft_type="IA3",
        ),
        Method(
            name="ln-tuning",
            title="Norm tuning",
            about="Only the weights of the normalisation layers.",
            form="weights",
            learning_rate=5e-3,
            source="Zhao et al. 2023, Tuning LayerNorm in Attention: Towards Efficient Multi-Modal LLM Finetuning",
            peft_type="LN_TUNING",
        ),
        Method(
            name="prompt-tuning",
            title="Prompt tuning",
            about="Learnt vectors stand before the prompt at the input; all weights stay as they are.",
            form="soft prompt",
            learning_rate=1e-2,
            source="Lester et al. 2021, The Power of Scale for Parameter-Efficient Prompt Tuning",
            peft_type="PROMPT_TUNING",
            settings=("virtual_tokens",),
        ),
        Method(
            name="prefix-tuning",
            title="Prefix tuning",
            about="Learnt keys and values stand before the prompt in every layer; all weights stay as they are.",
            form="soft prompt",
            learning_rate=1e-2,
            source="Li & Liang 2021, Prefix-Tuning: Optimizing Continuous Prompts for Generation",
            peft_type="PREFIX_TUNING",
            settings=("virtual_tokens",),
        ),
        Method(
            name="full",
            title="Full fine-tuning",
            about="All weights; the result is a model of its own.",
            form="model",
            learning_rate=5e-5,
            source="Howard & Ruder 2018, Universal Language Model Fine-tuning for Text Classification",
        ),
    )
}


def find_method(name: str) -> Method:
    """Return the method of that name.

    Raises:
        UnknownName: with the nearest names and the whole list.
    """
    if name not in METHODS:
        raise UnknownName("method of fine-tuning", name, METHODS)
    return METHODS[name]


def low_rank_parameters(rows: int, columns: int, rank: int) -> int:
    """Return how many parameters LoRA learns in place of the `rows` × `columns` of a weight matrix.

    Source: Hu et al. 2021, section 4.1: B is `rows` × `rank`, A is `rank` × `columns`.
    """
    return rank * (rows + columns)
