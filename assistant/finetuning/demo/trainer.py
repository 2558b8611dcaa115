"""One stage of training by transformers' Trainer: checkpoints, progress, a time limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.errors import SettingError
from assistant.finetuning.demo.examples import Batches
from assistant.finetuning.demo.network import losses
from assistant.finetuning.demo.recipe import Stage


@dataclass(frozen=True)
class Pace:
    """Where training runs and when it stops to be gone on with."""

    device: str = "cpu"
    """`cpu` or `cuda`; on the latter in bf16."""
    until: float | None = None
    """Time (`time.monotonic`) at which it pauses with a checkpoint."""
    save_every: int = 250
    """Steps between checkpoints."""
    log_every: int = 50


def stage_trainer(
    network: Any, batches: Batches, stage: Stage, seed: int, folder: Path, pace: Pace, tell: Callable[[str], None]
) -> Any:
    """Return the Trainer of a stage, its checkpoints in `folder`."""
    import torch
    from transformers import TrainingArguments

    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=1,
        max_steps=stage.steps,
        learning_rate=stage.learning_rate,
        lr_scheduler_type=stage.schedule,
        warmup_steps=stage.warmup_steps,
        weight_decay=stage.weight_decay,
        adam_beta2=0.95,
        max_grad_norm=1.0,
        bf16=pace.device == "cuda",
        use_cpu=pace.device == "cpu",
        logging_steps=pace.log_every,
        save_steps=pace.save_every,
        save_total_limit=2,
        train_sampling_strategy="sequential",
        report_to="none",
        seed=seed,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        include_num_input_tokens_seen="non_padding",
        disable_tqdm=True,
    )

    def collate(one: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(values) for name, values in one[0].items()}

    kinds = _kinds()
    meanings = torch.from_numpy(batches.material.near.meanings)
    return kinds["trainer"](
        stage.meaning,
        meanings,
        model=network,
        args=arguments,
        train_dataset=batches,
        data_collator=collate,
        callbacks=[kinds["callback"](stage, pace, tell)],
    )


def _kinds() -> dict[str, Any]:
    import torch
    from transformers import Trainer, TrainerCallback
    from transformers.trainer_callback import PrinterCallback

    class StageTrainer(Trainer):  # type: ignore[misc]
        """A Trainer with the loss of the replies and of the turns' meanings."""

        def __init__(self, weight: float, meanings: torch.Tensor, **settings: Any) -> None:
            super().__init__(**settings)
            self.remove_callback(PrinterCallback)
            self._weight, self._meanings = weight, meanings

        def compute_loss(
            self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool = False, **_: object
        ) -> torch.Tensor:
            reply, meaning = losses(model, inputs, self._meanings)
            return reply + self._weight * meaning

    class Watch(TrainerCallback):  # type: ignore[misc]
        """Tells how far training is, and pauses it when its time is up."""

        def __init__(self, stage: Stage, pace: Pace, tell: Callable[[str], None]) -> None:
            self.stage, self.pace, self.tell = stage, pace, tell
            self.began, self.first = time.monotonic(), 0

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: object) -> None:
            self.began, self.first = time.monotonic(), state.global_step

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: object) -> None:
            if logs and "loss" in logs:
                pace = (time.monotonic() - self.began) / max(1, state.global_step - self.first)
                left = (self.stage.steps - state.global_step) * pace / 60
                self.tell(
                    f"{self.stage.name}: step {state.global_step:,} of {self.stage.steps:,}, "
                    f"loss {logs['loss']:.3f}, {left:.0f} min left"
                )

        def on_step_end(self, args: Any, state: Any, control: Any, **_: object) -> None:
            if self.pace.until is not None and time.monotonic() >= self.pace.until:
                control.should_save = control.should_training_stop = True

    return {"trainer": StageTrainer, "callback": Watch}


def loss_curve(trainer: Any) -> list[list[float]]:
    """Return the steps that were logged, each with its loss."""
    return [[one["step"], round(one["loss"], 4)] for one in trainer.state.log_history if "loss" in one]


def check_device(device: str) -> None:
    """Refuse a device that is not there.

    Raises:
        SettingError: if CUDA is asked for and torch sees none.
    """
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise SettingError("There is no CUDA device here.", "Leave out --device to train on the CPU.")
