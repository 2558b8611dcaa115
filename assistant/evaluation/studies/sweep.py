"""k-sweep: accuracy over the number of demonstrations, for every way of choosing them.

Random demonstrations are drawn anew with every seed; each retrieved choice is compared with them,
paired by sample, at every k.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.errors import SettingError
from assistant.evaluation.outcomes import Arm, Outcome, Sample
from assistant.evaluation.reports.plots import percent
from assistant.evaluation.running.baselines import baseline_outcomes, baselines_for
from assistant.evaluation.statistics.intervals import Interval, two_way_bootstrap, wilson
from assistant.evaluation.statistics.p_values import holm, permutation_test
from assistant.evaluation.statistics.paired import interval_of_differences
from assistant.evaluation.studies.study import Study, Variant, ask_variants, groups_of
from assistant.prompting.strategies import find_strategy
from assistant.settings import RetrievalSettings

SELECTED = ("random", "bm25", "nearest", "diverse", "balanced")
NUMBERS = (0, 1, 2, 4, 8)
SEEDS = (0, 1, 2, 3, 4)
RANDOM = "random"
MAJORITY, VOTE = "majority", "knn-vote"
NO_DEMONSTRATIONS = "no demonstrations"
COLUMNS = (
    *("k", "selector", "n", "seeds", "score", "low", "high"),
    *("lowest_seed", "highest_seed", "prompt_tokens", "seconds"),
)


@dataclass(frozen=True)
class Point:
    """One selector at one k; tokens and seconds are means per answer."""

    k: int
    selector: str
    n: int
    seeds: int
    score: float
    """Mean of the task's metric over samples and seeds: the accuracy, where answers are right or wrong."""
    interval: Interval
    lowest_seed: float
    highest_seed: float
    prompt_tokens: float
    seconds: float


@dataclass(frozen=True)
class Contrast:
    """A selector against random demonstrations at one k, paired by sample."""

    k: int
    selector: str
    n: int
    difference: float
    interval: Interval
    """Of the difference; samples and (of random) seeds are both resampled."""
    p_value: float
    p_holm: float
    """Corrected for all contrasts of the sweep."""
    verdict: str


@dataclass(frozen=True)
class Sweep:
    """All points of a sweep, the lines without a model, and the contrasts with random."""

    strategy: str
    reading: str
    points: tuple[Point, ...]
    contrasts: tuple[Contrast, ...]


def sweep(
    study: Study,
    arm: Arm,
    numbers: Sequence[int] = NUMBERS,
    selectors: Sequence[str] = SELECTED,
    seeds: Sequence[int] = SEEDS,
) -> dict[tuple[int, str], list[list[Outcome]]]:
    """Return outcomes by (k, selector): one list per seed, all for the same samples.

    Raises:
        SettingError: if the strategy does not take its demonstrations from a search, or random has one seed only.
    """
    if find_strategy(arm.strategy).selector != "nearest":
        raise SettingError(
            f"The strategy '{arm.strategy}' does not search, so there is nothing to sweep.",
            "Choose dynamic-few-shot.",
        )
    if RANDOM in selectors and len(set(seeds)) < 2:
        raise SettingError("Random demonstrations need at least 2 seeds, better 5.", "Say --seeds 5.")
    plan = _plan(study.retrieval, arm, sorted(set(numbers)), selectors, tuple(dict.fromkeys(seeds)))
    answered = ask_variants(study, [variant for many in plan.values() for variant in many])
    found = {key: [answered[variant.name] for variant in many] for key, many in plan.items()}
    seen = {outcome.sample for outcome in next(iter(answered.values()))}
    samples = [sample for sample in study.samples if sample.id in seen]
    return found | _baselines(study, samples, sorted(set(numbers)))


