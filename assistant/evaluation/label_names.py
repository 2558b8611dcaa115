"""Label-name doctor: did the model not understand the text, or only say the wrong name?

The same samples are asked with the labels under several namings. An error that a one-to-one
re-mapping of what the model says removes is a naming error; so is one that goes away under a
better naming. Mapping and naming are always chosen on one half of the samples and judged on the
other, so that the split is not flattered by its own choice.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.evaluation.intervals import Interval, bootstrap
from assistant.evaluation.namings import Names, Naming
from assistant.evaluation.outcomes import Arm, Outcome
from assistant.evaluation.paired import Comparison, compare_arms, paired_bootstrap
from assistant.evaluation.plots import percent
from assistant.evaluation.report_words import points
from assistant.evaluation.studies import Study, Variant, ask_variants, groups_of

Numbers = NDArray[np.int64]
"""Of labels, one per sample; -1: the reply could not be read."""


@dataclass(frozen=True)
class Part:
    """A share of all samples with its interval; the parts of an error add up to it."""

    share: float
    interval: Interval


@dataclass(frozen=True)
class Diagnosis:
    """The error under one naming, split into its causes."""

    naming: Naming
    n: int
    accuracy: Part
    error: Part
    unreadable: Part
    """Replies that name no label."""
    mapping: Part
    """Error that a one-to-one re-mapping, fitted on the other half, removes; below 0 if it does harm."""
    understanding: Part
    """What remains: the names that were said do not tell the gold labels apart."""
    assignments: tuple[tuple[int, ...], tuple[int, ...]]
    """Per half: the label that was meant by each label that was said, fitted on that half."""
    renaming: Part
    """Error that goes away under the naming that was best on the other half; 0 for the best itself."""


@dataclass(frozen=True)
class Consultation:
    """What the doctor found for one strategy: a diagnosis per naming, best accuracy first."""

    strategy: str
    reading: str
    diagnoses: tuple[Diagnosis, ...]
    comparisons: tuple[Comparison, ...]
    """Every other naming against the names as asked, in the same wording, paired by sample, Holm over all."""


def consult(study: Study, arm: Arm, tried: Sequence[Naming]) -> dict[str, list[Outcome]]:
    """Return the outcomes under every naming by its title, answered for the same samples."""
    variants = [
        Variant(
            name=f"{arm.name}, {naming.title}",
            arm=arm,
            retrieval=study.retrieval,
            seed=study.sampling.seed,
            label_names=() if naming.kind == "own" else naming.names,
        )
        for naming in tried
    ]
    answered = ask_variants(study, variants)
    return {naming.title: answered[variant.name] for naming, variant in zip(tried, variants, strict=True)}


def diagnose(
    arm: Arm, labels: Names, tried: Sequence[Naming], outcomes: Mapping[str, Sequence[Outcome]], seed: int = 0
) -> Consultation:
    """Return the split of the error under every naming; `outcomes` by the naming's title, for the same samples.

    Source: the assignment is Kuhn's (1955), cross-fitted over two halves that `seed` draws within gold labels.
    """
    first = outcomes[tried[0].title]
    gold = np.array([labels.index(outcome.targets[0]) for outcome in first])
    groups = groups_of(first)
    halves = _halves(gold, groups, seed)
    said = {naming.title: _said(outcomes[naming.title], labels) for naming in tried}
    best = [_best_on([said[one.title] for one in tried], gold, half) for half in halves]
    renamed = np.zeros(len(gold))
    for at, half in enumerate(halves):
        renamed[half] = _hits(said[tried[best[1 - at]].title], gold)[half]
    diagnoses = [_diagnosis(naming, said[naming.title], gold, halves, renamed, groups, seed) for naming in tried]
    return Consultation(
        strategy=arm.strategy,
        reading=arm.reading,
        diagnoses=tuple(sorted(diagnoses, key=lambda one: -one.accuracy.share)),
        comparisons=_compared(tried, said, gold, first, seed),
    )


def _compared(
    tried: Sequence[Naming], said: Mapping[str, Numbers], gold: Numbers,
    outcomes: Sequence[Outcome], seed: int,
) -> tuple[Comparison, ...]:  # fmt: skip
    if len(tried) < 2:
        return ()
    ids = [outcome.sample for outcome in outcomes]
    scores = {one.title: dict(zip(ids, _hits(said[one.title], gold).tolist(), strict=True)) for one in tried}
    groups = groups_of(outcomes)
    by_id = None if groups is None else dict(zip(ids, groups, strict=True))
    return compare_arms(_reference(tried).title, scores, groups=by_id, binary=True, seed=seed)


def _reference(tried: Sequence[Naming]) -> Naming:
    """Return the names as asked in the wording that the other names have."""
    return next((naming for naming in tried if naming.kind == "unexplained"), tried[0])


def _diagnosis(
    naming: Naming,
    said: Numbers,
    gold: Numbers,
    halves: tuple[Numbers, Numbers],
    renamed: NDArray[np.float64],
    groups: list[str] | None,
    seed: int,
) -> Diagnosis:
    right, unread = _hits(said, gold), (said < 0).astype(float)
    labels = int(gold.max(initial=0)) + 1
    labels = max(labels, len(naming.names))
    fitted = (best_assignment(said, gold, halves[0], labels), best_assignment(said, gold, halves[1], labels))
    mapped = np.zeros(len(gold))
    for at, half in enumerate(halves):
        meant = np.array([*fitted[1 - at], -1])
        mapped[half] = (meant[said[half]] == gold[half]).astype(float)

    def part(values: NDArray[np.float64]) -> Part:
        return Part(float(values.mean()), bootstrap(values.tolist(), groups=groups, seed=seed))

    def gain(values: NDArray[np.float64]) -> Part:
        interval = paired_bootstrap(right.tolist(), values.tolist(), groups=groups, seed=seed)
        return Part(float((values - right).mean()), interval)

    return Diagnosis(
        naming=naming,
        n=len(gold),
        accuracy=part(right),
        error=part(1 - right),
        unreadable=part(unread),
        mapping=gain(mapped),
        understanding=part(1 - mapped - unread),
        assignments=fitted,
        renaming=gain(renamed),
    )


def best_assignment(said: Numbers, gold: Numbers, rows: Numbers, labels: int) -> tuple[int, ...]:
    """Return the label meant by each label said: the one-to-one mapping that is right most often on `rows`.

    Of equally good ones the mapping that changes least is taken.
    """
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((labels, labels))
    for one, other in zip(said[rows], gold[rows], strict=True):
        if one >= 0:
            counts[one, other] += 1
    # Less than one sample in all, so that it decides between equals only.
    unchanged = np.eye(labels) / (labels + 1)
    _, meant = linear_sum_assignment(counts + unchanged, maximize=True)
    return tuple(int(one) for one in meant)


def _said(outcomes: Sequence[Outcome], labels: Names) -> Numbers:
    """Return the number of the label that each outcome gives, -1 if it could not be read."""
    numbers = {label: at for at, label in enumerate(labels)}
    return np.array([-1 if one.final_answer is None else numbers[one.final_answer] for one in outcomes])


def _hits(said: Numbers, gold: Numbers) -> NDArray[np.float64]:
    right: NDArray[np.float64] = (said == gold).astype(np.float64)
    return right


def _halves(gold: Numbers, groups: list[str] | None, seed: int) -> tuple[Numbers, Numbers]:
    """Return the rows of two halves, stratified by label; a group is never cut."""
    units: dict[str | int, list[int]] = {}
    for row in range(len(gold)):
        units.setdefault(groups[row] or row if groups is not None else row, []).append(row)
    order = list(units.values())
    random.Random(f"halves {seed}").shuffle(order)
    # A group is dealt out by the label of its first row.
    order.sort(key=lambda rows: int(gold[rows[0]]))
    first, second = (sorted(row for rows in order[at::2] for row in rows) for at in (0, 1))
    return np.array(first, dtype=np.int64), np.array(second, dtype=np.int64)


def _best_on(said: Sequence[Numbers], gold: Numbers, half: Numbers) -> int:
    return max(range(len(said)), key=lambda at: (float(_hits(said[at], gold)[half].mean()), -at))


def verdict(found: Consultation) -> str:
    """Return in words what the error under the names as they are asked consists of."""
    own = next(one for one in found.diagnoses if one.naming.kind == "own")
    parts = (
        f"{found.strategy}: with the names as asked {percent(own.error.share)} of the answers are wrong (n = {own.n}): "
        f"{percent(own.understanding.share)} did not understand the text, {percent(own.mapping.share)} said the wrong "
        f"name consistently, {percent(own.unreadable.share)} could not be read."
    )
    low, high = own.renaming.interval
    other = f"{points(own.renaming.share)} points ({points(low)} to {points(high)})"
    if own.mapping.interval.low > 0:
        return f"{parts} A re-mapping of the names helps measurably."
    if low > 0:
        return f"{parts} No re-mapping helps, but other names do: {other}."
    return f"{parts} Neither a re-mapping nor other names, {other}, help measurably."


def plain(found: Consultation) -> dict[str, Any]:
    """Return the consultation as plain data."""
    return {**asdict(found), "verdict": verdict(found)}
