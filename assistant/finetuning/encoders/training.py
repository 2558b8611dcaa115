"""Training a sentence encoder by sentence-transformers' own trainer: from labelled rows to a folder under `adapters/`.

The folder is sentence-transformers' own (safetensors), with `encoder.json` beside it that says what it learnt from;
`shotwise index build --encoder FOLDER` takes it. Checkpoints lie under `runs/encoders/NAME`.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from assistant import paths
from assistant.errors import ClassifierError, ModelError
from assistant.evaluation.outcomes import Sample
from assistant.finetuning.classifiers import progress, trainer
from assistant.finetuning.classifiers.base import Base, find_base, quiet_loading
from assistant.finetuning.classifiers.progress import Spent, Tell
from assistant.finetuning.classifiers.rows import TrainingRows
from assistant.finetuning.classifiers.training import Paused
from assistant.finetuning.encoders.losses import Loss
from assistant.finetuning.encoders.rows import columns, loss_for
from assistant.finetuning.encoders.settings import EncoderTraining
from assistant.finetuning.locking import training_in
from assistant.finetuning.marks import read_marks
from assistant.retrieval.encoders import TAUGHT

CARD = TAUGHT
_PLAN = "plan.json"
_LIBRARIES = ("shotwise", "torch", "transformers", "sentence-transformers", "safetensors")


@dataclass(frozen=True)
class SavedEncoder:
    """An encoder that was trained here."""

    folder: Path
    record: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Return its name: that of its folder."""
        return self.folder.name

    def unlearnt(self, samples: Sequence[Sample], group_column: str = "") -> tuple[Sample, ...]:
        """Return the samples that it has not learnt from, nor from rows of their group."""
        marks = read_marks(self.folder)
        return tuple(one for one in samples if not marks.know(one, group_column))


def train_encoder(
    rows: TrainingRows,
    settings: EncoderTraining,
    name: str,
    *,
    resume: bool = False,
    replace: bool = False,
    stop: Event | None = None,
    tell: Tell | None = None,
) -> SavedEncoder | Paused:
    """Fine-tune an encoder on the rows and save it as `adapters/NAME`; return it, or where it was stopped.

    Raises:
        ShotwiseError: if the encoder, the rows or the name cannot be used, or there is nothing to resume.
    """
    folder = check_free(name, replace=replace or resume)
    base, loss = find_base(settings.encoder), loss_for(rows, settings)
    run = work_folder(name)
    with training_in(run):
        plan = _plan(rows, settings, base, loss)
        work = trainer.work_folder(run, _PLAN, plan, resume=resume, replace=replace)
        return _trained(rows, settings, (base, loss), work, folder, stop or Event(), tell)


def _trained(
    rows: TrainingRows,
    settings: EncoderTraining,
    begun: tuple[Base, Loss],
    work: Path,
    folder: Path,
    stop: Event,
    tell: Tell | None,
) -> SavedEncoder | Paused:
    base, loss = begun
    spent = Spent(work)
    model = _load(base, settings)
    window = model.max_seq_length
    model.max_seq_length = min(settings.max_tokens, window or settings.max_tokens)
    runner = _trainer(model, rows, loss, settings, work, stop, tell, spent)
    trainer.run(runner, settings.patience, work)
    state = runner.state
    if stop.is_set() and state.global_step < state.max_steps:
        return Paused(state.global_step, state.max_steps)
    # Long texts are embedded in windows of the base's own length, whatever was read of them in training.
    model.max_seq_length = window
    record = _origins(rows, settings, base, loss) | {
        "name": folder.name,
        "seconds": spent.seconds,
        "steps": state.global_step,
        "best": {"step": state.best_global_step, "dev_loss": state.best_metric},
        "curve": progress.thinned(progress.read(work)),
        "effect": {},
    }
    _publish(model, record, work / "draft", folder)
    shutil.rmtree(work)
    return SavedEncoder(folder, record)


def encoder_names() -> tuple[str, ...]:
    """Return the names of all encoders under adapters/."""
    return tuple(sorted(card.parent.name for card in paths.adapters().glob(f"*/{CARD}")))


def open_encoder(name: str) -> SavedEncoder:
    """Return an encoder under adapters/ with its card.

    Raises:
        ClassifierError: if there is none, or its card cannot be read.
    """
    folder = paths.adapters() / name
    if name not in encoder_names():
        known = ", ".join(encoder_names())
        raise ClassifierError(
            f"There is no encoder '{name}' that was trained here.",
            f"There are: {known}." if known else "Train one: shotwise encoder train SOURCE --name NAME",
        )
    try:
        record = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ClassifierError(f"{CARD} of the encoder '{name}' cannot be read: {error}.", "Train it again.") from error
    return SavedEncoder(folder, record)


