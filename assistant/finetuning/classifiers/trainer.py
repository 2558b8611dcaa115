"""One training by transformers' Trainer: early stopping, the best pass kept, checkpoints, progress, a stop on request.

Checkpoints are the Trainer's own: weights as safetensors; optimizer, schedule and random state as torch files, which
are read back with `weights_only=True`, so they hold tensors and numbers and can run nothing. They lie under `runs/`,
are written and read by this program alone, and are deleted when the training is done.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any, Protocol

from assistant.errors import RunProblem, SettingError
from assistant.finetuning.classifiers import progress
from assistant.finetuning.classifiers.base import without_bars
from assistant.finetuning.classifiers.batches import trainer_of_like_lengths, uses_bfloat16
from assistant.finetuning.classifiers.progress import Progress, Spent, Tell
from assistant.finetuning.classifiers.settings import ClassifierSettings
from assistant.finetuning.locking import training_in

SAVE_EVERY_S = 60.0
"""Seconds after which a checkpoint is due; one is also written after every pass over the rows."""
_STATE = "trainer_state.json"
"""The Trainer writes it last: a checkpoint that has it is whole."""
_MOST_LINES = 2000


def make_trainer(
    network: Any,
    collator: Any,
    train: Sequence[dict[str, Any]],
    dev: Sequence[dict[str, Any]],
    settings: ClassifierSettings,
    folder: Path,
    stop: Event,
    tell: Tell | None,
    spent: Spent,
) -> Any:
    """Return the Trainer of a classifier, its checkpoints and its progress in `folder`."""
    from transformers import EarlyStoppingCallback, TrainingArguments
    from transformers.trainer_callback import PrinterCallback

    given = arguments(settings, folder, len(train), settings.dtype)
    trainer = trainer_of_like_lengths()(
        model=network,
        args=TrainingArguments(**given, remove_unused_columns=False),
        train_dataset=train,
        # Their order changes no figure, and the Trainer reads them in it.
        eval_dataset=sorted(dev, key=lambda row: len(row["input_ids"])),
        data_collator=collator,
        compute_metrics=_accuracy,
        callbacks=[EarlyStoppingCallback(settings.patience), watch(folder, stop, tell, spent)],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


class Schedule(Protocol):
    """What of a training's settings the Trainer needs."""

    @property
    def rate(self) -> float:
        """Return the highest learning rate."""

    @property
    def passes(self) -> int:
        """Return the passes over the rows at most."""

    @property
    def batch_size(self) -> int:
        """Return the rows of a step."""

    @property
    def weight_decay(self) -> float:
        """Return the weight decay of AdamW."""

    @property
    def warmup(self) -> float:
        """Return the share of steps in which the learning rate rises."""

    @property
    def seed(self) -> int:
        """Return the seed of everything that is drawn."""

    @property
    def device(self) -> str:
        """Return the device that is asked for."""


