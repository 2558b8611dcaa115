"""Published figures: what was printed, whether it can exist at that n, and stored outcomes behind it."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from assistant.errors import DataError, SettingError, UnknownName
from assistant.evaluation.outcomes import Outcome

_COUNTED = {
    "matrix": ("confusion matrix", "confusion matrices"),
    "number": ("number of right answers", "numbers of right answers"),
}
METRICS = ("accuracy", "macro_f1", "f1_negative", "f1_positive")


class Confusion(NamedTuple):
    """Counts of a task with two labels."""

    true_positive: int
    false_negative: int
    false_positive: int
    true_negative: int


@dataclass(frozen=True)
class Claim:
    """One published line of figures."""

    name: str
    system: str
    source: str
    task: str
    n: tuple[int, ...]
    """The number of samples as stated, or each that is possible where none is stated."""
    printed: Mapping[str, str]
    """Metric → the number as printed, digits and all."""
    n_found: int | None = None
    """The number of samples that the author's own outputs show, where it differs."""
    positives: tuple[int, ...] = ()
    """How many of the n are of the positive label, where the data set says so."""
    labels: tuple[str, ...] = ()
    targets: str = field(default="", repr=False)
    answered: str = field(default="", repr=False)

    def checked(self) -> tuple[Check, ...]:
        """Return for every n of the claim whether the printed figures can exist."""
        sizes = (*self.n, *(() if self.n_found is None else (self.n_found,)))
        if set(self.printed) == {"accuracy"}:
            return tuple(Check(n, len(feasible_counts(n, self.printed["accuracy"])), "number") for n in sizes)
        return tuple(
            Check(n, len(feasible(n, self.printed, positives=positives)))
            for n, positives in zip(sizes, (*self.positives, *(None for _ in sizes)), strict=False)
        )

    def sentences(self) -> list[str]:
        """Return what the check found, as reports print it."""
        figures = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.printed.items())
        return [f"{figures}: {check.sentence()}" for check in self.checked()]

    def outcomes(self) -> list[Outcome]:
        """Return the stored outcomes, one a sample, in the order of the publication.

        Raises:
            DataError: if none are stored.
        """
        targets, answered = self.targets.replace(" ", ""), self.answered.replace(" ", "")
        if not targets or len(targets) != len(answered):
            raise DataError(f"No outcomes are stored for '{self.name}', only its printed figures.")
        return [
            Outcome(
                sample=f"{self.task}-{place}",
                strategy=self.name,
                reading="generate",
                seed=0,
                targets=(self.labels[int(target)],),
                final_answer=self.labels[int(answer)],
                correct=target == answer,
                score=float(target == answer),
                answer=self.labels[int(answer)],
            )
            for place, (target, answer) in enumerate(zip(targets, answered, strict=True))
        ]


class Check(NamedTuple):
    """In how many ways the printed figures of a claim can come about with n samples."""

    n: int
    ways: int
    counted: str = "matrix"
    """What is counted: confusion matrices, or, where accuracy alone is printed, numbers of right answers."""

    def sentence(self) -> str:
        """Return it in words."""
        if self.ways == 0:
            return f"impossible with {self.n:,} samples."
        one, many = _COUNTED[self.counted]
        return f"possible with {self.n:,} samples ({self.ways:,} {one if self.ways == 1 else many})."


def claims() -> dict[str, Claim]:
    """Return the published figures by name, in the order of the file."""
    return dict(_claims())


def claim(name: str) -> Claim:
    """Return the published figures of that name.

    Raises:
        UnknownName: with the names there are.
    """
    known = _claims()
    if name not in known:
        raise UnknownName("published claim", name, known)
    return known[name]


def feasible_counts(n: int, accuracy: str) -> tuple[int, ...]:
    """Return the numbers of right answers out of n that round to the accuracy as printed ("0.85").

    Either way of rounding a half is allowed.

    Raises:
        SettingError: if n is below 1, or the accuracy is no number between 0 and 1.

    Source: the GRIM test, Brown and Heathers 2017, "A simple technique detects numerous anomalies".
    """
    if n < 1:
        raise SettingError(f"n = {n} is no number of samples.")
    low, high = _printed(accuracy)
    return tuple(right for right in range(n + 1) if low <= Fraction(right, n) <= high)


def feasible(n: int, printed: Mapping[str, str], *, positives: int | None = None) -> tuple[Confusion, ...]:
    """Return every confusion matrix of two labels that gives the printed figures with n samples.

    Args:
        n: The number of samples.
        printed: Metric (`METRICS`, accuracy among them) → the number as printed, such as "0.85"; the
            number of digits says how far it may be off.
        positives: How many samples are of the positive label, if that is known.

    Raises:
        SettingError: if n is below 1, accuracy is missing, or a metric or number makes no sense.

    Source: enumeration, after the GRIM test of Brown and Heathers 2017.
    """
    if "accuracy" not in printed or set(printed) - set(METRICS):
        raise SettingError(f"The check needs accuracy and knows {', '.join(METRICS)}, not {', '.join(printed)}.")
    bounds = {name: _printed(value) for name, value in printed.items() if name != "accuracy"}
    found = []
    for right in feasible_counts(n, printed["accuracy"]):
        wrong = n - right
        for true_positive in range(right + 1):
            if _f1_fits(true_positive, right - true_positive, wrong, bounds):
                found += list(_matrices(true_positive, right - true_positive, wrong, positives))
    return tuple(found)


def _f1_fits(true_positive: int, true_negative: int, wrong: int, bounds: Mapping[str, Any]) -> bool:
    """Return whether the F1 figures fit: they depend on the wrong answers' number alone, not on their kind."""
    positive, negative = _f1(true_positive, wrong), _f1(true_negative, wrong)
    values = {"f1_positive": positive, "f1_negative": negative, "macro_f1": (positive + negative) / 2}
    return all(low <= values[name] <= high for name, (low, high) in bounds.items())


def _f1(right: int, wrong: int) -> Fraction:
    return Fraction(2 * right, 2 * right + wrong) if right else Fraction(0)


def _matrices(true_positive: int, true_negative: int, wrong: int, positives: int | None) -> Iterator[Confusion]:
    """Yield every way to part the wrong answers among the two labels."""
    for false_negative in range(wrong + 1) if positives is None else (positives - true_positive,):
        if 0 <= false_negative <= wrong:
            yield Confusion(true_positive, false_negative, wrong - false_negative, true_negative)


def _printed(value: str) -> tuple[Fraction, Fraction]:
    """Return the range of numbers that are printed so."""
    try:
        number = Decimal(value)
    except InvalidOperation:
        number = Decimal(-1)
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or not 0 <= number <= 1:
        raise SettingError(f"'{value}' is no figure between 0 and 1.")
    half = Fraction(1, 2) * Fraction(10) ** exponent
    return Fraction(number) - half, Fraction(number) + half


@functools.cache
def _claims() -> dict[str, Claim]:
    written = tomllib.loads(Path(__file__).with_name("published.toml").read_text(encoding="utf-8"))["claims"]
    return {entry["name"]: _claim(entry) for entry in written}


def _claim(entry: Mapping[str, Any]) -> Claim:
    lists = ("n", "positives", "labels")
    values: dict[str, Any] = {key: tuple(value) if key in lists else value for key, value in entry.items()}
    return Claim(**values)
