"""How good a free-text answer is: exact match, token F1, ROUGE, BLEU, equal numbers, nearness of grades."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from assistant.errors import UnknownName
from assistant.prompting.parsing import plain_number
from assistant.prompting.tasks import Task

ROUGE = ("rouge1", "rouge2", "rougeL")
SIMILARITY_RANGE = 5.0
"""Grades of similarity run from 0 to 5, as in STS-B."""
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_OPTION = re.compile(r"\(([a-z])\)")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_NUMBER = re.compile(r"[$€£]?\s*(-?)\s*[$€£]?\s*(\d[\d,]*(?:\.\d*)?|\.\d+)\s*[%.]?")


class SampleScore(NamedTuple):
    """Whether an answer is right (None: the task has no right and wrong), and its metric, 0…1."""

    correct: bool | None
    score: float


class Bleu(NamedTuple):
    """Corpus BLEU, 0…100, and the signature that says how it was computed."""

    score: float
    signature: str


def normalise(text: str) -> str:
    """Return the text in lower case without punctuation, articles and extra spaces.

    Source: the evaluation script of SQuAD 1.1 (Rajpurkar et al. 2016).
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, targets: Sequence[str]) -> float:
    """Return 1 if the normalised answer is one of the normalised targets, else 0.

    Source: the evaluation script of SQuAD 1.1.
    """
    return float(normalise(answer) in {normalise(target) for target in targets})


def same_text(answer: str, targets: Sequence[str]) -> float:
    """Return 1 if the answer is one of the targets but for case, spaces, a full stop and the brackets of "(A)".

    Unlike `exact_match` it keeps punctuation, which is the whole answer in some puzzles ("> }").

    Source: BIG-Bench Hard (Suzgun et al. 2022) scores by exact match.
    """
    return float(_plain(answer) in {_plain(target) for target in targets})


def _plain(text: str) -> str:
    bare = " ".join(text.casefold().split())
    bare = bare.removesuffix(".").rstrip() or bare
    option = _OPTION.fullmatch(bare)
    return option[1] if option else bare


def token_f1(answer: str, targets: Sequence[str]) -> float:
    """Return the best F1 of the bags of normalised words, over the targets.

    If nothing is left of answer or target, they agree only if nothing is left of both.

    Source: the evaluation scripts of SQuAD 1.1 and, for empty texts, 2.0.
    """
    return max((_bag_f1(normalise(answer).split(), normalise(target).split()) for target in targets), default=0.0)


def _bag_f1(given: Sequence[str], meant: Sequence[str]) -> float:
    if not given or not meant:
        return float(given == meant)
    common = sum((Counter(given) & Counter(meant)).values())
    return 2 * common / (len(given) + len(meant))


def rouge(answer: str, targets: Sequence[str]) -> dict[str, float]:
    """Return the F measures of ROUGE-1, ROUGE-2 and ROUGE-L, each the best over the targets.

    Words are stemmed (Porter). ROUGE-L is over the whole text, not sentence by sentence (that is
    "Lsum"). The tokenizer keeps a…z and digits alone: it is made for English.

    Source: Lin 2004; the package rouge-score with `use_stemmer=True`.
    """
    if not targets:
        return dict.fromkeys(ROUGE, 0.0)
    scores = _rouge_scorer().score_multi(list(targets), answer)
    return {name: float(scores[name].fmeasure) for name in ROUGE}


@cache
def _rouge_scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(ROUGE), use_stemmer=True)


def bleu(answers: Sequence[str], targets: Sequence[Sequence[str]]) -> Bleu:
    """Return the BLEU of all answers together; an answer may have several targets.

    Samples without any target text are left out.

    Source: Papineni et al. 2002; sacrebleu's defaults, named in the signature.
    """
    from sacrebleu.metrics import BLEU

    kept = [(answer, [one for one in many if one]) for answer, many in zip(answers, targets, strict=True)]
    kept = [(answer, many) for answer, many in kept if many]
    metric = BLEU()
    if not kept:
        return Bleu(0.0, "")
    widest = max(len(many) for _, many in kept)
    streams = [[many[place] if place < len(many) else None for _, many in kept] for place in range(widest)]
    score = metric.corpus_score([answer for answer, _ in kept], streams)
    return Bleu(float(score.score), str(metric.get_signature()))


def number_match(answer: str, targets: Sequence[str]) -> float:
    """Return 1 if answer and some target are the same number, however written: 1,200 = 1200.0, else 0."""
    given = _number(answer)
    return float(given is not None and given in {_number(target) for target in targets})


def _number(text: str) -> str | None:
    found = _NUMBER.fullmatch(text.strip().replace("\u2212", "-"))
    return plain_number(found[1] + found[2]) if found else None


def similarity_score(answer: str, targets: Sequence[str]) -> float:
    """Return 1 minus the distance of two grades as a share of their range, or 0 if one is no number."""
    given = grade(answer)
    meant = grade(targets[0]) if targets else None
    return 0.0 if given is None or meant is None else max(0.0, 1 - abs(given - meant) / SIMILARITY_RANGE)


def grade(text: str | None) -> float | None:
    """Return the text as a number, or None if it is none."""
    number = _number(text) if text is not None else None
    return None if number is None else float(number)


def _label_score(answer: str, targets: Sequence[str]) -> SampleScore:
    return _right_or_wrong(answer in targets)


def _right_or_wrong(right: float) -> SampleScore:
    return SampleScore(bool(right), float(right))


# Metric of a task → what it makes of an answer that could be read.
_SCORES: Mapping[str, Any] = {
    "accuracy": _label_score,
    "number": lambda answer, targets: _right_or_wrong(number_match(answer, targets)),
    "exact": lambda answer, targets: _right_or_wrong(exact_match(answer, targets)),
    "same-text": lambda answer, targets: _right_or_wrong(same_text(answer, targets)),
    "squad": lambda answer, targets: SampleScore(bool(exact_match(answer, targets)), token_f1(answer, targets)),
    "rouge": lambda answer, targets: SampleScore(None, rouge(answer, targets)["rougeL"]),
    "similarity": lambda answer, targets: SampleScore(None, similarity_score(answer, targets)),
    "none": lambda answer, targets: SampleScore(None, 0.0),
}
METRICS = tuple(_SCORES)
RIGHT_OR_WRONG = ("accuracy", "number", "exact", "same-text", "squad")
"""Metrics that say of every answer whether it is right."""


def score_sample(task: Task, final_answer: str | None, targets: Sequence[str]) -> SampleScore:
    """Return what the task's metric makes of one final answer.

    accuracy: the label is the target · number: the same number · exact: the same text, normalised ·
    same-text: the same but for case and spaces · squad: right if the same text, scored by token F1 ·
    rouge: ROUGE-L · similarity: nearness of two grades · none: nothing is measured. A reply that could
    not be read (None) is wrong and scores 0.

    Raises:
        UnknownName: if the task has another metric.
    """
    if task.metric not in _SCORES:
        raise UnknownName("metric", task.metric, METRICS, f"It stands in the file of the task '{task.name}'.")
    if final_answer is None:
        return SampleScore(False if task.metric in RIGHT_OR_WRONG else None, 0.0)
    score: SampleScore = _SCORES[task.metric](final_answer, targets)
    return score
