"""`demo-model train`: how the built-in model is made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assistant.commands.terminal import show

demo_app = typer.Typer(help="The built-in demo model.")


@demo_app.callback()
def _demo_model() -> None:
    """Keep `train` a command of its own: typer folds a lone one into its group."""


@demo_app.command("train")
def train(
    data: Annotated[Path, typer.Option(help="Folder of the public data sets.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Where to save it [default: inside the package].")] = None,
) -> None:
    """Train the demo model from scratch; goes on from the last checkpoint if there is one."""
    from assistant.finetuning.demo_model import train_demo_model

    show(f"Saved in {train_demo_model(data, out)}.")
