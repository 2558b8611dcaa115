"""The parts of the table as data: sections, the evaluations they need, and the bars they are held against."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from assistant.errors import UnknownName
from assistant.prompting.strategies import find_strategy
from assistant.prompting.templates import checked_keys, read_toml
from assistant.settings import READINGS, RetrievalSettings

FILE = Path(__file__).with_name("parts.toml")
SEED_STRIDE = 10
"""More seeds than a table has: each naming draws demonstrations of its own, so that namings are independent."""


@dataclass(frozen=True)
class Section:
    """A part of the table."""

    name: str
    title: str
    about: str


@dataclass(frozen=True)
class Run:
    """A column: rows that some strategies answer under one set of label names, or under several."""

    name: str
    part: str
    title: str
    source: str
    """A known data set, or rows that are made for the table (see `rows.py`)."""
    strategies: tuple[str, ...]
    reading: str = "labels"
    rows: int = 200
    """Asked at most."""
    k: int = RetrievalSettings.k
    max_new_tokens: int = 16
    baselines: bool = False
    """Whether the rows without a language model stand beside."""
    label_names: tuple[str, ...] = ()
    words: bool = False
    """Whether it is asked once under each of the namings that say nothing."""
    adapter: bool = False
    """Whether the model is asked with its adapter."""
    only_with_adapter: bool = False
    first_seed: int = 0

    @property
    def needs_adapter(self) -> bool:
        """Return whether it is left out where no adapter was named."""
        return self.adapter or self.only_with_adapter


@dataclass(frozen=True)
class Check:
    """A figure, or a difference of two (`arm` less `over`), and the bar it must reach, if there is one.

    Bars are in percent, or in points for a difference; `near` is a distance from 50 %.
    """

    part: str
    title: str
    run: str
    arm: str
    over: str = ""
    over_run: str = ""
    least: float | None = None
    most: float | None = None
    near: float | None = None
    certain: bool = False
    """Whether the interval of the difference must exclude 0 too."""

    @property
    def is_difference(self) -> bool:
        """Return whether two arms are compared."""
        return bool(self.over or self.over_run)

    @property
    def has_bar(self) -> bool:
        """Return whether there is something to reach."""
        return any(bar is not None for bar in (self.least, self.most, self.near))


@dataclass(frozen=True)
class Parts:
    """The whole table before anything is asked."""

    sections: tuple[Section, ...]
    runs: tuple[Run, ...]
    checks: tuple[Check, ...]
    namings: tuple[tuple[str, ...], ...] = field(default=())
    """Names that say nothing, for two labels."""

    def expanded(self, run: Run) -> tuple[Run, ...]:
        """Return the evaluations that a run comes to: one, or one for each naming that says nothing."""
        if not run.words:
            return (run,)
        return tuple(
            replace(run, label_names=names, first_seed=SEED_STRIDE * at, name=f"{run.name}-{at}")
            for at, names in enumerate(self.namings, start=1)
        )


@functools.cache
def load_parts(path: Path = FILE) -> Parts:
    """Return the parts as the file has them.

    Raises:
        PromptError: if the file has keys that nobody knows.
        UnknownName: if it names a part, a run or a strategy that does not exist.
    """
    table = read_toml(path)
    checked_keys(path, table, ("words", "parts", "runs", "checks"), ("parts", "runs", "checks"))
    parts = Parts(
        sections=tuple(_entry(path, Section, one, ("name", "title", "about")) for one in table["parts"]),
        runs=tuple(_entry(path, Run, one, ("name", "part", "title", "source", "strategies")) for one in table["runs"]),
        checks=tuple(_entry(path, Check, one, ("part", "title", "run", "arm")) for one in table["checks"]),
        namings=tuple(_namings(path, table.get("words", ()))),
    )
    _check_names(path, parts)
    return parts


def _entry(path: Path, kind: type[Any], table: Mapping[str, Any], needed: tuple[str, ...]) -> Any:
    checked_keys(path, table, tuple(kind.__dataclass_fields__), needed)
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in table.items()})


def _namings(path: Path, tables: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Yield the pairs that are drawn, and those that are written down."""
    for words in tables:
        checked_keys(path, words, ("from", "pairs", "seed", "written"), ())
        chosen = random.Random(f"words {words.get('seed', 0)}").sample(words.get("from", []), 2 * words.get("pairs", 0))
        yield from (tuple(chosen[at : at + 2]) for at in range(0, len(chosen), 2))
        yield from (tuple(pair) for pair in words.get("written", ()))


def _check_names(path: Path, parts: Parts) -> None:
    """Refuse names that do not exist before anything is asked."""
    sections, runs = {one.name for one in parts.sections}, {one.name: one for one in parts.runs}
    for name in (*(run.part for run in parts.runs), *(check.part for check in parts.checks)):
        _known(f"part in {path.name}", name, sections)
    for run in parts.runs:
        _known("reading", run.reading, READINGS)
        for name in run.strategies:
            find_strategy(name)
    for check in parts.checks:
        for name, arm in ((check.run, check.arm), (check.over_run or check.run, check.over or check.arm)):
            _known(f"run in {path.name}", name, runs)
            _known(f"strategy of the run '{name}'", arm, runs[name].strategies)


def _known(kind: str, name: str, known: Any) -> None:
    if name not in known:
        raise UnknownName(kind, name, known)
