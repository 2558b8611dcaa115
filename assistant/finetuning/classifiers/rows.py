"""What a classifier learns from: labelled texts or pairs of texts, and these as token ids."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assistant.errors import DataError
from assistant.evaluation.outcomes import Sample
from assistant.finetuning.marks import Marks

Inputs = Mapping[str, str]


@dataclass(frozen=True)
class TrainingRows:
    """Rows of a task to learn from, and rows kept aside to see when to stop; they share no group."""

    task: str
    fields: tuple[str, ...]
    labels: tuple[str, ...]
    """In the task's order: the place of a label is its number in the head."""
    train: tuple[Sample, ...]
    dev: tuple[Sample, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Where they come from: source, sha256, how they were cut …"""
    group_column: str = ""

    @property
    def marks(self) -> Marks:
        """Return by what the rows that are learnt from, or choose the best weights, are known again."""
        return Marks.of((*self.train, *self.dev), self.group_column)

    def __post_init__(self) -> None:
        """Refuse rows that cannot teach anything, and groups on both sides.

        Raises:
            DataError: saying what is wrong with them.
        """
        counts = Counter(row.targets[0] for row in self.train)
        strange = sorted(set(counts) - set(self.labels))
        if strange:
            raise DataError(f"'{strange[0]}' is not a label of the task '{self.task}' ({', '.join(self.labels)}).")
        if len(counts) < 2:
            raise DataError(
                f"The {len(self.train)} training rows have {len(counts)} label(s); there is nothing to tell apart.",
                "Give rows of at least two labels.",
            )
        if not self.dev:
            raise DataError("No row is kept aside to see when training should end.", "Give more rows.")
        shared = {row.group for row in self.train if row.group} & {row.group for row in self.dev}
        if shared:
            raise DataError(f"The group '{sorted(shared)[0]}' is trained on and kept aside at once.", "Cut by group.")

    @property
    def sha256(self) -> str:
        """Return the hash of all rows, in their order."""
        digest = hashlib.sha256()
        for part in (self.train, self.dev):
            for row in part:
                line = [row.id, dict(row.inputs), list(row.targets), row.group]
                digest.update(json.dumps(line, ensure_ascii=False).encode("utf-8", "surrogatepass"))
            digest.update(b"\0")
        return digest.hexdigest()

    def counts(self) -> dict[str, int]:
        """Return how many training rows each label has, in the labels' order."""
        counted = Counter(row.targets[0] for row in self.train)
        return {label: counted[label] for label in self.labels}


def texts_of(inputs: Inputs, fields: Sequence[str], words: int | None = None) -> tuple[str, ...]:
    """Return one text, or two that form a pair: of more fields, all after the first are the second, line by line.

    Of each text only the first `words` words are kept (None: all), joined by single spaces.
    """
    parts = [inputs[name] for name in fields]
    texts = (parts[0],) if len(parts) == 1 else (parts[0], "\n".join(parts[1:]))
    return texts if words is None else tuple(" ".join(text.split()[:words]) for text in texts)


def encode(
    tokenizer: Any, inputs: Sequence[Inputs], fields: Sequence[str], *, words: int | None, max_tokens: int
) -> list[dict[str, Any]]:
    """Return what the network reads of each row: token ids, mask, and what else its tokenizer gives.

    A pair is encoded as the tokenizer encodes pairs: with its separators, and its token types if it has them.
    Of what is too long the longer text is cut first.
    """
    if not inputs:
        return []
    columns = zip(*(texts_of(one, fields, words) for one in inputs), strict=True)
    encoded = tokenizer(*map(list, columns), truncation=True, max_length=max_tokens)
    return [{name: values[at] for name, values in encoded.items()} for at in range(len(inputs))]


def examples(
    tokenizer: Any,
    rows: Sequence[Sample],
    fields: Sequence[str],
    labels: Sequence[str],
    *,
    words: int | None,
    max_tokens: int,
) -> list[dict[str, Any]]:
    """Return the rows as `encode` gives them, each with the number of its label."""
    encoded = encode(tokenizer, [row.inputs for row in rows], fields, words=words, max_tokens=max_tokens)
    return [one | {"labels": labels.index(row.targets[0])} for one, row in zip(encoded, rows, strict=True)]
