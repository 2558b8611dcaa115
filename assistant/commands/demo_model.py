"""`demo-model …`: how the built-in model is made, and what it can do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assistant.commands.demo_table import table
from assistant.commands.terminal import show

demo_app = typer.Typer(help="The built-in demo model.")
demo_app.command("table")(table)


@demo_app.command("train")
def train(
    data: Annotated[Path, typer.Option(help="Folder of the public data sets.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Where to save it [default: inside the package].")] = None,
    start: Annotated[Path | None, typer.Option(help="A trained demo model to go on from.")] = None,
    tokens: Annotated[int | None, typer.Option(help="Training tokens in all.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, episodes and order.")] = None,
) -> None:
    """Train the demo model; goes on from the last checkpoint if there is one."""
    from assistant.finetuning.demo_model import DemoSettings, train_demo_model

    given = {"tokens": tokens, "learning_rate": learning_rate, "seed": seed}
    settings = DemoSettings.changed({name: value for name, value in given.items() if value is not None})
    show(f"Saved in {train_demo_model(data, out, settings, start)}.")
