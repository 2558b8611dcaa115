"""Which samples are evaluated: those of a known data set, a file or a hub data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from assistant.data import BadRow, Fields, guess_fields, open_source
from assistant.errors import DataError, SettingError
from assistant.evaluation.outcomes import Sample
from assistant.evaluation.sets.datasets import SEED, LoadedSet, data_set_names, load_dataset
from assistant.evaluation.sets.samples import read_samples
from assistant.prompting.tasks import Task, load_task
from assistant.settings import EvaluationSettings, ModelSettings, RetrievalSettings, SamplingSettings


@dataclass(frozen=True)
class Wanted:
    """What a person asks to be evaluated; empty and None stand for what fits."""

    source: str
    """A known data set's name, a file, or a hub id."""
    task: str | None = None
    strategies: tuple[str, ...] = ()
    classifiers: tuple[str, ...] = ()
    """Saved classifiers that answer too."""
    ask_model: bool = True
    """Whether a language model is asked at all."""
    index: str | None = None
    reading: str | None = None
    baseline: str | None = None
    label_names: tuple[str, ...] = ()
    calibrations: tuple[str, ...] = ()
    wording: str = "default"
    name: str | None = None
    data_dir: str | None = None
    split: str | None = None
    inputs: tuple[str, ...] = ()
    output: str | None = None
    id: str | None = None
    group: str | None = None
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    retrieval: RetrievalSettings = field(default_factory=RetrievalSettings)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    model: ModelSettings | None = None
    """The model that will be asked: samples that it, or its adapter, has learnt from are left out."""


@dataclass(frozen=True)
class Found:
    """The samples, and where they and their demonstrations come from."""

    task: Task
    samples: tuple[Sample, ...]
    facts: dict[str, Any]
    notes: tuple[str, ...] = ()
    loaded: LoadedSet | None = None
    group_column: str = ""


def found_samples(wanted: Wanted) -> Found:
    """Return the samples that are wanted and where they come from.

    Raises:
        ShotwiseError: if there are none, or none that could be scored.
    """
    known = wanted.source in data_set_names()
    data = _known_set(wanted) if known else _table(wanted)
    if data.task.metric == "none":
        raise SettingError(
            f"Answers to the task '{data.task.name}' are neither right nor wrong, and have no score.",
            "Choose a task with a metric; see: shotwise task list",
        )
    if not data.samples:
        raise DataError(f"'{wanted.source}' has no samples to answer.")
    notes = [*data.notes, *_one_label_note(data)]
    if len(data.samples) < wanted.evaluation.limit:
        notes.append(f"All {len(data.samples)} samples that there are were drawn.")
    return replace(data, samples=tuple(map(_stripped, data.samples)), notes=tuple(notes))


def left_out(count: int) -> str:
    """Return how many of the samples that were drawn are not measured on."""
    return "1 sample was left out" if count == 1 else f"{count} samples were left out"


def _one_label_note(data: Found) -> tuple[str, ...]:
    """Return what has to be said of samples that are all of one label: whoever always says it is always right."""
    labels = {sample.targets for sample in data.samples}
    if not data.task.labels or len(labels) > 1 or len(data.samples) < 2:
        return ()
    label = data.samples[0].targets[0]
    return (f"All {len(data.samples)} samples are '{label}': no accuracy here tells strategies apart.",)


def _stripped(sample: Sample) -> Sample:
    """Return the sample as a task takes a message apart: without spaces around its texts."""
    return replace(sample, inputs={name: text.strip() for name, text in sample.inputs.items()})


def _known_set(wanted: Wanted) -> Found:
    columns = (wanted.inputs, wanted.output, wanted.id, wanted.group)
    if any(columns):
        raise SettingError(
            f"The columns of the data set '{wanted.source}' are known.",
            "Leave out --input, --output, --id and --group.",
        )
    loaded = load_dataset(wanted.source, wanted.data_dir)
    if wanted.task is not None and load_task(wanted.task).name != loaded.task.name:
        raise SettingError(
            f"The data set '{wanted.source}' belongs to the task '{loaded.task.name}', not to '{wanted.task}'.",
            "Leave out --task, or name the file.",
        )
    part = wanted.split or "test"
    if part == "train":
        raise SettingError("Demonstrations are taken from the training part.", "Choose --split dev or test.")
    facts = {
        "source": wanted.source,
        "sha256": dict(loaded.fingerprints),
        "split": part,
        "draw_seed": loaded.seed,
        "terms": loaded.data.terms,
        "note": " ".join(loaded.notes),
    }
    samples = loaded.part(part)[: wanted.evaluation.limit]
    return Found(loaded.task, samples, facts, loaded.notes, loaded, loaded.group_column)


def _table(wanted: Wanted) -> Found:
    if wanted.task is None:
        raise SettingError(
            f"Which task is '{wanted.source}' for?",
            f"Say it with --task, or name a known data set: {', '.join(data_set_names())}.",
        )
    task = load_task(wanted.task)
    source = open_source(wanted.source, wanted.split)
    fields = _fields(wanted, task, source.columns)
    bad: list[BadRow] = []
    samples = read_samples(source, fields, task, limit=wanted.evaluation.limit, seed=SEED, bad=bad)
    notes: tuple[str, ...] = ()
    if bad:
        notes = (f"{len(bad)} rows of {source.name} were skipped; the first: line {bad[0].line}, {bad[0].reason}.",)
    facts = {
        "source": wanted.source,
        "sha256": source.fingerprint,
        "split": wanted.split or "",
        "draw_seed": SEED,
        "note": " ".join(notes),
    }
    return Found(task, tuple(samples), facts, notes, group_column=wanted.group or "")


def _fields(wanted: Wanted, task: Task, columns: Callable[[], Sequence[str]]) -> Fields:
    guessed = None if wanted.inputs and wanted.output else guess_fields(columns(), task.fields)
    inputs = wanted.inputs or (guessed.inputs if guessed else ())
    output = wanted.output or (guessed.output if guessed else None)
    return Fields(inputs, output, None, wanted.id, wanted.group)
