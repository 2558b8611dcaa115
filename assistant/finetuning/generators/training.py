"""Fine-tuning a language model from its rows to a folder that can be served, resumable at any moment.

Under `runs/adapter-NAME` lie the plan, the checkpoints while it runs, and how far it is. A kill
loses at most the steps since the last checkpoint; going on from there gives the same curve.
"""

from __future__ import annotations

import copy
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from assistant import paths
from assistant.errors import SettingError, ShotwiseError, TrainingError
from assistant.finetuning.generators.adapter_record import (
    Learnt,
    TrainingData,
    base_name,
    marks_of,
    plan_of,
    read_record,
    training_record,
    write_record,
)
from assistant.finetuning.generators.adapting import Counts, adapted, count_parameters, quiet_libraries, width_of
from assistant.finetuning.generators.card import card
from assistant.finetuning.generators.checkpoints import (
    Clock,
    last_checkpoint,
    remove_checkpoints,
    remove_torn,
    state_of,
    step_of,
)
from assistant.finetuning.generators.examples import Encoded, ExampleWriter, check_strategy
from assistant.finetuning.generators.learnt_tokens import logits_of_learnt_tokens
from assistant.finetuning.generators.memory import as_memory_error
from assistant.finetuning.generators.progress import DONE, FAILED, STATE_FILE, STOPPED, Report, Teller, curve_of
from assistant.finetuning.generators.settings import GeneratorSettings
from assistant.finetuning.generators.splitting import split, weighted
from assistant.finetuning.generators.trainers import Work, has_ended, new_trainer, take_up_ended
from assistant.finetuning.locking import training_in
from assistant.finetuning.marks import read_marks, write_marks
from assistant.generation.adapters import CONFIG_FILE, WEIGHTS_FILE, folder_of_new
from assistant.generation.chat_model import StopSignal
from assistant.generation.loading import Base, load_base
from assistant.prompting.tasks import load_task
from assistant.settings import ModelSettings

PLAN_FILE = "plan.json"
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Order:
    """What is to be trained."""

    name: str
    """Of the folder under `adapters/`."""
    model: str
    """`demo`, a local folder or a hub id."""
    data: TrainingData
    settings: GeneratorSettings
    resume: bool = False
    """Whether to go on with a training of this name that was not finished."""
    replace: bool = False
    """Whether to put it in the place of what has this name."""
    also: tuple[TrainingData, ...] = ()
    """Rows of further tasks that are learnt together with the first."""

    @property
    def mixture(self) -> tuple[TrainingData, ...]:
        """Return the rows of all tasks, the first one first."""
        return (self.data, *self.also)


@dataclass(frozen=True)
class Trained:
    """What a training came to."""

    folder: Path
    """The adapter's, or the model's; if it was stopped, that of the run."""
    finished: bool
    record: Mapping[str, Any]
    """As in `training.json`; empty if it was stopped."""
    step: int
    of: int


def run_folder(name: str) -> Path:
    """Return where a training of this name keeps its checkpoints and says how far it is."""
    return paths.runs() / f"adapter-{name}"


def train_generator(order: Order, stop: StopSignal, tell: Tell, report: Report | None = None) -> Trained:
    """Fine-tune a model and save what it learnt under `adapters/`; `stop` ends it after a step, with a checkpoint.

    Raises:
        SettingError: if the name cannot be one.
        TrainingError: if the name is taken, the run cannot be gone on with, or memory is too small.
        ShotwiseError: for whatever is wrong with model, rows or settings.
    """
    _check_free(order)
    for data in order.mixture:
        check_strategy(order.settings.strategy, load_task(data.task))
    run = run_folder(order.name)
    with training_in(run):
        run.mkdir(exist_ok=True)
        remove_torn(run)
        tell(f"Loading {order.model} …")
        base = load_base(_model_settings(order))
        for note in base.notes:
            tell(note)
        _check_packing(base, order.settings)
        order = replace(order, settings=order.settings.at_width(width_of(base.network)))
        plan = plan_of(base, order.mixture, order.settings)
        _keep_plan(run, plan, order)
        teller = Teller(run, report, base.network.device.type == "cuda")
        try:
            return _trained(order, base, plan, run, teller, stop, tell)
        except BaseException as error:
            why = error.sentence() if isinstance(error, ShotwiseError) else f"It broke off: {type(error).__name__}."
            teller.end(FAILED, why)
            raise


