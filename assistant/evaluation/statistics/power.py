"""What a number of samples can show: samples needed, the gap that would be seen, and the winner's curse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom, norm

from assistant.errors import SettingError

POWER = 0.8
ALPHA = 0.05


def samples_needed_for_scores(gap: float, mean_square: float, power: float = POWER, alpha: float = ALPHA) -> int:
    """Return how many paired samples show this gap of two mean scores with this power.

    Args:
        gap: The true difference of the means (0…1, the sign is ignored).
        mean_square: Of the differences; for right and wrong it is the discordant share.
        power: The probability of seeing the gap.
        alpha: The probability of seeing one that is not there (two-sided).

    Raises:
        SettingError: if the gap is 0, or larger than differences of this mean square can give.

    Source: Connor 1987; the normal approximation of a paired test.
    """
    gap = abs(gap)
    if gap == 0:
        raise SettingError("No number of samples shows a gap of 0.")
    if not gap * gap <= mean_square <= 1:
        raise SettingError(f"A gap of {gap} cannot come from differences of mean square {mean_square:.3f}.")
    root = _normal(alpha / 2) * math.sqrt(mean_square) + _normal(1 - power) * math.sqrt(mean_square - gap * gap)
    return math.ceil((root / gap) ** 2 - 1e-9)


def detectable_gap(
    n: int, discordant: float, power: float = POWER, alpha: float = ALPHA, *, scores: bool = False
) -> float | None:
    """Return the smallest true gap that n paired samples show with this power, or None if none is.

    With `scores`, `discordant` is the mean square of their differences (see `samples_needed_for_scores`).

    Raises:
        SettingError: if n is below 1, or the discordant share is not in 0…1.

    Source: Connor 1987 (the inverse of `samples_needed_for_scores`).
    """
    if n < 1 or not 0 <= discordant <= 1:
        raise SettingError(f"n = {n} with {discordant:.1%} discordant samples makes no sense.")
    largest = math.sqrt(discordant) if scores else discordant

    def missing(gap: float) -> float:
        spread = math.sqrt(max(0.0, discordant - gap * gap))
        return _normal(alpha / 2) * math.sqrt(discordant) + _normal(1 - power) * spread - gap * math.sqrt(n)

    if discordant == 0 or missing(largest) > 0:
        return None
    return float(brentq(missing, 1e-9, largest))


def winners_curse(p: float, n: int, k: int) -> float:
    """Return by how much the best of k equally good strategies looks better than it is (0…1).

    The expected highest of k independent binomials, over n, less p. Strategies that answer the same
    samples agree more than that, so that this is the worst case.

    Raises:
        SettingError: if p is not in 0…1, or n or k are below 1.

    Source: order statistics of the binomial; Capen et al. 1971 named the winner's curse.
    """
    if not 0 <= p <= 1 or n < 1 or k < 1:
        raise SettingError(f"The best of {k} at p = {p} and n = {n} makes no sense.")
    below = binom.cdf(np.arange(n), n, p) ** k
    return float((1 - below).sum() / n - p)


def power_record(n: int, tried: int, accuracy: float, discordant: float, *, scores: bool = False) -> dict[str, Any]:
    """Return what n samples can show, as plain data with the sentences that reports print.

    Args:
        n: Paired samples.
        tried: How many strategies were compared.
        accuracy: Of the best (or its mean score).
        discordant: Share of samples on which two strategies differ; of scores, their mean square difference.
        scores: Whether answers have scores, rather than being right or wrong.

    Raises:
        SettingError: if a number is out of its range.
    """
    gap = detectable_gap(n, discordant, scores=scores)
    curse = winners_curse(accuracy, n, tried)
    sentences = [_seen(n, gap, discordant, scores)]
    if tried > 1:
        sentences.append(
            f"The best of {tried} equally good strategies would look up to {100 * curse:.1f} points better than it "
            f"is on these {n:,} samples."
        )
    return {
        "n": n,
        "tried": tried,
        "discordant": discordant,
        "detectable_gap": gap,
        "winners_curse": curse,
        "sentences": sentences,
    }


def _seen(n: int, gap: float | None, discordant: float, scores: bool) -> str:
    """Return in words which gap would be seen."""
    if discordant == 0:
        return f"On all {n:,} samples the answers are equally good, so that nothing tells which gap would be seen."
    how = f"answers that differ on {100 * discordant:.0f} % of the samples"
    if scores:
        how = f"scores that differ by {100 * math.sqrt(discordant):.1f} points (root mean square)"
    what = f"a true gap of {100 * gap:.1f} points" if gap is not None else "no gap, however large,"
    return f"With n = {n:,} and {how}, {what} would be seen in {100 * POWER:.0f} % of such experiments."


def _normal(tail: float) -> float:
    """Return the standard normal's value that is exceeded with probability `tail`."""
    return float(norm.isf(tail))
