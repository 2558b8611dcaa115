"""A base network made ready to be trained by a method: peft's model around it, or the network itself."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from assistant.errors import ModelError
from assistant.finetuning.generators.settings import GeneratorSettings
from assistant.finetuning.generators.soft_prompts import initialise
from assistant.generation.adapters import quiet_peft
from assistant.generation.weights import leave_unpacked

_ATTENTION = frozenset(
    (
        *("q_proj", "k_proj", "v_proj", "o_proj", "qkv_proj"),  # Llama, Mistral, Qwen, Gemma, Phi
        *("q", "k", "v", "o"),  # T5
        *("c_attn", "query_key_value", "dense", "out_proj"),  # GPT-2, NeoX, Falcon, BART
    )
)
_SCOPES = ("attn", "attention")  # `dense` and `o` are also names of other layers


@dataclass(frozen=True)
class Counts:
    """How many parameters are learnt, and of how many."""

    trainable: int
    total: int
    """Of the base and of what was added to it."""

    @property
    def share(self) -> float:
        """Return the learnt share, 0…1."""
        return self.trainable / self.total if self.total else 0.0

    def words(self) -> str:
        """Return the counts as people read them."""
        return f"{self.trainable:,} of {self.total:,} parameters ({self.share:.2%})"


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep quiet what peft 0.21, trl 1.16 and transformers 5.23 say of each other; no user can act on it."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with quiet_peft(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*gradient_checkpointing. is deprecated.*", FutureWarning)
            yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def adapted(network: Any, settings: GeneratorSettings, *, encoder_decoder: bool, first_ids: Sequence[int]) -> Any:
    """Return the network to be trained: what is learnt has gradients, all else has none.

    `first_ids` is a prompt of the task: soft prompts begin as its tokens, or their keys and values.

    Raises:
        ModelError: if the method has no place in this network.
    """
    import peft
    from transformers import set_seed

    set_seed(settings.seed)
    if settings.method == "full":
        for weight in network.parameters():
            weight.requires_grad_(True)
        return network
    with quiet_libraries():
        if settings.table_row.load_in:
            network = peft.prepare_model_for_kbit_training(
                leave_unpacked(network, every=True), use_gradient_checkpointing=settings.gradient_checkpointing
            )
        try:
            model = peft.get_peft_model(network, _config(network, settings, encoder_decoder))
        except (ValueError, KeyError, AttributeError) as error:
            why = (str(error).strip() or type(error).__name__).splitlines()[0][:200].rstrip(".")
            raise ModelError(f"{settings.table_row.title} does not fit this model: {why}.") from None
    if settings.table_row.form == "soft prompt":
        initialise(model, first_ids)
    return model


def width_of(network: Any) -> int | None:
    """Return how many numbers stand for a token between two layers; None: the config does not tell."""
    width = getattr(network.config.get_text_config(decoder=True), "hidden_size", None)
    return int(width) if width else None


def count_parameters(model: Any) -> Counts:
    """Return how many parameters are learnt, quantised ones counted as what they stand for."""
    if hasattr(model, "get_nb_trainable_parameters"):
        trainable, total = model.get_nb_trainable_parameters()
        return Counts(int(trainable), int(total))
    sizes = [(weight.numel(), weight.requires_grad) for weight in model.parameters()]
    return Counts(sum(size for size, learnt in sizes if learnt), sum(size for size, _ in sizes))


def attention_layers(network: Any) -> list[str]:
    """Return the names of the linear layers inside attention, each once.

    Raises:
        ModelError: if none has a name that is known.
    """
    found = set()
    for path, module in network.named_modules():
        *above, name = path.split(".")
        inside = any(scope in part.lower() for part in above for scope in _SCOPES)
        if name in _ATTENTION and inside and hasattr(module, "weight"):
            found.add(name)
    if not found:
        raise ModelError(
            "The attention layers of this model have names that are not known.", "Choose --targets all-linear."
        )
    return sorted(found)


def _config(network: Any, settings: GeneratorSettings, encoder_decoder: bool) -> Any:
    import peft

    task = "SEQ_2_SEQ_LM" if encoder_decoder else "CAUSAL_LM"
    if settings.table_row.peft_type == "LORA":
        return peft.LoraConfig(
            task_type=task,
            r=settings.rank,
            lora_alpha=settings.scaled_by,
            lora_dropout=settings.dropout,
            target_modules="all-linear" if settings.targets == "all-linear" else attention_layers(network),
            use_dora=settings.method == "dora",
        )
    if settings.method == "ia3":
        return peft.IA3Config(task_type=task)
    if settings.method == "ln-tuning":
        return peft.LNTuningConfig(task_type=task)
    kind = peft.PromptTuningConfig if settings.method == "prompt-tuning" else peft.PrefixTuningConfig
    return kind(task_type=task, num_virtual_tokens=settings.virtual_tokens)