def _check_free(order: Order) -> None:
    """Check that the name is free, or may be replaced: only what is of this kind may.

    Raises:
        SettingError: if it cannot be a name.
        TrainingError: if it is taken.
    """
    out = folder_of_new(order.name)
    if not out.exists():
        return
    ours = (out / CONFIG_FILE).is_file() or bool(read_record(out))
    if not (ours or (out.is_dir() and not any(out.iterdir()))):
        raise TrainingError(f"There is something else named '{order.name}' in {out.parent}.", "Choose another --name.")
    if order.resume and not order.replace and last_checkpoint(run_folder(order.name)) is None:
        raise TrainingError(
            f"'{order.name}' is finished: there is nothing to go on with.",
            "Choose another --name, or say --replace to train it anew.",
        )
    if not order.replace:
        raise TrainingError(
            f"There is already something named '{order.name}' in {out.parent}.",
            "Choose another --name, or say --replace.",
        )


def _check_packing(base: Base, settings: GeneratorSettings) -> None:
    """Check that rows are packed only for a decoder.

    Raises:
        SettingError: if the base is an encoder-decoder.
    """
    if settings.packing and base.encoder_decoder:
        raise SettingError(
            "Rows are packed for decoders only, and this base is an encoder-decoder.", "Leave out --packing."
        )


def _trained(
    order: Order, base: Base, plan: Mapping[str, Any], run: Path, teller: Teller, stop: StopSignal, tell: Tell
) -> Trained:
    work, rows, counts = _work(order, base, run, tell)
    clock = Clock(last_checkpoint(run))
    trainer = new_trainer(work, order.settings, teller, stop, clock)
    _train(trainer, run, order.settings, teller)
    state = trainer.state
    if not has_ended(vars(state), order.settings.patience):
        teller.end(STOPPED, f"Stopped at step {state.global_step:,} of {state.max_steps:,}; it can be gone on with.")
        return Trained(run, False, {}, state.global_step, state.max_steps)
    learnt = Learnt(
        curve=curve_of(state.log_history),
        counts=counts,
        rows=rows,
        steps=state.global_step,
        tokens=int(state.num_input_tokens_seen),
        seconds=clock.seconds,
        peak_mb=teller.now.peak_mb,
    )
    record = training_record(order.name, plan, learnt)
    folder = _save(order, base, trainer.model, record)
    remove_checkpoints(run)
    teller.end(DONE, f"Saved in {folder}.")
    return Trained(folder, True, record, state.global_step, state.max_steps)


def _model_settings(order: Order) -> ModelSettings:
    """Return how the base is loaded: full fine-tuning in bf16 alone would lose small steps."""
    settings = order.settings
    dtype = "float32" if settings.dtype == "auto" and settings.method == "full" else settings.dtype
    load_in = settings.table_row.load_in
    return ModelSettings(model=order.model, dtype=dtype, device=settings.device, load_in=load_in)


def _work(order: Order, base: Base, run: Path, tell: Tell) -> tuple[Work, dict[str, Any], Counts]:
    """Return what the trainer is given, and what the record says of rows and parameters."""
    settings = order.settings
    parts = [_encoded(data, settings, base, tell) for data in order.mixture]
    rows = _row_facts(parts)
    for reason, count in rows["left_out"].items():
        tell(f"{count:,} rows {reason} are left out.")
    first = parts[0][0].examples[0]
    model = adapted(base.network, settings, encoder_decoder=base.encoder_decoder, first_ids=first.ids[: first.start])
    counts = count_parameters(model)
    tell(f"{settings.table_row.title}: {counts.words()} are learnt, from {rows['learnt']:,} rows.")
    # A copy: trl names a token to pad with, and the model's own tokenizer stays as it is.
    tokenizer = copy.deepcopy(base.renderer.tokenizer)
    train = [
        example
        for data, (part, _) in zip(order.mixture, parts, strict=True)
        for example in weighted(part.examples, data.weight, settings.seed)
    ]
    validation = [example for _, part in parts for example in part.examples]
    return Work(model, tokenizer, train, validation, base.encoder_decoder, run), rows, counts


