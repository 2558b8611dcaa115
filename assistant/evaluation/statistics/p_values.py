"""P-values of paired differences, and their correction for many comparisons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest

from assistant.errors import DataError
from assistant.evaluation.statistics.intervals import DRAWS, Numbers, group_codes

_AT_ONCE = 4_000_000
"""Signs held in memory at a time."""


def mcnemar_exact(wins: int, losses: int) -> float:
    """Return the two-sided p-value of the exact McNemar test: a fair coin on the discordant pairs.

    Raises:
        DataError: if a count is negative.

    Source: McNemar 1947; exact form, Fay 2010, "Two-sided exact tests and matching confidence intervals".
    """
    if wins < 0 or losses < 0:
        raise DataError(f"{wins} wins and {losses} losses are no counts.")
    return 1.0 if wins + losses == 0 else float(binomtest(wins, wins + losses, 0.5).pvalue)


def permutation_test(
    differences: Sequence[float] | Numbers,
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    draws: int = DRAWS,
) -> float:
    """Return the two-sided p-value that the differences are symmetric about 0, by flipping signs.

    Whole groups are flipped together. Exact where there are no more sign patterns than draws, else
    estimated from that many random ones, the observed one counted among them.

    Raises:
        DataError: if there are no differences, or not as many groups as differences.

    Source: Fisher 1935; Phipson and Smyth 2010, "Permutation p-values should never be zero".
    """
    numbers = np.asarray(differences, dtype=np.float64)
    if numbers.size == 0:
        raise DataError("There is nothing to test without samples (n = 0).")
    codes, count = group_codes(numbers.size, groups)
    sums = np.bincount(codes, weights=numbers, minlength=count)
    sums = sums[np.abs(sums) > 1e-12]  # flipping nothing changes nothing
    if sums.size == 0:
        return 1.0
    reach = abs(float(sums.sum())) - 1e-9 * float(np.abs(sums).sum())
    if 2**sums.size <= draws:
        patterns = np.arange(2**sums.size)[:, None] >> np.arange(sums.size)[None, :] & 1
        return float(np.mean(np.abs((1 - 2 * patterns) @ sums) >= reach))
    generator = np.random.default_rng(seed)
    block = max(1, _AT_ONCE // sums.size)
    extreme = 0
    for start in range(0, draws, block):
        signs = generator.integers(0, 2, (min(block, draws - start), sums.size), dtype=np.int8)
        extreme += int((np.abs((1 - 2 * signs).astype(np.float64) @ sums) >= reach).sum())
    return (extreme + 1) / (draws + 1)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return the p-values, corrected so that the chance of any false finding among them stays below 5 %.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return tuple(corrected)
