"""Label scores of many prompts: what they share is read once, and all labels of a prompt in the same pass.

The prompts of a call begin alike (instruction, static demonstrations): that prefix is read once. What
follows differs; it is padded at the left, so that all prompts end in one column, and behind it stand the
labels of each prompt as branches, which see the prompt and themselves but not each other:

    prefix | . . q q q | a a b      (labels "a a A" and "b B": the last token of a label is not read)
           | q q q q q | a a b

So one pass and few columns of logits score every label of every prompt. Where layers have a window that
is narrower than that, labels continue the cache of their prompt; models that would not honour such a
mask at all get whole rows.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import torch

from assistant.generation.labels import (
    Ids,
    LabelRow,
    Place,
    Sums,
    batches,
    continued_sums,
    decoder_sums,
    summed,
    takes_few_logits,
    whole_row_sums,
)
from assistant.generation.prefixes import Prefix, PrefixShelf

_CPU_TOKENS, _DEVICE_TOKENS = 1024, 8192
"""Tokens of one pass: enough to keep the processor busy; more only costs memory."""
_SEEN_PER_TOKEN = 16
"""Every row gets a copy of the prefix: a pass may see at most so many times its own tokens."""
_LOGITS = 2**26
"""Logits of one pass, which are turned into float32."""
_SHORTEST_PREFIX = 8

Pass = tuple[list[int], Callable[[], Sums]]


class LabelScorer:
    """Scores labels with one network; `virtual` if an adapter puts something of its own before the prompt."""

    def __init__(self, network: Any, stop_ids: Sequence[int], *, virtual: bool = False) -> None:
        self._network = network
        self._vocabulary = int(network.config.get_text_config(decoder=True).vocab_size)
        self._is_encoder_decoder = bool(network.config.is_encoder_decoder)
        self._virtual = virtual
        self._most = _CPU_TOKENS if network.device.type == "cpu" else _DEVICE_TOKENS
        self._longest_branched = 0 if virtual or self._is_encoder_decoder else _longest_branched(network)
        self._prefixes = PrefixShelf(network, stop_ids)

    def passes(self, rows: Sequence[LabelRow]) -> Iterator[Pass]:
        """Yield which rows run together and what runs them; the caller decides when, and may stop between.

        Run, a pass returns per row the sum of log P(token) of each label, in nats.
        """
        longest = max(len(row.prompt) + row.longest for row in rows)
        if longest <= self._longest_branched:
            yield from self._branched(rows)
            return
        sizes = [(len(row.prompt) + row.longest) * len(row.labels) for row in rows]
        for numbers in batches(sizes, self._most):
            yield numbers, partial(_in_parts, self._plain, [rows[number] for number in numbers])

    def _branched(self, rows: Sequence[LabelRow]) -> Iterator[Pass]:
        shared = _common_beginning([row.prompt for row in rows])

        @cache
        def prefix() -> Prefix | None:
            return self._prefixes.read(shared) if shared else None

        def run(batch: Sequence[LabelRow]) -> Sums:
            return branched_sums(self._network, batch, prefix())

        for numbers in batches([self._size(row, len(shared)) for row in rows], self._most):
            yield numbers, partial(_in_parts, run, [rows[number] for number in numbers])

    def _plain(self, batch: Sequence[LabelRow]) -> Sums:
        if self._is_encoder_decoder:
            return decoder_sums(self._network, batch, shared=not self._virtual)
        # Branches are out of the question only because of a window's width: a cache is honoured.
        return (continued_sums if self._longest_branched else whole_row_sums)(self._network, batch)

    def _size(self, row: LabelRow, shared: int) -> int:
        """Return how much of a pass a row takes, in tokens: by what it reads, sees or keeps of logits."""
        branches = sum(len(label) - 1 for label in row.labels)
        own = len(row.prompt) - shared + branches
        logits = (1 + branches) * self._vocabulary * self._most // _LOGITS
        return max(own, (shared + own) // _SEEN_PER_TOKEN, logits)


def branched_sums(network: Any, rows: Sequence[LabelRow], prefix: Prefix | None) -> Sums:
    """Return the sums from one pass over what follows the prefix, with the labels as branches."""
    start = 0 if prefix is None else prefix.length
    own = [row.prompt[start:] for row in rows]
    fed = [[token for label in row.labels for token in label[:-1]] for row in rows]
    width, wide, device = max(map(len, own)), max(map(len, fed)), network.device
    ids = torch.tensor(
        [[*[0] * (width - len(q)), *q, *f, *[0] * (wide - len(f))] for q, f in zip(own, fed, strict=True)]
    )
    places, positions, branches = _layout(rows, own, start, width, wide)
    mask = _mask(network, torch.tensor(branches, device=device), start)
    few = {"logits_to_keep": torch.arange(width - 1, width + wide, device=device)} if takes_few_logits(network) else {}
    logits = network(
        input_ids=ids.to(device),
        attention_mask=mask,
        position_ids=torch.tensor(positions, device=device),
        past_key_values=None if prefix is None else prefix.cache(),
        use_cache=prefix is not None,
        **few,
    ).logits[:, -wide - 1 :]
    return summed(logits, places, rows)


_PADDING, _PROMPT = -1, 0


def _layout(
    rows: Sequence[LabelRow], own: Sequence[Ids], start: int, width: int, wide: int
) -> tuple[list[Place], list[list[int]], list[list[int]]]:
    """Return where each label token is predicted, and per row the position and the branch of each column.

    Columns of the places are counted from the last one of the prompts, as the logits are.
    """
    places, positions, branches, label_number = list[Place](), list[list[int]](), list[list[int]](), 0
    for number, (row, suffix) in enumerate(zip(rows, own, strict=True)):
        gap, end = width - len(suffix), start + len(suffix)
        position, branch = [0] * gap + list(range(start, end)), [_PADDING] * gap + [_PROMPT] * len(suffix)
        for which, label in enumerate(row.labels, start=1):
            before = len(position) - width
            places += [
                Place(number, before + step if step else 0, token, label_number) for step, token in enumerate(label)
            ]
            position += range(end, end + len(label) - 1)
            branch += [which] * (len(label) - 1)
            label_number += 1
        rest = width + wide - len(position)
        positions.append(position + [0] * rest)
        branches.append(branch + [_PADDING] * rest)
    return places, positions, branches


def _mask(network: Any, branches: Any, start: int) -> Any:
    """Return who sees whom, (rows, 1, columns, prefix + columns), in the form the attention takes."""
    rows, columns = branches.shape
    of, to = branches[:, :, None], branches[:, None, :]
    # Padding sees itself, because a row of nothing but masked scores has no softmax.
    seen = ((to == _PROMPT) | ((to == of) & (to != _PADDING))).tril_() | torch.eye(
        columns, dtype=torch.bool, device=branches.device
    )
    seen = torch.cat([seen.new_ones(rows, columns, start), seen], dim=-1)[:, None]
    if network.config.get_text_config(decoder=True)._attn_implementation == "sdpa":
        return seen
    least = torch.finfo(network.dtype).min
    return torch.zeros(seen.shape, dtype=network.dtype, device=seen.device).masked_fill_(~seen, least)


def _common_beginning(prompts: Sequence[Ids]) -> Ids:
    """Return what all prompts begin with, short of the last token of any; nothing if it would not pay."""
    if len(prompts) < 2:
        return ()
    # What the first and the last in order share, all between them share.
    ordered = sorted(tuple(prompt) for prompt in prompts)
    low, high = ordered[0], ordered[-1]
    most = min(len(prompt) for prompt in prompts) - 1
    same = next((at for at in range(most) if low[at] != high[at]), most)
    return low[:same] if same >= _SHORTEST_PREFIX else ()


def _longest_branched(network: Any) -> int:
    """Return up to how many tokens a row may have branches: 0 if the model has other ways to see than a mask.

    Such ways are sliding windows (fine up to their width), chunks, recurrent states and attention biases.
    """
    base = network.get_base_model() if hasattr(network, "get_base_model") else network
    config = network.config.get_text_config(decoder=True)
    kinds = set(getattr(config, "layer_types", None) or ())
    if (
        config._attn_implementation not in ("sdpa", "eager")
        or base._is_stateful
        or getattr(config, "alibi", False)
        or "position_ids" not in inspect.signature(base.forward).parameters
        or not kinds <= {"full_attention", "sliding_attention"}
    ):
        return 0
    slides = not kinds or "sliding_attention" in kinds
    return (getattr(config, "sliding_window", None) if slides else None) or sys.maxsize


def _in_parts(run: Callable[[Sequence[LabelRow]], Sums], rows: Sequence[LabelRow]) -> Sums:
    """Return what a pass gives, from two passes of half the rows each where the device has no memory for one.

    Raises:
        torch.cuda.OutOfMemoryError: if there is none for a single row.
    """
    try:
        with torch.inference_mode():
            return run(rows)
    except torch.cuda.OutOfMemoryError:
        if len(rows) == 1:
            raise
    # Outside of the handler, which holds on to the tensors of the pass that failed.
    half = len(rows) // 2
    return [*_in_parts(run, rows[:half]), *_in_parts(run, rows[half:])]
