"""Ratios that mean something on a busy machine: interleaved rounds, CPU time, ratio within the round."""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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
