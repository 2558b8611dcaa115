"""What can be evaluated, as the page's form offers it, and how the form becomes a command line."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assistant import paths
from assistant.data import Fields, guess_fields, open_source
from assistant.errors import DataError, SettingError
from assistant.prompting.strategies import find_strategy, strategies_for
from assistant.prompting.tasks import list_tasks, load_task
from assistant.settings import (
    NO_ADAPTER,
    AdviceSettings,
    EvaluationSettings,
    ModelSettings,
    RetrievalSettings,
    SamplingSettings,
)
from assistant.web import controls
from assistant.web.markup import plural

Choices = list[tuple[str, str]]

GOALS: Choices = [("Measure strategies", "evaluate"), ("Advise me: which one to use?", "advise")]
SOURCES: Choices = [("Built-in set", "built-in"), ("A file", "file"), ("A public set", "public")]
CALIBRATIONS: Choices = [
    ("contextual", "contextual"),
    ("batch", "batch"),
    ("domain PMI", "dc-pmi"),
    ("by characters", "characters"),
    ("by tokens", "tokens"),
]
READINGS: Choices = [("Generate the answer", "generate"), ("Most likely label", "labels"), ("Both", "both")]
FIRST_SET = "reviews"
LIMIT = 60
SEEDS = 3
"""Smaller than the command line's: who waits at a page wants a first picture in minutes, and can raise them there."""
_DEFAULT_STRATEGIES = ("zero-shot", "static-few-shot", "dynamic-few-shot")


@dataclass(frozen=True)
class Form:
    """The values of the form, in the order of the page."""

    goal: str = "evaluate"
    """`evaluate`: measure these strategies; `advise`: find the best within a budget."""
    source: str = "built-in"
    built_in: str = FIRST_SET
    upload: str | None = None
    path: str = ""
    input_columns: tuple[str, ...] = ()
    output_column: str = ""
    public: str = ""
    data_dir: str = ""
    task: str = "sentiment"
    index: str = ""
    adapter: str = ""
    """Name or folder; `none`: the base model; empty: what the page was started with."""
    strategies: tuple[str, ...] = _DEFAULT_STRATEGIES
    reading: str = "labels"
    limit: int = LIMIT
    seeds: int = SEEDS
    k: int = RetrievalSettings.k
    budget: int = AdviceSettings.budget
    baseline: str = ""
    calibrations: tuple[str, ...] = ()
    label_names: str = ""
    name: str = ""

    @property
    def location(self) -> str:
        """Return what is evaluated on, as the command line names it."""
        if self.source == "file":
            return self.upload or self.path.strip()
        return self.built_in if self.source == "built-in" else self.public

    def run_name(self) -> str:
        """Return the name of the run: the one given, or one made of data and time."""
        if self.name.strip():
            return paths.checked_name(self.name.strip(), "evaluation")
        stem = re.sub(r"[^A-Za-z0-9]+", "-", Path(self.location).name.split(".")[0]).strip("-")
        return f"{stem[:40] or 'run'}-{time.strftime('%m%d-%H%M%S')}"

    def title(self) -> str:
        """Return what the run is called in the list."""
        what = "advice" if self.goal == "advise" else _strategies(len(self.strategies))
        adapted = f", {Path(self.adapter).name}" if self.adapter not in ("", NO_ADAPTER) else ""
        return f"{Path(self.location).name}, {what}{adapted}"


def _strategies(count: int) -> str:
    return "1 strategy" if count == 1 else f"{count} strategies"


def public_sets() -> Choices:
    """Return (title, name) of the public data sets that are known."""
    from assistant.evaluation.sets.datasets import data_set_names, find_data_set

    known = [find_data_set(name) for name in data_set_names()]
    return [(one.title, one.name) for one in known if not one.built_in]


def built_in_sets() -> Choices:
    """Return (title, name) of the data sets that come with Shotwise."""
    from assistant.evaluation.sets.datasets import data_set_names, find_data_set

    known = [find_data_set(name) for name in data_set_names()]
    return [(one.title, one.name) for one in known if one.built_in]


def measured_tasks() -> Choices:
    """Return (title, name) of the tasks whose answers can be measured."""
    return [(task.title, task.name) for task in list_tasks() if task.metric != "none"]


def task_of(data_set: str) -> str:
    """Return the task that a known data set belongs to."""
    from assistant.evaluation.sets.datasets import find_data_set

    return find_data_set(data_set).task


def about_data(form: Form) -> tuple[str, ...]:
    """Return what a person should know of the chosen data before they wait for figures on it."""
    from assistant.evaluation.sets.datasets import find_data_set

    if form.source == "file":
        return ("CSV, TSV, JSON Lines or Parquet, one labelled row per line.",)
    if not form.location:
        return ()
    known = find_data_set(form.location)
    where = f"Found at: {known.where}" if form.source == "public" else ""
    return tuple(filter(None, (where, known.note, known.contamination)))


def strategy_choices(task: str) -> Choices:
    """Return (title, name) of the strategies that can be evaluated on the task."""
    found = load_task(task)
    return [(row.title, row.name) for row in strategies_for(found) if found.labels or not row.random_labels]


def default_strategies(task: str) -> list[str]:
    """Return the strategies that are ticked unless others are."""
    offered = {name for _, name in strategy_choices(task)}
    return [name for name in _DEFAULT_STRATEGIES if name in offered]


def readings_of(strategy: str, task: str, reading: str) -> tuple[str, ...]:
    """Return how the replies of a strategy are read: labels cannot be scored where reasoning is shown."""
    if not load_task(task).labels:
        return ("generate",)
    wished = ("generate", "labels") if reading == "both" else (reading,)
    if find_strategy(strategy).reasoning == "shown":
        return ("generate",)
    return wished


