"""The libraries' trainers, set up: trl's SFTTrainer for decoders, transformers' Seq2SeqTrainer for the others."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.finetuning.generators.adapting import quiet_libraries
from assistant.finetuning.generators.checkpoints import STATE_FILE, Clock, checkpoint_at, mark_whole
from assistant.finetuning.generators.examples import IGNORED, Example
from assistant.finetuning.generators.progress import Teller
from assistant.finetuning.generators.settings import GeneratorSettings
from assistant.generation.chat_model import StopSignal

_KEPT = 3
"""Checkpoints: the best, the last, and the one before it, for when a kill tears the last."""


@dataclass(frozen=True)
class Work:
    """What a trainer is given."""

    model: Any
    """The network, or peft's model around it."""
    tokenizer: Any
    train: Sequence[Example]
    validation: Sequence[Example]
    encoder_decoder: bool
    folder: Path
    """Of the run."""


def new_trainer(work: Work, settings: GeneratorSettings, teller: Teller, stop: StopSignal, clock: Clock) -> Any:
    """Return the trainer; `stop` makes it end after a step, with a checkpoint; each says how long it took so far."""
    import datasets
    from transformers.trainer_callback import PrinterCallback

    datasets.disable_progress_bars()
    columns = [
        datasets.Dataset.from_list([one.columns(encoder_decoder=work.encoder_decoder) for one in part])
        for part in (work.train, work.validation)
    ]
    given = {
        "model": work.model,
        "args": _on_one_device(_arguments(work, settings)),
        "train_dataset": columns[0],
        "eval_dataset": columns[1] if work.validation else None,
        "callbacks": [_telling(teller), _ending(settings.patience, stop, work.folder, clock)],
        "processing_class": work.tokenizer,
    }
    with quiet_libraries():
        trainer = _seq2seq_trainer(work, given) if work.encoder_decoder else _sft_trainer(given)
    trainer.remove_callback(PrinterCallback)
    _paced(trainer.args, settings, len(trainer.train_dataset))
    return trainer


def _on_one_device(arguments: Any) -> Any:
    """Return the arguments, further GPUs left alone: transformers would copy the model to each, which trl refuses."""
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1
    return arguments


def steps_of(settings: GeneratorSettings, lines: int) -> int:
    """Return how many steps a run over so many lines (rows, or packs of rows) has."""
    if settings.steps is not None:
        return settings.steps
    batches = math.ceil(lines / settings.batch_size)
    return max(1, math.ceil(settings.epochs * math.ceil(batches / settings.accumulation)))


def is_exhausted(history: Sequence[dict[str, Any]], patience: int) -> bool:
    """Return whether a log history has so many validations since its best that training ends."""
    losses = [one["eval_loss"] for one in history if "eval_loss" in one]
    return bool(patience and losses) and len(losses) - 1 - losses.index(min(losses)) >= patience


def has_ended(state: Mapping[str, Any], patience: int) -> bool:
    """Return whether the training whose state a checkpoint holds has no step left to take."""
    return state["global_step"] >= state["max_steps"] or is_exhausted(state["log_history"], patience)


def take_up_ended(trainer: Any, checkpoint: Path) -> None:
    """Give a trainer the state of a training that had ended, and the weights that are kept of it.

    `train` would take one step more: it asks for the end only after a step.
    """
    from transformers.trainer_callback import TrainerState

    state = trainer.state = TrainerState.load_from_json(str(checkpoint / STATE_FILE))
    best = state.best_global_step  # None if nothing was validated: then the last weights are kept
    state.best_model_checkpoint = str(checkpoint if best is None else checkpoint_at(checkpoint.parent, best))
    trainer._load_best_model()


def _sft_trainer(given: dict[str, Any]) -> Any:
    from trl import SFTTrainer

    return SFTTrainer(**given)


def _seq2seq_trainer(work: Work, given: dict[str, Any]) -> Any:
    from transformers import DataCollatorForSeq2Seq, Seq2SeqTrainer

    collator = DataCollatorForSeq2Seq(work.tokenizer, label_pad_token_id=IGNORED)
    return Seq2SeqTrainer(**given, data_collator=collator)


