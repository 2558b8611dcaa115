"""Soft prompts: where they begin, and which tokens they are near to when they are learnt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assistant.errors import AdapterError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class NearToken:
    """A token of the vocabulary, and the cosine between its embedding and a virtual token."""

    text: str
    similarity: float


def initialise(model: Any, first_ids: Sequence[int]) -> None:
    """Let the soft prompt begin as the first tokens of a prompt, repeated if they are too few.

    Prompt tuning begins with their embeddings; prefix tuning of a decoder with their keys and values in
    every layer, of an encoder-decoder with zeros. Random beginnings are far from anything the model knows.

    Source: Lester et al. 2021, section 3.2; Li & Liang 2021, section 7.4 (real words are the better beginning).
    """
    import torch

    config = model.active_peft_config
    weight = model.prompt_encoder[model.active_adapter].embedding.weight
    ids = _filled(first_ids, config.num_virtual_tokens)
    with torch.no_grad():
        if config.peft_type == "PROMPT_TUNING":
            table = model.get_base_model().get_input_embeddings().weight
            copies = weight.shape[0] // config.num_virtual_tokens  # an encoder-decoder may have one for each half
            weight.copy_(table[torch.tensor(ids * copies, device=table.device)])
        elif model.get_base_model().config.is_encoder_decoder:
            weight.zero_()
        else:
            _begin_as_cache(model, ids)


def _filled(ids: Sequence[int], count: int) -> list[int]:
    """Return so many ids, the given ones over and over."""
    return [ids[at % len(ids)] for at in range(count)]


def _begin_as_cache(model: Any, ids: list[int]) -> None:
    """Let the prefix begin as the keys and values that the tokens leave behind in every layer."""
    import peft
    import torch

    network = model.get_base_model()
    was_training = network.training
    network.eval()
    cache = network(input_ids=torch.tensor([ids], device=network.device), use_cache=True).past_key_values
    network.train(was_training)
    peft.initialize_kv_prefix_from_past_key_values(model, past_key_values=cache)


def nearest_tokens(
    vectors: torch.Tensor, table: torch.Tensor, decode: Callable[[int], str], k: int = 3
) -> list[tuple[NearToken, ...]]:
    """Return for each virtual token (n, d) the `k` tokens of the vocabulary (V, d) with the highest cosine.

    It is a reading aid: a learnt vector need not mean what its nearest tokens mean.

    Source: Lester et al. 2021, section 7; Khashabi et al. 2022, Prompt Waywardness (why not to trust it).
    """
    import torch

    rows = torch.nn.functional.normalize(vectors.float(), dim=-1)
    columns = torch.nn.functional.normalize(table.float(), dim=-1)
    found = (rows @ columns.T).topk(min(k, len(columns)), dim=-1)
    return [
        tuple(NearToken(decode(int(token)), float(cosine)) for token, cosine in zip(ids, cosines, strict=True))
        for ids, cosines in zip(found.indices, found.values, strict=True)
    ]


def read_soft_prompt(model: Any, decode: Callable[[int], str], k: int = 3) -> list[tuple[NearToken, ...]]:
    """Return the tokens near to each virtual token of a peft model's soft prompt.

    Raises:
        AdapterError: if it has none at the input: a prefix in every layer lies in no space of tokens.
    """
    config = model.active_peft_config
    if config.peft_type != "PROMPT_TUNING":
        raise AdapterError("Only a soft prompt at the input can be read as tokens.")
    vectors = model.prompt_encoder[model.active_adapter].embedding.weight.detach()
    return nearest_tokens(vectors, model.get_base_model().get_input_embeddings().weight.detach(), decode, k)
