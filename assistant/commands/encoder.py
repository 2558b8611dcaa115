"""`encoder …`: train, evaluate, list, show, delete fine-tuned sentence encoders, and say what they change."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assistant.commands.options import Json, grouped
from assistant.commands.running import STOPPED, build_bars, stop_signal
from assistant.commands.terminal import say, show, show_json, table
from assistant.commands.training_options import Replace, Resume, RowOptions, Source, TrainingBar, say_parts, say_stopped
from assistant.finetuning.classifiers.settings import DEVICES
from assistant.finetuning.encoders.losses import LOSSES
from assistant.finetuning.encoders.settings import EncoderTraining
from assistant.settings import ModelSettings, RetrievalSettings

if TYPE_CHECKING:
    from assistant.evaluation.training.rows import Parts
    from assistant.finetuning.encoders.training import SavedEncoder

encoder_app = typer.Typer(help="Sentence encoders fine-tuned on your rows, for retrieval.")
Name = Annotated[str, typer.Argument(metavar="NAME", help="The encoder's name.", show_default=False)]
_LOSSES = ", ".join(f"{one.name} (of {one.rows})" for one in LOSSES.values())


@dataclass(frozen=True)
class EncoderOptions:
    """Which encoder learns, and how."""

    encoder: Annotated[str, typer.Option(help="default (all-MiniLM-L6-v2), a local folder or a hub id.")] = (
        EncoderTraining.encoder
    )
    loss: Annotated[str | None, typer.Option(help=f"What is drawn together [default: by the rows]: {_LOSSES}.")] = (
        EncoderTraining.loss
    )
    alike: Annotated[str | None, typer.Option(metavar="LABEL", help="Of pairs: the label that means alike.")] = (
        EncoderTraining.alike
    )
    max_tokens: Annotated[int, typer.Option(help="Tokens read of a text while training.")] = EncoderTraining.max_tokens
    words: Annotated[int | None, typer.Option(help="Words read of each text [default: all].")] = EncoderTraining.words
    learning_rate: Annotated[float, typer.Option(help="The highest.")] = EncoderTraining.rate
    batch_size: Annotated[int, typer.Option(help="Texts or pairs per step.")] = EncoderTraining.batch_size
    epochs: Annotated[int, typer.Option(help="Passes over the rows at most.")] = EncoderTraining.passes
    patience: Annotated[int, typer.Option(help="Passes without a lower loss on the rows kept aside, then stop.")] = (
        EncoderTraining.patience
    )
    seed: Annotated[int, typer.Option(help="Of pairs, dropout and the rows' order.")] = EncoderTraining.seed
    device: Annotated[str, typer.Option(help=f"One of: {', '.join(DEVICES)}.")] = EncoderTraining.device

    def settings(self) -> EncoderTraining:
        """Return them as settings.

        Raises:
            ShotwiseError: if one is out of its range.
        """
        values = dict(vars(self))
        return EncoderTraining(rate=values.pop("learning_rate"), passes=values.pop("epochs"), **values)


@dataclass(frozen=True)
class EffectOptions:
    """On what the effect of an encoder is measured."""

    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Rows that vote, or are shown.")] = RetrievalSettings.k
    few_shot: Annotated[
        int, typer.Option(min=0, help="Held-out rows that a model answers, the nearest rows shown; 0: none.")
    ] = 100
    model: Annotated[str, typer.Option(help="The model: demo, scripted, a local folder or a hub id.")] = (
        ModelSettings.model
    )

    def check(self) -> None:
        """Refuse a model that cannot be asked, before anything is learnt: all but its weights is read.

        Raises:
            ShotwiseError: saying what is wrong.
        """
        from assistant.generation.loading import load_prompt_model

        RetrievalSettings(k=self.k)
        if self.few_shot:
            load_prompt_model(ModelSettings(model=self.model))


@encoder_app.command("train")
@grouped
def train(
    source: Source,
    name: Annotated[str, typer.Option(help="Under which it is kept.", show_default=False)],
    *,
    learning: EncoderOptions,
    rows: RowOptions,
    measured: EffectOptions,
    resume: Resume = False,
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Fine-tune an encoder on labelled texts or pairs; say what the nearest rows are worth before and after."""
    from assistant.evaluation.training.rows import read_parts, without_learnt
    from assistant.finetuning.classifiers.base import find_base
    from assistant.finetuning.classifiers.training import Paused
    from assistant.finetuning.encoders.training import check_free, train_encoder

    settings = learning.settings()
    check_free(name, replace=replace or resume)
    base = find_base(settings.encoder)
    measured.check()
    parts = without_learnt(read_parts(rows.wanted(source)), base)
    say_parts(parts)
    with stop_signal() as stop, TrainingBar(name) as bar:
        trained = train_encoder(
            parts.training_rows(), settings, name, resume=resume, replace=replace, stop=stop, tell=bar.tell
        )
    if isinstance(trained, Paused):
        say_stopped(trained.step, trained.steps, ["encoder", "train", source, "--name", name])
        raise typer.Exit(STOPPED)
    effect = _measured(trained, source, parts, measured)
    told = "\n".join((*_about(trained), "", *_effect(source, effect)))
    show_json({"name": name, "folder": str(trained.folder), "effect": effect}) if as_json else show(told)


