"""Working through the cells: each is kept when it is done, so that whatever ends the process loses one cell at most."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from threading import Event

from assistant.answering import Assistant
from assistant.evaluation.curves.answers import Worker
from assistant.evaluation.curves.cells import Cell, Scored
from assistant.evaluation.curves.experiment import Experiment
from assistant.evaluation.curves.trained import decides
from assistant.evaluation.curves.ways import STATIC
from assistant.evaluation.running.progress import DONE, RUNNING, STOPPED, ArmProgress, Progress, Report
from assistant.evaluation.studies.study import Memory

CELLS = "cells.jsonl"


def run_cells(
    experiment: Experiment, assistant: Assistant | None, *, stop: Event, report: Report | None = None
) -> dict[Cell, Scored]:
    """Return what came out for every cell, in their order; after a stop only for those that are done.

    What was done before, by the same command or by one with other rows, methods or seeds, is not repeated.

    Raises:
        RunProblem: if another process works on it.
        ShotwiseError: for whatever cannot be trained or asked; finished cells are kept.
    """
    memory = Memory(experiment.folder / CELLS)
    clock = _Clock(experiment.cells, experiment, report)
    worker = Worker(experiment, stop, clock.say, assistant)
    found: dict[Cell, Scored] = {}
    for cell in experiment.cells:
        source = _source(cell, experiment)
        key = source.key(decides(source, experiment))
        kept = memory.get(key)
        if kept is None:
            clock.begin(cell)
            scored = None if stop.is_set() else worker.done(source)
            if scored is None:
                clock.end(STOPPED, "Stopped; the same command goes on.")
                return found
            memory.put(key, [scored.to_json()])
            kept = [scored.to_json()]
        found[cell] = replace(Scored.from_json(kept[0]), rows=cell.rows)
        clock.finished(cell, found[cell])
    clock.end(DONE, "Done.")
    return found


def _source(cell: Cell, experiment: Experiment) -> Cell:
    """Return the cell whose outcome is that of this one: fixed demonstrations are the first k rows of any draw."""
    return replace(cell, rows=experiment.settings.k) if cell.method == STATIC else cell


class _Clock:
    """Tells progress: how many cells are done, what is being done, and about how long the rest takes."""

    def __init__(self, cells: Sequence[Cell], experiment: Experiment, report: Report | None) -> None:
        self._cells, self._report = cells, report
        self._test = len(experiment.material.test)
        self._begun = self._since = time.perf_counter()
        self._done: dict[Cell, float] = {}
        self._taken: dict[str, tuple[float, int]] = {}
        """Method → seconds of the cells that this process did, and their rows, shown and answered."""
        self._now: Cell | None = None

    def begin(self, cell: Cell) -> None:
        """Take note that a cell is begun."""
        self._now, self._since = cell, time.perf_counter()
        self.say("")

    def finished(self, cell: Cell, scored: Scored) -> None:
        """Take note of what came out for a cell."""
        if self._now == cell:
            seconds, rows = self._taken.get(cell.method, (0.0, 0))
            self._taken[cell.method] = (seconds + time.perf_counter() - self._since, rows + self._work(cell))
            self._now = None
        self._done[cell] = scored.mean
        self._tell(RUNNING, f"{cell.words}: {scored.mean:.1%}")

    def say(self, words: str) -> None:
        """Tell what is being done in the cell at hand."""
        if self._now is not None:
            self._tell(RUNNING, f"{self._now.words}: {words}".removesuffix(": "))

    def end(self, state: str, sentence: str) -> None:
        """Tell that nothing more is done."""
        self._tell(state, sentence)

    def _work(self, cell: Cell) -> int:
        return cell.rows + self._test

    def _left(self) -> float | None:
        """Return the seconds that are left at each method's own pace, or at that of all where it has none yet."""
        if not self._taken:
            return None
        spent, rows = sum(one[0] for one in self._taken.values()), sum(one[1] for one in self._taken.values())
        pace = {method: seconds / count for method, (seconds, count) in self._taken.items()}
        left = (cell for cell in self._cells if cell not in self._done)
        return sum(self._work(cell) * pace.get(cell.method, spent / rows) for cell in left)

    def _tell(self, state: str, sentence: str) -> None:
        if self._report is None:
            return
        seconds = time.perf_counter() - self._begun
        left = self._left() if state == RUNNING else None
        self._report(
            Progress(state, sentence, len(self._done), len(self._cells), round(seconds, 1), left, self._arms())
        )

    def _arms(self) -> tuple[ArmProgress, ...]:
        """Return one line per method: how many of its cells are done, and their mean."""
        rows: dict[str, list[Cell]] = {cell.method: [] for cell in self._cells}
        for cell in self._cells:
            rows[cell.method].append(cell)
        found = []
        for method, cells in rows.items():
            means = [self._done[cell] for cell in cells if cell in self._done]
            mean = sum(means) / len(means) if means else None
            found.append(ArmProgress(method, len(means), len(cells), mean))
        return tuple(found)
