"""How the next token of every row of a batch is chosen, and when a row ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from assistant.generation.chat_model import StopSignal
from assistant.settings import SamplingSettings


class RowSampling:
    """A logits processor after which argmax is each row's own choice.

    Greedy rows (temperature 0) stay as they are. Other rows are divided by their temperature,
    cut to their nucleus, and get Gumbel noise from the row's own seeded generator: the argmax
    is then a draw from the softmax, and no row's draw depends on its neighbours in the batch.

    Source: Gumbel-max, Gumbel 1954, see Maddison, Tarlow and Minka, "A* Sampling", 2014; nucleus,
    Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020.
    """

    def __init__(self, samplings: Sequence[SamplingSettings]) -> None:
        # The noise is drawn on the CPU, so that a seed means the same on every device.
        self._rows = [
            (row, sampling, torch.Generator("cpu").manual_seed(sampling.seed))
            for row, sampling in enumerate(samplings)
            if sampling.temperature > 0
        ]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return the scores (rows × vocabulary), changed in the sampled rows."""
        del input_ids
        for row, sampling, generator in self._rows:
            kept = _nucleus(scores[row] / sampling.temperature, sampling.top_p)
            waiting = torch.empty(kept.shape, dtype=torch.float64).exponential_(generator=generator)
            scores[row] = kept - waiting.log().to(kept)
        return scores


def _nucleus(scores: Any, top_p: float) -> Any:
    """Return the scores with −inf outside the least set of tokens that holds `top_p`."""
    if top_p >= 1:
        return scores
    ordered, order = scores.softmax(-1).sort(descending=True)
    outside = order[(ordered.cumsum(-1) - ordered) >= top_p]
    return scores.index_fill(-1, outside, float("-inf"))


class RowStopping:
    """A stopping criterion: a row ends at its own limit, all rows end when told to."""

    def __init__(self, limits: Sequence[int], signals: Sequence[StopSignal]) -> None:
        self._limits = torch.tensor(limits)
        self._signals = tuple(signals)
        self._taken = 0

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return which rows (booleans) are done after this token."""
        del scores
        self._taken += 1
        done = self._limits <= self._taken
        if any(signal.is_set() for signal in self._signals):
            done = torch.ones_like(done)
        return done.to(input_ids.device)
