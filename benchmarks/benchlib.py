"""What the benchmarks share.

Ratios that mean something on a busy machine: interleaved rounds, CPU time, ratio within the round. And cells: long
measurements in pieces, each kept in a file of its own, so that the same command goes on where the last one ended.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


def one_thread() -> None:
    """Keep every library to one thread; to be called before torch, numpy or faiss are imported."""
    for name in THREAD_VARIABLES:
        os.environ.setdefault(name, "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@dataclass(frozen=True)
class Measured:
    """CPU seconds per round of one variant, and its ratios to the baseline of the same round."""

    name: str
    seconds: tuple[float, ...]
    speedups: tuple[float, ...]

    def row(self, unit: str, amount: float) -> str:
        """Return a Markdown row: name, rate, seconds, median ratio with its range."""
        median = statistics.median(self.seconds)
        low, middle, high = min(self.speedups), statistics.median(self.speedups), max(self.speedups)
        return f"| {self.name} | {amount / median:,.1f} {unit} | {median:.3f} | {middle:.2f} [{low:.2f}, {high:.2f}] |"


def interleaved(
    variants: Mapping[str, Callable[[], object]], baseline: str, rounds: int = 5, seed: int = 0
) -> Sequence[Measured]:
    """Return each variant measured in every round, in random order within the round, after a warm-up."""
    draw = random.Random(seed)
    taken: dict[str, list[float]] = {name: [] for name in variants}
    for variant in variants.values():
        variant()
    for _ in range(rounds):
        for name in draw.sample(sorted(variants), len(variants)):
            started = time.process_time()
            variants[name]()
            taken[name].append(time.process_time() - started)
    return [
        Measured(
            name,
            tuple(seconds),
            tuple(base / own for base, own in zip(taken[baseline], seconds, strict=True)),
        )
        for name, seconds in taken.items()
    ]


def table(title: str, unit: str, amount: float, measured: Sequence[Measured]) -> str:
    """Return the measurements as a Markdown table; ratio > 1 is faster than the baseline."""
    head = f"### {title}\n\n| variant | rate | CPU s | speed relative to the baseline |\n|---|---|---|---|\n"
    return head + "\n".join(one.row(unit, amount) for one in measured) + "\n"


def line(cells: Sequence[str]) -> str:
    """Return one row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def say(text: str) -> None:
    """Print talk."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Cell:
    """One training: a set, a method and a seed."""

    data: str
    method: str
    seed: int

    @property
    def name(self) -> str:
        """Return the name of its file and of what is trained."""
        return f"{self.data}-{self.method.replace(':', '-')}-{self.seed}"

    def file(self, work: Path) -> Path:
        """Return where its outcomes lie."""
        return work / f"{self.name}.json.gz"


def write_cell(path: Path, record: Mapping[str, Any]) -> None:
    """Write the outcomes of a cell whole or not at all."""
    draft = path.with_suffix(".tmp")
    with gzip.open(draft, "wt", encoding="utf-8") as stream:
        json.dump(record, stream)
    os.replace(draft, path)


def read_cell(path: Path) -> dict[str, Any]:
    """Return what `write_cell` wrote."""
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return json.load(stream)


def stop_on_request(minutes: float | None) -> threading.Event:
    """Return what is set by Ctrl-C, by SIGTERM, or after so many minutes."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if minutes:
        timer = threading.Timer(60 * minutes, stop.set)
        timer.daemon = True
        timer.start()
    return stop
