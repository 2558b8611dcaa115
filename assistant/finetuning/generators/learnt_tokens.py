"""The last layer of a decoder, computed only for the tokens that are learnt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_TEST = "_use_triton"


@contextmanager
def logits_of_learnt_tokens() -> Iterator[None]:
    """Let trl's trainer leave out the logits of tokens that are not learnt on a CPU too: the same loss, sooner.

    trl 1.16 leaves them out where Triton runs. Elsewhere it computes them for whole prompts and drops them, because
    there may be a compiler there that wants shapes to stay; on a CPU there is none. Of a small model with a short reply
    that is half of a step.
    """
    from trl.trainer import utils

    leaves_out = getattr(utils, _TEST, None)
    if leaves_out is None:  # another version of trl: as it has it
        yield
        return

    def on_a_cpu_too(device: Any) -> bool:
        return device.type == "cpu" or bool(leaves_out(device))

    setattr(utils, _TEST, on_a_cpu_too)
    try:
        yield
    finally:
        setattr(utils, _TEST, leaves_out)