def work_folder(name: str) -> Path:
    """Return where a training of that name keeps its checkpoints and its curve."""
    return paths.runs() / "encoders" / name


def stopped_training(name: str) -> Path | None:
    """Return where a training of that name left what it has learnt so far, or None if none was stopped."""
    work = work_folder(name)
    return work if os.sep not in name and (work / _PLAN).is_file() else None


def delete_encoder(name: str) -> Path:
    """Delete an encoder under adapters/ and return where it was.

    Raises:
        ClassifierError: if there is no such encoder.
    """
    if name not in encoder_names():
        open_encoder(name)
    folder = paths.adapters() / name
    shutil.rmtree(folder)
    return folder


def add_effect(name: str, effect: Mapping[str, Any]) -> None:
    """Write what an encoder changed into its card, by what it was measured on.

    Raises:
        ClassifierError: if there is no such encoder.
    """
    saved = open_encoder(name)
    _write_card(saved.folder, {**saved.record, "effect": {**saved.record.get("effect", {}), **effect}})


def check_free(name: str, *, replace: bool) -> Path:
    """Return the folder in which an encoder of that name will lie.

    Raises:
        SettingError: if the name cannot be one.
        ClassifierError: if something is there that must not be, or may not be without `replace`, replaced.
    """
    folder = paths.adapters() / paths.checked_name(name, "encoder")
    if folder.exists() and not (folder / CARD).is_file():
        raise ClassifierError(f"There is something else named '{name}' under adapters/.", "Choose another --name.")
    if folder.exists() and not replace:
        raise ClassifierError(
            f"There is an encoder '{name}' already.", "Choose another --name, or say --replace to train it anew."
        )
    return folder


def _origins(rows: TrainingRows, settings: EncoderTraining, base: Base, loss: Loss) -> dict[str, Any]:
    """Return what an encoder was made of, and from what."""
    return {
        "format": 1,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "task": rows.task,
        "loss": {"name": loss.name, "class": loss.kind},
        "settings": settings.to_json(),
        "base": base.facts(),
        "data": {**rows.facts, "rows": len(rows.train), "dev_rows": len(rows.dev), "rows_sha256": rows.sha256},
        "trained_on": (rows.marks | read_marks(base.folder)).to_json(),
        "versions": {library: importlib.metadata.version(library) for library in _LIBRARIES},
    }


def _plan(rows: TrainingRows, settings: EncoderTraining, base: Base, loss: Loss) -> dict[str, Any]:
    decides = {key: value for key, value in settings.to_json().items() if key not in ("encoder", "device")}
    return {"settings": decides | {"loss": loss.name}, "base": base.sha256, "rows": rows.sha256}


def _load(base: Base, settings: EncoderTraining) -> Any:
    from sentence_transformers import SentenceTransformer
    from transformers import set_seed

    set_seed(settings.seed)
    try:
        with quiet_loading():
            model = SentenceTransformer(
                str(base.folder),
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True},
                device=trainer.chosen_device(settings.device),
            )
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        raise ModelError(f"The encoder '{base.name}' cannot be loaded: {error}") from error
    # No card is written, so no examples for one are drawn from the rows.
    model.model_card_data.generate_widget_examples = False
    return model.float()


def _trainer(
    model: Any,
    rows: TrainingRows,
    loss: Loss,
    settings: EncoderTraining,
    work: Path,
    stop: Event,
    tell: Tell | None,
    spent: Spent,
) -> Any:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer import losses
    from transformers import EarlyStoppingCallback
    from transformers.trainer_callback import PrinterCallback

    train, dev = (Dataset.from_dict(dict(columns(rows, part, loss, settings))) for part in (rows.train, rows.dev))
    arguments = trainer.arguments(settings, work, len(train))
    # A loss that compares within a batch means another thing in another size.
    arguments |= {"batch_sampler": loss.sampler, "per_device_eval_batch_size": settings.batch_size}
    runner = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(**arguments),
        train_dataset=train,
        eval_dataset=dev,
        loss=getattr(losses, loss.kind)(model),
        callbacks=[EarlyStoppingCallback(settings.patience), trainer.watch(work, stop, tell, spent)],
    )
    runner.remove_callback(PrinterCallback)
    return runner


def _publish(model: Any, record: Mapping[str, Any], draft: Path, folder: Path) -> None:
    """Write the encoder whole, then move it to its place; an old one of that name goes when the new one is there."""
    shutil.rmtree(draft, ignore_errors=True)
    with quiet_loading():
        model.save_pretrained(str(draft), create_model_card=False)
    _write_card(draft, record)
    folder.parent.mkdir(parents=True, exist_ok=True)
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    shutil.move(draft, folder)
    shutil.rmtree(old, ignore_errors=True)


def _write_card(folder: Path, record: Mapping[str, Any]) -> None:
    draft = folder / f".{CARD}.tmp"
    draft.write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, folder / CARD)
