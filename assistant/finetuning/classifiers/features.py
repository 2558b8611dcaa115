"""The feature-based classifier: a body read once, mean-pooled unit vectors, and a logistic regression on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.errors import AdapterError
from assistant.finetuning.classifiers.batches import precision
from assistant.finetuning.classifiers.rows import Inputs, texts_of

WEIGHTS = "head.safetensors"
STRENGTHS = (0.1, 1.0, 10.0, 100.0)
"""Inverse strengths of the L2 penalty that are tried; the rows kept aside choose."""
_MOST_STEPS = 2000
_NEVER = -30.0
"""Intercept of a label without a training row."""

Vectors = NDArray[np.float64]
Tell = Callable[[int, int], None]
"""Is told how many texts have been read, and of how many."""


@dataclass(frozen=True)
class Head:
    """A logistic regression: `coefficients` (labels × d) and `intercepts` (labels), in the order of the labels."""

    coefficients: Vectors
    intercepts: Vectors

    def log_probabilities(self, vectors: Vectors) -> Vectors:
        """Return the log-probability of every label, (n × labels)."""
        scores = vectors @ self.coefficients.T + self.intercepts
        highest = scores.max(axis=1, keepdims=True)
        logs: Vectors = scores - highest - np.log(np.exp(scores - highest).sum(axis=1, keepdims=True))
        return logs

    def save(self, folder: Path) -> None:
        """Write the weights as safetensors; scikit-learn's own form would be a pickle."""
        from safetensors.numpy import save_file

        save_file({"coefficients": self.coefficients, "intercepts": self.intercepts}, folder / WEIGHTS)

    @classmethod
    def load(cls, folder: Path, labels: int) -> Head:
        """Return the head that `save` wrote.

        Raises:
            AdapterError: if the file is damaged, or not of so many labels.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            found = load_file(folder / WEIGHTS)
            head = cls(found["coefficients"].astype(np.float64), found["intercepts"].astype(np.float64))
        except (OSError, SafetensorError, KeyError) as error:
            raise AdapterError(f"{WEIGHTS} in '{folder.parent.name}' cannot be read: {error}.") from error
        if head.coefficients.ndim != 2 or head.coefficients.shape[0] != labels or head.intercepts.shape != (labels,):
            raise AdapterError(f"{WEIGHTS} in '{folder.parent.name}' is not the head of {labels} labels.")
        return head


def fit_head(
    train: Vectors, train_labels: Sequence[int], dev: Vectors, dev_labels: Sequence[int], labels: int
) -> tuple[Head, list[dict[str, float]], int]:
    """Return the head that is best on the rows kept aside, what each strength came to there, and the best one's place.

    Source: scikit-learn, `LogisticRegression` and `log_loss`.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, log_loss

    heads, tried = [], []
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=_MOST_STEPS).fit(train, list(train_labels))
        head = _head(model, labels, train.shape[1])
        logs = head.log_probabilities(dev)
        loss = float(log_loss(list(dev_labels), np.exp(logs), labels=list(range(labels))))
        right = float(accuracy_score(list(dev_labels), logs.argmax(axis=1)))
        heads.append(head)
        tried.append({"strength": strength, "dev_loss": round(loss, 6), "dev_accuracy": round(right, 6)})
    best = min(range(len(tried)), key=lambda place: tried[place]["dev_loss"])
    return heads[best], tried, best


def _head(model: Any, labels: int, width: int) -> Head:
    """Return scikit-learn's weights as one row per label; of two labels it keeps only the second's."""
    coefficients, intercepts = np.zeros((labels, width)), np.full(labels, _NEVER)
    known = [int(label) for label in model.classes_]
    if len(known) == 2:
        intercepts[known[0]] = 0.0
        known = known[1:]
    coefficients[known], intercepts[known] = model.coef_, model.intercept_
    return Head(coefficients, intercepts)


@dataclass(frozen=True)
class Body:
    """A pretrained model that turns inputs into vectors."""

    network: Any
    tokenizer: Any
    max_tokens: int
    words: int | None
    batch_size: int
    dtype: str = "auto"

    def vectors(self, inputs: Sequence[Inputs], fields: Sequence[str], tell: Tell | None = None) -> Vectors:
        """Return one row per input: the unit vector u of its text, or of a pair (u, v, |u − v|, u ∗ v).

        Each text of a pair is read by itself: a frozen body was never shown two at once.

        Source: Conneau et al. 2017, "Supervised Learning of Universal Sentence Representations" (the four parts).
        """
        columns = list(zip(*(texts_of(one, fields, self.words) for one in inputs), strict=True))
        places: dict[str, int] = {}
        for text in (text for column in columns for text in column):
            places.setdefault(text, len(places))
        units = self._units(list(places), tell)
        rows = [units[[places[text] for text in column]] for column in columns]
        if len(rows) == 1:
            return rows[0]
        u, v = rows
        return np.concatenate((u, v, np.abs(u - v), u * v), axis=1)

    def _units(self, texts: Sequence[str], tell: Tell | None) -> Vectors:
        """Return the mean of the last layer's states over a text's tokens, scaled to length 1."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        encoded = self.tokenizer(list(texts), truncation=True, max_length=self.max_tokens)["input_ids"]
        order = sorted(range(len(texts)), key=lambda at: len(encoded[at]))
        rows: list[Any] = [None] * len(texts)
        self.network.eval()
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            ids = [torch.tensor(encoded[at]) for at in batch]
            tokens = pad_sequence(ids, batch_first=True, padding_value=self.tokenizer.pad_token_id)
            mask = pad_sequence([torch.ones_like(one) for one in ids], batch_first=True).to(self.network.device)
            with torch.inference_mode(), precision(self.dtype, self.network.device.type):
                read = self.network(input_ids=tokens.to(self.network.device), attention_mask=mask)
            share = mask.unsqueeze(-1).double()
            means = (read.last_hidden_state.double() * share).sum(dim=1) / share.sum(dim=1).clamp(min=1)
            for at, row in zip(batch, torch.nn.functional.normalize(means, dim=1).cpu().numpy(), strict=True):
                rows[at] = row
            if tell is not None:
                tell(min(start + len(batch), len(order)), len(order))
        return np.stack(rows)


def facts(tried: Sequence[Mapping[str, float]], best: int) -> dict[str, Any]:
    """Return what was tried, for the record."""
    return {"tried": [dict(one) for one in tried], "strength": tried[best]["strength"]}
