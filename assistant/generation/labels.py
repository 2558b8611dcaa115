"""The log-likelihood of each label as the reply to a prompt, in as few passes as possible.

Prompt-learning adapters (prompt, p- and prefix tuning) put something of their own before the
prompt or into its cache, so under them every label gets a whole row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

Ids = Sequence[int]


def label_scores(model: Any, prompt: Ids, labels: Sequence[Ids], *, shared: bool = True) -> tuple[float, ...]:
    """Return the sum of log P(token | prompt, tokens before) over each label's tokens, in nats.

    With `shared`, the prompt is read once and its cache is used by all labels.
    """
    assert all(labels), "a label without tokens has no likelihood"
    with torch.inference_mode():
        if model.config.is_encoder_decoder:
            logits = _decoder_logits(model, prompt, labels, shared=shared)
        elif shared:
            logits = _cached_logits(model, prompt, labels)
        else:
            logits = _full_row_logits(model, prompt, labels)
        return _summed(logits, labels)


def _summed(logits: Any, labels: Sequence[Ids]) -> tuple[float, ...]:
    """Return per label the summed log-probability; `logits` are (labels, T, vocabulary)."""
    targets = _padded(labels, logits.device)
    chosen = logits.float().log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1).double()
    lengths = torch.tensor([len(label) for label in labels], device=logits.device)
    counted = torch.arange(targets.shape[1], device=logits.device) < lengths[:, None]
    return tuple((chosen * counted).sum(-1).tolist())


def _padded(rows: Sequence[Ids], device: Any) -> Any:
    """Return the rows as one tensor, zeros at their right."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=device)


def _cached_logits(model: Any, prompt: Ids, labels: Sequence[Ids]) -> Any:
    """Return (labels, T, vocabulary) from one pass over the prompt and one over the labels.

    The prompt has no padding and the labels have it at their right, where causal attention
    never looks back from, so that no mask is needed.
    """
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config.get_text_config(decoder=True))
    ids = torch.tensor([list(prompt)], device=model.device)
    first = model(input_ids=ids, past_key_values=cache, use_cache=True, **_last_only(model)).logits[:, -1:]
    first = first.expand(len(labels), -1, -1)
    fed = _padded(labels, model.device)[:, :-1]
    if not fed.shape[1]:
        return first
    cache.batch_repeat_interleave(len(labels))
    places = torch.arange(len(prompt), len(prompt) + fed.shape[1], device=model.device)
    rest = model(
        input_ids=fed, past_key_values=cache, use_cache=True, position_ids=places.expand(len(labels), -1)
    ).logits
    return torch.cat([first, rest], dim=1)


def _last_only(model: Any) -> dict[str, int]:
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return {"logits_to_keep": 1} if base._supports_logits_to_keep() else {}


def _full_row_logits(model: Any, prompt: Ids, labels: Sequence[Ids]) -> Any:
    """Return (labels, T, vocabulary) from a whole row per label."""
    rows = [[*prompt, *label] for label in labels]
    mask = _padded([[1] * len(row) for row in rows], model.device)
    logits = model(input_ids=_padded(rows, model.device), attention_mask=mask, use_cache=False).logits
    width = max(len(label) for label in labels)
    # Counted from the end, because virtual tokens may stand before the prompt.
    return logits[:, -width - 1 : -1]


def _decoder_logits(model: Any, prompt: Ids, labels: Sequence[Ids], *, shared: bool) -> Any:
    """Return (labels, T, vocabulary) of an encoder-decoder; the encoder runs once if `shared`."""
    start = model.config.decoder_start_token_id
    fed = _padded([[start, *label[:-1]] for label in labels], model.device)
    ids = torch.tensor([list(prompt)], device=model.device)
    mask = torch.ones_like(ids).expand(len(labels), -1)
    if not shared:
        return model(input_ids=ids.expand(len(labels), -1), attention_mask=mask, decoder_input_ids=fed).logits
    encoded = model.get_encoder()(input_ids=ids, attention_mask=mask[:1])
    encoded.last_hidden_state = encoded.last_hidden_state.expand(len(labels), -1, -1)
    return model(encoder_outputs=encoded, attention_mask=mask, decoder_input_ids=fed, use_cache=False).logits
