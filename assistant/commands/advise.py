"""`advise`: which strategy to use for a task, from a fixed budget, as one report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assistant.commands.evaluation_board import Board
from assistant.commands.loading import load_assistant
from assistant.commands.options import Json, K, ModelOptions, grouped
from assistant.commands.running import STOPPED, PageOptions, build_bars, how_to_go_on, listed, stop_signal
from assistant.commands.terminal import say, show, show_json, table
from assistant.settings import AdviceSettings, EncoderSettings, ModelSettings, RetrievalSettings, SamplingSettings

if TYPE_CHECKING:
    from assistant.answering import Assistant
    from assistant.data import Fields
    from assistant.evaluation.advice.plan import AdvicePlan


@dataclass(frozen=True)
class RowOptions:
    """Where the rows come from."""

    task: Annotated[str | None, typer.Option(help="The task [default: that of the known data set].")] = None
    data: Annotated[str | None, typer.Option(metavar="DIR", help="Folder of public data sets.")] = None
    split: Annotated[str | None, typer.Option(help="Split of a hub data set.")] = None
    inputs: Annotated[
        list[str] | None, typer.Option("--input", metavar="FIELD", help="Input column; repeat for pairs.")
    ] = None
    output: Annotated[str | None, typer.Option(metavar="FIELD", help="Column of the label or answer.")] = None
    rationale: Annotated[str | None, typer.Option(metavar="FIELD", help="Column of the reasoning.")] = None
    identity: Annotated[str | None, typer.Option("--id", metavar="FIELD", help="Column of a unique id.")] = None
    group: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Column of a group, which is never split over dev and test.")
    ] = None

    def fields(self) -> Fields | None:
        """Return the columns that were named (those that were not are guessed), or None if none was."""
        from assistant.data import Fields

        named = Fields(tuple(self.inputs or ()), self.output, self.rationale, self.identity, self.group)
        return named if named.named() else None


@dataclass(frozen=True)
class BudgetOptions:
    """How much may be spent, and on what."""

    budget: Annotated[int, typer.Option(help="Model calls in all.")] = AdviceSettings.budget
    seconds: Annotated[
        float | None, typer.Option(help="Also stop after this time; then the clock decides how much is asked.")
    ] = None
    strategies: Annotated[
        str | None, typer.Option(help="Names, separated by commas [default: all that fit, but for controls].")
    ] = None
    baseline: Annotated[str | None, typer.Option(help="Always in the test [default: the first strategy].")] = None
    reading: Annotated[str | None, typer.Option(help="labels or generate [default: labels where there are any].")] = (
        None
    )
    index: Annotated[
        str | None, typer.Option(help="Index of demonstrations [default: built from the training part].")
    ] = None
    pool: Annotated[int, typer.Option(help="Rows of the training part that go into that index.")] = AdviceSettings.pool
    encoder: Annotated[str, typer.Option(help="default (all-MiniLM-L6-v2), toy, a local folder or a hub id.")] = (
        EncoderSettings.encoder
    )
    k: K = RetrievalSettings.k
    wording: Annotated[str, typer.Option(help="Wording of the instruction; see: shotwise task show.")] = "default"
    max_new_tokens: Annotated[int, typer.Option(help="Tokens after which a reply is cut.")] = (
        SamplingSettings.max_new_tokens
    )
    seed: Annotated[int, typer.Option(help="Of cuts, draws and sampling: the same seed gives the same advice.")] = (
        AdviceSettings.seed
    )

    def settings(self) -> AdviceSettings:
        """Return them as settings.

        Raises:
            ShotwiseError: if one is out of its range.
        """
        return AdviceSettings(
            budget=self.budget,
            seconds=self.seconds,
            strategies=listed(self.strategies),
            baseline=self.baseline or "",
            reading=self.reading or "",
            wording=self.wording,
            pool=self.pool,
            encoder=self.encoder,
            seed=self.seed,
            retrieval=RetrievalSettings(k=self.k),
            sampling=SamplingSettings(max_new_tokens=self.max_new_tokens, seed=self.seed),
        )


@grouped
def advise(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A known data set (reviews, sst2 …), a CSV, TSV, JSON Lines or Parquet file, or a hub id.",
            show_default=False,
        ),
    ],
    name: Annotated[str | None, typer.Option(help="Name of the run, to go on with it later.")] = None,
    *,
    rows: RowOptions,
    spending: BudgetOptions,
    model: ModelOptions,
    output: PageOptions,
    as_json: Json = False,
) -> None:
    """Say which strategy to use: all race on one part of the rows, the best are measured on another."""
    from assistant import paths
    from assistant.evaluation.advice.advisor import advise as carry_out
    from assistant.evaluation.advice.report import html_advice, markdown_advice
    from assistant.generation.loading import check_model

    output.check()
    spending.settings()  # what is out of its range is told before the model is loaded
    if name is not None:
        paths.checked_name(name, "advice")
    check_model(model.settings())
    assistant = load_assistant(model.settings())
    plan = _planned(source, name, rows, spending, assistant, model.settings())
    folder = paths.runs() / plan.name
    with stop_signal() as stop, Board("model calls") as board:
        record = carry_out(plan, assistant, folder, stop=stop, report=board.tell)
    if record is None:
        say(how_to_go_on(["advise", source], plan.name))
        raise typer.Exit(STOPPED)
    output.write_pages(record, html=lambda: html_advice(record), markdown=lambda: markdown_advice(record))
    show_json(record) if as_json else show(_told(record, folder))


def _planned(
    source: str,
    name: str | None,
    rows: RowOptions,
    spending: BudgetOptions,
    assistant: Assistant,
    model: ModelSettings,
) -> AdvicePlan:
    """Return the plan of what was asked for, showing a bar for an index that is built."""
    from assistant.evaluation.advice.plan import plan_advice

    with build_bars() as bars:
        return plan_advice(
            source,
            assistant,
            spending.settings(),
            task=rows.task,
            data_dir=rows.data,
            fields=rows.fields(),
            split=rows.split,
            index=spending.index,
            name=name,
            model=model,
            progress=bars,
        )


def _told(record: Mapping[str, Any], folder: Path) -> str:
    """Return the advice as it is told on a terminal."""
    from assistant.evaluation.advice.sections import sections

    result = sections(record)[0]
    found = record["recommendation"]
    return "\n".join(
        (
            found["sentence"],
            *found["more"],
            "",
            f"{result.title}:",
            table(result.heads, result.rows),
            "",
            *(
                f"- {sentence}"
                for sentence in (*record["race"]["exits"], *record["power"]["sentences"], *record["notes"])
            ),
            "",
            f"Report: {folder / 'report.html'}",
            f"Record: {folder / 'advice.json'}",
        )
    )
