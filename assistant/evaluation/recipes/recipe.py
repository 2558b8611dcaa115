"""Recipes: published experiments as data, as they were run and as they should have been.

Each is one file in `prompts/recipes/`; adding a recipe is adding a file. A recipe has one or more
runs, each of which becomes a plan (see `runs.py`), or a learning curve (see `evaluation/curves`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from assistant import paths
from assistant.errors import PromptError, UnknownName
from assistant.evaluation.curves.settings import CurveSettings
from assistant.evaluation.outcomes import Arm, Outcome
from assistant.evaluation.recipes.published import claim
from assistant.evaluation.running.baselines import baselines_for
from assistant.evaluation.sets.datasets import DataSet, find_data_set
from assistant.prompting.strategies import find_strategy
from assistant.prompting.tasks import Task, load_task
from assistant.prompting.templates import checked_keys, read_toml
from assistant.settings import EvaluationSettings, RetrievalSettings, SamplingSettings

PUBLISHED_READINGS: Mapping[str, Callable[[str], bool]] = {
    "is-class-0": lambda reply: reply == "class_0",
    "has-class-0": lambda reply: "class_0" in reply,
}
"""Rule of a published parser → whether a reply is of the first label; whatever is not counted as the second."""


@dataclass(frozen=True)
class RecipeRun:
    """One evaluation of a recipe: data, strategies and how the replies are read."""

    name: str
    title: str
    data: str
    strategies: tuple[str, ...]
    readings: tuple[str, ...]
    instead: str = ""
    """The built-in data set that stands in where no folder of data sets is named, or empty."""
    optional: bool = False
    """Whether the run is left out where its data set is not at hand."""
    part: str = "test"
    ids: tuple[str, ...] = ()
    """Exactly these rows of the part's file; empty: rows are drawn."""
    limit: int = EvaluationSettings.limit
    seed: int = 13
    """Of the draw of rows."""
    seeds: int = EvaluationSettings.seeds
    """Of whatever a strategy draws by chance."""
    baselines: bool = False
    baseline: str = ""
    """Name of the arm that the others are compared with; empty: the first."""
    label_names: tuple[str, ...] = ()
    k: int = RetrievalSettings.k
    max_new_tokens: int = SamplingSettings.max_new_tokens
    roles: str = ""
    """A chat template `prompts/templates/NAME.jinja` instead of the model's own, or empty."""
    published_reading: str = ""
    """How the publication read replies (`PUBLISHED_READINGS`), reported beside our reading; or empty."""
    published: Mapping[str, str] = field(default_factory=dict)
    """Name of an arm → the published claim that stands beside it."""

    def data_set(self, *, has_folder: bool) -> DataSet | None:
        """Return the data set to use, or None if the run is left out."""
        if has_folder or (not self.instead and not self.optional):
            return find_data_set(self.data)
        return find_data_set(self.instead) if self.instead else None

    def arms(self, task: Task) -> tuple[Arm, ...]:
        """Return the arms in the order of the report, the rows without a language model first."""
        found = [Arm(name, "none") for name in baselines_for(task)] if self.baselines else []
        for strategy in self.strategies:
            for reading in self.readings:
                # Scoring labels would skip the reasoning that such a strategy is about.
                if reading != "labels" or find_strategy(strategy).reasoning != "shown":
                    found.append(Arm(strategy, reading))
        return tuple(found)


@dataclass(frozen=True)
class RecipeCurve:
    """The learning curve of a recipe: whose rows, unless a person names others, and how it is measured."""

    data: str
    instead: str
    """The built-in data set that stands in where no folder of data sets is named."""
    settings: CurveSettings


@dataclass(frozen=True)
class Recipe:
    """A published experiment, or one of our own, with what is wrong with it."""

    name: str
    title: str
    about: str
    source: str
    runs: tuple[RecipeRun, ...]
    flaws: tuple[str, ...] = ()
    compared: tuple[str, ...] = ()
    """Published claims whose outcomes are public and of the same samples: they are tested in pairs."""
    curve: RecipeCurve | None = None
    """In place of runs."""

    def claims(self) -> tuple[str, ...]:
        """Return the names of the published claims that the runs are held against, each once."""
        return tuple(dict.fromkeys(name for run in self.runs for name in run.published.values()))