def _encoded(data: TrainingData, settings: GeneratorSettings, base: Base, tell: Tell) -> tuple[Encoded, Encoded]:
    """Return the rows of one task to learn from, and those set apart."""
    parts = split(data.rows, settings.validation, settings.seed, by_label=bool(load_task(data.task).labels))
    context = base.context_tokens - (settings.virtual_tokens if settings.table_row.form == "soft prompt" else 0)
    writer = ExampleWriter(base.renderer, context, settings, data.task, data.index)
    train = writer.encode(parts.train, lambda done, of: tell(f"Prompts of {data.task}: {done:,} of {of:,} rows"))
    return train, writer.encode(parts.validation, needed=False)


def _row_facts(parts: Sequence[tuple[Encoded, Encoded]]) -> dict[str, Any]:
    left_out: Counter[str] = Counter()
    for one in (encoded for part in parts for encoded in part):
        left_out.update(one.left_out)
    return {
        "learnt": sum(len(train.examples) for train, _ in parts),
        "validation": sum(len(validation.examples) for _, validation in parts),
        "left_out": dict(left_out),
        "tokens_an_epoch": sum(train.tokens for train, _ in parts),
    }


def _train(trainer: Any, run: Path, settings: GeneratorSettings, teller: Teller) -> None:
    """Train from the last checkpoint, or from the beginning; a training that had ended is only taken up.

    Raises:
        TrainingError: if memory does not suffice.
    """
    checkpoint = last_checkpoint(run)
    state = {} if checkpoint is None else state_of(checkpoint)
    try:
        with quiet_libraries(), logits_of_learnt_tokens():
            if checkpoint is not None and has_ended(state, settings.patience):
                # Killed after its last step and before it was saved.
                teller.begin(state["global_step"], state["max_steps"])
                take_up_ended(trainer, checkpoint)
            else:
                trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    except (RuntimeError, MemoryError) as error:
        known = as_memory_error(error, settings)
        if known is None:
            raise
        raise known from None


def _keep_plan(run: Path, plan: Mapping[str, Any], order: Order) -> None:
    """Write the plan down; of an unfinished run, compare it with the one that is there.

    Raises:
        TrainingError: if there is an unfinished run that is not to be gone on with, or of another plan.
    """
    file = run / PLAN_FILE
    begun = last_checkpoint(run) is not None
    if begun and not (order.resume or order.replace):
        raise TrainingError(
            f"A training named '{order.name}' was not finished (step {step_of(last_checkpoint(run)):,}).",
            "Say --resume to go on with it, or --replace to begin anew.",
        )
    if begun and order.resume:
        kept = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        differing = [name for name, value in json.loads(json.dumps(plan)).items() if kept.get(name) != value]
        if differing:
            raise TrainingError(
                f"The training '{order.name}' was begun with other {' and '.join(differing)}.",
                "Give the same settings to go on with it, or say --replace to begin anew.",
            )
        return
    remove_checkpoints(run)
    (run / STATE_FILE).unlink(missing_ok=True)
    draft = run / f".{PLAN_FILE}.tmp"
    draft.write_text(json.dumps(plan), encoding="utf-8")
    os.replace(draft, file)


def _save(order: Order, base: Base, model: Any, record: Mapping[str, Any]) -> Path:
    """Write the folder whole or not at all; what it replaces goes when it is there."""
    out = paths.adapters() / order.name
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".new-", dir=out.parent) as scratch, quiet_libraries():
        new = Path(scratch) / "new"
        if order.settings.method == "full":
            _save_model(base, model, new)
        else:
            save_adapter(model, base, new)
        write_record(new, record, card(record))
        write_marks(new, marks_of(order.mixture) | read_marks(base.folder))
        if out.is_dir():
            out.rename(Path(scratch) / "old")
        new.rename(out)
    return out


def _save_model(base: Base, model: Any, folder: Path) -> None:
    """Write a whole model: weights, tokenizer and chat template."""
    model.save_pretrained(folder)
    base.renderer.tokenizer.save_pretrained(folder)


def save_adapter(model: Any, base: Base, folder: Path) -> None:
    """Write a plain PEFT folder."""
    config = model.peft_config[model.active_adapter]
    # peft would name the folder on this machine.
    config.base_model_name_or_path = base_name(base)
    # Whether embeddings changed is known here; peft would look for the base model on the hub.
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / WEIGHTS_FILE).chmod(0o644)  # safetensors lets only its owner read it
    assert (folder / CONFIG_FILE).is_file()
