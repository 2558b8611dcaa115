"""Intervals of uncertainty: Wilson's for a share, percentile bootstrap for everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from assistant.errors import DataError, SettingError

DRAWS = 10_000
CONFIDENCE = 0.95
_AT_ONCE = 4_000_000
"""Row numbers held in memory at a time (32 MB)."""

Rows = NDArray[np.int64]
Numbers = NDArray[np.float64]


class Interval(NamedTuple):
    """The lower and the upper end."""

    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Return whether the value lies outside."""
        return value < self.low or value > self.high


def wilson(successes: float, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Return Wilson's score interval of a share; it never leaves 0…1 and is never a point.

    Raises:
        DataError: if n is 0.
        SettingError: if there are more successes than trials, or a confidence outside 0…1.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    _check(n, confidence)
    if not 0 <= successes <= n:
        raise SettingError(f"{successes} successes in {n} trials are impossible.")
    z = float(norm.isf((1 - confidence) / 2))
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(low, high)


def bootstrap(
    values: Sequence[float] | Numbers,
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    draws: int = DRAWS,
    confidence: float = CONFIDENCE,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """Return the percentile bootstrap interval of the mean of n values.

    With groups (one name a value), whole groups are drawn, since samples of one group resemble each
    other; an empty name is a group of its own. From fewer than two groups (or values) nothing can be
    learned, so that the interval is `bounds`, the range of the values. Where every value is 0, or
    every value is 1, the bootstrap would give a point; Wilson's interval of the groups stands in.

    Raises:
        DataError: if there are no values, or not as many groups as values.
        SettingError: if `draws` or `confidence` make no sense.

    Source: Efron 1979, "Bootstrap methods"; groups: Miller 2024, "Adding error bars to evals".
    """
    numbers = np.asarray(values, dtype=np.float64)
    _check(numbers.size, confidence, draws)
    codes, count = group_codes(numbers.size, groups)
    if count < 2:
        return Interval(*bounds)
    if bounds == (0.0, 1.0) and numbers.min() == numbers.max() and numbers[0] in (0.0, 1.0):
        return wilson(count * float(numbers[0]), count, confidence)
    sums = np.bincount(codes, weights=numbers, minlength=count)
    sizes = np.bincount(codes, minlength=count).astype(np.float64)
    even = bool((sizes == 1).all())
    means = []
    for drawn in _draw(count, draws, seed):
        means.append(sums[drawn].mean(axis=1) if even else sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    return _percentiles(np.concatenate(means), confidence)


def two_way_bootstrap(
    table: Numbers,
    groups: Sequence[str] | None = None,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """Return the 95 % percentile interval of the mean of (seeds × samples), rows and columns both resampled.

    One seed draws the demonstrations of all samples, so that its luck moves them together: resampling
    samples alone leaves that out. Of S seeds, S - 1 are drawn, which keeps the variance of so few
    unbiased. One seed, groups and `bounds` are as in `bootstrap`.

    Raises:
        DataError: if there are no samples, or not as many groups as samples.
        SettingError: if `draws` makes no sense.

    Source: Owen 2007, "The pigeonhole bootstrap"; S - 1: Rao and Wu 1988, "Resampling inference".
    """
    if len(table) == 1 or table.size == 0:
        return bootstrap(table.ravel(), groups=groups, seed=seed, draws=draws, bounds=bounds)
    _check(table.shape[1], CONFIDENCE, draws)
    codes, count = group_codes(table.shape[1], groups)
    if count < 2:
        return Interval(*bounds)
    if bounds == (0.0, 1.0) and table.min() == table.max() and table[0, 0] in (0.0, 1.0):
        return wilson(count * float(table[0, 0]), count)
    sums = np.stack([np.bincount(codes, weights=row, minlength=count) for row in table])
    sizes = np.bincount(codes, minlength=count).astype(np.float64)
    means = []
    for seeds, times in _draw_both(len(table), count, draws, seed):
        found = np.einsum("dg,dg->d", seeds @ sums, times)
        means.append(found / ((times @ sizes) * (len(table) - 1)))
    return _percentiles(np.concatenate(means), CONFIDENCE)


def bootstrap_of(
    statistic: Callable[[Rows], float],
    n: int,
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    draws: int = DRAWS,
    confidence: float = CONFIDENCE,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """Return the percentile bootstrap interval of any statistic of resampled row numbers (0…n-1).

    The statistic is called once a draw, so that it should be quick; for statistics of counts, such as
    macro F1, `bootstrap_counts` is a hundred times quicker. Groups and `bounds` are as in `bootstrap`.

    Raises:
        DataError: if n is 0, or there are not as many groups as rows.
        SettingError: if `draws` or `confidence` make no sense.

    Source: Efron 1979, "Bootstrap methods: another look at the jackknife".
    """
    _check(n, confidence, draws)
    codes, count = group_codes(n, groups)
    if count < 2:
        return Interval(*bounds)
    order = np.argsort(codes, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(codes, minlength=count))[:-1])
    found = [
        statistic(order[row] if count == n else np.concatenate([members[code] for code in row]))
        for drawn in _draw(count, draws, seed)
        for row in drawn
    ]
    return _percentiles(np.asarray(found, dtype=np.float64), confidence)


def bootstrap_counts(
    cells: Sequence[int] | Rows,
    width: int,
    statistic: Callable[[Numbers], Numbers],
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    draws: int = DRAWS,
    confidence: float = CONFIDENCE,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """Return the percentile bootstrap interval of a statistic that only needs counts, all draws at once.

    Of several seeds it is the mean of the seeds' statistics; both are resampled, as in `two_way_bootstrap`.

    Args:
        cells: For each of n samples the cell it falls into (0…width-1), such as gold × answered label;
            of several seeds (seeds × n), -1 where a seed did not answer a sample.
        width: How many cells there are.
        statistic: Counts (draws × width) → one number a draw.
        groups: One name a sample, as in `bootstrap`.
        seed: Decides the draws.
        draws: How many resamples.
        confidence: The interval's level.
        bounds: What is returned where fewer than two groups leave nothing to learn.

    Raises:
        DataError: if there are no samples, or not as many groups as samples.
        SettingError: if `draws` or `confidence` make no sense.

    Source: Efron 1979, "Bootstrap methods: another look at the jackknife".
    """
    places = np.atleast_2d(np.asarray(cells, dtype=np.int64))
    n = places.shape[1]
    _check(n, confidence, draws)
    codes, count = group_codes(n, groups)
    if count < 2:
        return Interval(*bounds)
    tables = np.zeros((len(places), count, width))
    for table, of_seed in zip(tables, places, strict=True):
        answered = of_seed >= 0
        np.add.at(table, (codes[answered], of_seed[answered]), 1.0)
    found = []
    for seeds, times in _draw_both(len(places), count, draws, seed):
        by_seed = np.stack([statistic(times @ table) for table in tables], axis=1)
        found.append((seeds * by_seed).sum(axis=1) / seeds.sum(axis=1))
    return _percentiles(np.concatenate(found), confidence)


def group_codes(n: int, groups: Sequence[str] | None) -> tuple[Rows, int]:
    """Return the group's number of each of n rows, and how many groups there are; no name, own group.

    Raises:
        DataError: if there are not as many names as rows.
    """
    if groups is None:
        return np.arange(n), n
    if len(groups) != n:
        raise DataError(f"There are {n} values, but {len(groups)} groups.")
    numbers: dict[object, int] = {}
    codes = [numbers.setdefault(name or place, len(numbers)) for place, name in enumerate(groups)]
    return np.asarray(codes, dtype=np.int64), len(numbers)


def _draw(count: int, draws: int, seed: int) -> Iterator[Rows]:
    """Yield blocks of draws: each row is `count` numbers below `count`, with replacement."""
    generator = np.random.default_rng(seed)
    block = max(1, _AT_ONCE // count)
    for start in range(0, draws, block):
        yield generator.integers(0, count, (min(block, draws - start), count))


def _draw_both(seeds: int, count: int, draws: int, seed: int) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield how often each draw holds each seed (draws × seeds) and each group (draws × count)."""
    of_seeds = np.random.default_rng((seed, seeds))
    for drawn in _draw(count, draws, seed):
        chosen = of_seeds.integers(0, seeds, (len(drawn), max(1, seeds - 1)))
        yield _times(chosen, seeds), _times(drawn, count)


def _times(drawn: Rows, count: int) -> Numbers:
    """Return how often each row of numbers holds each number below `count`."""
    offsets = np.arange(len(drawn))[:, None] * count
    times = np.bincount((drawn + offsets).ravel(), minlength=len(drawn) * count)
    return times.reshape(len(drawn), count).astype(np.float64)


def _percentiles(found: Numbers, confidence: float) -> Interval:
    tail = 50 * (1 - confidence)
    low, high = np.percentile(found, [tail, 100 - tail])
    return Interval(float(low), float(high))


def _check(n: int, confidence: float, draws: int = DRAWS) -> None:
    if n < 1:
        raise DataError("There is no interval without samples (n = 0).")
    if not 0 < confidence < 1:
        raise SettingError(f"A confidence of {confidence} is not between 0 and 1.")
    if draws < 1:
        raise SettingError(f"{draws} draws are not enough for an interval.")
