"""How rows are batched and in which precision they are read: what makes a step cheap."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from assistant.errors import SettingError
from assistant.finetuning.classifiers.settings import BFLOAT16


def trainer_of_like_lengths() -> Any:
    """Return transformers' Trainer with batches of rows of like length: filling costs as much as text.

    Its own `group_by_length` draws from the state that a resumed training has not got back yet, so the rows of a
    pass that was cut short would come in another order; here the order is that of the seed and the pass.
    """
    import torch
    from transformers import Trainer
    from transformers.trainer_pt_utils import LengthGroupedSampler

    class OfLikeLengths(LengthGroupedSampler):  # type: ignore[misc]
        """The library's sampler, seeded anew for each pass; its batches, which go from long to short, are mixed."""

        def __init__(self, batch_size: int, rows: Any, seed: int) -> None:
            super().__init__(batch_size, dataset=rows, generator=torch.Generator())
            self._seed = seed
            self.set_epoch(0)

        def set_epoch(self, epoch: int) -> None:
            self.generator.manual_seed(self._seed + epoch)

        def __iter__(self) -> Iterator[int]:
            indices, size = list(super().__iter__()), self.batch_size
            whole = len(indices) // size
            # What does not fill a batch stays at the end, or it would shift all that follow.
            for batch in torch.randperm(whole, generator=self.generator).tolist():
                yield from indices[batch * size : (batch + 1) * size]
            yield from indices[whole * size :]

    class LikeLengthsTrainer(Trainer):  # type: ignore[misc]
        """What it does is transformers' own; only the order of the training rows is not."""

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            rows = self.train_dataset if train_dataset is None else train_dataset
            return OfLikeLengths(self.args.train_batch_size, rows, self.args.seed)

    return LikeLengthsTrainer


def uses_bfloat16(dtype: str, device: str) -> bool:
    """Return whether matrices are multiplied in bfloat16: `auto` does on a CUDA GPU that has it. Weights stay fp32.

    Args:
        dtype: As in the settings.
        device: The chosen one, not `auto`.

    Raises:
        SettingError: if it is asked for where it is not there.
    """
    import torch

    there = device == "cpu" or (device == "cuda" and torch.cuda.is_bf16_supported())
    if dtype == BFLOAT16 and not there:
        raise SettingError(f"This {device} device has no bfloat16.", "Leave out --dtype.")
    return dtype == BFLOAT16 or (dtype == "auto" and device == "cuda" and there)


def precision(dtype: str, device: str) -> AbstractContextManager[Any]:
    """Return the context in which a network reads: torch's autocast, or nothing.

    Raises:
        SettingError: if the dtype is not there.
    """
    import torch

    return torch.autocast(device, dtype=torch.bfloat16) if uses_bfloat16(dtype, device) else nullcontext()
