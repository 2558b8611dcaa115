"""Order lottery: how lucky the shown order of the demonstrations is among all their orders.

Every sample's demonstrations are put into all k! orders (k ≤ 4), and the labels are scored under
each. An order is a permutation of ranks (retrieved demonstrations) or of places in the task's list
(fixed ones), so that the same order means the same for all samples.

Source: Lu et al. 2021, Fantastically Ordered Prompts and Where to Find Them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.answering import Assistant, Request
from assistant.errors import SettingError
from assistant.evaluation.answers import message_of
from assistant.evaluation.intervals import Interval, bootstrap, bootstrap_of
from assistant.evaluation.outcomes import Arm, Sample
from assistant.evaluation.paired import Comparison, compare_arms
from assistant.evaluation.plots import percent
from assistant.evaluation.report_words import p_value as p_words
from assistant.evaluation.report_words import points
from assistant.evaluation.studies import Records, Study, in_blocks
from assistant.prompting.building import label_replies
from assistant.prompting.strategies import find_strategy
from assistant.records import RenderedPrompt

MOST_DEMONSTRATIONS = 4
"""5 demonstrations have 120 orders, a lottery that nobody waits for."""
_SAMPLES_AT_ONCE = 8
SHOWN, ENSEMBLE = "shown order", "mean over all orders"

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


def check_orders(study: Study, arm: Arm) -> None:
    """Refuse a strategy or a number of demonstrations whose orders cannot be told apart or are too many.

    Raises:
        SettingError: saying what to choose instead.
    """
    strategy, k = find_strategy(arm.strategy), study.retrieval.k
    if not study.task.labels:
        raise SettingError(
            f"The order lottery scores labels, and the task '{study.task.name}' has none.", "Choose a task with labels."
        )
    if strategy.selector == "none":
        raise SettingError(
            f"The strategy '{strategy.name}' shows no demonstrations, so there is no order.",
            "Choose static-few-shot or dynamic-few-shot.",
        )
    if strategy.reasoning == "shown" or strategy.template:
        raise SettingError(
            f"The labels of '{strategy.name}' cannot be scored in another order.",
            "Choose static-few-shot or dynamic-few-shot.",
        )
    if not 2 <= k <= MOST_DEMONSTRATIONS:
        raise SettingError(
            f"The order lottery tries all orders, so it needs 2 to {MOST_DEMONSTRATIONS} demonstrations, not {k}.",
            f"Say --k {MOST_DEMONSTRATIONS}, or fewer.",
        )


def score_orders(study: Study, arm: Arm) -> Records:
    """Return per sample the shown order and the label scores under every order, as plain data.

    Each record has `id`, `group`, `gold` (labels), `shown` (ranks), `orders` and `scores`: one list of
    log-likelihoods per order, in the order of the task's labels.
    """
    check_orders(study, arm)

    def score(samples: Sequence[Sample]) -> Records:
        return _scored(study, arm, samples)

    name = f"{arm.strategy}, all orders"
    return in_blocks(study, {name: score}, size=_SAMPLES_AT_ONCE)[name]


def _scored(study: Study, arm: Arm, samples: Sequence[Sample]) -> Records:
    """Return the records of one block; all prompts of the block are scored in one batch."""
    requests = [_request(study, arm, sample) for sample in samples]
    study.assistant.embed_ahead(requests)
    prompts: list[RenderedPrompt] = []
    records: Records = []
    for sample, request in zip(samples, requests, strict=True):
        shown, orders, rendered = _reordered(study.assistant, request)
        prompts += rendered
        records.append({"id": sample.id, "group": sample.group, "gold": list(sample.targets), "shown": shown})
        records[-1]["orders"] = orders
    replies = list(label_replies(study.task, find_strategy(arm.strategy)).values())
    scored = study.assistant.model.score_labels(prompts, [replies] * len(prompts), study.stop)
    if not all(scored):
        return []
    each = iter(scored)
    for record in records:
        record["scores"] = [list(next(each)) for _ in record["orders"]]
    return records


def _request(study: Study, arm: Arm, sample: Sample) -> Request:
    return Request(
        message=message_of(study.task, sample),
        strategy=arm.strategy,
        task=study.task.name,
        index=study.index,
        wording=study.wording,
        retrieval=study.retrieval,
        sampling=study.sampling,
        reading="labels",
        sample_id=sample.id,
        group=sample.group,
    )


def _reordered(assistant: Assistant, request: Request) -> tuple[list[int], list[list[int]], list[RenderedPrompt]]:
    """Return the shown order, all orders, and the prompt of each."""
    prepared = assistant.prepare(request)
    by_rank = {hit.rank: hit.demonstration for hit in prepared.selection.hits}
    ranks = {demonstration.id: rank for rank, demonstration in by_rank.items()}
    shown = [ranks[demonstration.id] for demonstration in prepared.shown]
    orders = [list(order) for order in permutations(sorted(by_rank))]
    rendered = [assistant.rebuild(request, prepared, [by_rank[rank] for rank in order]) for order in orders]
    return shown, orders, rendered


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
    scores = np.array([record["scores"] for record in kept])
    gold = _gold(kept, labels)
    right = np.take_along_axis(gold[:, None, :], scores.argmax(-1)[:, :, None], -1)[:, :, 0]
    at_shown = np.array([orders.index(tuple(record["shown"])) for record in kept])
    shown_right = right[np.arange(len(kept)), at_shown]
    ensemble_right = gold[np.arange(len(kept)), scores.mean(1).argmax(-1)]
    groups = [record["group"] for record in kept] if any(record["group"] for record in kept) else None
    swayed = (scores.argmax(-1) != scores.argmax(-1)[:, :1]).any(1).astype(float)

    def percentile(rows: NDArray[np.int64]) -> float:
        return _percentile(right[rows].mean(0), float(shown_right[rows].mean()))

    everything = np.arange(len(kept))
    accuracies = right.mean(0)
    most_shown = orders[int(np.bincount(at_shown).argmax())]
    ids = [record["id"] for record in kept]
    return Lottery(
        strategy=strategy,
        k=k,
        n=len(kept),
        left_out=len(records) - len(kept),
        rows=_rows(orders, accuracies, most_shown),
        shown_accuracy=float(shown_right.mean()),
        percentile=percentile(everything),
        percentile_interval=bootstrap_of(percentile, len(kept), groups=groups, seed=seed, draws=2000),
        lowest=float(accuracies.min()),
        mean=float(accuracies.mean()),
        highest=float(accuracies.max()),
        swayed=float(swayed.mean()),
        swayed_interval=bootstrap(swayed.tolist(), groups=groups, seed=seed),
        order_p_value=cochran_q(right),
        ensemble_accuracy=float(ensemble_right.mean()),
        comparison=compare_arms(
            SHOWN,
            {
                SHOWN: dict(zip(ids, shown_right.tolist(), strict=True)),
                ENSEMBLE: dict(zip(ids, ensemble_right.tolist(), strict=True)),
            },
            groups=None if groups is None else dict(zip(ids, groups, strict=True)),
            binary=True,
            seed=seed,
        )[0],
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


def cochran_q(right: NDArray[np.float64]) -> float:
    """Return the p-value of Cochran's Q for right and wrong (n samples, m orders); 1 if nothing differs.

    Source: Cochran 1950, The comparison of percentages in matched samples.
    """
    from scipy.stats import chi2

    m = right.shape[1]
    by_order, by_sample = right.sum(0), right.sum(1)
    spread = m * by_sample.sum() - (by_sample**2).sum()
    if spread == 0:
        return 1.0
    q = (m - 1) * (m * (by_order**2).sum() - by_order.sum() ** 2) / spread
    return float(chi2.sf(q, m - 1))


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
        if found.order_p_value < 0.05
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