_KEYS = ("title", "about", "source", "flaws", "compared", "runs", "curve")
_TUPLES = ("strategies", "readings", "ids", "label_names")
_RUN_KEYS = tuple(RecipeRun.__dataclass_fields__)
_CURVE_KEYS = ("data", "instead", *CurveSettings.__dataclass_fields__)


def recipe_names() -> tuple[str, ...]:
    """Return the names of all recipes by alphabet."""
    return tuple(sorted(path.stem for path in _folder().glob("*.toml")))


def load_recipe(name: str) -> Recipe:
    """Return the recipe `prompts/recipes/NAME.toml`.

    Raises:
        UnknownName: if there is none, or it names something that does not exist.
        PromptError: if the file cannot be used.
    """
    if name not in recipe_names():
        raise UnknownName("recipe", name, recipe_names())
    return _read_recipe(_folder() / f"{name}.toml")


def read_as_published(outcomes: list[Outcome], rule: str, task: Task) -> tuple[list[Outcome], int]:
    """Return the outcomes as a published parser would have read them, and how many unreadable ones it made up.

    That parser has a default: whatever is not the first label is the second, be it an answer or not.

    Raises:
        UnknownName: if there is no such rule.
    """
    if rule not in PUBLISHED_READINGS:
        raise UnknownName("published reading", rule, PUBLISHED_READINGS)
    first, second = task.labels
    read = []
    for one in outcomes:
        final = first if PUBLISHED_READINGS[rule](one.answer) else second
        right = final in one.targets
        read.append(replace(one, final_answer=final, problem="", correct=right, score=float(right)))
    made_up = sum(
        one.final_answer is None and new.final_answer == second for one, new in zip(outcomes, read, strict=True)
    )
    return read, made_up


def _folder() -> Path:
    return paths.prompts() / "recipes"


@functools.cache
def _read_recipe(path: Path) -> Recipe:
    table = read_toml(path)
    checked_keys(path, table, _KEYS, ("title", "about", "source", *(() if "curve" in table else ("runs",))))
    return Recipe(
        name=path.stem,
        title=table["title"],
        about=table["about"],
        source=table["source"],
        runs=tuple(_read_run(path, entry) for entry in table.get("runs", ())),
        flaws=tuple(table.get("flaws", ())),
        compared=tuple(claim(name).name for name in table.get("compared", ())),
        curve=_read_curve(path, table["curve"]) if "curve" in table else None,
    )


def _read_curve(path: Path, table: Mapping[str, Any]) -> RecipeCurve:
    checked_keys(path, table, _CURVE_KEYS, ("data", "instead"))
    for name in (table["data"], table["instead"]):
        find_data_set(name)
    return RecipeCurve(table["data"], table["instead"], CurveSettings.from_table(table))


def _read_run(path: Path, table: Mapping[str, Any]) -> RecipeRun:
    checked_keys(path, table, _RUN_KEYS, ("name", "title", "data", "strategies", "readings"))
    values: dict[str, Any] = {key: tuple(value) if key in _TUPLES else value for key, value in table.items()}
    run = RecipeRun(**values)
    _check_run(path, run)
    return run


def _check_run(path: Path, run: RecipeRun) -> None:
    """Refuse names that do not exist before anything is asked."""
    task = load_task(find_data_set(run.data).task)
    if run.instead and find_data_set(run.instead).task != task.name:
        raise PromptError(f"{path.name}: '{run.instead}' cannot stand in for '{run.data}': it has another task.")
    for name in run.strategies:
        find_strategy(name).check_fits(task)
    arms = [arm.name for arm in run.arms(task)]
    for name in (*run.published, *([run.baseline] if run.baseline else [])):
        if name not in arms:
            raise UnknownName(f"arm in {path.name}", name, arms)
    for name in run.published.values():
        claim(name)
    if run.published_reading and run.published_reading not in PUBLISHED_READINGS:
        raise UnknownName("published reading", run.published_reading, PUBLISHED_READINGS)