def estimate(form: Form, pace: float | None = None) -> str:
    """Return in one sentence what the evaluation will cost; `pace` is seconds per answer of an earlier run."""
    if not form.strategies:
        return "Choose at least one strategy."
    if form.goal == "advise":
        sentence = f"At most {plural(form.budget, 'call')} of the model, shared by {len(form.strategies)} strategies"
        return f"{sentence}; clear losers drop out early."
    answers, calls, rows = _counted(form)
    sentence = f"{plural(form.limit, 'sample')} × {rows} = {plural(answers, 'answer')} at most"
    if calls != answers:
        sentence += f", {calls:,} calls of the model"
    if rows > len(form.strategies):
        sentence += "; each reading counts, and what is drawn by chance is repeated with every seed"
    if pace:
        sentence += f"; {_time(answers * pace)} at the pace of the last run here, once the model is loaded"
    return f"{sentence}."


def _counted(form: Form) -> tuple[int, int, int]:
    """Return answers, calls of the model, and how often every sample is answered."""
    from assistant.evaluation.outcomes import Arm
    from assistant.evaluation.running.plan import is_random

    retrieval, sampling = RetrievalSettings(k=form.k), SamplingSettings()
    rows = calls = 0
    for name in form.strategies:
        strategy = find_strategy(name)
        for reading in readings_of(name, form.task, form.reading):
            repeats = form.seeds if is_random(Arm(name, reading), retrieval, sampling) else 1
            rows += repeats
            calls += repeats * strategy.samples * (2 if strategy.reasoning == "asked" else 1)
    return form.limit * rows, form.limit * calls, rows


def _time(seconds: float) -> str:
    from assistant.web.progress_view import duration

    return duration(seconds)


def arguments(form: Form, name: str, model: ModelSettings) -> list[str]:
    """Return the arguments of `shotwise` for this form.

    Raises:
        ShotwiseError: for a value that is missing or cannot be.
    """
    if not form.location:
        raise DataError("No data was chosen.", "Upload a file, name its path, or choose a known set.")
    if not form.strategies:
        raise SettingError("No strategy was chosen.", "Tick at least one.")
    options = {
        "task": form.task,
        "strategies": ",".join(form.strategies),
        "k": str(RetrievalSettings(k=form.k).k),
        "name": name,
        "index": form.index,
        "baseline": form.baseline,
        "data": form.data_dir.strip() if form.source == "public" else "",
        "model": model.model,
        "adapter": form.adapter or model.adapter or "",
        "dtype": model.dtype,
        "device": model.device,
        "load-in": model.load_in or "",
        **(_advice_options(form) if form.goal == "advise" else _evaluation_options(form)),
    }
    listed = [f"--{key}={value}" for key, value in options.items() if value]
    if form.source == "file":
        listed += _columns(form)
    # After the two dashes nothing is taken for an option, whatever a file is called.
    return [form.goal, *listed, "--", form.location]


def _evaluation_options(form: Form) -> dict[str, str]:
    settings = EvaluationSettings(limit=form.limit, seeds=form.seeds)
    labels = bool(load_task(form.task).labels)
    return {
        "reading": form.reading if labels else "generate",
        "limit": str(settings.limit),
        "seeds": str(settings.seeds),
        "calibration": ",".join(form.calibrations) if labels and form.reading != "generate" else "",
        "label-names": form.label_names.strip(),
    }


def _advice_options(form: Form) -> dict[str, str]:
    settings = AdviceSettings(budget=form.budget)
    scored = load_task(form.task).labels and form.reading != "generate"
    return {"budget": str(settings.budget), "reading": "labels" if scored else "generate"}


def _columns(form: Form) -> list[str]:
    output = [f"--output={form.output_column}"] if form.output_column else []
    return [*(f"--input={one}" for one in form.input_columns), *output]


def kept_upload(upload: str | None) -> str | None:
    """Return where an uploaded file is kept, so that a run can go on after the server was started anew.

    Raises:
        DataError: if it is gone, or cannot be kept.
    """
    if not upload:
        return None
    source = Path(upload)
    try:
        with source.open("rb") as stream:
            mark = hashlib.file_digest(stream, "sha256").hexdigest()[:16]
        kept = paths.runs() / ".uploads" / mark / source.name
        if not kept.is_file():
            kept.parent.mkdir(parents=True, exist_ok=True)
            _copy_whole(source, kept)
    except OSError as error:
        raise DataError(f"The upload '{source.name}' cannot be kept: {error.strerror}.", "Upload it again.") from error
    return str(kept)


def _copy_whole(source: Path, target: Path) -> None:
    """Copy a file whole or not at all, whoever else copies it at the same time."""
    number, draft = tempfile.mkstemp(dir=target.parent, prefix=".")
    os.close(number)
    try:
        shutil.copyfile(source, draft)
        os.replace(draft, target)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def columns_of(location: str, task: str) -> tuple[Sequence[str], Fields]:
    """Return the columns of a table, and which of them are most likely meant.

    Raises:
        DataError: if it cannot be read.
    """
    columns = open_source(location).columns()
    try:
        return columns, guess_fields(columns, load_task(task).fields)
    except DataError:
        return columns, Fields((), None)


def index_choices(source: str, task: str) -> Choices:
    """Return (title, name) of the indexes that demonstrations can come from."""
    own = controls.index_choices(task)
    return own if source == "file" else [("the set's own training rows", ""), *own[1:]]
