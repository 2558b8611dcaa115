"""`evaluate`: which strategy answers a labelled set best, with intervals, paired tests and what it costs."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assistant.commands.evaluation_board import Board, comparisons, leaderboard
from assistant.commands.loading import load_assistant
from assistant.commands.options import Json, K, ModelOptions, grouped
from assistant.commands.terminal import BuildBar, say, show, show_json
from assistant.errors import SettingError
from assistant.settings import (
    ORDERS,
    SELECTORS,
    EvaluationSettings,
    GuardSettings,
    RetrievalSettings,
    SamplingSettings,
)

if TYPE_CHECKING:
    from assistant.evaluation.running.plan import Plan
    from assistant.evaluation.running.wanted import Wanted
    from assistant.retrieval.building import BuildProgress

STOPPED = 130


def listed(text: str | None) -> tuple[str, ...]:
    """Return the parts of a text that commas separate."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


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
    baseline: Annotated[
        str | None, typer.Option(help="What the others are compared with [default: the first strategy].")
    ] = None
    reading: Annotated[
        str | None, typer.Option(help="labels, generate or both [default: labels where the task has them].")
    ] = None
    calibration: Annotated[
        str | None, typer.Option(help="Also calibrate label scores: contextual, batch, dc-pmi, characters, tokens.")
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

    def wanted(self, source: str, name: str | None, data: DataOptions) -> Wanted:
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
            index=self.index,
            reading=self.reading,
            baseline=self.baseline,
            label_names=listed(self.label_names),
            calibrations=listed(self.calibration),
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
        )


@dataclass(frozen=True)
class OutputOptions:
    """Where the report is also written."""

    out: Annotated[str | None, typer.Option(metavar="FILE", help="Also write the record (JSON) here.")] = None
    html: Annotated[str | None, typer.Option(metavar="FILE", help="Also write the report as one HTML file.")] = None
    csv: Annotated[str | None, typer.Option(metavar="FILE", help="Also write the leaderboard as CSV.")] = None
    markdown: Annotated[str | None, typer.Option(metavar="FILE", help="Also write the report as Markdown.")] = None

    def check(self) -> None:
        """Refuse a file that could not be written in the end.

        Raises:
            SettingError: naming the file.
        """
        for file in filter(None, (self.out, self.html, self.csv, self.markdown)):
            path = Path(file).expanduser()
            if path.is_dir():
                raise SettingError(f"'{file}' is a folder.", "Name a file in it.")
            if not path.parent.is_dir():
                raise SettingError(f"'{file}' cannot be written: there is no folder '{path.parent}'.")
            if not os.access(path if path.exists() else path.parent, os.W_OK):
                raise SettingError(f"'{file}' cannot be written here.", "Choose another place.")

    def write(self, record: Mapping[str, Any], folder: Path) -> None:
        """Write the report into the run's folder, and whatever else was asked for."""
        from assistant.evaluation.reports.report import csv_report, html_report, markdown_report
        from assistant.evaluation.running.progress import write_json

        page = html_report(record)
        (folder / "report.html").write_text(page, encoding="utf-8")
        if self.out:
            write_json(Path(self.out).expanduser(), record)
        if self.html:
            Path(self.html).expanduser().write_text(page, encoding="utf-8")
        if self.csv:
            Path(self.csv).expanduser().write_text(csv_report(record), encoding="utf-8", newline="")
        if self.markdown:
            Path(self.markdown).expanduser().write_text(markdown_report(record), encoding="utf-8")


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
        plan = plan_evaluation(asking.wanted(source, name, data), bars)
    assistant = load_assistant(model.settings())
    plan = with_model(plan, assistant.model)
    folder = paths.runs() / plan.name
    with stop_signal() as stop, Board() as board:
        record = carry_out(plan, assistant, folder, stop=stop, report=board.tell)
    output.write(record, folder)
    show_json(record) if as_json else show(_told(record, folder))
    if not record["finished"]:
        say(_how_to_go_on(plan))
        raise typer.Exit(STOPPED)


def _told(record: Mapping[str, Any], folder: Path) -> str:
    """Return the run as it is told on a terminal."""
    notes = [f"- {note}" for note in record["notes"]]
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


def _how_to_go_on(plan: Plan) -> str:
    """Return what to type to go on: the same command, under the same name."""
    words = sys.argv[1:] if len(sys.argv) > 1 else ["evaluate", str(plan.data["source"])]
    if not any(word == "--name" or word.startswith("--name=") for word in words):
        words = [*words, "--name", plan.name]
    return f"What was finished is kept. Go on with: shotwise {shlex.join(words)}"


@contextmanager
def stop_signal() -> Iterator[threading.Event]:
    """Yield what is set by Ctrl-C or a request to end; a second Ctrl-C breaks off at once."""
    stop = threading.Event()

    def ask_to_stop(number: int, frame: object) -> None:
        del frame
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()
        say("\nStopping; what is finished is kept.")

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, ask_to_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Bars:
    """One bar per index that is built."""

    def __init__(self) -> None:
        self._bars: dict[str, BuildBar] = {}

    def __call__(self, name: str, progress: BuildProgress) -> None:
        if name not in self._bars:
            say(f"Building the index '{name}' (once).")
            self._bars[name] = BuildBar(name)
        self._bars[name].tell(progress)

    def close(self) -> None:
        for bar in self._bars.values():
            bar.__exit__()


@contextmanager
def build_bars() -> Iterator[_Bars]:
    """Yield what shows a bar for every index that is built."""
    bars = _Bars()
    try:
        yield bars
    finally:
        bars.close()