def _plan(
    retrieval: RetrievalSettings, arm: Arm, numbers: Sequence[int], selectors: Sequence[str], seeds: Sequence[int]
) -> dict[tuple[int, str], list[Variant]]:
    """Return the variants of every point; without demonstrations all selectors are one."""
    found: dict[tuple[int, str], list[Variant]] = {}
    for k in numbers:
        for selector in selectors if k else (NO_DEMONSTRATIONS,):
            settings = replace(retrieval, k=k, selector=selector if k else None)
            found[k, selector] = [
                Variant(f"{arm.name}, k {k}, {selector}, seed {seed}", arm, settings, seed)
                for seed in (seeds if selector == RANDOM else seeds[:1])
            ]
    return found


def _baselines(
    study: Study, samples: Sequence[Sample], numbers: Sequence[int]
) -> dict[tuple[int, str], list[list[Outcome]]]:
    """Return what needs no model: the index's most frequent label, and the vote of the k nearest rows."""
    known = baselines_for(study.task)
    index = study.open_index()
    found: dict[tuple[int, str], list[list[Outcome]]] = {}
    if MAJORITY in known and samples:
        majority = baseline_outcomes(MAJORITY, samples, index, study.task, guard=study.retrieval.guard)
        found |= {(k, MAJORITY): [majority] for k in numbers}
    for k in numbers:
        if VOTE in known and samples and k:
            found[k, VOTE] = [baseline_outcomes(VOTE, samples, index, study.task, k, study.retrieval.guard)]
    return found


def summarise(arm: Arm, found: Mapping[tuple[int, str], Sequence[Sequence[Outcome]]], seed: int = 0) -> Sweep:
    """Return points with intervals and, at every k, each selector's contrast with random demonstrations.

    A selector is better or worse only if the interval excludes 0 and the Holm-corrected p-value is below
    0.05. The test is of the samples (signs flipped); that other random draws may come out otherwise is in
    the interval.

    Source: Miller 2024 (paired differences); Holm 1979.
    """
    ordered = sorted(found.items(), key=lambda one: one[0][0])
    points = tuple(_point(k, selector, by_seed, seed) for (k, selector), by_seed in ordered)
    raw = []
    for (k, selector), by_seed in ordered:
        if (k, RANDOM) in found and selector != RANDOM and selector not in (MAJORITY, VOTE):
            raw.append((k, selector, *_contrast(found[k, RANDOM], by_seed, seed)))
    corrected = holm([p for *_, p in raw])
    contrasts = [
        Contrast(k, selector, n, difference, interval, p, p_holm, _words(selector, difference, interval, p_holm, n))
        for (k, selector, n, difference, interval, p), p_holm in zip(raw, corrected, strict=True)
    ]
    return Sweep(arm.strategy, arm.reading, points, tuple(contrasts))


def _point(k: int, selector: str, by_seed: Sequence[Sequence[Outcome]], seed: int) -> Point:
    scores = _scores(by_seed)
    groups = groups_of(by_seed[0])
    by_seed_means = scores.mean(axis=1)
    answers = [outcome for outcomes in by_seed for outcome in outcomes]
    return Point(
        k=k,
        selector=selector,
        n=scores.shape[1],
        seeds=len(by_seed),
        score=float(scores.mean()),
        interval=_interval(scores, groups, seed),
        lowest_seed=float(by_seed_means.min()),
        highest_seed=float(by_seed_means.max()),
        prompt_tokens=sum(one.prompt_tokens for one in answers) / len(answers),
        seconds=sum(one.seconds for one in answers) / len(answers),
    )


def _interval(scores: NDArray[np.float64], groups: Sequence[str] | None, seed: int) -> Interval:
    """Return the same interval as a leaderboard's: Wilson's of one seed of right and wrong, else the bootstrap's."""
    if len(scores) == 1 and groups is None and bool(np.isin(scores, (0.0, 1.0)).all()):
        return wilson(float(scores.sum()), scores.size)
    return two_way_bootstrap(scores, groups, seed=seed)


