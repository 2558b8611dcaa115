"""A finished run as the page reads it: its record, the texts of its samples, and pages of its outcomes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant import paths
from assistant.errors import DataError
from assistant.web.run_state import read_json

PAGE = 20
"""Samples shown at once."""
UNREADABLE = "unreadable"
ANY = ""

_MOST_OPEN = 3

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """Which samples of one row of the leaderboard are listed."""

    row: int = 0
    kind: str = "all"
    """`all`, `right`, `wrong`, `unreadable` or `kept-out`."""
    target: str = ANY
    answer: str = ANY
    page: int = 0


class OpenedRun:
    """The record of one run, and what has to be looked up in it."""

    def __init__(self, record: Record, inputs: Mapping[str, Mapping[str, str]]) -> None:
        self.record = record
        self.rows: Sequence[Record] = record.get("results") or []
        self.inputs = inputs
        self._outcomes: dict[tuple[str, str], list[Record]] = {}
        for outcome in record.get("samples") or ():
            self._outcomes.setdefault((outcome["strategy"], outcome["reading"]), []).append(outcome)
        self._calibrated: dict[int, list[Record]] = {}

    @property
    def labels(self) -> Sequence[str]:
        """Return the task's labels; none if it is answered in free text."""
        return (self.record.get("task") or {}).get("labels") or []

    def row(self, number: int) -> Record:
        """Return a row of the leaderboard; the first, if there is none of that number."""
        return self.rows[number if 0 <= number < len(self.rows) else 0]

    def outcomes(self, number: int) -> Sequence[Record]:
        """Return the outcomes behind a row of the leaderboard, as that row reads them."""
        row = self.row(number)
        own = self._outcomes.get((row["strategy"], row["reading"]), [])
        if row.get("calibration", "none") == "none" or not own:
            return own
        if number not in self._calibrated:
            self._calibrated[number] = _calibrated(own, row["calibration"])
        return self._calibrated[number]

    def chosen(self, choice: Choice) -> list[Record]:
        """Return the outcomes that a choice lets through; where nothing is right or wrong, the worst first."""
        found = [one for one in self.outcomes(choice.row) if _fits(one, choice)]
        if any(one["correct"] is None for one in found):
            found.sort(key=lambda one: one["score"])
        return found

    def outcome(self, number: int, sample: str, seed: int) -> Record | None:
        """Return one outcome of a row, if it is there."""
        return next((one for one in self.outcomes(number) if one["id"] == sample and one["seed"] == seed), None)

    def flipped(self, one: int, other: int) -> list[tuple[Record, Record]]:
        """Return the outcomes of samples on which two rows score differently, as pairs of the same seed.

        Where answers are right or wrong, these are the samples that one alone has right; the widest gap comes first.
        """
        known: dict[str, list[Record]] = {}
        for outcome in self.outcomes(other):
            known.setdefault(outcome["id"], []).append(outcome)
        pairs = []
        for outcome in self.outcomes(one):
            partners = known.get(outcome["id"], [])
            of_seed = [each for each in partners if each["seed"] == outcome["seed"]]
            partner = next(iter(of_seed or partners), None)
            if partner is not None and _value(outcome) != _value(partner):
                pairs.append((outcome, partner))
        return sorted(pairs, key=lambda pair: -abs(_value(pair[0]) - _value(pair[1])))

    def text(self, sample: str) -> Mapping[str, str]:
        """Return the inputs of a sample; empty if the run does not know them."""
        return self.inputs.get(sample, {})


class RunShelf:
    """The runs that were looked at last, read from disk once; large ones take a second to read."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[str, int], OpenedRun] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, name: str) -> OpenedRun:
        """Return the run of that name.

        Raises:
            DataError: if it has no record yet, or one that cannot be read.
            SettingError: if that cannot be a name.
        """
        folder = paths.runs() / paths.checked_name(name, "evaluation")
        with self._lock:
            try:
                key = (str(folder), (folder / "run.json").stat().st_mtime_ns)
            except OSError as error:
                raise DataError(f"The run '{name}' has no figures yet.") from error
            if key not in self._open:
                self._open[key] = _read(folder)
            self._open.move_to_end(key)
            while len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)
            return self._open[key]


def cut(found: Sequence[Any], page: int) -> tuple[int, int, Sequence[Any]]:
    """Return (page, pages, what stands on that page); a page beyond the end is the last."""
    pages = max(1, -(-len(found) // PAGE))
    at = min(max(page, 0), pages - 1)
    return at, pages, found[at * PAGE : (at + 1) * PAGE]


def _read(folder: Path) -> OpenedRun:
    record = read_json(folder / "run.json")
    if not isinstance(record.get("results"), list):
        raise DataError(f"The record of the run '{folder.name}' cannot be read.", "Evaluate again.")
    samples: Iterable[Record] = read_json(folder / "plan.json").get("samples") or ()
    return OpenedRun(record, {one["id"]: one["inputs"] for one in samples})


def _value(outcome: Record) -> float:
    return float(outcome["score"] if outcome["correct"] is None else outcome["correct"])


def _fits(outcome: Record, choice: Choice) -> bool:
    if choice.target != ANY and choice.target not in outcome["targets"]:
        return False
    if choice.answer != ANY and (outcome["final_answer"] or UNREADABLE) != choice.answer:
        return False
    if choice.kind == "unreadable":
        return outcome["final_answer"] is None
    if choice.kind == "kept-out":
        return bool(outcome["excluded"])
    if choice.kind in ("right", "wrong"):
        return outcome["correct"] is (choice.kind == "right")
    return True


def _calibrated(outcomes: Sequence[Record], calibration: str) -> list[Record]:
    from assistant.evaluation.metrics.calibration import calibrated
    from assistant.evaluation.outcomes import Outcome

    return [one.to_json() for one in calibrated([Outcome.from_json(one) for one in outcomes], calibration)]
