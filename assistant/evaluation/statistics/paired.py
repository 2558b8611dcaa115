"""Paired comparisons of arms that answered the same samples, and the words a difference may be given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.errors import DataError, UnknownName
from assistant.evaluation.statistics.intervals import DRAWS, Interval, group_codes, two_way_bootstrap, wilson
from assistant.evaluation.statistics.p_values import holm, mcnemar_exact, permutation_test
from assistant.evaluation.statistics.power import ALPHA, samples_needed_for_scores

_OTHER_DRAWS = "more samples do not help, other seeds come out otherwise"
_SAME = 1e-12
"""Scores that differ by less are equal."""
Numbers = NDArray[np.float64]
Scores = Mapping[str, float | Mapping[int, float]]
"""Sample id → score, or seed → score."""


@dataclass(frozen=True)
class Comparison:
    """One arm against the baseline, on the samples that both answered."""

    baseline: str
    other: str
    n: int
    wins: int
    """Samples on which `other` scores higher."""
    losses: int
    difference: float
    """Mean score of `other` less that of the baseline."""
    interval: Interval
    p_value: float
    p_holm: float
    """Corrected for all comparisons made together."""
    test: str
    verdict: str
    needed: int | None
    """About how many more samples would settle it; None if it is settled, or no difference was seen."""
    flipped: tuple[str, ...]
    """Ids of the samples whose scores differ."""

    @property
    def settled(self) -> bool:
        """Return whether one of the two may be called better."""
        return self.verdict in ("better", "worse")

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as plain data; `a` is the baseline, `b` the other."""
        return {
            "a": self.baseline,
            "b": self.other,
            "n": self.n,
            "wins": self.wins,
            "losses": self.losses,
            "difference": self.difference,
            "interval": list(self.interval),
            "p_value": self.p_value,
            "p_holm": self.p_holm,
            "test": self.test,
            "verdict": self.verdict,
            "needed": self.needed,
            "flipped": list(self.flipped),
        }


def paired_bootstrap(
    a: Sequence[float],
    b: Sequence[float],
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    draws: int = DRAWS,
) -> Interval:
    """Return the 95 % interval of mean(b) - mean(a), where a[i] and b[i] are scores of one sample.

    Raises:
        DataError: if there are no scores, or not as many of one as of the other.

    Source: Efron 1979; for pairs of systems, Koehn 2004, "Statistical significance tests for machine translation".
    """
    if len(a) != len(b):
        raise DataError(f"Scores are compared in pairs, but there are {len(a)} and {len(b)}.")
    differences = np.asarray(b, dtype=np.float64) - np.asarray(a, dtype=np.float64)
    return interval_of_differences(differences[None, :], groups=groups, seed=seed, draws=draws)


def interval_of_differences(
    table: Numbers, *, groups: Sequence[str] | None = None, seed: int = 0, draws: int = DRAWS
) -> Interval:
    """Return the 95 % interval of the mean of paired differences (seeds × samples).

    Where resampling gives a point, because all differences are equal, the share of samples that might
    still differ is added on both sides: Wilson's upper bound of none among n (samples or groups).

    Raises:
        DataError: if there are no differences, or not as many groups as samples.

    Source: Owen 2007, "The pigeonhole bootstrap"; Wilson 1927.
    """
    found = two_way_bootstrap(table, groups, seed=seed, draws=draws, bounds=(-1.0, 1.0))
    if found.high - found.low > _SAME:
        return found
    reach = wilson(0, group_codes(table.shape[1], groups)[1]).high
    return Interval(max(-1.0, found.low - reach), min(1.0, found.high + reach))


def compare_arms(
    baseline: str,
    scores: Mapping[str, Scores],
    *,
    groups: Mapping[str, str] | None = None,
    binary: bool,
    seed: int = 0,
    draws: int = DRAWS,
) -> tuple[Comparison, ...]:
    """Return the baseline's comparison with every other arm, paired by sample id and Holm-corrected.

    An arm without a sample in common with the baseline is left out.

    Args:
        baseline: The name of an arm of `scores`.
        scores: Arm → sample id → score (0…1); with several seeds, seed → score: then their mean is compared,
            and the interval says how much other seeds might change. Two arms with several seeds are compared
            over those that both have.
        groups: Sample id → group, where samples of one group resemble each other.
        binary: Whether every score is right or wrong; then the test is McNemar's (unless there are groups, or
            the means over several seeds are neither).
        seed: Decides the resamples.
        draws: How many resamples.

    Raises:
        UnknownName: if the baseline is not among the arms.

    Source: strategies are ranked as Demšar 2006, "Statistical comparisons of classifiers", asks for.
    """
    if baseline not in scores:
        raise UnknownName("arm", baseline, scores)
    pairs = [
        _Pair.of(baseline, name, scores, groups, binary)
        for name in scores
        if name != baseline and scores[baseline].keys() & scores[name].keys()
    ]
    p_values = [pair.p_value(seed, draws) for pair in pairs]
    corrected = holm(p_values)
    return tuple(
        pair.comparison(p, p_holm, len(pairs), seed, draws)
        for pair, p, p_holm in zip(pairs, p_values, corrected, strict=True)
    )


