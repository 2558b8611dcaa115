"""`demo-model adapter`: how the built-in model's own adapter is made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assistant import paths
from assistant.commands.terminal import say, show
from assistant.errors import SettingError
from assistant.settings import ModelSettings


def adapter(
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the public data sets.", show_default=False)],
    base: Annotated[str, typer.Option(help="demo, or the folder of a model made here.")] = ModelSettings.model,
    out: Annotated[Path | None, typer.Option(help="Where to save it [default: inside the package].")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, episodes and order [default: the plan's].")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="At most so many steps, for a trial.")] = None,
) -> None:
    """Train the demo model's adapter for the types of questions; it takes minutes, and stopped it leaves nothing."""
    from assistant.commands.held_out import held_out_texts
    from assistant.finetuning.demo.adapter import train_demo_adapter
    from assistant.finetuning.demo.adapter_plan import load_adapter_plan
    from assistant.finetuning.demo.held_out import HeldOut
    from assistant.generation.adapters import built_in_folder

    if not data.is_dir():
        raise SettingError(f"{data} is not a folder.", "Give the folder of the public data sets with --data.")
    plan = load_adapter_plan(seed=seed, steps=steps)
    folder = paths.demo() / "model" if base == ModelSettings.model else Path(base).expanduser()
    out = out or built_in_folder()
    say("Reading what must stay out of training …")
    train_demo_adapter(data, HeldOut(held_out_texts(data).texts), plan, folder, out, say)
    show(f"Saved in {out}.")
