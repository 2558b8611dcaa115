"""Cells that train: an adapter of the language model, or a classifier; going on where it was stopped."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

from assistant import paths
from assistant.evaluation.curves.cells import Cell
from assistant.evaluation.curves.experiment import Experiment
from assistant.evaluation.curves.rows import as_samples
from assistant.evaluation.curves.settings import kept_aside, planned_steps
from assistant.finetuning.classifiers.rows import TrainingRows
from assistant.finetuning.classifiers.saved import CARD, SavedClassifier, open_classifier
from assistant.finetuning.classifiers.settings import ClassifierSettings
from assistant.finetuning.classifiers.training import Paused, stopped_training, train_classifier, work_folder
from assistant.finetuning.generators.adapter_record import TrainingData, read_record
from assistant.finetuning.generators.adapting import quiet_libraries
from assistant.finetuning.generators.checkpoints import last_checkpoint
from assistant.finetuning.generators.methods import find_method
from assistant.finetuning.generators.settings import GeneratorSettings
from assistant.finetuning.generators.shelf import find_tuned
from assistant.finetuning.generators.splitting import split
from assistant.finetuning.generators.training import Order, run_folder, train_generator
from assistant.settings import ModelSettings

Tell = Callable[[str], None]
_PASSES = 3.0
"""Of an adapter over its rows."""


@dataclass(frozen=True)
class Learnt:
    """What a training came to, and what it cost."""

    seconds: float
    """Of CPU."""
    interrupted: bool
    parameters: int
    size_mb: float
    steps: int


def decides(cell: Cell, experiment: Experiment) -> dict[str, Any]:
    """Return, as plain data, what else decides a cell: how it learns, or how many demonstrations it shows."""
    if cell.way.kind == "adapter":
        settings = generator_settings(cell, experiment).to_json()
    elif cell.way.kind == "classifier":
        settings = {**classifier_settings(cell, experiment).to_json(), "repeats": _repeats(cell, experiment)}
    else:
        settings = {"k": experiment.settings.k} if cell.rows else {}
    return {name: value for name, value in settings.items() if name != "device"}


def saved_name(cell: Cell, experiment: Experiment) -> str:
    """Return the name of what is trained for a cell: trained by other settings, it is another."""
    settings = json.dumps(decides(cell, experiment), sort_keys=True)
    return cell.name(f"{experiment.mark}-{hashlib.sha256(settings.encode()).hexdigest()[:6]}")


def generator_settings(cell: Cell, experiment: Experiment) -> GeneratorSettings:
    """Return how the language model learns from the rows of a cell."""
    own = GeneratorSettings(method=cell.way.method)
    return replace(
        own,
        rank=own.rank if cell.rank is None else cell.rank,
        steps=planned_steps(experiment.settings.steps, _learning_rows(cell), own.batch_size, _PASSES),
        validation=kept_aside(cell.rows),
        seed=cell.seed,
        device=experiment.model.device,
        dtype=experiment.model.dtype,
    )


def classifier_settings(cell: Cell, experiment: Experiment) -> ClassifierSettings:
    """Return how a classifier learns from the rows of a cell, each of which stands `_repeats` times in a pass."""
    own = ClassifierSettings(method=cell.way.method)
    passes = max(1, min(own.passes, round(_steps(cell, experiment) * own.batch_size / _learning_rows(cell))))
    return replace(own, epochs=passes if own.passes else None, seed=cell.seed, device=experiment.model.device)


def _repeats(cell: Cell, experiment: Experiment) -> int:
    """Return how often each row stands in one pass, so that few rows are learnt from in steps enough."""
    own = ClassifierSettings(method=cell.way.method)
    wished = _steps(cell, experiment) * own.batch_size
    return max(1, round(wished / (own.passes * _learning_rows(cell)))) if own.passes else 1


def _steps(cell: Cell, experiment: Experiment) -> int:
    own = ClassifierSettings(method=cell.way.method)
    return planned_steps(experiment.settings.steps, _learning_rows(cell), own.batch_size, own.passes)


def _learning_rows(cell: Cell) -> int:
    return max(1, round(cell.rows * (1 - kept_aside(cell.rows))))


def train_adapter(cell: Cell, experiment: Experiment, stop: Event, tell: Tell) -> Learnt | None:
    """Fine-tune the language model on a cell's rows; None if it was stopped, with a checkpoint.

    Raises:
        ShotwiseError: for whatever is wrong with the model or the rows.
    """
    name, material = saved_name(cell, experiment), experiment.material
    there = bool(read_record(paths.adapters() / name))  # it was killed after the training, before its answers
    interrupted = there or last_checkpoint(run_folder(name)) is not None
    began = time.process_time()
    if not there:
        rows = material.draw(cell.rows, cell.seed)
        data = TrainingData(material.task.name, rows, material.facts, group_column=material.group_column)
        settings = generator_settings(cell, experiment)
        order = Order(name, experiment.model.model, data, settings, resume=True, replace=True)
        if not train_generator(order, stop, lambda text: None, lambda now: tell(now.sentence)).finished:
            return None
    entry = find_tuned(name)
    steps = int(read_record(entry.folder)["steps"])
    return Learnt(time.process_time() - began, interrupted, int(entry.trainable or 0), entry.size_mb, steps)


def tuned_model(cell: Cell, experiment: Experiment) -> ModelSettings:
    """Return what loads the fine-tuned model of a cell: a whole one, or the base with its adapter."""
    entry = find_tuned(saved_name(cell, experiment))
    if entry.whole:
        return replace(experiment.model, model=str(entry.folder))
    # What was learnt beside weights in four bits belongs beside them.
    load_in = find_method(cell.way.method).load_in
    return replace(experiment.model, adapter=str(entry.folder), load_in=load_in)


def learn_classifier(cell: Cell, experiment: Experiment, stop: Event, tell: Tell) -> Learnt | None:
    """Train a classifier on a cell's rows; None if it was stopped, with a checkpoint.

    Raises:
        ShotwiseError: for whatever is wrong with the rows.
    """
    name = saved_name(cell, experiment)
    there, begun = (paths.adapters() / name / CARD).is_file(), work_folder(name).is_dir()
    began = time.process_time()
    saved = open_classifier(name) if there else _learnt(cell, experiment, name, stop, tell)
    if saved is None:
        return None
    seconds = time.process_time() - began
    size = sum(file.stat().st_size for file in saved.model_folder.rglob("*.safetensors")) / 1e6
    record = saved.record
    return Learnt(seconds, begun or there, int(record["parameters"]["trained"]), size, int(record["steps"]))


def _learnt(cell: Cell, experiment: Experiment, name: str, stop: Event, tell: Tell) -> SavedClassifier | None:
    with quiet_libraries():
        trained = train_classifier(
            _training_rows(cell, experiment),
            classifier_settings(cell, experiment),
            name,
            resume=stopped_training(name) is not None,
            stop=stop,
            tell=lambda now: tell(now.sentence),
        )
    return None if isinstance(trained, Paused) else trained


def _training_rows(cell: Cell, experiment: Experiment) -> TrainingRows:
    material, task = experiment.material, experiment.material.task
    parts = split(material.draw(cell.rows, cell.seed), kept_aside(cell.rows), cell.seed)
    train = as_samples(parts.train) * _repeats(cell, experiment)
    dev, column = as_samples(parts.validation), material.group_column
    return TrainingRows(task.name, task.fields, task.labels, train, dev, material.facts, column)
