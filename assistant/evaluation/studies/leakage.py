"""Leak X-ray: how much of an accuracy is owed to copies of the samples among the demonstrations.

The same samples are answered with the leak guard off, and with it on at several similarity
ceilings. What disappears when the copies do was not skill.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from assistant.errors import SettingError
from assistant.evaluation.metrics.text import RIGHT_OR_WRONG
from assistant.evaluation.outcomes import Arm, Outcome, Sample
from assistant.evaluation.reports.plots import percent
from assistant.evaluation.reports.words import p_value as p_words
from assistant.evaluation.reports.words import points
from assistant.evaluation.running.baselines import baseline_outcomes
from assistant.evaluation.statistics.intervals import Interval
from assistant.evaluation.statistics.p_values import holm
from assistant.evaluation.statistics.paired import compare_arms
from assistant.evaluation.statistics.power import ALPHA
from assistant.evaluation.studies.study import Study, Variant, ask_variants, groups_of, interval_of
from assistant.prompting.strategies import find_strategy
from assistant.records import Demonstration
from assistant.settings import GuardSettings

CEILINGS = (1.0, 0.95, 0.90, 0.85)
"""Similarities from which a row is kept out; 1.0 stands for no guard at all."""
BANDS = (-1.0, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0)
"""Where the bands of nearest similarity begin and end."""
REASONS = {
    "same id": "the same row as the question",
    "same group": "the same group as the question",
    "same text": "the same text as the question",
    "near letters": "a near copy of the question: ",
    "half of a pair": "",
    "cosine": "a near copy of the question: cosine ",
}
VOTE = "knn-vote"


@dataclass(frozen=True)
class Band:
    """Samples whose nearest row is about equally near; similarity from `low` (included) to `high`."""

    low: float
    high: float
    n: int
    accuracy: float
    interval: Interval


@dataclass(frozen=True)
class Ceiling:
    """The accuracy under one ceiling, and why how many rows were kept out of how many samples' sight."""

    tau: float
    n: int
    accuracy: float
    interval: Interval
    reasons: Mapping[str, int]
    samples_touched: int
    """Samples for which at least one row was kept out as a copy."""


@dataclass(frozen=True)
class Share:
    """What is owed to near-copies: accuracy without any guard minus accuracy with it, paired by sample."""

    unguarded: float
    adjusted: float
    owed: float
    interval: Interval
    lost: int
    """Samples that are right only while copies may be shown."""
    gained: int
    """Samples that are right only while they may not."""
    p_value: float
    p_holm: float
    """Corrected for the arms that were examined together."""
    tau: float


@dataclass(frozen=True)
class NearCopy:
    """A row of the pool that the guard takes for a copy of a sample, both with their labels."""

    sample: str
    row: str
    reason: str
    similarity: float | None
    sample_text: str
    row_text: str
    sample_label: str
    row_label: str


@dataclass(frozen=True)
class Xray:
    """Everything found about one arm."""

    arm: str
    bands: tuple[Band, ...]
    ceilings: tuple[Ceiling, ...]
    share: Share | None


def guard_at(tau: float, settings: GuardSettings | None = None) -> GuardSettings:
    """Return the guard with this ceiling; from 1.0 on it is off, even for the sample itself."""
    settings = settings or GuardSettings()
    return replace(settings, enabled=False) if tau >= 1.0 else replace(settings, enabled=True, cosine=tau)


def xray(study: Study, arm: Arm, ceilings: Sequence[float] = CEILINGS) -> dict[str, dict[float, list[Outcome]]]:
    """Return the outcomes of the arm and of the vote without a model, by arm and ceiling.

    Raises:
        SettingError: if the strategy does not search an index, so that nothing can leak through one, or the
            task has no right and wrong.
    """
    if not find_strategy(arm.strategy).needs_index:
        raise SettingError(
            f"The strategy '{arm.strategy}' shows nothing from an index, so no copy can leak through it.",
            "Choose a strategy that retrieves, such as dynamic-few-shot.",
        )
    if study.task.metric not in RIGHT_OR_WRONG:
        raise SettingError(
            f"The task '{study.task.name}' has no right and wrong answers, so there is no accuracy to explain.",
            "Choose a task with labels, numbers or exact answers.",
        )
    taus = sorted({*(min(tau, 1.0) for tau in ceilings), 1.0, study.retrieval.guard.cosine}, reverse=True)
    variants = [
        Variant(f"{arm.name}, ceiling {tau:g}", arm, replace(study.retrieval, guard=guard_at(tau)), study.sampling.seed)
        for tau in taus
    ]
    answered = ask_variants(study, variants)
    found = {arm.name: {tau: answered[one.name] for tau, one in zip(taus, variants, strict=True)}}
    seen = {outcome.sample for outcome in answered[variants[0].name]}
    return {**found, VOTE: _votes(study, [one for one in study.samples if one.id in seen], taus)}


def _votes(study: Study, samples: Sequence[Sample], taus: Sequence[float]) -> dict[float, list[Outcome]]:
    index = study.open_index()
    return {tau: baseline_outcomes(VOTE, samples, index, study.task, study.retrieval.k, guard_at(tau)) for tau in taus}


