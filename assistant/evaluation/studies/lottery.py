"""Order lottery: how lucky the shown order of the demonstrations is among all their orders.

Source: Lu et al. 2021, Fantastically Ordered Prompts and Where to Find Them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.errors import SettingError
from assistant.evaluation.reports.plots import percent
from assistant.evaluation.reports.words import p_value as p_words
from assistant.evaluation.reports.words import points
from assistant.evaluation.statistics.intervals import Interval, bootstrap_of, group_codes
from assistant.evaluation.statistics.paired import Comparison, compare_arms
from assistant.evaluation.statistics.power import ALPHA
from assistant.evaluation.studies.study import interval_of

SHOWN, ENSEMBLE = "shown order", "mean over all orders"
_DRAWS = 2000

Order = tuple[int, ...]


@dataclass(frozen=True)
class OrderRow:
    """One order (ranks as they stand in the prompt, the last nearest to the question) and its accuracy."""

    order: Order
    accuracy: float
    shown: bool


@dataclass(frozen=True)
class Lottery:
    """What all orders of the demonstrations come to, for one strategy."""

    strategy: str
    k: int
    n: int
    left_out: int
    """Samples that had fewer than k demonstrations, and so fewer orders."""
    rows: tuple[OrderRow, ...]
    """Best first."""
    shown_accuracy: float
    percentile: float
    """Share of the orders that are worse than the shown one, equal ones (itself too) counted half; 0…100."""
    percentile_interval: Interval
    lowest: float
    mean: float
    highest: float
    swayed: float
    """Share of samples whose answer is not the same under all orders."""
    swayed_interval: Interval
    order_p_value: float
    """Cochran's Q: how probable such differences between orders are if no order were better."""
    ensemble_accuracy: float
    comparison: Comparison
    """The permutation ensemble against the shown order, paired by sample."""


@dataclass(frozen=True)
class _Scored:
    """The samples that have all orders, as arrays."""

    ids: list[str]
    groups: list[str] | None
    right: NDArray[np.float64]
    """(n, orders): 1 where the label of highest likelihood is right."""
    chosen: NDArray[np.int64]
    """(n, orders): the number of that label."""
    at_shown: NDArray[np.int64]
    """(n): the number of the order that was shown."""
    ensemble: NDArray[np.float64]
    """(n): 1 where the label of highest mean log-likelihood over all orders is right."""

    @property
    def shown(self) -> NDArray[np.float64]:
        """Return 1 where the shown order is right, (n)."""
        found: NDArray[np.float64] = self.right[np.arange(len(self.ids)), self.at_shown]
        return found

    def percentile(self, rows: NDArray[np.int64]) -> float:
        """Return the shown order's percentile on some rows."""
        return _percentile(self.right[rows].mean(0), float(self.shown[rows].mean()))

    def comparison(self, seed: int) -> Comparison:
        """Return the ensemble against the shown order, paired by sample."""
        scores = {SHOWN: self.shown, ENSEMBLE: self.ensemble}
        groups = None if self.groups is None else dict(zip(self.ids, self.groups, strict=True))
        by_id = {name: dict(zip(self.ids, values.tolist(), strict=True)) for name, values in scores.items()}
        return compare_arms(SHOWN, by_id, groups=groups, binary=True, seed=seed)[0]


def lottery(
    strategy: str, k: int, labels: Sequence[str], records: Sequence[Mapping[str, Any]], seed: int = 0
) -> Lottery:
    """Return what the recorded scores say about the shown order.

    Raises:
        SettingError: if no sample has k demonstrations.
    """
    kept = [record for record in records if len(record["shown"]) == k]
    if not kept:
        raise SettingError(f"No sample was shown {k} demonstrations, so there is no lottery.", "Choose a lower --k.")
    orders = [tuple(order) for order in kept[0]["orders"]]
    scored = _arrays(kept, orders, labels)
    accuracies = scored.right.mean(0)
    swayed = (scored.chosen != scored.chosen[:, :1]).any(1).astype(float)
    most_shown = orders[int(np.bincount(scored.at_shown).argmax())]
    return Lottery(
        strategy=strategy,
        k=k,
        n=len(kept),
        left_out=len(records) - len(kept),
        rows=_rows(orders, accuracies, most_shown),
        shown_accuracy=float(scored.shown.mean()),
        percentile=scored.percentile(np.arange(len(kept))),
        percentile_interval=bootstrap_of(
            scored.percentile, len(kept), groups=scored.groups, seed=seed, draws=_DRAWS, bounds=(0.0, 100.0)
        ),
        lowest=float(accuracies.min()),
        mean=float(accuracies.mean()),
        highest=float(accuracies.max()),
        swayed=float(swayed.mean()),
        swayed_interval=interval_of(swayed, scored.groups),
        order_p_value=cochran_q(scored.right, scored.groups, seed),
        ensemble_accuracy=float(scored.ensemble.mean()),
        comparison=scored.comparison(seed),
    )