def arguments(settings: Schedule, folder: Path, rows: int, dtype: str = "auto") -> dict[str, Any]:
    """Return the arguments of a Trainer for so many rows: the pass of least loss on the rows kept aside is kept."""
    device = chosen_device(settings.device)
    steps = -(-rows // settings.batch_size) * settings.passes
    return {
        "output_dir": str(folder),
        "num_train_epochs": settings.passes,
        "per_device_train_batch_size": settings.batch_size,
        "per_device_eval_batch_size": 2 * settings.batch_size,
        "learning_rate": settings.rate,
        "weight_decay": settings.weight_decay,
        "warmup_steps": settings.warmup,
        "lr_scheduler_type": "linear",
        "bf16": uses_bfloat16(dtype, device),
        "use_cpu": device == "cpu",
        "seed": settings.seed,
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "save_total_limit": 2,
        "load_best_model_at_end": True,
        "metric_for_best_model": "loss",
        "greater_is_better": False,
        "restore_callback_states_from_checkpoint": True,
        # A line for every step, or for some and at the end of every pass: no checkpoint stands between two lines, and
        # a resumed curve is the same.
        "logging_steps": -(-steps // _MOST_LINES),
        "dataloader_pin_memory": False,
        "report_to": "none",
        "disable_tqdm": True,
    }


def watch(folder: Path, stop: Event, tell: Tell | None, spent: Spent) -> Any:
    """Return the callback that tells and writes how far a training is, saves in time, and stops on request."""
    from transformers import TrainerCallback

    eyes = _Eyes(folder, stop, tell, spent)

    class Watch(TrainerCallback):  # type: ignore[misc]
        """What the Trainer calls."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: object) -> None:
            eyes.begin(state)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: object) -> None:
            eyes.logged(state, logs or {})

        def on_step_end(self, args: Any, state: Any, control: Any, **_: object) -> None:
            eyes.step_ended(args, state, control)

        def on_epoch_end(self, args: Any, state: Any, control: Any, **_: object) -> None:
            eyes.pass_ended(control)

        def on_save(self, args: Any, state: Any, control: Any, **_: object) -> None:
            eyes.saved()

    return Watch()


def run(trainer: Any, patience: int, folder: Path) -> None:
    """Train from the beginning, or from the last whole checkpoint; the best pass is loaded in the end."""
    checkpoint = last_checkpoint(folder)
    state = {"global_step": -1} if checkpoint is None else state_of(checkpoint)
    progress.forget_after(folder, state["global_step"])
    if checkpoint is not None and _ended_early(state, patience):
        # Killed after its last step and before it was saved: no further step may be taken.
        trainer.args.max_steps = state["global_step"]
    with without_bars():
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))


def chosen_device(name: str) -> str:
    """Return the device that is used: `auto` is a CUDA GPU if there is one, else the CPU.

    Raises:
        SettingError: if the device is not there.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(name, True):
        raise SettingError(f"There is no {name} device here.", "Leave out --device to use what there is.")
    return name


def _accuracy(predicted: Any) -> dict[str, float]:
    """Return the share of right answers, for whoever watches; what decides is the loss."""
    from sklearn.metrics import accuracy_score

    return {"accuracy": float(accuracy_score(predicted.label_ids, predicted.predictions.argmax(-1)))}


class _Eyes:
    """Tells and writes how far training is, saves in time, and stops on request with a checkpoint."""

    def __init__(self, folder: Path, stop: Event, tell: Tell | None, spent: Spent) -> None:
        self._folder, self._stop, self._tell, self._spent = folder, stop, tell, spent
        self._began = self._saved = time.monotonic()
        self._first = 0
        self._paused = False

    def begin(self, state: Any) -> None:
        """Begin to measure time."""
        self._began = self._saved = time.monotonic()
        self._first = state.global_step

    def logged(self, state: Any, logs: Mapping[str, float]) -> None:
        """Tell and keep the losses."""
        if not {"loss", "eval_loss"} & set(logs):
            return
        seconds = time.monotonic() - self._began
        done = state.global_step - self._first
        line = Progress(
            step=state.global_step,
            steps=state.max_steps,
            epoch=round(state.epoch or 0.0, 4),
            seconds=round(seconds, 1),
            seconds_left=round((state.max_steps - state.global_step) * seconds / done, 1) if done else None,
            loss=_rounded(logs.get("loss")),
            dev_loss=_rounded(logs.get("eval_loss")),
            dev_accuracy=_rounded(logs.get("eval_accuracy")),
            rate=logs.get("learning_rate"),
        )
        progress.append(self._folder, line)
        if self._tell is not None:
            self._tell(line)

    def step_ended(self, args: Any, state: Any, control: Any) -> None:
        """Save where it is time, never between two lines of the curve; the end of a pass is saved anyway."""
        if state.global_step % args.logging_steps or not state.epoch % 1:
            return
        if self._stop.is_set():
            self._paused = control.should_save = control.should_training_stop = True
        elif time.monotonic() - self._saved >= SAVE_EVERY_S:
            control.should_save = True

    def pass_ended(self, control: Any) -> None:
        """End every pass with a line of the curve; but a pause within a pass must not be taken for its end.

        Evaluating there would count against patience.
        """
        if self._paused:
            control.should_evaluate = control.should_save = control.should_log = False
            return
        control.should_log = True
        if self._stop.is_set():
            control.should_training_stop = True

    def saved(self) -> None:
        """Remember when a checkpoint was written, and what it took to come there."""
        self._saved = time.monotonic()
        self._spent.keep()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)


def drop_stopped(work: Path) -> Path:
    """Delete what a stopped training left behind in its folder, and return that.

    Raises:
        TrainingError: if it is being gone on with.
    """
    with training_in(work):
        shutil.rmtree(work)
    return work


def work_folder(folder: Path, file: str, plan: dict[str, Any], *, resume: bool, replace: bool) -> Path:
    """Return the folder to train in, with the plan in its file.

    Raises:
        RunProblem: if a training was stopped there and it is not said what to do, or it was another one.
    """
    begun, name = (folder / file).is_file(), folder.name
    if resume:
        if not begun:
            raise RunProblem(f"There is no stopped training '{name}' to go on with.", "Leave out --resume.")
        if json.loads((folder / file).read_text(encoding="utf-8")) != plan:
            raise RunProblem(
                f"The stopped training '{name}' had other rows, another model or other settings.",
                "Give the same to go on, or say --replace to begin anew.",
            )
        return folder
    if begun and last_checkpoint(folder) is not None and not replace:
        raise RunProblem(
            f"A training '{name}' was stopped before its end.", "Say --resume to go on, or --replace to begin anew."
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / file).write_text(json.dumps(plan), encoding="utf-8")
    return folder


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint, or None: a kill can leave half of one."""
    numbered = [
        (int(one.name.removeprefix("checkpoint-")), one)
        for one in folder.glob("checkpoint-*")
        if one.name.removeprefix("checkpoint-").isdigit()
    ]
    return next((one for _, one in sorted(numbered, reverse=True) if state_of(one)), None)


def state_of(checkpoint: Path) -> dict[str, Any]:
    """Return what the Trainer wrote about a checkpoint; empty if it is not whole."""
    try:
        state = json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _ended_early(state: dict[str, Any], patience: int) -> bool:
    """Return whether early stopping had ended the training that a checkpoint is of."""
    kept = state.get("stateful_callbacks", {}).get("EarlyStoppingCallback", {})
    return int(kept.get("attributes", {}).get("early_stopping_patience_counter", 0)) >= patience