@encoder_app.command("evaluate")
@grouped
def evaluate(name: Name, source: Source, *, rows: RowOptions, measured: EffectOptions, as_json: Json = False) -> None:
    """Measure what the nearest rows are worth under an encoder and under the one that it was made of."""
    from dataclasses import replace

    from assistant.errors import DataError
    from assistant.evaluation.training.rows import read_parts
    from assistant.finetuning.classifiers.base import base_again
    from assistant.finetuning.encoders.training import open_encoder

    saved = open_encoder(name)
    base_again(saved.record["base"], f"The encoder '{name}'")
    measured.check()
    parts = read_parts(rows.wanted(source))
    unseen = saved.unlearnt(parts.test, parts.group_column)
    if not unseen:
        raise DataError(f"The encoder '{name}' has learnt from every row that would be measured on.", "Name others.")
    if len(unseen) < len(parts.test):
        say(f"{len(parts.test) - len(unseen)} rows were left out: the encoder has learnt from them or their group.")
    effect = _measured(saved, source, replace(parts, test=unseen), measured)
    show_json({"name": name, "effect": effect}) if as_json else show("\n".join(_effect(source, effect)))


def _measured(saved: SavedEncoder, source: str, parts: Parts, options: EffectOptions) -> dict[str, Any]:
    """Return what an encoder changes on rows, also written into its card."""
    from assistant.commands.loading import load_assistant
    from assistant.evaluation.training.neighbours import Shown, effect_of_encoder
    from assistant.finetuning.encoders.training import add_effect

    say(f"Measuring the vote of the {options.k} nearest on {len(parts.test):,} rows that it has not seen …")
    if options.few_shot:
        say(f"… and what {options.model} answers to {min(options.few_shot, len(parts.test)):,} of them, shown these.")
    both = (saved.record["base"]["name"], str(saved.folder))
    with stop_signal() as stop, build_bars() as bars:
        assistant = load_assistant(ModelSettings(model=options.model)) if options.few_shot else None
        shown = None if assistant is None else Shown(assistant, options.few_shot, stop)
        effect = effect_of_encoder(
            saved.name, both, parts.train, parts.test, parts.task, k=options.k, shown=shown, report=bars
        )
    if effect is None:
        say(f"Stopped; the encoder is kept. Measure it: shotwise encoder evaluate {saved.name} {source}")
        raise typer.Exit(STOPPED)
    add_effect(saved.name, {source: effect})
    return effect


