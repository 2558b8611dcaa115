"""Sums of log-probabilities of labels in the plain ways, which are exact under every model and adapter.

`label_batches.py` decides which way a model needs, and has the fastest one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

Ids = Sequence[int]
Sums = list[tuple[float, ...]]


@dataclass(frozen=True)
class LabelRow:
    """A prompt and the labels that could continue it, as token ids."""

    prompt: Ids
    labels: tuple[Ids, ...]

    def __post_init__(self) -> None:
        """Refuse labels that have no likelihood."""
        assert all(self.labels), "a label without tokens has no likelihood"

    @property
    def longest(self) -> int:
        """Return the length of the longest label."""
        return max(len(label) for label in self.labels)


@dataclass(frozen=True)
class Place:
    """Where one token of a label is predicted: in `logits[row, column]`, counted for label number `label`."""

    row: int
    column: int
    token: int
    label: int


def summed(logits: Any, places: Sequence[Place], rows: Sequence[LabelRow]) -> Sums:
    """Return per row and label the sum of log P(token); labels are numbered through all rows.

    `logits` are (rows, columns, vocabulary); only the spots that are asked for are normalised, in float32.
    """
    spots = {spot: at for at, spot in enumerate(dict.fromkeys((place.row, place.column) for place in places))}
    row, column = torch.tensor(list(spots), device=logits.device).T
    picked = logits[row, column].float()
    at = torch.tensor([spots[place.row, place.column] for place in places], device=logits.device)
    token = torch.tensor([place.token for place in places], device=logits.device)
    chosen = (picked[at, token] - picked.logsumexp(-1)[at]).cpu().double()
    count = sum(len(row.labels) for row in rows)
    label = torch.tensor([place.label for place in places])
    sums = iter(torch.zeros(count, dtype=torch.float64).index_add_(0, label, chosen).tolist())
    return [tuple(next(sums) for _ in row.labels) for row in rows]


def padded(rows: Sequence[Ids], device: Any) -> Any:
    """Return the rows as one tensor, zeros at their right."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=device)


def takes_few_logits(model: Any) -> bool:
    """Return whether the model can be told which columns of logits are needed."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return bool(base._supports_logits_to_keep())


def whole_row_sums(model: Any, rows: Sequence[LabelRow]) -> Sums:
    """Return the sums from one row per prompt and label, padded at the right; labels of one token share a row."""
    pairs = [(row.prompt, label) for row in rows for label in row.labels]
    read = [(*prompt, *label[:-1]) for prompt, label in pairs]
    numbers = {ids: number for number, ids in enumerate(dict.fromkeys(read))}
    ids = padded(list(numbers), model.device)
    width = ids.shape[1]
    few = {"logits_to_keep": width + 1 - min(len(prompt) for prompt, _ in pairs)} if takes_few_logits(model) else {}
    mask = padded([[1] * len(one) for one in numbers], model.device)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False, **few).logits
    # Counted from the end, because virtual tokens may stand before the prompt.
    places = [
        Place(numbers[one], len(prompt) - 1 + step - width, token, at)
        for at, (one, (prompt, label)) in enumerate(zip(read, pairs, strict=True))
        for step, token in enumerate(label)
    ]
    return summed(logits, places, rows)


def continued_sums(model: Any, rows: Sequence[LabelRow]) -> Sums:
    """Return the sums from a pass over the prompts and, with copies of their cache, one over the labels.

    Prompts are padded at the left, as for generation, and labels at the right, where nothing looks back
    from; every layer keeps its own window.
    """
    from transformers import DynamicCache

    count, device = max(len(row.labels) for row in rows), model.device
    width, wide = max(len(row.prompt) for row in rows), max(row.longest for row in rows) - 1
    ids = torch.tensor([[0] * (width - len(row.prompt)) + list(row.prompt) for row in rows], device=device)
    mask = torch.tensor([[0] * (width - len(row.prompt)) + [1] * len(row.prompt) for row in rows], device=device)
    cache = DynamicCache(config=model.config.get_text_config(decoder=True))
    few = {"logits_to_keep": 1} if takes_few_logits(model) else {}
    places_of = (mask.cumsum(-1) - 1).clamp_(min=0)
    read = model(
        input_ids=ids, attention_mask=mask, position_ids=places_of, past_key_values=cache, use_cache=True, **few
    )
    logits = read.logits[:, -1:].repeat_interleave(count, 0)
    if wide:
        cache.batch_repeat_interleave(count)
        fed = [label[:-1] for row in rows for label in (*row.labels, *[(0,)] * (count - len(row.labels)))]
        own = torch.tensor([[*label, *[0] * (wide - len(label))] for label in fed], device=device)
        after = mask.sum(-1).repeat_interleave(count)[:, None] + torch.arange(wide, device=device)
        seen = torch.cat([mask.repeat_interleave(count, 0), torch.ones_like(own)], dim=1)
        more = model(input_ids=own, attention_mask=seen, position_ids=after, past_key_values=cache, use_cache=True)
        logits = torch.cat([logits, more.logits], dim=1)
    starts = [at * count + number for at, row in enumerate(rows) for number in range(len(row.labels))]
    labels = [label for row in rows for label in row.labels]
    places = [
        Place(start, step, token, number)
        for number, (start, label) in enumerate(zip(starts, labels, strict=True))
        for step, token in enumerate(label)
    ]
    return summed(logits, places, rows)


def decoder_sums(model: Any, rows: Sequence[LabelRow], *, shared: bool) -> Sums:
    """Return the sums under an encoder-decoder; each prompt is encoded once if `shared`."""
    start = model.config.decoder_start_token_id
    pairs = [(at, label) for at, row in enumerate(rows) for label in row.labels]
    fed = padded([[start, *label[:-1]] for _, label in pairs], model.device)
    ids = padded([row.prompt for row in rows], model.device)
    mask = padded([[1] * len(row.prompt) for row in rows], model.device)
    of = torch.tensor([at for at, _ in pairs], device=model.device)
    if shared:
        encoded = model.get_encoder()(input_ids=ids, attention_mask=mask)
        encoded.last_hidden_state = encoded.last_hidden_state[of]
        read = {"encoder_outputs": encoded, "use_cache": False}
    else:
        read = {"input_ids": ids[of]}
    logits = model(attention_mask=mask[of], decoder_input_ids=fed, **read).logits
    places = [
        Place(number, step, token, number)
        for number, (_, label) in enumerate(pairs)
        for step, token in enumerate(label)
    ]
    return summed(logits, places, rows)


def batches(sizes: Sequence[int], most: int) -> Iterator[list[int]]:
    """Yield numbers of rows of similar size, largest first; rows × largest size of a batch stay within `most`.

    A row that is larger alone still gets a batch.
    """
    batch: list[int] = []
    for at in sorted(range(len(sizes)), key=lambda number: -sizes[number]):
        if batch and sizes[batch[0]] * (len(batch) + 1) > most:
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch
