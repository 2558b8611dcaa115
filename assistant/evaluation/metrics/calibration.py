"""Label scores corrected for what a model prefers before it has read the question, or for the length of a label.

Worked out from outcomes, in numpy alone; `reference_scores.py` asks the model what two of them need.

=============  ==================================================================================
contextual     divide by the label's mean probability under content-free inputs
batch          divide by its mean probability over the evaluated samples themselves: transductive,
               so a score depends on what else is in the set (no targets are used)
dc-pmi         subtract its log-likelihood after the prompt without demonstrations and question
characters     divide the log-likelihood by the characters of the scored reply
tokens         divide it by the reply's tokens
=============  ==================================================================================

Source: Zhao et al. 2021, Calibrate Before Use (contextual); Zhou et al. 2023, Batch Calibration;
Holtzman et al. 2021, Surface Form Competition (dc-pmi); lm-evaluation-harness, `acc_norm` (characters);
OpenICL, perplexity inferencer (tokens).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from assistant.errors import SettingError, UnknownName
from assistant.evaluation.outcomes import CALIBRATIONS, Outcome

Matrix = NDArray[np.float64]

TRANSDUCTIVE = ("batch",)
"""Calibrations under which a sample's scores depend on the other samples."""


def calibrated(outcomes: Sequence[Outcome], calibration: str) -> list[Outcome]:
    """Return the outcomes with corrected label scores, and the final answers that follow from them.

    Contextual and batch scores are log-probabilities over the labels; the others are in nats (dc-pmi), or nats
    per character or token. Batches are the outcomes of one strategy, reading and seed. Outcomes
    without label scores stay as they are. Ties go to the first label. What content-free prompts took is
    added to the costs of the first outcome of a strategy and reading that needed them.

    Raises:
        UnknownName: for an unknown calibration.
        SettingError: if an outcome lacks what the calibration needs.
    """
    if calibration not in CALIBRATIONS:
        raise UnknownName("calibration", calibration, CALIBRATIONS)
    found = list(outcomes)
    if calibration == "none":
        return found
    contexts: dict[tuple[object, ...], list[int]] = {}
    for at, one in enumerate(found):
        if one.label_scores is not None:
            contexts.setdefault((one.strategy, one.reading, one.seed, tuple(one.label_scores)), []).append(at)
    for numbers in contexts.values():
        corrected = _CORRECTIONS[calibration]([found[at] for at in numbers])
        for at, scores in zip(numbers, corrected, strict=True):
            found[at] = _decided(found[at], scores.tolist())
    return _charged(found, calibration)


def _charged(outcomes: Sequence[Outcome], calibration: str) -> list[Outcome]:
    """Return the outcomes with the costs of their content-free prompts; each set of prompts is scored once."""
    paid: set[tuple[str, str, str]] = set()
    found = []
    for one in outcomes:
        cost = one.reference_costs.get(calibration)
        key = (one.strategy, one.reading, cost.prompts if cost else "")
        if cost is not None and key not in paid:
            paid.add(key)
            one = replace(
                one,
                prompt_tokens=one.prompt_tokens + cost.prompt_tokens,
                calls=one.calls + cost.calls,
                seconds=one.seconds + cost.seconds,
            )
        found.append(one)
    return found


def _decided(outcome: Outcome, scores: Sequence[float]) -> Outcome:
    """Return the outcome with these scores, and the label of the highest as its final answer."""
    assert outcome.label_scores is not None
    named = dict(zip(outcome.label_scores, scores, strict=True))
    final = max(named, key=named.__getitem__)
    right = final in outcome.targets
    return replace(outcome, label_scores=named, final_answer=final, correct=right, score=float(right), problem="")


def _contextual(outcomes: Sequence[Outcome]) -> Matrix:
    priors = [_log_mean(_log_shares(references)) for references in _references(outcomes, "contextual")]
    return _log_shares(_log_shares(_scores(outcomes)) - np.array(priors))


def _batch(outcomes: Sequence[Outcome]) -> Matrix:
    shares = _log_shares(_scores(outcomes))
    return _log_shares(shares - _log_mean(shares))


def _dc_pmi(outcomes: Sequence[Outcome]) -> Matrix:
    of_domain = np.array([references[0] for references in _references(outcomes, "dc-pmi")], dtype=np.float64)
    corrected: Matrix = _scores(outcomes) - of_domain
    return corrected


def _per_character(outcomes: Sequence[Outcome]) -> Matrix:
    return _scores(outcomes) / _lengths(outcomes, "characters", 0)


def _per_token(outcomes: Sequence[Outcome]) -> Matrix:
    return _scores(outcomes) / _lengths(outcomes, "tokens", 1)


_CORRECTIONS: Mapping[str, Callable[[Sequence[Outcome]], Matrix]] = {
    "contextual": _contextual,
    "batch": _batch,
    "dc-pmi": _dc_pmi,
    "characters": _per_character,
    "tokens": _per_token,
}


def _labels(outcome: Outcome) -> tuple[str, ...]:
    return tuple(outcome.label_scores or ())


def _scores(outcomes: Sequence[Outcome]) -> Matrix:
    """Return (n, labels)."""
    return np.array([[(one.label_scores or {})[label] for label in _labels(one)] for one in outcomes])


def _references(outcomes: Sequence[Outcome], calibration: str) -> list[Matrix]:
    """Return per outcome (references, labels)."""
    found = []
    for one in outcomes:
        references = one.reference_scores.get(calibration, ())
        if not references or any(set(_labels(one)) - set(scores) for scores in references):
            raise _lacking(one, calibration, "scores of content-free prompts")
        found.append(np.array([[scores[label] for label in _labels(one)] for scores in references]))
    return found


def _lengths(outcomes: Sequence[Outcome], calibration: str, which: int) -> Matrix:
    """Return (n, labels)."""
    for one in outcomes:
        lengths = [one.label_lengths.get(label, (0, 0))[which] for label in _labels(one)]
        if min(lengths) < 1:
            raise _lacking(one, calibration, "lengths of its labels")
    return np.array([[one.label_lengths[label][which] for label in _labels(one)] for one in outcomes], dtype=float)


def _lacking(outcome: Outcome, calibration: str, what: str) -> SettingError:
    return SettingError(
        f"The answer of '{outcome.strategy}' to sample '{outcome.sample}' has no {what}, which the calibration "
        f"'{calibration}' needs.",
        "Name the calibration when the evaluation is run, or choose 'batch', which needs nothing more.",
    )


def _log_shares(scores: Matrix) -> Matrix:
    """Return the logarithm of each score's share of its row: the last axis are labels."""
    top = scores.max(-1, keepdims=True)
    shares: Matrix = scores - top - np.log(np.exp(scores - top).sum(-1, keepdims=True))
    return shares


def _log_mean(logs: Matrix) -> Matrix:
    """Return the logarithm of the mean over the first axis, without losing what is very improbable."""
    top = logs.max(0)
    mean: Matrix = top + np.log(np.exp(logs - top).mean(0))
    return mean