def _arrays(records: Sequence[Mapping[str, Any]], orders: Sequence[Order], labels: Sequence[str]) -> _Scored:
    scores = np.array([record["scores"] for record in records])
    gold = _gold(records, labels)
    chosen = scores.argmax(-1)
    groups = [record["group"] for record in records]
    return _Scored(
        ids=[record["id"] for record in records],
        groups=groups if any(groups) else None,
        right=np.take_along_axis(gold, chosen, 1),
        chosen=chosen,
        at_shown=np.array([orders.index(tuple(record["shown"])) for record in records]),
        ensemble=np.take_along_axis(gold, scores.mean(1).argmax(-1)[:, None], 1)[:, 0],
    )


def _gold(records: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> NDArray[np.float64]:
    """Return 1 where a label is right for a sample, (n, labels)."""
    return np.array([[float(label in record["gold"]) for label in labels] for record in records])


def _rows(orders: Sequence[Order], accuracies: NDArray[np.float64], shown: Order) -> tuple[OrderRow, ...]:
    rows = [OrderRow(order, float(one), order == shown) for order, one in zip(orders, accuracies, strict=True)]
    return tuple(sorted(rows, key=lambda row: (-row.accuracy, row.order)))


def _percentile(accuracies: NDArray[np.float64], shown: float) -> float:
    """Return the mid-rank percentile of `shown` among the orders' accuracies, 0…100."""
    worse = np.count_nonzero(accuracies < shown - 1e-12)
    equal = np.count_nonzero(np.abs(accuracies - shown) <= 1e-12)
    return 100.0 * (worse + equal / 2) / len(accuracies)


def cochran_q(right: NDArray[np.float64], groups: Sequence[str] | None = None, seed: int = 0) -> float:
    """Return the p-value of Cochran's Q for right and wrong (n samples, m orders); 1 if nothing differs.

    Where samples of one group resemble each other, the orders of whole groups are permuted instead.

    Source: Cochran 1950, The comparison of percentages in matched samples.
    """
    from scipy.stats import chi2

    m = right.shape[1]
    by_order, by_sample = right.sum(0), right.sum(1)
    spread = m * by_sample.sum() - (by_sample**2).sum()
    if spread == 0:
        return 1.0
    codes, count = group_codes(len(right), groups)
    if count < len(right):
        return _permuted_q(np.stack([right[codes == code].sum(0) for code in range(count)]), seed)
    q = (m - 1) * (m * (by_order**2).sum() - by_order.sum() ** 2) / spread
    return float(chi2.sf(q, m - 1))


def _permuted_q(sums: NDArray[np.float64], seed: int) -> float:
    """Return the share of permutations of each group's orders (groups, m) whose Q is as high as the one seen.

    Q grows with the squares of the orders' sums; all else in it stays as it is.
    """
    generator = np.random.default_rng(seed)
    seen = float((sums.sum(0) ** 2).sum()) - 1e-9
    higher = sum(float((generator.permuted(sums, axis=1).sum(0) ** 2).sum()) >= seen for _ in range(_DRAWS))
    return (higher + 1) / (_DRAWS + 1)


def verdict(found: Lottery) -> str:
    """Return in words how lucky the shown order is, and whether orders differ at all."""
    low, high = found.percentile_interval
    luck = (
        f"{found.strategy}: the shown order ({percent(found.shown_accuracy)}) is at percentile "
        f"{found.percentile:.0f} ({low:.0f} to {high:.0f}) of its {len(found.rows)} orders, which reach "
        f"{percent(found.lowest)} to {percent(found.highest)}, {percent(found.mean)} in the mean."
    )
    differ = (
        "and the orders differ measurably in accuracy"
        if found.order_p_value < ALPHA
        else f"but no order is measurably better than another with n = {found.n}"
    )
    sway = f"{percent(found.swayed, 0)} of the answers depend on the order, {differ}"
    gap = found.comparison
    ensemble = (
        f"The mean over all orders has {percent(found.ensemble_accuracy)}, {points(gap.difference)} points "
        f"({points(gap.interval.low)} to {points(gap.interval.high)}) against the shown order: {gap.verdict}."
    )
    return f"{luck} {sway} (Cochran's Q, {p_words(found.order_p_value)}). {ensemble}"


def plain(found: Lottery) -> dict[str, Any]:
    """Return the lottery as plain data."""
    return {**asdict(found), "verdict": verdict(found)}