def seed_table(scores: Sequence[float | Mapping[int, float]], seeds: Sequence[int]) -> Numbers:
    """Return scores as (seeds × samples); where a seed is missing, the sample's mean over the others.

    Without seeds there is one row, the means.
    """
    found = np.empty((max(1, len(seeds)), len(scores)))
    for place, one in enumerate(scores):
        if isinstance(one, Mapping):
            mean = sum(one.values()) / len(one)
            found[:, place] = [one.get(seed, mean) for seed in seeds] or mean
        else:
            found[:, place] = one
    return found


def _seeds(scores: Sequence[float | Mapping[int, float]]) -> set[int]:
    return {seed for one in scores if isinstance(one, Mapping) for seed in one}


def _shared_seeds(both: Sequence[Sequence[float | Mapping[int, float]]]) -> list[int]:
    """Return the seeds that two arms are compared over: those of both, or those of the one that has several.

    A seed that only one of two drawn arms has would be filled in with means of the other, as if that did not vary.
    """
    drawn = [own for own in map(_seeds, both) if len(own) > 1]
    if not drawn:
        return []
    shared = set.intersection(*drawn)
    return sorted(shared if len(shared) > 1 else set.union(*drawn))


def words(verdict: str, n: int, needed: int | None) -> str:
    """Return the verdict, or how far the samples are from one: "not distinguishable with n = 200; …"."""
    if verdict:
        return verdict
    more = "no difference was seen" if needed is None else f"about {needed:,} more needed"
    return f"not distinguishable with n = {n:,}; {more}"


@dataclass(frozen=True)
class _Pair:
    """Two arms on the samples they share."""

    baseline: str
    other: str
    samples: tuple[str, ...]
    table: Numbers
    """Differences, (seeds × samples); seeds stand in one order for both arms."""
    groups: tuple[str, ...] | None
    binary: bool

    @classmethod
    def of(
        cls, baseline: str, other: str, scores: Mapping[str, Scores], groups: Mapping[str, str] | None, binary: bool
    ) -> _Pair:
        shared = tuple(sample for sample in scores[baseline] if sample in scores[other])
        both = [[scores[name][sample] for sample in shared] for name in (baseline, other)]
        seeds = _shared_seeds(both)
        a, b = (seed_table(one, seeds) for one in both)
        names = tuple((groups or {}).get(sample, "") for sample in shared)
        clustered = group_codes(len(names), names)[1] < len(names)
        # What is tested are the means over the seeds: they may be shares where every single score is right or wrong.
        right_or_wrong = binary and all(bool(np.isin(one.mean(axis=0), (0.0, 1.0)).all()) for one in (a, b))
        return cls(baseline, other, shared, b - a, names if clustered else None, right_or_wrong)

    @property
    def differences(self) -> Numbers:
        found: Numbers = self.table.mean(axis=0)
        return found

    @property
    def test(self) -> str:
        if self.groups is not None:
            return "sign-flip permutation by group"
        return "exact McNemar" if self.binary else "sign-flip permutation"

    @property
    def wins(self) -> int:
        return int((self.differences > _SAME).sum())

    @property
    def losses(self) -> int:
        return int((self.differences < -_SAME).sum())

    def p_value(self, seed: int, draws: int) -> float:
        if self.test == "exact McNemar":
            return mcnemar_exact(self.wins, self.losses)
        return permutation_test(self.differences, groups=self.groups, seed=seed, draws=draws)

    def more_needed(self, comparisons: int) -> int | None:
        """Return how many more samples show the difference seen, if it is the true one."""
        differences, n = self.differences, len(self.samples)
        mean = float(differences.mean())
        if abs(mean) < _SAME:
            return None
        # Equal differences have this mean square exactly, but sums of floats may come out lower.
        mean_square = min(1.0, max(float((differences**2).mean()), mean * mean))
        whole = samples_needed_for_scores(mean, mean_square, alpha=ALPHA / comparisons) * self.design_effect
        return max(1, round(whole) - n)

    @property
    def design_effect(self) -> float:
        """Return how many times more samples are needed because those of a group resemble each other."""
        if self.groups is None:
            return 1.0
        codes, count = group_codes(len(self.groups), self.groups)
        apart = self.differences - self.differences.mean()
        alone = float((apart**2).sum())
        return 1.0 if alone == 0 else max(1.0, float((np.bincount(codes, apart, count) ** 2).sum()) / alone)

    def comparison(self, p_value: float, p_holm: float, comparisons: int, seed: int, draws: int) -> Comparison:
        differences = self.differences
        mean = float(differences.mean())
        interval = interval_of_differences(self.table, groups=self.groups, seed=seed, draws=draws)
        settled = interval.excludes(0.0) and p_holm < ALPHA
        verdict = ("better" if mean > 0 else "worse") if settled else ""
        lucky = not settled and p_holm < ALPHA and len(self.table) > 1
        needed = None if settled or lucky else self.more_needed(comparisons)
        verdict = f"not distinguishable with n = {len(self.samples):,}; {_OTHER_DRAWS}" if lucky else verdict
        return Comparison(
            baseline=self.baseline,
            other=self.other,
            n=len(self.samples),
            wins=self.wins,
            losses=self.losses,
            difference=mean,
            interval=interval,
            p_value=p_value,
            p_holm=p_holm,
            test=self.test,
            verdict=words(verdict, len(self.samples), _rounded(needed)),
            needed=_rounded(needed),
            flipped=tuple(one for one, gap in zip(self.samples, differences, strict=True) if abs(gap) > _SAME),
        )


def _rounded(count: int | None) -> int | None:
    """Return the count with two significant digits: it is an estimate."""
    return None if count is None else int(float(f"{count:.2g}"))
