"""`demo-model table`: what strategies, passages and an adapter change in the built-in model, held against its bars."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assistant.commands.evaluation_board import Board
from assistant.commands.loading import load_assistant
from assistant.commands.running import STOPPED, build_bars, how_to_go_on, stop_signal
from assistant.commands.terminal import say, show
from assistant.settings import ModelSettings

if TYPE_CHECKING:
    from assistant.answering import Assistant
    from assistant.evaluation.demo_table.report import Facts
    from assistant.evaluation.running.progress import Progress

DTYPE = "float32"
"""Number format of all figures, so that they are the same on every machine."""


def table(
    data: Annotated[str, typer.Option(metavar="DIR", help="Folder of the public data sets.", show_default=False)],
    model: Annotated[str, typer.Option(help="demo, or the folder of a model.")] = ModelSettings.model,
    adapter: Annotated[
        str | None, typer.Option(help="Its adapter: question-types, a folder, or a name under adapters/.")
    ] = None,
    rows: Annotated[
        int | None, typer.Option(help="Rows of the longest columns; others in proportion [default: 800].")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Seeds of whatever is drawn by chance [default: 3].")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda …")] = "cpu",
    write: Annotated[bool, typer.Option("--write", help="Write the table into the model's card.")] = False,
) -> None:
    """Measure what each strategy does to the demo model; the same command goes on where it was stopped."""
    from assistant.evaluation.demo_table.card import card_file, write_table
    from assistant.evaluation.demo_table.parts import load_parts
    from assistant.evaluation.demo_table.planning import ROWS, SEEDS, Conditions, plan_table
    from assistant.evaluation.demo_table.report import markdown
    from assistant.evaluation.demo_table.table import measure
    from assistant.generation.loading import check_model

    conditions, parts = (
        Conditions(data, ROWS if rows is None else rows, SEEDS if seeds is None else seeds),
        load_parts(),
    )
    settings = {False: ModelSettings(model, None, DTYPE, device), True: ModelSettings(model, adapter, DTYPE, device)}
    check_model(settings[adapter is not None])
    with build_bars() as bars:
        planned = plan_table(parts, conditions, adapter=adapter is not None, building=bars)
    loaded: dict[bool, Assistant] = {}

    def speaker(adapted: bool) -> Assistant:
        if adapted not in loaded:
            loaded[adapted] = load_assistant(settings[adapted])
        return loaded[adapted]

    with stop_signal() as stop:
        found = measure(planned, conditions, speaker, stop, _told)
    if found is None:
        say(how_to_go_on(["demo-model", "table", "--data", data]))
        raise typer.Exit(STOPPED)
    facts = _facts(settings[adapter is not None], rows, seeds, conditions.seeds)
    text = markdown(parts, found, facts)
    show(text.rstrip())
    if write:
        say(f"Written: {write_table(text, card_file(model))}")


def _told(title: str) -> Callable[[Progress], None]:
    say(f"{title}:")
    return Board().tell


def _facts(settings: ModelSettings, rows: int | None, seeds: int | None, drawn: int) -> Facts:
    """Return what holds for all figures; where folders lie on this machine is nobody's business."""
    from assistant.evaluation.demo_table.report import Facts

    words = ["shotwise", "demo-model", "table", "--data", "DIR"]
    words += ["--model", "FOLDER"] if settings.model != ModelSettings.model else []
    words += ["--adapter", _adapter_shown(settings.adapter)] if settings.adapter is not None else []
    words += ["--rows", str(rows)] if rows is not None else []
    words += ["--seeds", str(seeds)] if seeds is not None else []
    return Facts(
        date=datetime.now(UTC).date().isoformat(),
        command=shlex.join(words),
        model=Path(settings.model).name,
        machine=f"{settings.device.upper()}, {settings.dtype}",
        seeds=drawn,
        adapter=Path(settings.adapter or "").name,
    )


def _adapter_shown(adapter: str) -> str:
    from assistant.generation.adapters import BUILT_IN

    return adapter if adapter == BUILT_IN else "ADAPTER"
