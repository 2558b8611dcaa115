"""Rows to learn from and rows to check with: no group and no text in both, drawn evenly by label, by seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from assistant.errors import DataError
from assistant.finetuning.marks import text_mark
from assistant.records import Demonstration

T = TypeVar("T")


@dataclass(frozen=True)
class Split:
    """Rows in two parts that share no group and no text."""

    train: tuple[Demonstration, ...]
    validation: tuple[Demonstration, ...]


def split(rows: Sequence[Demonstration], share: float, seed: int, *, by_label: bool = True) -> Split:
    """Return the rows with about a share of them set apart for validation; both parts keep the rows' order.

    Rows that share a group or a text stay together, and so do those that hang together by others. With
    `by_label`, each label gives its share: what stays together counts for the label of its first row.
    It is never cut, so a part may be larger or smaller than wished.

    Raises:
        DataError: if nothing would be left to learn from, or to check with.
    """
    units = _units(rows)
    strata: dict[str, list[str]] = {}
    for name, members in units.items():
        strata.setdefault(members[0].output if by_label else "", []).append(name)
    apart: set[str] = set()
    for label in sorted(strata):
        apart |= _drawn(strata[label], units, share, random.Random(f"validation {seed} {label}"))
    if share and not apart and len(units) > 1:  # every label is too rare for its share
        apart = {random.Random(f"validation {seed}").choice(sorted(units))}
    chosen = {row.id for name in apart for row in units[name]}
    train = tuple(row for row in rows if row.id not in chosen)
    if not train or (share and not chosen):
        raise DataError(
            f"{len(rows)} rows in {len(units)} groups are too few to set some apart for validation.",
            "Give more rows, or say --validation 0.",
        )
    return Split(train, tuple(row for row in rows if row.id in chosen))


def _units(rows: Sequence[Demonstration]) -> dict[str, list[Demonstration]]:
    """Return the rows that stay together by a name: the least of their groups, else of their ids."""
    above: dict[str, str] = {}

    def top(name: str) -> str:
        while (higher := above.setdefault(name, name)) != name:
            above[name] = above[higher]  # the next way up is half as long
            name = higher
        return name

    owners = [f"group {row.group}" if row.group else f"row {row.id}" for row in rows]
    for row, owner in zip(rows, owners, strict=True):
        # The least is on top, whatever the order of the rows: a text is never less than a group or a row.
        first, second = sorted((top(owner), top(f"text {text_mark(row.inputs)}")))
        above[second] = first
    units: dict[str, list[Demonstration]] = {}
    for row, owner in zip(rows, owners, strict=True):
        units.setdefault(top(owner), []).append(row)
    return units


def weighted(rows: Sequence[T], weight: float, seed: int) -> list[T]:
    """Return the rows as often as the weight says: 2.5 is all of them twice, and half of them once more."""
    times = int(weight)
    rest = round((weight - times) * len(rows))
    more = random.Random(f"mixture {seed}").sample(range(len(rows)), rest)
    return [*list(rows) * times, *(rows[at] for at in sorted(more))]


def _drawn(names: list[str], units: dict[str, list[Demonstration]], share: float, rng: random.Random) -> set[str]:
    """Return units of one label with as many rows together as its share, or just below."""
    wished = share * sum(len(units[name]) for name in names)
    order = sorted(names)
    rng.shuffle(order)
    taken: set[str] = set()
    for name in order:
        if len(units[name]) <= wished + 1e-9:
            taken.add(name)
            wished -= len(units[name])
    return taken
