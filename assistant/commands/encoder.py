"""`encoder …`: fine-tune the sentence encoder for a task's similarity, and say what that changes."""

from __future__ import annotations

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
from assistant.settings import RetrievalSettings

if TYPE_CHECKING:
    from assistant.finetuning.encoders.training import SavedEncoder

encoder_app = typer.Typer(help="Sentence encoders fine-tuned on your rows, for retrieval.")
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


@encoder_app.command("train")
@grouped
def train(
    source: Source,
    name: Annotated[str, typer.Option(help="Under which it is kept.", show_default=False)],
    *,
    learning: EncoderOptions,
    rows: RowOptions,
    k: Annotated[int, typer.Option("--k", "-k", help="Rows that vote when its effect is measured.")] = (
        RetrievalSettings.k
    ),
    resume: Resume = False,
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Fine-tune an encoder on labelled texts or pairs, and measure the vote of the nearest rows before and after."""
    from assistant.evaluation.training.neighbours import effect_on_neighbours
    from assistant.evaluation.training.rows import read_parts
    from assistant.finetuning.classifiers.base import find_base
    from assistant.finetuning.classifiers.training import Paused
    from assistant.finetuning.encoders.training import add_effect, check_free, train_encoder

    settings = learning.settings()
    check_free(name, replace=replace)
    find_base(settings.encoder)
    parts = read_parts(rows.wanted(source))
    say_parts(parts)
    with stop_signal() as stop, TrainingBar(name) as bar:
        trained = train_encoder(
            parts.training_rows(), settings, name, resume=resume, replace=replace, stop=stop, tell=bar.tell
        )
    if isinstance(trained, Paused):
        say_stopped(trained.step, trained.steps, ["encoder", "train", source, "--name", name])
        raise typer.Exit(STOPPED)
    say(f"Measuring the vote of the {k} nearest on {len(parts.test):,} rows that it has not seen …")
    with build_bars() as bars:
        both = (settings.encoder, str(trained.folder))
        effect = effect_on_neighbours(name, both, parts.train, parts.test, parts.task, k=k, report=bars)
    add_effect(name, {source: effect})
    told = "\n".join((*_about(trained), "", *_effect(source, effect)))
    show_json({"name": name, "folder": str(trained.folder), "effect": effect}) if as_json else show(told)


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
    cells = []
    for when in ("before", "after"):
        low, high = effect[when]["accuracy_interval"]
        cells.append((when, f"{effect[when]['accuracy']:.1%} ({low:.1%} to {high:.1%})"))
    return [
        f"The vote of the {effect['k']} nearest of {effect['rows']:,} rows on {effect['n']:,} rows of {source}:",
        table(("encoder", "accuracy (95 % interval)"), cells),
        f"Difference, paired: {_points(effect)}, {effect['verdict']}.",
    ]