def _contrast(
    chance: Sequence[Sequence[Outcome]], chosen: Sequence[Sequence[Outcome]], seed: int
) -> tuple[int, float, Interval, float]:
    """Return n, mean difference to random, its interval over samples and seeds, and the p-value."""
    random_scores, scores = _scores(chance), _scores(chosen).mean(axis=0)
    groups = groups_of(chosen[0])
    differences = scores - random_scores.mean(axis=0)
    interval = interval_of_differences(scores - random_scores, groups=groups, seed=seed)
    p_value = permutation_test(differences, groups=groups, seed=seed)
    return scores.size, float(differences.mean()), interval, p_value


def _scores(by_seed: Sequence[Sequence[Outcome]]) -> NDArray[np.float64]:
    """Return the scores as (seeds, samples)."""
    return np.array([[outcome.score for outcome in outcomes] for outcomes in by_seed], dtype=np.float64)


def _words(selector: str, difference: float, interval: Interval, p_holm: float, n: int) -> str:
    if p_holm < 0.05 and interval.excludes(0.0):
        return f"{selector} is {'better' if difference > 0 else 'worse'} than random"
    return f"{selector} is not distinguishable from random with n = {n}"


def table(found: Sweep) -> list[tuple[Any, ...]]:
    """Return one row per k and selector, in the order of `COLUMNS`."""
    return [
        (
            *(point.k, point.selector, point.n, point.seeds, point.score, *point.interval),
            *(point.lowest_seed, point.highest_seed, point.prompt_tokens, point.seconds),
        )
        for point in found.points
    ]


def lines(found: Sweep) -> dict[str, list[tuple[int, float, float, float]]]:
    """Return per selector its (k, score, low, high), for a plot; no demonstrations begin every line."""
    start = [(one.k, one.score, *one.interval) for one in found.points if one.selector == NO_DEMONSTRATIONS]
    drawn: dict[str, list[tuple[int, float, float, float]]] = {}
    for point in found.points:
        if point.selector != NO_DEMONSTRATIONS:
            begin = [] if point.selector in (MAJORITY, VOTE) else start
            drawn.setdefault(point.selector, list(begin)).append((point.k, point.score, *point.interval))
    return drawn


def verdicts(found: Sweep) -> list[str]:
    """Return, in words, at which k any choice differs measurably from random demonstrations."""
    said: dict[str, list[int]] = {}
    for k in sorted({contrast.k for contrast in found.contrasts}):
        at_k = [contrast for contrast in found.contrasts if contrast.k == k]
        better = [one.selector for one in at_k if one.verdict.endswith("better than random")]
        worse = [one.selector for one in at_k if one.verdict.endswith("worse than random")]
        parts = [f"{', '.join(names)} {word}" for names, word in ((better, "better"), (worse, "worse")) if names]
        judged = f"{' and '.join(parts)} than random" if parts else "no selector is distinguishable from random"
        said.setdefault(judged, []).append(k)
    made = len(found.contrasts)
    how = f"(n = {found.contrasts[0].n}, {made} comparisons, corrected after Holm)" if made else ""
    told = [f"k = {', '.join(map(str, numbers))}: {judged} {how}." for judged, numbers in said.items()]
    return [*told, *_beside_the_vote(found.points)]


def _beside_the_vote(points: Sequence[Point]) -> list[str]:
    """Return how far the vote of the nearest rows gets without a language model, if it was counted."""
    votes = [point for point in points if point.selector == VOTE]
    asked = [point for point in points if point.selector not in (VOTE, MAJORITY)]
    if not votes or not asked:
        return []
    best, highest = (max(many, key=lambda point: point.score) for many in (votes, asked))
    low, high = (f"({100 * one.interval.low:.1f} to {100 * one.interval.high:.1f})" for one in (best, highest))
    return [
        f"Without a language model the vote of the nearest rows reaches {percent(best.score)} {low} at "
        f"k = {best.k}; with it, at best {percent(highest.score)} {high}: {highest.selector} at k = {highest.k}."
    ]


def plain(found: Sweep) -> dict[str, Any]:
    """Return the sweep as plain data."""
    return {**asdict(found), "verdicts": verdicts(found)}
