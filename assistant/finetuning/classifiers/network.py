"""A classifier's network: a pretrained model with a head, and which of its weights learn."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from assistant.errors import ModelError, SettingError
from assistant.finetuning.classifiers import methods
from assistant.finetuning.classifiers.base import Base, load_with_head
from assistant.finetuning.classifiers.settings import ClassifierSettings
from assistant.generation.adapters import quiet_peft

_LORA_DROPOUT = 0.1
_TASK = "SEQ_CLS"


def new_network(base: Base, tokenizer: Any, labels: tuple[str, ...], settings: ClassifierSettings) -> Any:
    """Return the network as it is before training: what the method trains asks for gradients, nothing else does.

    Raises:
        ModelError: if the model cannot be a classifier, or not by this method.
    """
    from transformers import set_seed

    set_seed(settings.seed)
    network = load_with_head(base.folder, base.name, labels, tokenizer.pad_token_id, settings.attention_dropout)
    if settings.row.is_peft:
        return _with_adapter(network, settings)
    if settings.method != methods.FULL:
        parameters = dict(network.named_parameters())
        learning = set(head_parameters(network))
        if settings.method == methods.LAST_2:
            learning |= set(last_layers(network, 2))
        for name, parameter in parameters.items():
            parameter.requires_grad = name in learning
    return network


def load_adapted(base: Base, tokenizer: Any, labels: tuple[str, ...], folder: Path) -> Any:
    """Return the base with a trained adapter and head from `folder`, for inference.

    Raises:
        ModelError: if the base cannot be loaded; AdapterError: if the adapter does not fit it.
    """
    import peft

    from assistant.errors import AdapterError

    network = load_with_head(base.folder, base.name, labels, tokenizer.pad_token_id)
    try:
        with quiet_peft():
            return peft.PeftModelForSequenceClassification.from_pretrained(network, folder, is_trainable=False)
    except (ValueError, TypeError, RuntimeError, KeyError, AttributeError, OSError) as error:
        raise AdapterError(f"The adapter in '{folder}' does not fit '{base.name}': {error}.") from error


def parameter_counts(network: Any) -> tuple[int, int]:
    """Return how many numbers learn, and how many there are in all."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in network.parameters()]
    return sum(size for size, learns in sizes if learns), sum(size for size, _ in sizes)


def layer_name(network: Any) -> str:
    """Return where the transformer layers stand, as `bert.encoder.layer`.

    Raises:
        ModelError: if no list of modules is as long as the model has layers.
    """
    from torch import nn

    count = network.config.num_hidden_layers
    for name, module in network.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return str(name)
    raise ModelError(f"The layers of a {network.config.model_type} model are not known here.", "Choose another method.")


def last_layers(network: Any, count: int) -> list[str]:
    """Return the names of the parameters in the last `count` transformer layers (all, where there are fewer).

    Raises:
        ModelError: if the layers are not found.
    """
    where = layer_name(network)
    first = max(0, network.config.num_hidden_layers - count)
    layer = re.compile(rf"{re.escape(where)}\.(\d+)\.")
    return [
        name
        for name, _ in network.named_parameters()
        if (found := layer.match(name)) is not None and int(found[1]) >= first
    ]


def head_parameters(network: Any) -> list[str]:
    """Return the names of the parameters behind the last transformer layer: pooler, last norm, classifier.

    Parameters stand in the order in which a text passes through them in every architecture that transformers
    has for classification, so what comes after the layers, and is no embedding, is the head.

    Raises:
        ModelError: if the layers are not found.
    """
    where = f"{layer_name(network)}."
    names = [name for name, _ in network.named_parameters()]
    after = max(place for place, name in enumerate(names) if name.startswith(where)) + 1
    return [name for name in names[after:] if "embedding" not in name]


def head_modules(network: Any) -> list[str]:
    """Return the modules of the head by their whole names, as peft wants them: it matches the ends of names."""
    prefix = f"{network.base_model_prefix}."
    modules: dict[str, None] = {}
    for name in head_parameters(network):
        inner = name.removeprefix(prefix)
        first = inner.split(".")[0]
        modules[prefix + first if name.startswith(prefix) else first] = None
    # peft adds these two by itself.
    return [name for name in modules if name not in ("classifier", "score")]


def max_tokens(network: Any, tokenizer: Any, settings: ClassifierSettings) -> int:
    """Return how many tokens of a text are read: as set, unless the model has fewer places.

    Raises:
        SettingError: if a soft prompt leaves no place for the text.
    """
    places = min(getattr(network.config, "max_position_embeddings", None) or 2**31, tokenizer.model_max_length)
    if settings.row.has_prompt:
        places -= settings.virtual_tokens
    if places < 8:
        raise SettingError(
            f"With {settings.virtual_tokens} vectors in front, {max(places, 0)} places are left for the text.",
            "Lower --virtual-tokens.",
        )
    return min(settings.max_tokens, int(places))


def _with_adapter(network: Any, settings: ClassifierSettings) -> Any:
    import peft

    config = _prompt_config(network, settings) if settings.row.has_prompt else _lora(network, settings)
    with quiet_peft():
        return peft.get_peft_model(network, config)


def _prompt_config(network: Any, settings: ClassifierSettings) -> Any:
    import peft

    if _is_decoder(network):
        # Given embeddings and not ids, transformers reads a decoder at the last place of the batch, filling or not.
        raise ModelError(
            "A decoder-only model cannot classify behind a soft prompt: it would be read at the filling.",
            "Choose an encoder, or --method lora.",
        )
    learning = head_modules(network)
    if settings.method == methods.SOFT_PROMPT_FULL:
        # peft freezes all that it does not keep a copy of: the layers become part of what it trains and saves.
        learning.append(layer_name(network).rpartition(".")[0])
    # BERT's pooler reads the first place, which is now the first vector: that one sees the whole text, as [CLS] would.
    return peft.PromptTuningConfig(
        task_type=_TASK,
        num_virtual_tokens=settings.virtual_tokens,
        # Vectors drawn from a normal distribution are twenty times as long as BERT's own embeddings.
        prompt_tuning_init="SAMPLE_VOCAB",
        modules_to_save=learning,
    )


def _lora(network: Any, settings: ClassifierSettings) -> Any:
    import peft
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    known = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(network.config.model_type)
    return peft.LoraConfig(
        task_type=_TASK,
        r=settings.rank,
        lora_alpha=2 * settings.rank,
        lora_dropout=_LORA_DROPOUT,
        target_modules=list(known) if known else "all-linear",
        modules_to_save=head_modules(network),
    )


def _is_decoder(network: Any) -> bool:
    """Return whether the model is read at its last token: its head has no pooler and is named `score`."""
    return hasattr(network, "score")
