"""`adapter compare`: a fine-tuned model against its base, on rows it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from assistant.commands.evaluation_board import Board
from assistant.commands.options import Json
from assistant.commands.running import STOPPED, how_to_go_on, stop_signal
from assistant.commands.terminal import BuildBar, say, show, show_json, table
from assistant.commands.terminal import say as say_on_stderr
from assistant.settings import READINGS, EvaluationSettings, ModelSettings, SamplingSettings

if TYPE_CHECKING:
    from assistant.evaluation.tuning.comparison import Gain


def compare(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The adapter's name, or its folder.", show_default=False)],
    source: Annotated[
        str | None, typer.Argument(metavar="[SOURCE]", help="Rows [default: held-out ones of what it was trained on].")
    ] = None,
    data: Annotated[str | None, typer.Option(metavar="DIR", help="Folder of public data sets.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The base [default: the one that is recorded].")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=2, help="Held-out rows answered, drawn evenly by label.")
    ] = EvaluationSettings.limit,
    strategy: Annotated[
        str | None, typer.Option(help="How it is asked [default: as it was trained; zero-shot on other rows].")
    ] = None,
    reading: Annotated[
        str | None, typer.Option(help=f"{' or '.join(READINGS)} [default: labels where the task has them].")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(help="Tokens after which a reply is cut.")] = (
        SamplingSettings.max_new_tokens
    ),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda …")] = ModelSettings.device,
    as_json: Json = False,
) -> None:
    """Score a fine-tuned model and its base on the same held-out rows, with a paired interval."""
    settings = ModelSettings(model=model or "", device=device)
    sampling = SamplingSettings(max_new_tokens=max_new_tokens)
    gain = compared(name, source, data, settings, limit=limit, strategy=strategy, reading=reading, sampling=sampling)
    if gain is None:
        say_on_stderr(how_to_go_on(["adapter", "compare", name]))
        raise typer.Exit(STOPPED)
    show_json(gain.to_json()) if as_json else show(gain_table([gain]))


def compared(
    name: str,
    source: str | None,
    data: str | None,
    settings: ModelSettings,
    *,
    limit: int = EvaluationSettings.limit,
    strategy: str | None = None,
    reading: str | None = None,
    sampling: SamplingSettings | None = None,
) -> Gain | None:
    """Return the comparison, with progress on stderr; None if it was stopped.

    Raises:
        ShotwiseError: for whatever cannot be loaded or asked.
    """
    import dataclasses

    from assistant.evaluation.sets.datasets import data_set_names
    from assistant.evaluation.tuning.comparison import Question, compare_with_base, default_place
    from assistant.evaluation.tuning.source import Place
    from assistant.finetuning.generators.shelf import base_of, find_tuned

    entry = find_tuned(name)
    known = source in data_set_names()
    place = Place(str(source), data_dir=data) if known else default_place(entry, data, source)
    settings = dataclasses.replace(settings, model=base_of(entry, settings.model))
    question = Question(place, settings, limit, strategy, reading, sampling or SamplingSettings())
    with stop_signal() as stop, Board() as board, BuildBar(place.name) as bar:
        gain = compare_with_base(entry, question, stop=stop, report=board.tell, building=bar.tell)
    if gain is not None and gain.left_out:
        who = f"'{entry.name}' or its base"
        say(f"{gain.left_out:,} rows were left out: {who} has learnt from them, or from their group.")
    return gain


def gain_table(gains: Sequence[Gain]) -> str:
    """Return comparisons as they are told on a terminal: percent, with 95 % intervals of the paired differences."""
    header = ("rows", "n", "measure", "base", "tuned", "difference (95 %)", "p", "in words")
    rows = [
        (
            gain.source,
            str(gain.n),
            f"{gain.metric}, {gain.strategy} ({gain.reading})",
            f"{100 * gain.base:.1f}",
            f"{100 * gain.tuned:.1f}",
            f"{100 * gain.difference:+.1f} ({100 * gain.interval[0]:+.1f} to {100 * gain.interval[1]:+.1f})",
            f"{gain.p_value:.3g}",
            gain.verdict,
        )
        for gain in gains
    ]
    return table(header, rows)
