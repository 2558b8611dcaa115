"""Tests that may be looked at after every block: an e-process on paired differences, and a race of arms.

An e-process is the money of a gambler who bets against a hypothesis. It starts at 1; if the hypothesis
is true, the chance that it ever exceeds 1/alpha is at most alpha, however often one looks (Ville).

Source: Ville 1939; Robbins 1970, "Statistical methods related to the law of the iterated logarithm";
Ramdas et al. 2023, "Game-theoretic statistics and safe anytime-valid inference".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy.special import betainc, betaln

from assistant.errors import DataError, SettingError, UnknownName
from assistant.evaluation.statistics.power import ALPHA

PRIOR = 1.0
"""The `a` of the Beta(a, a) mixture; 1 spreads the bets evenly over all shares of wins."""

_NODES, _WEIGHTS = leggauss(64)
_STAKES = (_NODES + 1) / 2
"""Shares of the money that are bet on fractional differences, spread evenly over 0…1."""


def log_evidence(wins: int, losses: int, prior: float = PRIOR) -> float:
    """Return the log of the e-value against "of the discordant pairs, at most half are wins".

    The likelihood of the pairs, mixed over shares of wins above one half by a Beta(a, a) cut there,
    over their likelihood at one half.

    Raises:
        SettingError: if a count is negative, or the prior not positive.

    Source: Robbins 1970; Howard et al. 2021, "Time-uniform, nonparametric, nonasymptotic confidence sequences".
    """
    if wins < 0 or losses < 0 or prior <= 0:
        raise SettingError(f"{wins} wins and {losses} losses with a prior of {prior} make no sense.")
    a, b = prior + wins, prior + losses
    above_half = float(betainc(b, a, 0.5))
    if above_half == 0.0:
        return -math.inf
    pairs = (wins + losses + 1) * math.log(2)
    return pairs + float(betaln(a, b) - betaln(prior, prior)) + math.log(above_half)


class _Bets:
    """The gambler against "the mean difference is at most 0": counts while they suffice, else stakes."""

    def __init__(self, prior: float) -> None:
        self.prior = prior
        self.wins = self.losses = 0
        self._fractions = np.zeros_like(_STAKES)

    def add(self, difference: float) -> None:
        """Bet on one more difference, -1…1."""
        if not -1 <= difference <= 1:
            raise SettingError(f"A difference of {difference} is not between -1 and 1.")
        self.wins += difference == 1
        self.losses += difference == -1
        if abs(difference) < 1:
            self._fractions += np.log1p(_STAKES * difference)

    @property
    def log_evidence(self) -> float:
        """Return the log of the money."""
        if not self._fractions.any():
            return log_evidence(self.wins, self.losses, self.prior)
        density = (1 - _STAKES**2) ** (self.prior - 1)
        weights = np.log(_WEIGHTS * density / (_WEIGHTS * density).sum())
        whole = self.wins * np.log1p(_STAKES) + self.losses * np.log1p(-_STAKES)
        return float(np.logaddexp.reduce(weights + whole + self._fractions))


class Exit(NamedTuple):
    """Why an arm left the race."""

    arm: str
    rival: str
    """The arm that beat it most clearly."""
    samples: int
    """How many samples both had answered."""
    wins: int
    """Samples on which the rival scored higher."""
    losses: int
    p_value: float
    """Anytime-valid, of all rivals together."""

    def sentence(self) -> str:
        """Return it in words."""
        return (
            f"{self.arm} was dropped after {self.samples:,} samples: {self.rival} did better on {self.wins:,} "
            f"and worse on {self.losses:,} of them (p = {self.p_value:.2g} against all rivals, valid at any time)."
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return self._asdict()


class Race:
    """Arms that answer the same samples block by block, from which only clear losers are dropped.

    An arm is dropped once the mean of the evidence against it, over all its rivals, reaches 1/alpha; that
    mean is an e-process against "this is the best arm" (and never asks for more than Bonferroni over the
    rivals would). So the chance that the truly best arm is ever dropped is at most alpha, with any number
    of arms and blocks and wherever the race is stopped.

    Samples must arrive in an order that has nothing to do with their difficulty (shuffled). With groups,
    the mean difference of a group counts as one bet; a group must not be split over blocks.
    """

    def __init__(self, arms: Sequence[str], *, alpha: float = ALPHA, prior: float = PRIOR) -> None:
        """Line up the arms.

        Raises:
            SettingError: if there are no arms, one stands twice, or alpha is not between 0 and 1.
        """
        if not arms or len(set(arms)) != len(arms):
            raise SettingError("A race needs different arms, at least one.")
        if not 0 < alpha < 1:
            raise SettingError(f"An error rate of {alpha} is not between 0 and 1.")
        self.arms = tuple(arms)
        self.alpha = alpha
        self.samples = 0
        self.exits: list[Exit] = []
        self._scores: dict[str, list[float]] = {arm: [] for arm in arms}
        self._bets = {(one, rival): _Bets(prior) for one in arms for rival in arms if one != rival}
        self._counts = {pair: [0, 0] for pair in self._bets}
        self._seen: set[str] = set()

    @property
    def still_in(self) -> tuple[str, ...]:
        """Return the arms that have not been dropped, in the order in which they were lined up."""
        out = {one.arm for one in self.exits}
        return tuple(arm for arm in self.arms if arm not in out)

    @property
    def settled(self) -> bool:
        """Return whether only one arm is left."""
        return len(self.still_in) == 1

    def mean(self, arm: str) -> float | None:
        """Return the mean score of an arm over the samples it answered, or None before the first.

        Raises:
            UnknownName: if there is no such arm.
        """
        if arm not in self._scores:
            raise UnknownName("arm", arm, self.arms)
        return float(np.mean(self._scores[arm])) if self._scores[arm] else None

    def standings(self) -> tuple[str, ...]:
        """Return all arms, best first: those still in by their mean score, then the dropped, last out first."""
        still = sorted(self.still_in, key=lambda arm: -(self.mean(arm) or 0.0))
        return (*still, *(one.arm for one in reversed(self.exits)))

    def add(
        self, block: Mapping[str, Mapping[str, float]], groups: Mapping[str, str] | None = None
    ) -> tuple[Exit, ...]:
        """Return who leaves after this block: arm → sample id → score (0…1), for every arm still in.

        Raises:
            DataError: if an arm's answers are missing, the arms answered different samples, or a sample came before.
        """
        racing = self.still_in
        samples = self._checked(block, racing)
        self.samples += len(samples)
        for arm in racing:
            self._scores[arm] += [block[arm][sample] for sample in samples]
        clusters: dict[str, list[str]] = {}
        for place, sample in enumerate(samples):
            clusters.setdefault((groups or {}).get(sample) or f"\0{place}", []).append(sample)
        for one in racing:
            for rival in racing:
                if one != rival:
                    self._bet(one, rival, block, clusters.values())
        leaving = self._leaving(racing)
        self.exits += leaving
        return tuple(leaving)

    def _checked(self, block: Mapping[str, Mapping[str, float]], racing: Sequence[str]) -> list[str]:
        missing = [arm for arm in racing if arm not in block]
        if missing:
            raise DataError(f"The block has no scores of {', '.join(missing)}.")
        samples = list(block[racing[0]])
        for arm in racing[1:]:
            if block[arm].keys() != block[racing[0]].keys():
                raise DataError(f"{arm} and {racing[0]} answered different samples.")
        if self._seen.intersection(samples):
            raise DataError("A sample may enter the race once only.")
        self._seen.update(samples)
        return samples

    def _bet(self, one: str, rival: str, block: Mapping[str, Mapping[str, float]], clusters: Any) -> None:
        """Bet that the rival is better than this one."""
        counts = self._counts[one, rival]
        for cluster in clusters:
            gaps = [block[rival][sample] - block[one][sample] for sample in cluster]
            counts[0] += sum(gap > 0 for gap in gaps)
            counts[1] += sum(gap < 0 for gap in gaps)
            self._bets[one, rival].add(math.fsum(gaps) / len(gaps))

    def _leaving(self, racing: Sequence[str]) -> list[Exit]:
        rivals = len(self.arms) - 1
        leaving = []
        for one in racing if rivals else ():
            evidence = {rival: self._bets[one, rival].log_evidence for rival in self.arms if rival != one}
            mean = float(np.logaddexp.reduce(list(evidence.values()))) - math.log(rivals)
            if mean >= -math.log(self.alpha):
                best = max((rival for rival in evidence if rival in racing), key=evidence.__getitem__)
                wins, losses = self._counts[one, best]
                leaving.append(Exit(one, best, self.samples, wins, losses, math.exp(-mean)))
        return leaving
