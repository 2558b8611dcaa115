"""From outcomes to the leaderboard: one row of figures per strategy, reading and calibration.

Several seeds: a sample counts once, with its mean over the seeds; macro F1, BLEU and correlations are
means of the seeds' figures; counts, confusion, ROC, Brier and calibration are taken over all answers.
Intervals resample samples (or groups) and seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from assistant.evaluation.metrics import classification
from assistant.evaluation.metrics.arms import arms_of, excluded, longer_than_a_label, problems
from assistant.evaluation.metrics.text import RIGHT_OR_WRONG, ROUGE, bleu, exact_match, grade, number_match, rouge
from assistant.evaluation.metrics.text import token_f1 as token_f1_of
from assistant.evaluation.outcomes import Arm, Outcome
from assistant.evaluation.statistics.intervals import DRAWS, Numbers, bootstrap_counts, two_way_bootstrap, wilson
from assistant.evaluation.statistics.paired import compare_arms, seed_table
from assistant.prompting.tasks import Task

# Figures that a row has only if its task or reading allows them.
_OPTIONAL = (
    *("macro_f1", "macro_f1_interval", "per_class", "confusion", "roc_auc", "roc_curve", "brier"),
    *("calibration_curve", "expected_calibration_error", "exact_match", "token_f1", *ROUGE, "bleu", "bleu_signature"),
    *("number_match", "pearson", "spearman"),
)


def summarise(
    outcomes: Sequence[Outcome],
    task: Task,
    *,
    calibrations: Sequence[str] = ("none",),
    seed: int = 0,
    draws: int = DRAWS,
) -> list[dict[str, Any]]:
    """Return the rows of the leaderboard, in the order in which the arms first appear.

    Each arm that scored labels has one row per calibration. Intervals hold 95 %: Wilson's for the
    accuracy of one seed, else a bootstrap over samples (or over groups where samples have one) and seeds.
    """
    return [_row(arm, of_arm, task, seed=seed, draws=draws) for arm, of_arm in arms_of(outcomes, calibrations).items()]


def pairs_of(
    outcomes: Sequence[Outcome],
    task: Task,
    baseline: str,
    *,
    calibrations: Sequence[str] = ("none",),
    seed: int = 0,
    draws: int = DRAWS,
) -> list[dict[str, Any]]:
    """Return every arm compared with the baseline (an arm's name), paired by sample, as plain data."""
    scores = {arm.name: _seed_scores(of_arm, task) for arm, of_arm in arms_of(outcomes, calibrations).items()}
    if baseline not in scores:
        return []
    compared = compare_arms(
        baseline,
        scores,
        groups={one.sample: one.group for one in outcomes},
        binary=task.metric in RIGHT_OR_WRONG,
        seed=seed,
        draws=draws,
    )
    return [one.to_json() for one in compared]


def sample_means(outcomes: Sequence[Outcome], task: Task) -> dict[str, float]:
    """Return sample id → its mean over the seeds: the share answered right, or else the mean score."""
    by_sample = _seed_scores(outcomes, task)
    return {sample: float(np.mean(list(values.values()))) for sample, values in by_sample.items()}


def _seed_scores(outcomes: Sequence[Outcome], task: Task) -> dict[str, dict[int, float]]:
    """Return sample id → seed → right or wrong, or else the score."""
    found: dict[str, dict[int, float]] = {}
    for one in outcomes:
        found.setdefault(one.sample, {})[one.seed] = _value(one, task)
    return found


def _value(outcome: Outcome, task: Task) -> float:
    return float(bool(outcome.correct)) if task.metric in RIGHT_OR_WRONG else outcome.score


def _row(arm: Arm, outcomes: Sequence[Outcome], task: Task, *, seed: int, draws: int) -> dict[str, Any]:
    sample_groups = {one.sample: one.group for one in outcomes}
    groups = list(sample_groups.values()) if any(one.group for one in outcomes) else None
    seeds = sorted({one.seed for one in outcomes})
    row: dict[str, Any] = {
        "name": arm.name,
        "strategy": arm.strategy,
        "reading": arm.reading,
        "calibration": arm.calibration,
        "kind": "baseline" if arm.is_baseline else "strategy",
        "n": len(sample_groups),
        "answers": len(outcomes),
        "seeds": seeds,
    }
    row |= _scores(outcomes, task, seeds, groups, seed=seed, draws=draws)
    row |= dict.fromkeys(_OPTIONAL)
    if task.labels:
        row |= _label_figures(outcomes, task, seeds, groups, seed=seed, draws=draws)
    else:
        row |= _text_figures(outcomes, task, seeds)
    return row | _failures(outcomes, task) | _costs(outcomes)


def _scores(
    outcomes: Sequence[Outcome],
    task: Task,
    seeds: Sequence[int],
    groups: Sequence[str] | None,
    *,
    seed: int,
    draws: int,
) -> dict[str, Any]:
    """Accuracy (where answers are right or wrong) and mean score, each with its interval."""
    scores = _table(outcomes, [one.score for one in outcomes], seeds)
    figures: dict[str, Any] = {
        "accuracy": None,
        "accuracy_interval": None,
        "accuracy_by_seed": None,
        "score": float(np.mean(scores)),
        "score_interval": list(two_way_bootstrap(scores, groups, seed=seed, draws=draws)),
    }
    if task.metric not in RIGHT_OR_WRONG:
        return figures
    right = _table(outcomes, [float(bool(one.correct)) for one in outcomes], seeds)
    if len(seeds) == 1 and groups is None:
        interval = wilson(int(right.sum()), right.size)
    else:
        interval = two_way_bootstrap(right, groups, seed=seed, draws=draws)
    by_seed = [float(np.mean([bool(one.correct) for one in outcomes if one.seed == number])) for number in seeds]
    figures |= {"accuracy": float(np.mean(right)), "accuracy_interval": list(interval), "accuracy_by_seed": by_seed}
    if np.array_equal(scores, right):
        figures["score_interval"] = list(interval)
    return figures


def _table(outcomes: Sequence[Outcome], values: Sequence[float], seeds: Sequence[int]) -> Numbers:
    """Return the values as (seeds × samples), samples in the order in which they first appear."""
    by_sample: dict[str, dict[int, float]] = {}
    for one, value in zip(outcomes, values, strict=True):
        by_sample.setdefault(one.sample, {})[one.seed] = value
    return seed_table(list(by_sample.values()), seeds)


def _means(outcomes: Sequence[Outcome], values: Sequence[float]) -> list[float]:
    """Return the mean of the values of each sample, in the order in which the samples first appear."""
    by_sample: dict[str, list[float]] = {}
    for one, value in zip(outcomes, values, strict=True):
        by_sample.setdefault(one.sample, []).append(value)
    return [float(np.mean(of_sample)) for of_sample in by_sample.values()]


def _label_figures(
    outcomes: Sequence[Outcome],
    task: Task,
    seeds: Sequence[int],
    groups: Sequence[str] | None,
    *,
    seed: int,
    draws: int,
) -> dict[str, Any]:
    targets, answers = [one.targets[0] for one in outcomes], [one.final_answer for one in outcomes]
    by_seed = [[one for one in outcomes if one.seed == number] for number in seeds]
    f1 = [
        classification.macro_f1(task.labels, [one.targets[0] for one in of_seed], [one.final_answer for one in of_seed])
        for of_seed in by_seed
    ]
    figures: dict[str, Any] = {
        "macro_f1": float(np.mean(f1)),
        "macro_f1_interval": _macro_f1_interval(by_seed, task.labels, groups, seed=seed, draws=draws),
        "per_class": classification.per_class(task.labels, targets, answers),
        "confusion": classification.confusion(task.labels, targets, answers),
    }
    scores = [one.label_scores for one in outcomes]
    if not scores or any(one is None for one in scores):
        return figures
    shares = classification.probabilities(task.labels, [one or {} for one in scores])
    roc = classification.roc(task.labels, targets, shares)
    calibration = classification.calibration(task.labels, targets, shares)
    return figures | {
        "roc_auc": roc.auc if roc else None,
        "roc_curve": roc.curve if roc else None,
        "brier": classification.brier(task.labels, targets, shares),
        "calibration_curve": calibration.curve,
        "expected_calibration_error": calibration.expected_error,
    }


def _macro_f1_interval(
    by_seed: Sequence[Sequence[Outcome]],
    labels: Sequence[str],
    groups: Sequence[str] | None,
    *,
    seed: int,
    draws: int,
) -> list[float]:
    places: dict[str, int] = {}
    for of_seed in by_seed:
        for one in of_seed:
            places.setdefault(one.sample, len(places))
    cells = np.full((len(by_seed), len(places)), -1)
    for row, of_seed in zip(cells, by_seed, strict=True):
        meant, given = (
            classification.codes(labels, answers)
            for answers in ([one.targets[0] for one in of_seed], [one.final_answer for one in of_seed])
        )
        row[[places[one.sample] for one in of_seed]] = classification.confusion_cells(meant, given, len(labels))
    shape = (-1, len(labels), len(labels) + 1)
    return list(
        bootstrap_counts(
            cells,
            shape[1] * shape[2],
            lambda counts: classification.macro_f1_of_counts(counts.reshape(shape)),
            groups=groups,
            seed=seed,
            draws=draws,
        )
    )


def _text_figures(outcomes: Sequence[Outcome], task: Task, seeds: Sequence[int]) -> dict[str, Any]:
    read = [(one.final_answer or "", one.targets) for one in outcomes]
    if task.metric == "similarity":
        return _correlations(outcomes, seeds)
    figures: dict[str, Any] = {"exact_match": _mean_of(outcomes, [exact_match(*one) for one in read])}
    if task.metric == "number":
        return figures | {"number_match": _mean_of(outcomes, [number_match(*one) for one in read])}
    rouges = [rouge(*one) for one in read]
    figures |= {name: _mean_of(outcomes, [one[name] for one in rouges]) for name in ROUGE}
    of_seeds = [
        bleu(
            [one.final_answer or "" for one in outcomes if one.seed == number],
            [one.targets for one in outcomes if one.seed == number],
        )
        for number in seeds
    ]
    return figures | {
        "token_f1": _mean_of(outcomes, [token_f1_of(*one) for one in read]),
        "bleu": float(np.mean([one.score for one in of_seeds])),
        "bleu_signature": of_seeds[0].signature,
    }


def _mean_of(outcomes: Sequence[Outcome], values: Sequence[float]) -> float:
    return float(np.mean(_means(outcomes, values)))


def _correlations(outcomes: Sequence[Outcome], seeds: Sequence[int]) -> dict[str, Any]:
    """Pearson's and Spearman's correlation with the grades asked for, the mean of the seeds'.

    None if a reply could not be read (leaving such pairs out would reward failing on hard ones), or if
    the grades of a seed do not vary.
    """
    from scipy.stats import pearsonr, spearmanr

    both = {number: [(grade(one.final_answer), grade(one.targets[0])) for one in outcomes if one.seed == number]
            for number in seeds}  # fmt: skip
    columns = [tuple(zip(*of_seed, strict=True)) for of_seed in both.values()]
    if any(None in column or len(set(column)) < 2 for of_seed in columns for column in of_seed):
        return {}
    return {
        "pearson": float(np.mean([pearsonr(*of_seed).statistic for of_seed in columns])),
        "spearman": float(np.mean([spearmanr(*of_seed).statistic for of_seed in columns])),
    }


def _failures(outcomes: Sequence[Outcome], task: Task) -> dict[str, Any]:
    return {
        "parse_failures": sum(one.final_answer is None for one in outcomes),
        "problems": problems(outcomes),
        "longer_than_a_label": longer_than_a_label(outcomes, task) if task.labels else None,
        "excluded": excluded(outcomes),
    }


def _costs(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    seconds = [one.seconds for one in outcomes]
    return {
        "prompt_tokens": sum(one.prompt_tokens for one in outcomes),
        "new_tokens": sum(one.new_tokens for one in outcomes),
        "calls": sum(one.calls for one in outcomes),
        "seconds": float(np.sum(seconds)),
        "seconds_median": float(np.median(seconds)),
        "seconds_p95": float(np.percentile(seconds, 95)),
    }
