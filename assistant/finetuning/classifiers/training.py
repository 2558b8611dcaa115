"""Training a classifier: from labelled rows to a folder under `adapters/`, resumable at any moment.

While it runs, its plan, checkpoints and curve lie under `runs/classifiers/NAME`. A kill loses at most the steps
since the last checkpoint; `resume` goes on from there and ends with the weights there would have been.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from assistant import paths
from assistant.errors import DataError
from assistant.finetuning.classifiers import features, methods, network, progress, trainer
from assistant.finetuning.classifiers.base import Base, find_base, load_body, load_tokenizer, without_bars
from assistant.finetuning.classifiers.progress import Progress, Spent, Tell
from assistant.finetuning.classifiers.rows import TrainingRows, examples
from assistant.finetuning.classifiers.saved import MODEL, SavedClassifier, check_free, publish
from assistant.finetuning.classifiers.settings import ClassifierSettings
from assistant.finetuning.locking import training_in
from assistant.finetuning.marks import read_marks

_PLAN = "plan.json"
_LIBRARIES = ("shotwise", "torch", "transformers", "peft", "scikit-learn", "safetensors")


@dataclass(frozen=True)
class Paused:
    """A training that was stopped before its end, with a checkpoint to go on from, if it had learnt anything."""

    step: int
    """That is gone on from; 0: from the beginning."""
    steps: int


class _Stopped(Exception):
    """A stop that was asked for while texts were read."""


def train_classifier(
    rows: TrainingRows,
    settings: ClassifierSettings,
    name: str,
    *,
    resume: bool = False,
    replace: bool = False,
    stop: Event | None = None,
    tell: Tell | None = None,
) -> SavedClassifier | Paused:
    """Train a classifier on the rows and save it as `adapters/NAME`; return it, or where it was stopped.

    Args:
        rows: To learn from, and kept aside to see when to stop.
        settings: Model, method, lengths, learning rate …
        name: Of the classifier.
        resume: Whether to go on with a training of that name that was stopped or killed.
        replace: Whether a classifier (or a stopped training) of that name is given up for this one.
        stop: Is set when training should end with a checkpoint.
        tell: Is told how far it is.

    Raises:
        ShotwiseError: if the model, the rows or the name cannot be used, or there is nothing to resume.
    """
    # What is gone on with was begun where the name was free, or where its owner was given up.
    check_free(name, replace=replace or resume)
    base = find_base(settings.encoder)
    with training_in(work_folder(name)):
        plan = _plan(rows, settings, base)
        work = trainer.work_folder(work_folder(name), _PLAN, plan, resume=resume, replace=replace)
        return _trained(rows, settings, name, base, work, stop or Event(), tell)


def _trained(
    rows: TrainingRows, settings: ClassifierSettings, name: str, base: Base, work: Path, stop: Event, tell: Tell | None
) -> SavedClassifier | Paused:
    spent = Spent(work)
    if settings.method == methods.FEATURE_BASED:
        trained = _fit(rows, settings, base, work, stop, tell)
    else:
        trained = _train(rows, settings, base, work, stop, tell, spent)
    if isinstance(trained, Paused):
        return trained
    record = trained | _origins(rows, settings, base) | {"seconds": spent.seconds}
    learnt = rows.marks | read_marks(base.folder)
    saved = publish(work / "draft", record, learnt, name)
    shutil.rmtree(work)
    return saved


def _origins(rows: TrainingRows, settings: ClassifierSettings, base: Base) -> dict[str, Any]:
    """Return what a classifier was made of, and from what."""
    return {
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "task": rows.task,
        "fields": list(rows.fields),
        "labels": list(rows.labels),
        "settings": settings.to_json(),
        "base": base.facts(),
        "data": {**rows.facts, **_row_facts(rows)},
        "scores": {},
        "versions": {library: importlib.metadata.version(library) for library in _LIBRARIES},
    }


def _row_facts(rows: TrainingRows) -> dict[str, Any]:
    return {
        "rows": len(rows.train),
        "labels": rows.counts(),
        "dev_rows": len(rows.dev),
        "rows_sha256": rows.sha256,
    }


def _plan(rows: TrainingRows, settings: ClassifierSettings, base: Base) -> dict[str, Any]:
    """Return what decides the weights; where it is computed is not part of it."""
    decides = {name: value for name, value in settings.to_json().items() if name not in ("encoder", "device")}
    return {"settings": decides, "base": base.sha256, "rows": rows.sha256, "labels": list(rows.labels)}


def work_folder(name: str) -> Path:
    """Return where a training of that name keeps its checkpoints and its curve."""
    return paths.runs() / "classifiers" / name


def stopped_training(name: str) -> Path | None:
    """Return where a training of that name left what it has learnt so far, or None if none was stopped."""
    work = work_folder(name)
    return work if os.sep not in name and (work / _PLAN).is_file() else None


def _train(
    rows: TrainingRows,
    settings: ClassifierSettings,
    base: Base,
    work: Path,
    stop: Event,
    tell: Tell | None,
    spent: Spent,
) -> dict[str, Any] | Paused:
    """Train by gradient descent; save the best pass into the draft and return its part of the record."""
    from transformers import DataCollatorWithPadding

    tokenizer = load_tokenizer(base.folder, base.name)
    learning = network.new_network(base, tokenizer, rows.labels, settings)
    limit = network.max_tokens(learning, tokenizer, settings)
    train, dev = (
        examples(tokenizer, part, rows.fields, rows.labels, words=settings.words, max_tokens=limit)
        for part in (rows.train, rows.dev)
    )
    counts = network.parameter_counts(learning)
    collator = DataCollatorWithPadding(tokenizer)
    runner = trainer.make_trainer(learning, collator, train, dev, settings, work, stop, tell, spent)
    trainer.run(runner, settings.patience, work)
    state = runner.state
    if stop.is_set() and state.global_step < state.max_steps:
        return Paused(state.global_step, state.max_steps)
    _save(runner.model, tokenizer, base, work / "draft" / MODEL)
    cut = sum(len(one["input_ids"]) >= limit for one in train)
    return {
        "parameters": {"trained": counts[0], "all": counts[1]},
        "steps": state.global_step,
        "best": {"step": state.best_global_step, "dev_loss": state.best_metric},
        "texts_cut": {"at_tokens": limit, "training_rows": cut},
        "curve": progress.thinned(progress.read(work)),
    }


def _save(trained: Any, tokenizer: Any, base: Base, folder: Path) -> None:
    """Write the trained model as transformers or peft would, and its tokenizer."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    adapters = getattr(trained, "peft_config", None)
    with without_bars():
        if adapters:
            # Else the folder on this machine would be named, and looked into to see whether its vocabulary has grown.
            adapters["default"].base_model_name_or_path = base.public_name
            trained.save_pretrained(folder, save_embedding_layers=False)
        else:
            trained.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _fit(
    rows: TrainingRows, settings: ClassifierSettings, base: Base, work: Path, stop: Event, tell: Tell | None
) -> dict[str, Any] | Paused:
    """Fit a logistic regression on vectors; save it into the draft and return its part of the record."""
    body = load_features_body(base, settings)
    parts = [[row.inputs for row in part] for part in (rows.train, rows.dev)]
    numbers = [[rows.labels.index(row.targets[0]) for row in part] for part in (rows.train, rows.dev)]
    began = time.monotonic()

    def told(done: int, of: int) -> None:
        if stop.is_set():
            raise _Stopped
        if tell is not None:
            spent = time.monotonic() - began
            tell(Progress(done, of, 0.0, spent, (of - done) * spent / done))

    try:
        train, dev = (body.vectors(part, rows.fields, told) for part in parts)
    except _Stopped:
        # Nothing is learnt before all is read, so there is nothing to keep.
        return Paused(0, sum(map(len, parts)))
    if train.shape[1] != dev.shape[1]:
        raise DataError("Training rows and rows kept aside have vectors of different widths.")
    head, tried, best = features.fit_head(train, numbers[0], dev, numbers[1], len(rows.labels))
    folder = work / "draft" / MODEL
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    head.save(folder)
    return {
        "parameters": {
            "trained": int(head.coefficients.size + head.intercepts.size),
            "all": int(head.coefficients.size + head.intercepts.size + network.parameter_counts(body.network)[1]),
        },
        "steps": 0,
        "best": {"step": best, "dev_loss": tried[best]["dev_loss"]},
        "fit": features.facts(tried, best),
        "curve": [],
    }


def load_features_body(base: Base, settings: ClassifierSettings) -> features.Body:
    """Return the model that texts are turned into vectors by.

    Raises:
        ModelError: if it cannot be loaded, or is an encoder-decoder model.
    """
    tokenizer = load_tokenizer(base.folder, base.name)
    body = load_body(base).to(trainer.chosen_device(settings.device)).eval()
    limit = network.max_tokens(body, tokenizer, settings)
    return features.Body(body, tokenizer, limit, settings.words, 2 * settings.batch_size, settings.dtype)
