"""What can be repaired in the labels a model says without understanding any text better.

First the names are re-mapped one to one; then, where label scores are known, an inclination to some
label whatever the text says is taken out. Both are fitted on one half of the samples and judged on
the other. What is wrong after both was not understood.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
"""Of labels, one per sample; -1: the reply could not be read."""
Scores = NDArray[np.float64]
_ROUNDS = 200


@dataclass(frozen=True)
class Split:
    """Per sample 1 where the answer is right, as it is and after each repair, and how names were re-mapped."""

    right: Scores
    mapped: Scores
    evened: Scores
    assignments: tuple[tuple[int, ...], tuple[int, ...]]
    """Per half: the label that was meant by each label that was said, fitted on that half."""


def cross_fitted(
    said: Numbers, gold: Numbers, scores: Scores | None, halves: tuple[Numbers, Numbers], labels: int
) -> Split:
    """Return what re-mapping and evening-out make of the answers, each half repaired as the other half teaches.

    Args:
        said: Number of the label that each sample got (n).
        gold: Number of the label that is right (n).
        scores: Log-likelihoods (n, labels), or None where labels were not scored.
        halves: Rows of the two halves.
        labels: How many labels there are.
    """
    fitted = (best_assignment(said, gold, halves[0], labels), best_assignment(said, gold, halves[1], labels))
    mapped, evened = np.zeros(len(gold)), np.zeros(len(gold))
    for at, half in enumerate(halves):
        meant = np.array([*fitted[1 - at], -1])
        mapped[half] = evened[half] = hits(meant[said], gold)[half]
        if scores is not None:
            turned = np.empty_like(scores)
            turned[:, meant[:-1]] = scores
            offsets = best_offsets(turned[halves[1 - at]], gold[halves[1 - at]])
            evened[half] = hits((turned + offsets).argmax(1), gold)[half]
    return Split(hits(said, gold), mapped, evened, fitted)


def hits(said: Numbers, gold: Numbers) -> Scores:
    """Return 1 where the right label was said."""
    right: Scores = (said == gold).astype(np.float64)
    return right


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


def best_offsets(scores: Scores, gold: Numbers) -> Scores:
    """Return what is added to each label's score so that the labels are as probable as they are frequent.

    It is the most likely set of offsets, as a logistic regression with nothing but intercepts would find
    it; a label that does not occur counts as half a sample.

    Source: iterative proportional fitting, Deming and Stephan 1940.
    """
    labels = scores.shape[1]
    frequent = np.bincount(gold, minlength=labels) + 0.5
    frequent = frequent / frequent.sum()
    offsets = np.zeros(labels)
    for _ in range(_ROUNDS if len(gold) else 0):
        moved = scores + offsets
        shares = np.exp(moved - moved.max(1, keepdims=True))
        probable = (shares / shares.sum(1, keepdims=True)).mean(0)
        offsets += np.log(frequent) - np.log(np.maximum(probable, 1e-300))
    return offsets


def halves_of(gold: Numbers, groups: list[str] | None, seed: int) -> tuple[Numbers, Numbers]:
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
