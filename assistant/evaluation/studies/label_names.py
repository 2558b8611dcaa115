"""Label-name doctor: did the model not understand the text, or only say the wrong name?

The same samples are asked with the labels under several namings. An error that a one-to-one
re-mapping of what the model says removes is a naming error; so is one that goes away under a
better naming, or once the model no longer leans to one label. What repairs an error is always
chosen on one half of the samples and judged on the other, so that it is not flattered by its own choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.evaluation.outcomes import Arm, Outcome
from assistant.evaluation.reports.plots import percent
from assistant.evaluation.reports.words import points
from assistant.evaluation.statistics.intervals import Interval
from assistant.evaluation.statistics.paired import Comparison, compare_arms, paired_bootstrap
from assistant.evaluation.studies.error_split import Numbers, Split, cross_fitted, halves_of, hits
from assistant.evaluation.studies.namings import Names, Naming
from assistant.evaluation.studies.study import Study, Variant, ask_variants, groups_of, interval_of


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
    leaning: Part
    """Error that goes away once the model no longer leans to some label whatever the text; 0 without label scores."""
    understanding: Part
    """What remains: what was said does not tell the gold labels apart."""
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
    halves = halves_of(gold, groups, seed)
    said = {naming.title: _said(outcomes[naming.title], labels) for naming in tried}
    best = [_best_on([said[one.title] for one in tried], gold, half) for half in halves]
    renamed = np.zeros(len(gold))
    for at, half in enumerate(halves):
        renamed[half] = hits(said[tried[best[1 - at]].title], gold)[half]
    splits = [
        cross_fitted(said[one.title], gold, _scores(outcomes[one.title], labels), halves, len(labels)) for one in tried
    ]
    diagnoses = [
        _diagnosis(naming, split, said[naming.title] < 0, renamed, groups)
        for naming, split in zip(tried, splits, strict=True)
    ]
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
    scores = {one.title: dict(zip(ids, hits(said[one.title], gold).tolist(), strict=True)) for one in tried}
    groups = groups_of(outcomes)
    by_id = None if groups is None else dict(zip(ids, groups, strict=True))
    return compare_arms(_reference(tried).title, scores, groups=by_id, binary=True, seed=seed)


def _reference(tried: Sequence[Naming]) -> Naming:
    """Return the names as asked in the wording that the other names have."""
    return next((naming for naming in tried if naming.kind == "unexplained"), tried[0])


def _diagnosis(
    naming: Naming, split: Split, unread: NDArray[np.bool_], renamed: NDArray[np.float64], groups: list[str] | None
) -> Diagnosis:
    def part(values: NDArray[np.float64]) -> Part:
        return Part(float(values.mean()), interval_of(values, groups))

    def gain(before: NDArray[np.float64], after: NDArray[np.float64]) -> Part:
        interval = paired_bootstrap(before.tolist(), after.tolist(), groups=groups)
        return Part(float((after - before).mean()), interval)

    unreadable = unread.astype(np.float64)
    return Diagnosis(
        naming=naming,
        n=len(split.right),
        accuracy=part(split.right),
        error=part(1 - split.right),
        unreadable=part(unreadable),
        mapping=gain(split.right, split.mapped),
        leaning=gain(split.mapped, split.evened),
        understanding=part(1 - split.evened - unreadable),
        assignments=split.assignments,
        renaming=gain(split.right, renamed),
    )


def _said(outcomes: Sequence[Outcome], labels: Names) -> Numbers:
    """Return the number of the label that each outcome gives, -1 if it could not be read."""
    numbers = {label: at for at, label in enumerate(labels)}
    return np.array([-1 if one.final_answer is None else numbers[one.final_answer] for one in outcomes])


def _scores(outcomes: Sequence[Outcome], labels: Names) -> NDArray[np.float64] | None:
    """Return the log-likelihoods (n, labels), or None if any sample has none."""
    rows = [one.label_scores for one in outcomes if one.label_scores is not None]
    return np.array([[row[label] for label in labels] for row in rows]) if len(rows) == len(outcomes) else None


def _best_on(said: Sequence[Numbers], gold: Numbers, half: Numbers) -> int:
    """Return the place of the naming that is right most often on some rows, the first of equals."""
    return max(range(len(said)), key=lambda at: (float(hits(said[at], gold)[half].sum()), -at))


def verdict(found: Consultation) -> str:
    """Return in words what the error under the names as they are asked consists of."""
    own = next(one for one in found.diagnoses if one.naming.kind == "own")
    parts = (
        f"{found.strategy}: with the names as asked {percent(own.error.share)} of the answers are wrong (n = {own.n}). "
        f"A re-mapping of the names repairs {percent(own.mapping.share)}, evening out a leaning to some label "
        f"{percent(own.leaning.share)}; {percent(own.unreadable.share)} could not be read, and in "
        f"{percent(own.understanding.share)} the text was not understood."
    )
    helps = [name for name, part in (("re-mapping the names", own.mapping), ("evening out the labels", own.leaning))
             if part.interval.low > 0]  # fmt: skip
    low, high = own.renaming.interval
    other = f"other names: {points(own.renaming.share)} points, {points(low)} to {points(high)}"
    helps += [f"asking under other names ({other})"] if low > 0 else []
    if helps:
        return f"{parts} What helps measurably: {', '.join(helps)}."
    return f"{parts} Nothing that was tried with the names helps measurably ({other})."


def plain(found: Consultation) -> dict[str, Any]:
    """Return the consultation as plain data."""
    return {**asdict(found), "verdict": verdict(found)}