def examine(name: str, by_ceiling: Mapping[float, Sequence[Outcome]], tau: float) -> Xray:
    """Return bands, curve and share of one arm; `tau` is the ceiling that counts as leak-adjusted."""
    curve = tuple(_ceiling(one, by_ceiling[one]) for one in sorted(by_ceiling, reverse=True))
    unguarded, adjusted = by_ceiling.get(1.0, ()), by_ceiling.get(tau, ())
    share = owed_to_copies(unguarded, adjusted, tau) if unguarded and adjusted and tau < 1.0 else None
    return Xray(name, similarity_bands(unguarded), curve, share)


def similarity_bands(outcomes: Sequence[Outcome], edges: Sequence[float] = BANDS) -> tuple[Band, ...]:
    """Return accuracy by the similarity of the nearest row, least first; empty bands are left out."""
    found = []
    for low, high in pairwise(edges):
        last = high == edges[-1]
        inside = [
            outcome
            for outcome in outcomes
            if outcome.nearest_similarity is not None
            and (low <= outcome.nearest_similarity < high or (last and outcome.nearest_similarity >= high))
        ]
        if inside:
            found.append(Band(low, high, len(inside), _accuracy(inside), _interval(inside)))
    return tuple(found)


def _ceiling(tau: float, outcomes: Sequence[Outcome]) -> Ceiling:
    reasons = Counter(kind for outcome in outcomes for _, reason, _ in outcome.excluded if (kind := kind_of(reason)))
    touched = sum(any(kind_of(reason) for _, reason, _ in outcome.excluded) for outcome in outcomes)
    return Ceiling(
        tau,
        len(outcomes),
        _accuracy(outcomes),
        _interval(outcomes),
        {kind: reasons[kind] for kind in REASONS if reasons[kind]},
        touched,
    )


def owed_to_copies(unguarded: Sequence[Outcome], adjusted: Sequence[Outcome], tau: float) -> Share:
    """Return the accuracy owed to near-copies, compared sample by sample as two arms of a leaderboard are.

    Samples of one group are taken together, in the interval and in the test.
    """
    scores = {
        name: {one.sample: float(bool(one.correct)) for one in outcomes}
        for name, outcomes in (("guarded", adjusted), ("free", unguarded))
    }
    groups = {one.sample: one.group for one in adjusted}
    (found,) = compare_arms("guarded", scores, groups=groups, binary=True)
    return Share(
        unguarded=_accuracy(unguarded),
        adjusted=_accuracy(adjusted),
        owed=found.difference,
        interval=found.interval,
        lost=found.wins,
        gained=found.losses,
        p_value=found.p_value,
        p_holm=found.p_holm,
        tau=tau,
    )


def corrected(found: Sequence[Xray]) -> list[Xray]:
    """Return the X-rays with the p-values of their shares corrected for one another.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    p_values = iter(holm([one.share.p_value for one in found if one.share]))
    return [replace(one, share=replace(one.share, p_holm=next(p_values))) if one.share else one for one in found]


def kind_of(reason: str) -> str:
    """Return the short name of a reason of the leak guard, or "" if something else kept the row out."""
    if reason.startswith(("the same text as the question's", "a near copy of the question's")):
        return "half of a pair"
    kinds = [kind for kind, beginning in REASONS.items() if beginning and reason.startswith(beginning)]
    return max(kinds, key=lambda kind: len(REASONS[kind]), default="")


def near_copies(
    samples: Sequence[Sample], outcomes: Sequence[Outcome], find: Callable[[str], Demonstration | None]
) -> tuple[NearCopy, ...]:
    """Return every row that was kept out as a copy, nearest first; `find` gives the pool's row of an id."""
    by_id = {sample.id: sample for sample in samples}
    found = []
    for outcome in outcomes:
        sample = by_id[outcome.sample]
        for identity, reason, similarity in outcome.excluded:
            row = find(identity) if kind_of(reason) else None
            if row is not None:
                text, label = "\n".join(sample.inputs.values()), ", ".join(sample.targets)
                found.append(NearCopy(sample.id, identity, reason, similarity, text, row.text(), label, row.output))
    return tuple(sorted(found, key=lambda one: (-(one.similarity or 0.0), one.sample, one.row)))


def verdict(found: Xray) -> str:
    """Return in words what the accuracy owes to near-copies."""
    share = found.share
    if share is None:
        return f"{found.arm}: not enough was answered to say what is owed to near-copies."
    low, high = share.interval
    numbers = (
        f"{found.arm}: {percent(share.unguarded)} without a guard, {percent(share.adjusted)} with it (ceiling "
        f"{share.tau:g}), so {points(share.owed)} points ({points(low)} to {points(high)}; "
        f"{p_words(share.p_holm)} after Holm)"
    )
    if low > 0 and share.p_holm < ALPHA:
        return f"{numbers} are owed to near-copies."
    return f"{numbers}; no share owed to near-copies can be measured with n = {found.ceilings[0].n}."


def plain(found: Xray) -> dict[str, Any]:
    """Return the X-ray as plain data."""
    return {**asdict(found), "verdict": verdict(found)}


def _right(outcomes: Sequence[Outcome]) -> list[float]:
    return [float(bool(outcome.correct)) for outcome in outcomes]


def _accuracy(outcomes: Sequence[Outcome]) -> float:
    return sum(_right(outcomes)) / len(outcomes) if outcomes else float("nan")


def _interval(outcomes: Sequence[Outcome]) -> Interval:
    return interval_of(np.array(_right(outcomes)), groups_of(outcomes))
