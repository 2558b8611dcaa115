"""`recipe run` of a learning curve: its options, the cells with their progress, and the report with its chart."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assistant.commands.evaluation_board import Board
from assistant.commands.loading import load_assistant
from assistant.commands.running import STOPPED, PageOptions, how_to_go_on, listed, stop_signal
from assistant.commands.terminal import say, show, show_json
from assistant.errors import SettingError

if TYPE_CHECKING:
    from assistant.evaluation.curves.experiment import Experiment
    from assistant.evaluation.curves.settings import CurveSettings
    from assistant.evaluation.recipes.recipe import Recipe, RecipeCurve
    from assistant.evaluation.studies.report import StudyReport
    from assistant.evaluation.tuning.source import Place
    from assistant.settings import ModelSettings


@dataclass(frozen=True)
class CurveOptions:
    """What a learning curve is measured on and by; only recipes that are one take these."""

    source: Annotated[
        str | None,
        typer.Option(help="Curves: other rows: a known data set, a file or a hub id [default: the recipe's]."),
    ] = None
    task: Annotated[str | None, typer.Option(help="Curves: the task of a file or hub id.")] = None
    split: Annotated[str | None, typer.Option(help="Curves: split of a hub data set.")] = None
    inputs: Annotated[
        list[str] | None, typer.Option("--input", metavar="FIELD", help="Curves: input column; repeat for pairs.")
    ] = None
    output: Annotated[str | None, typer.Option(metavar="FIELD", help="Curves: column of the label or answer.")] = None
    identity: Annotated[str | None, typer.Option("--id", metavar="FIELD", help="Curves: column of a unique id.")] = None
    group: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Curves: column of a group, which is held out as a whole.")
    ] = None
    rows_list: Annotated[str | None, typer.Option(metavar="A,B,…", help="Curves: numbers of labelled rows.")] = None
    methods: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="Curves: what uses the rows; see: shotwise recipe show.")
    ] = None
    ranks: Annotated[str | None, typer.Option(metavar="A,B,…", help="Curves: ranks of a sweep over them.")] = None
    seeds: Annotated[int | None, typer.Option(help="Curves: draws of the rows.")] = None
    steps: Annotated[int | None, typer.Option(help="Curves: steps of every training.")] = None

    def given(self) -> list[str]:
        """Return the names of the options that were given."""
        names = {"inputs": "input", "identity": "id"}
        fields = (field.name for field in dataclasses.fields(self) if getattr(self, field.name) is not None)
        return [f"--{names.get(name, name).replace('_', '-')}" for name in fields]

    def place(self, curve: RecipeCurve, data: str | None) -> Place:
        """Return where the rows are: the recipe's own, its built-in stand-in without a folder, or those named."""
        from assistant.evaluation.tuning.source import Place

        own = curve.data if data is not None else curve.instead
        return Place(
            self.source or own,
            task=self.task,
            data_dir=data,
            split=self.split,
            inputs=tuple(self.inputs or ()),
            output=self.output,
            id=self.identity,
            group=self.group,
        )

    def settings(self, own: CurveSettings, test: int | None) -> CurveSettings:
        """Return the recipe's settings with what a person wants otherwise.

        Raises:
            SettingError: if one is out of its range.
        """
        changes: dict[str, Any] = {"seeds": self.seeds, "steps": self.steps, "test": test}
        changes |= {"rows": _numbers(self.rows_list, "--rows-list"), "ranks": _numbers(self.ranks, "--ranks")}
        changes["methods"] = None if self.methods is None else listed(self.methods)
        return replace(own, **{name: value for name, value in changes.items() if value is not None})


def _numbers(text: str | None, option: str) -> tuple[int, ...] | None:
    try:
        numbers = None if text is None else tuple(int(part) for part in listed(text))
    except ValueError:
        raise SettingError(f"'{text}' is not a list of numbers.", f"Separate them by commas: {option} 16,64") from None
    if numbers == ():
        raise SettingError(f"No number is named after {option}.", f"Separate them by commas: {option} 16,64")
    return numbers


def run_curve(
    recipe: Recipe,
    curve: RecipeCurve,
    model: ModelSettings,
    options: CurveOptions,
    data: str | None,
    test: int | None,
    output: PageOptions,
    as_json: bool,
) -> None:
    """Carry out the cells of a curve, and show and write what they came to.

    Raises:
        ShotwiseError: for whatever cannot be trained or asked; finished cells are kept.
    """
    from assistant.evaluation.curves.experiment import Experiment, check_ways
    from assistant.evaluation.curves.rows import read_material
    from assistant.evaluation.curves.running import run_cells
    from assistant.evaluation.running.planning import model_facts
    from assistant.generation.loading import check_model

    settings = options.settings(curve.settings, test)
    output.check()
    check_model(model)
    place = options.place(curve, data)
    experiment = Experiment(recipe.name, settings, read_material(place, settings.test, model), model)
    check_ways(experiment)
    say(_about(experiment))
    assistant = load_assistant(model)
    experiment = experiment.with_model(model_facts(assistant.model))
    with stop_signal() as stop, Board("cells") as board:
        found = run_cells(experiment, assistant, stop=stop, report=board.tell)
    if not found:
        say(how_to_go_on(["recipe", "run", recipe.name]))
        raise typer.Exit(STOPPED)
    _publish(experiment, _report(experiment, found, recipe, place, curve), output, as_json)
    if len(found) < len(experiment.cells):
        say(how_to_go_on(["recipe", "run", recipe.name]))
        raise typer.Exit(STOPPED)


def _about(experiment: Experiment) -> str:
    settings, material = experiment.settings, experiment.material
    numbers = ", ".join(f"{number:,}" for number in experiment.numbers)
    drawn = "1 draw" if settings.seeds == 1 else f"{settings.seeds} draws"
    return (
        f"{material.facts['source']}: {len(material.test):,} held-out rows; {numbers} of {len(material.pool):,} rows, "
        f"{drawn}; {len(experiment.cells):,} cells."
    )


def _report(experiment: Experiment, found: Any, recipe: Recipe, place: Place, curve: RecipeCurve) -> StudyReport:
    from assistant.evaluation.curves.rank_report import rank_report
    from assistant.evaluation.curves.report import curve_report

    notes = list(recipe.flaws)
    if place.source == curve.instead and place.data_dir is None:
        notes.insert(0, f"The built-in data set '{curve.instead}' stands in for '{curve.data}': no --data was named.")
    return (rank_report if experiment.settings.ranks else curve_report)(experiment, found, notes)


def _publish(experiment: Experiment, report: StudyReport, output: PageOptions, as_json: bool) -> None:
    """Write record, page and chart beside the cells and wherever else they are asked for, and show the text."""
    from assistant.evaluation.running.progress import write_json, write_text
    from assistant.evaluation.studies.report import markdown, page

    folder, record, text, html = experiment.folder, report.to_json(), markdown(report), page(report)
    write_json(folder / "record.json", record)
    for name, content in (("report.html", html), ("report.md", text), ("figures.csv", report.csv)):
        write_text(folder / name, content)
    (chart,) = report.plots
    write_text(folder / "chart.svg", f"{_XML}{chart.svg()}\n")
    Path(folder / "chart.png").write_bytes(chart.png())
    output.write_pages(record, html=lambda: html, markdown=lambda: text)
    show_json(record) if as_json else show(text.rstrip())
    say(f"Report, chart (PNG, SVG), figures and record: {folder}")


_XML = '<?xml version="1.0" encoding="utf-8"?>\n'
