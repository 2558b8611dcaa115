"""A saved classifier, loaded: inputs in, log-probabilities of its labels out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.errors import ClassifierError
from assistant.finetuning.classifiers import methods, network, trainer
from assistant.finetuning.classifiers.base import base_again, load_tokenizer, load_with_head
from assistant.finetuning.classifiers.batches import precision
from assistant.finetuning.classifiers.features import Head
from assistant.finetuning.classifiers.rows import Inputs, encode
from assistant.finetuning.classifiers.saved import SavedClassifier, open_classifier
from assistant.finetuning.classifiers.training import load_features_body

Vectors = NDArray[np.float64]


@dataclass(frozen=True)
class Prediction:
    """The likeliest label, and the log-probability of every label in nats."""

    label: str
    log_probabilities: dict[str, float]


class Classifier:
    """A classifier that is ready to answer."""

    def __init__(self, saved: SavedClassifier, scorer: Any) -> None:
        self.saved = saved
        self.labels = saved.labels
        self._scorer = scorer

    def log_probabilities(self, inputs: Sequence[Inputs]) -> Vectors:
        """Return the log-probability of every label, (n × labels), in the order of `labels`.

        Raises:
            ClassifierError: if an input lacks a field.
        """
        if not inputs:
            return np.zeros((0, len(self.labels)))
        missing = {name for one in inputs for name in self.saved.fields if name not in one}
        if missing:
            raise ClassifierError(
                f"The classifier '{self.saved.name}' reads {', '.join(self.saved.fields)}; "
                f"'{sorted(missing)[0]}' is missing."
            )
        found: Vectors = self._scorer(inputs)
        return found

    def predict(self, inputs: Sequence[Inputs]) -> list[Prediction]:
        """Return one prediction per input, in their order.

        Raises:
            ClassifierError: if an input lacks a field.
        """
        return [
            Prediction(self.labels[int(row.argmax())], dict(zip(self.labels, map(float, row), strict=True)))
            for row in self.log_probabilities(inputs)
        ]


def load_classifier(name: str, device: str = "auto") -> Classifier:
    """Return a saved classifier, loaded; what it needs of its base model is checked against what it was trained on.

    Raises:
        ClassifierError: if it is missing, damaged, or its base model has changed.
        ModelError: if its base model cannot be loaded.
    """
    saved = open_classifier(name)
    settings = replace(saved.settings, device=device)
    if settings.row.is_whole:
        tokenizer = load_tokenizer(saved.model_folder, saved.name)
        loaded = load_with_head(saved.model_folder, saved.name, None, None)
        if loaded.config.num_labels != len(saved.labels):
            raise ClassifierError(f"The head of '{saved.name}' has {loaded.config.num_labels} labels.")
        return Classifier(saved, _scorer(saved, loaded, tokenizer, device))
    base = base_again(saved.record["base"], f"The classifier '{saved.name}'")
    if settings.method == methods.FEATURE_BASED:
        body, head = load_features_body(base, settings), Head.load(saved.model_folder, len(saved.labels))
        return Classifier(saved, lambda inputs: head.log_probabilities(body.vectors(inputs, saved.fields)))
    tokenizer = load_tokenizer(saved.model_folder, saved.name)
    loaded = network.load_adapted(base, tokenizer, saved.labels, saved.model_folder)
    return Classifier(saved, _scorer(saved, loaded, tokenizer, device))


def _scorer(saved: SavedClassifier, loaded: Any, tokenizer: Any, device: str) -> Any:
    import torch

    settings = saved.settings
    limit = network.max_tokens(loaded, tokenizer, settings)
    place = trainer.chosen_device(device)
    loaded = loaded.to(place).eval()

    def score(inputs: Sequence[Inputs]) -> Vectors:
        encoded = encode(tokenizer, inputs, saved.fields, words=settings.words, max_tokens=limit)
        # Rows of like length together: filling costs as much as text.
        order = sorted(range(len(encoded)), key=lambda at: len(encoded[at]["input_ids"]))
        rows = np.zeros((len(encoded), len(saved.labels)))
        size = 2 * settings.batch_size
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            padded = _padded(tokenizer, [encoded[at] for at in batch])
            with torch.inference_mode(), precision(settings.dtype, place):
                logits = loaded(**{name: tensor.to(place) for name, tensor in padded.items()}).logits
            rows[batch] = torch.log_softmax(logits.double(), dim=-1).cpu().numpy()
        return rows

    return score


def _padded(tokenizer: Any, encoded: Sequence[dict[str, Any]]) -> Any:
    from transformers import DataCollatorWithPadding

    return DataCollatorWithPadding(tokenizer)(list(encoded))
