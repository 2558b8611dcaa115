"""What a sentence encoder learns from: texts with the number of their label, or pairs that are alike or not."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from assistant.errors import DataError, SettingError
from assistant.evaluation.outcomes import Sample
from assistant.finetuning.classifiers.rows import TrainingRows, texts_of
from assistant.finetuning.encoders.losses import BY_LABEL, DEFAULTS, LABELS, PAIRS, Loss, find_loss
from assistant.finetuning.encoders.settings import ALIKE, EncoderTraining

_PARTNERS = 2
"""Alike and unlike partners that each text gets where pairs are drawn from labels."""

Columns = Mapping[str, Sequence[Any]]


def loss_for(rows: TrainingRows, settings: EncoderTraining) -> Loss:
    """Return the loss that is used on these rows.

    Raises:
        SettingError: if the named one needs other rows, or other batches.
        DataError: if its batches cannot be made of them.
    """
    kind = LABELS if len(rows.fields) == 1 else PAIRS
    loss = find_loss(settings.loss or DEFAULTS[kind])
    if loss.rows != kind:
        needed = {LABELS: "single texts with labels", PAIRS: "pairs of texts"}
        raise SettingError(
            f"The loss '{loss.name}' learns from {needed[loss.rows]}; the task '{rows.task}' has {needed[kind]}.",
            f"Choose '{DEFAULTS[kind]}', or leave --loss out.",
        )
    if loss.sampler == BY_LABEL:
        _check_batches(rows, loss, settings)
    return loss


def _check_batches(rows: TrainingRows, loss: Loss, settings: EncoderTraining) -> None:
    """Refuse what batches with two rows of each of two labels cannot be made of."""
    if settings.batch_size < 4 or settings.batch_size % 2:
        raise SettingError(
            f"The loss '{loss.name}' needs an even batch size of at least 4, not {settings.batch_size}.",
            "Change --batch-size, or choose --loss contrastive.",
        )
    for part, what, hint in (
        (rows.train, "rows to train on", "Give more rows"),
        (rows.dev, "rows kept aside", "Raise --dev-rows, give more rows"),
    ):
        counts = Counter(row.targets[0] for row in part)
        if sum(count >= 2 for count in counts.values()) < 2:
            raise DataError(
                f"The loss '{loss.name}' needs two rows of each of two labels; the {what} ({len(part)}) lack them.",
                f"{hint}, or choose --loss contrastive.",
            )


def columns(rows: TrainingRows, part: Sequence[Sample], loss: Loss, settings: EncoderTraining) -> Columns:
    """Return the rows of one part as the columns that a loss reads; the last one, if it is a number, is the label.

    Raises:
        SettingError: if it is not known which label means alike.
        DataError: if nothing is left to learn from.
    """
    texts = [texts_of(row.inputs, rows.fields, settings.words) for row in part]
    if loss.rows == PAIRS:
        return _pair_columns(texts, part, loss, _alike(rows, settings))
    numbers = [rows.labels.index(row.targets[0]) for row in part]
    singles = [one[0] for one in texts]
    if loss.name == "batch-hard":
        return {"sentence": singles, "label": numbers}
    return _drawn_pairs(singles, numbers, settings.seed)


def _alike(rows: TrainingRows, settings: EncoderTraining) -> str:
    if settings.alike is not None:
        if settings.alike not in rows.labels:
            raise SettingError(f"'{settings.alike}' is not a label of '{rows.task}' ({', '.join(rows.labels)}).")
        return settings.alike
    found = next((label for label in ALIKE if label in rows.labels), None)
    if found is None:
        raise SettingError(
            f"Which label of '{rows.task}' says that two texts belong together?",
            f"Say it with --alike; there are: {', '.join(rows.labels)}.",
        )
    return found


def _pair_columns(texts: Sequence[tuple[str, ...]], part: Sequence[Sample], loss: Loss, alike: str) -> Columns:
    scores = [float(row.targets[0] == alike) for row in part]
    if loss.name == "ranking":
        texts = [one for one, score in zip(texts, scores, strict=True) if score]
        if not texts:
            raise DataError(f"No pair is '{alike}', and the loss '{loss.name}' learns from such pairs alone.")
        return {"anchor": [one[0] for one in texts], "positive": [one[1] for one in texts]}
    return {"sentence1": [one[0] for one in texts], "sentence2": [one[1] for one in texts], "score": scores}


def _drawn_pairs(texts: Sequence[str], numbers: Sequence[int], seed: int) -> Columns:
    """Return pairs of which half have the same label: every text with some partners of each kind."""
    draw = random.Random(f"pairs {seed}")
    places: dict[int, list[int]] = {}
    for place, number in enumerate(numbers):
        places.setdefault(number, []).append(place)
    found: dict[str, list[Any]] = {"sentence1": [], "sentence2": [], "label": []}
    for place, number in enumerate(numbers):
        others = [other for other in places if other != number]
        for same in (1, 0) * _PARTNERS:
            pool = places[number] if same else places[draw.choice(others)] if others else []
            partners = [one for one in (draw.choice(pool) for _ in range(4)) if one != place] if pool else []
            if partners:
                found["sentence1"].append(texts[place])
                found["sentence2"].append(texts[partners[0]])
                found["label"].append(same)
    if not found["label"]:
        raise DataError("No pair of texts can be drawn from these rows.", "Give more rows.")
    return found