@encoder_app.command("list")
def list_all(as_json: Json = False) -> None:
    """List all encoders that were trained here."""
    from assistant.finetuning.encoders.training import encoder_names, open_encoder

    found = [open_encoder(name) for name in encoder_names()]
    if as_json:
        show_json([dict(one.record) | {"folder": str(one.folder), "trained_on": None} for one in found])
    elif not found:
        say("No encoder was trained here yet. Train one: shotwise encoder train SOURCE --name NAME")
    else:
        header = ("encoder", "task", "loss", "rows", "effect on the vote of the nearest")
        cells = [
            (one.name, one.record["task"], one.record["loss"]["name"], f"{one.record['data']['rows']:,}", _short(one))
            for one in found
        ]
        show(table(header, cells))


@encoder_app.command("show")
def show_encoder(name: Name, as_json: Json = False) -> None:
    """Show what an encoder was made of, from what, and what it changed."""
    from assistant.finetuning.encoders.training import open_encoder

    saved = open_encoder(name)
    if as_json:
        show_json(dict(saved.record) | {"folder": str(saved.folder), "trained_on": None})
        return
    lines = _about(saved)
    passes = [line for line in saved.record["curve"] if "dev_loss" in line]
    if passes:
        cells = [(f"{line['epoch']:g}", f"{line['step']:,}", f"{line['dev_loss']:.4f}") for line in passes]
        lines += ["", table(("epoch", "step", "loss on rows kept aside"), cells)]
    for source, effect in saved.record.get("effect", {}).items():
        lines += ["", *_effect(source, effect)]
    show("\n".join(lines))


@encoder_app.command("delete")
def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask (asked only at a terminal).")] = False,
    as_json: Json = False,
) -> None:
    """Delete an encoder, or what a stopped training has learnt; indexes built by it can no longer be searched."""
    from assistant.finetuning.classifiers.trainer import drop_stopped
    from assistant.finetuning.encoders.training import delete_encoder, encoder_names, open_encoder, stopped_training

    stopped = stopped_training(name)
    kept = stopped is None or name in encoder_names()
    folder = open_encoder(name).folder if kept else stopped
    if not yes and sys.stdin.isatty() and not typer.confirm(f"Delete {folder}?", err=True):
        say("Nothing was deleted.")
        return
    if stopped is not None:
        drop_stopped(stopped)
    deleted = delete_encoder(name) if kept else folder
    show_json({"deleted": name, "folder": str(deleted)}) if as_json else show(f"Deleted {deleted}.")


def _short(one: SavedEncoder) -> str:
    effects = one.record.get("effect", {})
    return ", ".join(f"{_points(effect)} on {source}" for source, effect in effects.items()) or "–"


def _points(effect: Mapping[str, Any]) -> str:
    from assistant.evaluation.reports.words import points

    low, high = effect["interval"]
    return f"{points(effect['difference'])} points ({points(low)} to {points(high)})"


def _about(saved: SavedEncoder) -> list[str]:
    record = saved.record
    return [
        f"{saved.name}: {record['base']['public_name']}, fine-tuned for the task '{record['task']}' "
        f"by {record['loss']['class']}",
        f"data     {record['data'].get('source', '–')}: {record['data']['rows']:,} rows",
        f"folder   {saved.folder} ({record['created']}, {record['seconds']:.0f} s)",
        f"use it   shotwise index build SOURCE --name NAME --encoder {saved.folder}",
    ]


def _effect(source: str, effect: Mapping[str, Any]) -> list[str]:
    k, rows = effect["k"], effect["rows"]
    lines = _compared(f"The vote of the {k} nearest of {rows:,} rows on {effect['n']:,} rows of {source}:", effect)
    asked = effect.get("few_shot")
    if asked is None:
        return lines
    title = f"{asked['model']}, shown the {k} nearest ({asked['strategy']}), on {asked['n']:,} rows of {source}:"
    return [*lines, "", *_compared(title, asked)]


def _compared(title: str, effect: Mapping[str, Any]) -> list[str]:
    cells = []
    for when in ("before", "after"):
        low, high = effect[when]["accuracy_interval"]
        cells.append((when, f"{effect[when]['accuracy']:.1%} ({low:.1%} to {high:.1%})"))
    return [
        title,
        table(("encoder", "accuracy (95 % interval)"), cells),
        f"Difference, paired: {_points(effect)}, {effect['verdict']}.",
    ]
