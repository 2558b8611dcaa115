"""`evaluate`: which strategy answers a labelled set best, with intervals, paired tests and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assistant.commands.evaluation_board import Board, comparisons, leaderboard
from assistant.commands.loading import load_assistant
from assistant.commands.options import Json, K, ModelOptions, grouped
from assistant.commands.running import STOPPED, OutputOptions, build_bars, how_to_go_on, listed, stop_signal
from assistant.commands.terminal import say, show, show_json
from assistant.errors import SettingError
from assistant.settings import (
    ORDERS,
    SELECTORS,
    EvaluationSettings,
    GuardSettings,
    ModelSettings,
    RetrievalSettings,
    SamplingSettings,
)

if TYPE_CHECKING:
    from assistant.evaluation.running.wanted import Wanted


@dataclass(frozen=True)
class DataOptions:
    """Which rows are answered."""

    task: Annotated[str | None, typer.Option(help="The task [default: that of the known data set].")] = None
    data: Annotated[str | None, typer.Option(metavar="DIR", help="Folder of public data sets.")] = None
    split: Annotated[str | None, typer.Option(help="dev or test of a known data set; a split of a hub data set.")] = (
        None
    )
    inputs: Annotated[
        list[str] | None, typer.Option("--input", metavar="FIELD", help="Input column; repeat for pairs.")
    ] = None
    output: Annotated[str | None, typer.Option(metavar="FIELD", help="Column of the label or answer.")] = None
    identity: Annotated[str | None, typer.Option("--id", metavar="FIELD", help="Column of a unique id.")] = None
    group: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Column of a group, such as the film that is reviewed.")
    ] = None
    limit: Annotated[int, typer.Option(help="Samples answered, drawn evenly by label.")] = EvaluationSettings.limit


@dataclass(frozen=True)
class AskingOptions:
    """Who answers, and how."""

    strategies: Annotated[
        str | None,
        typer.Option(help="Names, separated by commas [default: all that fit; see: shotwise strategy list]."),
    ] = None
    classifiers: Annotated[
        list[str] | None,
        typer.Option("--classifier", metavar="NAME", help="Also a classifier trained here; repeat for several."),
    ] = None
    baseline: Annotated[
        str | None, typer.Option(help="What the others are compared with [default: the first strategy].")
    ] = None
    reading: Annotated[
        str | None, typer.Option(help="labels, generate or both [default: labels where the task has them].")
    ] = None
    calibration: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A,B,…", help="Also calibrate label scores: contextual, batch, dc-pmi, characters, tokens."
        ),
    ] = None
    label_names: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="Other names for the labels, in the task's order.")
    ] = None
    index: Annotated[
        str | None, typer.Option(help="Index of demonstrations [default: the data set's training part, or the task's].")
    ] = None
    k: K = RetrievalSettings.k
    selector: Annotated[
        str | None,
        typer.Option(help=f"How the index is searched, instead of 'nearest'. One of: {', '.join(SELECTORS)}."),
    ] = None
    order: Annotated[str, typer.Option(help=f"Order in the prompt. One of: {', '.join(ORDERS)}.")] = (
        RetrievalSettings.order
    )
    no_guard: Annotated[bool, typer.Option("--no-guard", help="Also show copies of the sample.")] = False
    wording: Annotated[str, typer.Option(help="Wording of the instruction; see: shotwise task show.")] = "default"
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = SamplingSettings.temperature
    top_p: Annotated[float, typer.Option(help="Nucleus of sampling.")] = SamplingSettings.top_p
    max_new_tokens: Annotated[int, typer.Option(help="Tokens after which a reply is cut.")] = (
        SamplingSettings.max_new_tokens
    )
    seeds: Annotated[int, typer.Option(help="Seeds of whatever is drawn by chance.")] = EvaluationSettings.seeds

    def wanted(self, source: str, name: str | None, data: DataOptions, model: ModelSettings) -> Wanted:
        """Return what is asked to be evaluated.

        Raises:
            ShotwiseError: if a setting is out of its range.
        """
        from assistant.evaluation.running.wanted import Wanted

        if self.strategies is not None and not listed(self.strategies):
            raise SettingError("No strategy was named.", "See: shotwise strategy list")
        return Wanted(
            source=source,
            task=data.task,
            strategies=listed(self.strategies),
            classifiers=tuple(self.classifiers or ()),
            index=self.index,
            reading=self.reading,
            baseline=self.baseline,
            label_names=listed(self.label_names),
            calibrations=listed(",".join(self.calibration or ())),
            wording=self.wording,
            name=name,
            data_dir=data.data,
            split=data.split,
            inputs=tuple(data.inputs or ()),
            output=data.output,
            id=data.identity,
            group=data.group,
            evaluation=EvaluationSettings(limit=data.limit, seeds=self.seeds),
            retrieval=RetrievalSettings(
                k=self.k, selector=self.selector, order=self.order, guard=GuardSettings(enabled=not self.no_guard)
            ),
            sampling=SamplingSettings(self.temperature, self.top_p, self.max_new_tokens),
            model=model,
        )


@grouped
def evaluate(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A known data set (reviews, sst2 …), a CSV, TSV, JSON Lines or Parquet file, or a hub id.",
            show_default=False,
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="Name of the run, to go on with it later [default: data and settings].")
    ] = None,
    *,
    data: DataOptions,
    asking: AskingOptions,
    model: ModelOptions,
    output: OutputOptions,
    as_json: Json = False,
) -> None:
    """Compare strategies on labelled samples, honestly; the same command again goes on where it stopped."""
    from assistant import paths
    from assistant.evaluation.running.planning import plan_evaluation, with_model
    from assistant.evaluation.running.runner import evaluate as carry_out
    from assistant.generation.loading import check_model

    output.check()
    check_model(model.settings())
    with build_bars() as bars:
        plan = plan_evaluation(asking.wanted(source, name, data, model.settings()), bars)
    assistant = load_assistant(model.settings())
    plan = with_model(plan, assistant.model)
    folder = paths.runs() / plan.name
    with stop_signal() as stop, Board() as board:
        record = carry_out(
            plan, assistant, folder, stop=stop, report=board.tell, publish=partial(publish, folder, output)
        )
    show_json(record) if as_json else show(_told(record, folder))
    if not record["finished"]:
        say(how_to_go_on(["evaluate", source], plan.name))
        raise typer.Exit(STOPPED)


def publish(folder: Path, output: OutputOptions, record: Mapping[str, Any]) -> None:
    """Write the report into the run's folder, and whatever else was asked for."""
    from assistant.evaluation.reports.report import csv_report, html_report, markdown_report
    from assistant.evaluation.running.progress import write_text

    page = html_report(record)
    write_text(folder / "report.html", page)
    output.write(record, html=lambda: page, markdown=lambda: markdown_report(record), csv=lambda: csv_report(record))


def _told(record: Mapping[str, Any], folder: Path) -> str:
    """Return the run as it is told on a terminal."""
    from assistant.evaluation.reports.words import warnings

    notes = [f"- {note}" for note in (*warnings(record), *record["notes"])]
    power = [f"- {sentence}" for sentence in (record["power"] or {}).get("sentences", ())]
    return "\n".join(
        (
            leaderboard(record),
            *(("", *comparisons(record)) if record["pairs"] else ()),
            *(("", *notes, *power) if notes or power else ()),
            "",
            f"Report: {folder / 'report.html'}",
            f"Record: {folder / 'run.json'}",
        )
    )
