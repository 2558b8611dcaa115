"""From records of evaluations to figures: shares with intervals, and paired differences.

A column that was asked under several namings counts each naming as one draw: its figure is the mean
over them, and the interval says how much other namings (and other demonstrations) might change it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from assistant.evaluation.demo_table.parts import Check
from assistant.evaluation.outcomes import Outcome
from assistant.evaluation.running.checks import one_label
from assistant.evaluation.statistics.intervals import Interval, bootstrap, two_way_bootstrap, wilson
from assistant.evaluation.statistics.paired import compare_arms, seed_table

Record = Mapping[str, Any]
Scores = Mapping[str, Mapping[int, float]]
"""Sample id → draw (a seed or a naming) → right or wrong, or the mean of a naming's seeds."""
REACHED, MISSED = "reached", "missed"


@dataclass(frozen=True)
class Figure:
    """A share, or the difference of two (−1…1), with its 95 % interval."""

    value: float
    interval: Interval
    n: int
    """Samples, however often each was asked."""


@dataclass(frozen=True)
class Column:
    """What the evaluations of one column came to, one record for each naming."""

    records: tuple[Record, ...]
    _cached: dict[str, list[list[Outcome]]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def arms(self) -> tuple[str, ...]:
        """Return the strategies and baselines that answered, in the order of the plan."""
        return tuple(dict.fromkeys(row["strategy"] for row in self.records[0]["results"]))

    @property
    def n(self) -> int:
        """Return how many samples were asked."""
        return int(self.records[0]["data"]["n"])

    def seeds(self, arm: str) -> int:
        """Return with how many seeds an arm answered."""
        return len({one.seed for one in self.outcomes(arm)[0]})

    def outcomes(self, arm: str) -> list[list[Outcome]]:
        """Return the outcomes of an arm under each naming."""
        if arm not in self._cached:
            self._cached[arm] = [
                [Outcome.from_json(one) for one in record["samples"] if one["strategy"] == arm]
                for record in self.records
            ]
        return self._cached[arm]

    def scores(self, arm: str) -> Scores:
        """Return what an arm got for each sample: by seed, or of several namings by naming."""
        found: dict[str, dict[int, float]] = {}
        for number, outcomes in enumerate(self.outcomes(arm)):
            by_sample: dict[str, dict[int, float]] = {}
            for one in outcomes:
                by_sample.setdefault(one.sample, {})[one.seed] = float(bool(one.correct))
            for sample, of_seeds in by_sample.items():
                own = found.setdefault(sample, {})
                own |= {number: _mean(list(of_seeds.values()))} if len(self.records) > 1 else of_seeds
        return found

    def sticks(self, arm: str) -> bool:
        """Return whether an arm names the same label whatever the row, under each naming."""
        labels = self.records[0]["task"]["labels"]
        return all(one_label(outcomes, labels) for outcomes in self.outcomes(arm))

    def groups(self) -> dict[str, str]:
        """Return sample id → group."""
        return {one["id"]: one["group"] for one in self.records[0]["samples"]}


Columns = Mapping[str, Column]
"""Run → its column."""


def share(column: Column, arm: str) -> Figure:
    """Return how many of its samples an arm answered right."""
    scores = column.scores(arm)
    draws = sorted({draw for of_sample in scores.values() for draw in of_sample})
    table = seed_table(list(scores.values()), draws)
    names = column.groups()
    groups = [names[sample] for sample in scores]
    grouped = groups if any(groups) else None
    if len(draws) == 1 and grouped is None:
        return Figure(float(table.mean()), wilson(float(table.sum()), table.size), table.size)
    return Figure(float(table.mean()), two_way_bootstrap(table, grouped), table.shape[1])


def difference(check: Check, columns: Columns) -> Figure:
    """Return how much more of the same samples the one arm answered right than the other."""
    column, other = columns[check.run], columns[check.over_run or check.run]
    scores = {"other": other.scores(check.over or check.arm), "arm": column.scores(check.arm)}
    (found,) = compare_arms("other", scores, groups=column.groups(), binary=True)
    return Figure(found.difference, found.interval, found.n)


def measured(check: Check, columns: Columns) -> Figure | None:
    """Return the figure that a check is about, or None if it was not asked."""
    if check.run not in columns or (check.over_run or check.run) not in columns:
        return None
    return difference(check, columns) if check.is_difference else share(columns[check.run], check.arm)


def unreadable(columns: Sequence[Column]) -> Figure | None:
    """Return the share of written replies that could not be read, all columns together; None if none was written."""
    outcomes = [
        (f"{at} {one.sample}", one.final_answer is None)
        for at, column in enumerate(columns)
        for arm in column.arms
        for of_naming in column.outcomes(arm)
        for one in of_naming
        if one.reading == "generate"
    ]
    if not outcomes:
        return None
    return share_of([failed for _, failed in outcomes], [sample for sample, _ in outcomes])


def share_of(flags: Sequence[bool], groups: Sequence[str]) -> Figure:
    """Return the share of flags that are set; those of one group resemble each other."""
    values = [float(flag) for flag in flags]
    return Figure(_mean(values), bootstrap(values, groups=groups), len(values))


def verdict(check: Check, figure: Figure) -> str:
    """Return whether the bar is reached, or by how much it is missed; empty where there is none."""
    if not check.has_bar:
        return ""
    percent = round(100 * figure.value, 9)  # 0.7 is 70 %, whatever floats make of it
    missing = max(
        0.0 if check.least is None else check.least - percent,
        0.0 if check.most is None else percent - check.most,
        0.0 if check.near is None else abs(percent - 50) - check.near,
    )
    if missing > 0:
        return f"{MISSED} by {_in_points(missing)}"
    if check.certain and not (figure.value > 0 and figure.interval.excludes(0.0)):
        return f"{MISSED}: the interval includes 0"
    return REACHED


def _in_points(missing: float) -> str:
    said = f"{missing:.1f}"
    return "less than 0.1 points" if said == "0.0" else f"{said} {'point' if said == '1.0' else 'points'}"


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