def _arguments(work: Work, settings: GeneratorSettings) -> Any:
    """Return the trainer's arguments. Every step is logged: a curve then does not depend on where a run broke off."""
    cuda = next(work.model.parameters()).device.type == "cuda"
    checked = bool(work.validation)
    shared = {
        "output_dir": str(work.folder),
        "max_steps": -1 if settings.steps is None else settings.steps,
        "num_train_epochs": settings.epochs,
        "per_device_train_batch_size": settings.batch_size,
        "per_device_eval_batch_size": settings.batch_size,
        "gradient_accumulation_steps": settings.accumulation,
        "learning_rate": settings.highest_rate,
        "lr_scheduler_type": "linear",
        "weight_decay": settings.weight_decay,
        "max_grad_norm": 1.0,
        "seed": settings.seed,
        "logging_steps": 1,
        "eval_strategy": "steps" if checked else "no",
        "eval_steps": 1,
        "save_steps": 1,
        "save_total_limit": _KEPT,
        "load_best_model_at_end": checked,
        "metric_for_best_model": "eval_loss" if checked else None,
        "greater_is_better": False if checked else None,
        "prediction_loss_only": True,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "bf16": cuda and _has_bf16(),
        "use_cpu": not cuda and settings.device in ("auto", "cpu"),
        "dataloader_pin_memory": cuda,
        "include_num_input_tokens_seen": "non_padding",
        "report_to": "none",
        "disable_tqdm": True,
    }
    with quiet_libraries():
        if work.encoder_decoder:
            from transformers import Seq2SeqTrainingArguments

            return Seq2SeqTrainingArguments(**shared)
        return _sft_arguments(shared, settings)


def _paced(arguments: Any, settings: GeneratorSettings, lines: int) -> None:
    """Set what depends on the number of steps, which packing has changed."""
    steps = steps_of(settings, lines)
    arguments.warmup_steps = math.ceil(settings.warmup * steps)
    arguments.eval_steps = arguments.save_steps = settings.distance(steps)


def _sft_arguments(shared: dict[str, Any], settings: GeneratorSettings) -> Any:
    from trl import SFTConfig

    own: dict[str, Any] = {"max_length": None, "dataset_kwargs": {"skip_prepare_dataset": True}}
    if settings.packing:
        own = {"max_length": settings.max_tokens, "packing": True, "eval_packing": False}
    return SFTConfig(**shared, **own)


def _has_bf16() -> bool:
    import torch

    return bool(torch.cuda.is_bf16_supported())


def _telling(teller: Teller) -> Any:
    from transformers import TrainerCallback

    class Telling(TrainerCallback):  # type: ignore[misc]
        """Tells how far training is."""

        def __init__(self) -> None:
            self.began, self.seconds, self.tokens = 0.0, 0.0, 0

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: object) -> None:
            self.tokens = int(state.num_input_tokens_seen)
            teller.begin(state.global_step, state.max_steps)

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: object) -> None:
            self.began = time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: object) -> None:
            self.seconds = time.perf_counter() - self.began

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: object) -> None:
            if logs and "loss" in logs:
                seen = int(state.num_input_tokens_seen)
                teller.step(state.global_step, float(logs["loss"]), self.seconds, seen - self.tokens)
                self.tokens = seen

        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: object) -> None:
            teller.validation(state.global_step, float(metrics["eval_loss"]))

    return Telling()


def _ending(patience: int, stop: StopSignal, folder: Path, clock: Clock) -> Any:
    from transformers import TrainerCallback

    class Ending(TrainerCallback):  # type: ignore[misc]
        """Ends training when it is stopped or gets no better, and marks checkpoints that were written to their end."""

        def on_step_end(self, args: Any, state: Any, control: Any, **_: object) -> None:
            if stop.is_set():
                control.should_save = control.should_training_stop = True

        def on_evaluate(self, args: Any, state: Any, control: Any, **_: object) -> None:
            # From the history alone, which is part of a checkpoint: a run that goes on is as patient as one in one
            # go. transformers' own early stopping remembers its count only together with the request to stop.
            if is_exhausted(state.log_history, patience):
                control.should_training_stop = True

        def on_save(self, args: Any, state: Any, control: Any, **_: object) -> None:
            mark_whole(checkpoint_at(folder, state.global_step), clock.seconds)

    return Ending()
