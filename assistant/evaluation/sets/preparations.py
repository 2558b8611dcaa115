"""Rows of published data sets as fields of a task: choices become lettered lines, solutions lose their marks."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from assistant.data import BadRow, Source
from assistant.tables import Row

PlainRow = dict[str, Any]

_CALCULATOR = re.compile(r"<<[^>]*>>")
_FINAL_LINE = re.compile(r"\n?####.*\Z", re.DOTALL)
_LETTERS = "ABCD"


def _key(text: str) -> str:
    """Return a short name for a text that rows have in common."""
    return hashlib.sha256(text.strip().encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _without_calculator(row: PlainRow) -> PlainRow:
    """GSM8K: the solution without `<<48/2=24>>` and without its last line `#### 24` is the rationale."""
    solution = _FINAL_LINE.sub("", _CALCULATOR.sub("", row["answer"])).strip()
    return {**row, "rationale": " ".join(solution.split("\n"))}


def _lettered_choices(row: PlainRow) -> PlainRow:
    """MMLU: question and choices as one text, a line for each letter."""
    choices = row["choices"]
    if len(choices) != len(_LETTERS):
        raise ValueError(f"it has {len(choices)} choices, not {len(_LETTERS)}")
    lines = [f"{letter}. {choice.strip()}" for letter, choice in zip(_LETTERS, choices, strict=True)]
    return {**row, "question": "\n".join([row["question"].strip(), *lines])}


def _spans(row: PlainRow) -> PlainRow:
    """SQuAD: the passage under our name, every accepted answer as a target, the first as the output."""
    answers = list(dict.fromkeys(row["answers"]["text"]))
    return {**row, "passage": row["context"], "answer": answers[0], "targets": answers}


def _body_and_question(row: PlainRow) -> PlainRow:
    """SVAMP: the story and its question are one problem."""
    body = row["body"].strip()
    return {**row, "question": f"{body}{'' if body[-1:] in '.?!' else '.'} {row['question'].strip()}"}


def _premise_group(row: PlainRow) -> PlainRow:
    """RTE: pairs on one premise belong together."""
    return {**row, "group": f"premise-{_key(row['premise'])}"}


def _first_sentence_group(row: PlainRow) -> PlainRow:
    """Pairs on one first sentence belong together."""
    return {**row, "group": f"sentence-{_key(row['sentence1'])}"}


PREPARATIONS: Mapping[str, Callable[[PlainRow], PlainRow]] = {
    "": lambda row: row,
    "without-calculator": _without_calculator,
    "lettered-choices": _lettered_choices,
    "spans": _spans,
    "body-and-question": _body_and_question,
    "premise-group": _premise_group,
    "first-sentence-group": _first_sentence_group,
}


class PreparedSource(Source):
    """A table whose rows are made ready one by one; a row that cannot be is bad, with the reason.

    Rows without an id are numbered under the name of their part, so that two files never share one.
    `targets` gathers the accepted answers of the rows that were read, where there are several.
    """

    def __init__(self, source: Source, preparation: str, part: str, id_column: str) -> None:
        super().__init__(source.location, source.name)
        self.targets: dict[str, tuple[str, ...]] = {}
        self._source, self._part, self._id = source, part, id_column
        self._prepare = PREPARATIONS[preparation]

    @property
    def fingerprint(self) -> str:
        """Return the sha256 of the file as it is."""
        return self._source.fingerprint

    def rows(self) -> Iterator[Row]:
        """Yield (line, row) or (line, bad row)."""
        for line, row in self._source.rows():
            yield line, row if isinstance(row, BadRow) else self._prepared(line, row)

    def _prepared(self, line: int, row: PlainRow) -> PlainRow | BadRow:
        try:
            prepared = self._prepare(row)
        except KeyError as error:
            return BadRow(line, f"the field {error} is missing")
        except (AttributeError, IndexError, TypeError):
            return BadRow(line, "its fields are not as they were published")
        except ValueError as error:
            return BadRow(line, str(error))
        prepared = {self._id: f"{self._part}/{line}", **prepared}
        if "targets" in prepared:
            self.targets[str(prepared[self._id])] = tuple(prepared.pop("targets"))
        return prepared
