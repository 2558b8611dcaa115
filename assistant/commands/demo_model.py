"""`demo-model …`: how the built-in model is made, and what it can do."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from assistant import paths
from assistant.commands.demo_adapter import adapter
from assistant.commands.demo_table import table
from assistant.commands.terminal import say, show
from assistant.errors import SettingError

demo_app = typer.Typer(help="The built-in demo model.")
demo_app.command("table")(table)
demo_app.command("adapter")(adapter)


@demo_app.command("train")
def train(
    data: Annotated[Path, typer.Option(help="Folder of the public data sets.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Where to save it [default: inside the package].")] = None,
    recipe: Annotated[Path | None, typer.Option(help="TOML file [default: that of the shipped model].")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, episodes and order [default: the recipe's].")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="At most so many steps per stage, for a trial.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="Pause after this time; the same command goes on.")
    ] = None,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="cuda trains in bf16.")] = "cpu",
    measured: Annotated[
        bool, typer.Option("--table", help="Then measure it and write its card, as `demo-model table --write` does.")
    ] = False,
) -> None:
    """Train the demo model, stage after stage; goes on from the last checkpoint if there is one."""
    from assistant.commands.held_out import held_out_texts
    from assistant.finetuning.demo.held_out import HeldOut
    from assistant.finetuning.demo.recipe import load_recipe
    from assistant.finetuning.demo.trainer import Pace, check_device
    from assistant.finetuning.demo.training import train_demo_model

    if not data.is_dir():
        raise SettingError(f"{data} is not a folder.", "Give the folder of the public data sets with --data.")
    check_device(device)
    plan = load_recipe(recipe, seed=seed, steps=steps)
    pace = Pace(device, None if minutes is None else time.monotonic() + 60 * minutes)
    out = out or paths.demo() / "model"
    say("Reading what must stay out of training …")
    paused = train_demo_model(data, HeldOut(held_out_texts(data).texts), plan, out, pace, say)
    if paused is None:
        show(f"Saved in {out}.")
        if measured:
            table(str(data), str(out), device=device, write=True)
    else:
        where = f"the stage '{paused.stage}' at step {paused.step:,} of {paused.steps:,}"
        show(f"Paused in {where}. The same command goes on.")
