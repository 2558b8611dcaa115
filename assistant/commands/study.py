"""`study …`: leaks, orders, label names, number of demonstrations: what an accuracy is owed to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assistant.commands.evaluate import DataOptions
from assistant.commands.evaluation_board import Board
from assistant.commands.loading import load_assistant
from assistant.commands.options import Json, K, ModelOptions, grouped
from assistant.commands.running import STOPPED, OutputOptions, build_bars, how_to_go_on, listed, stop_signal
from assistant.commands.terminal import say, show, show_json
from assistant.errors import SettingError
from assistant.settings import ORDERS, EvaluationSettings, RetrievalSettings, SamplingSettings

if TYPE_CHECKING:
    from assistant.evaluation.outcomes import Arm
    from assistant.evaluation.running.plan import Plan
    from assistant.evaluation.running.planning import Wanted
    from assistant.evaluation.studies.report import StudyReport
    from assistant.evaluation.studies.study import Study

    Carry = Callable[[Study, Arm, dict[str, Any], Sequence[str]], StudyReport]

study_app = typer.Typer(help="Studies: leaks, order, label names, number of demonstrations.")

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A known data set (reviews, sst2 …), a CSV, TSV, JSON Lines or Parquet file, or a hub id.",
        show_default=False,
    ),
]
Strategy = Annotated[str, typer.Option(help="The strategy that is studied; see: shotwise strategy list.")]


@dataclass(frozen=True)
class StudyOptions:
    """Who answers, and how."""

    index: Annotated[
        str | None, typer.Option(help="Index of demonstrations [default: the data set's training part, or the task's].")
    ] = None
    order: Annotated[str, typer.Option(help=f"Order in the prompt. One of: {', '.join(ORDERS)}.")] = (
        RetrievalSettings.order
    )
    wording: Annotated[str, typer.Option(help="Wording of the instruction; see: shotwise task show.")] = "default"
    max_new_tokens: Annotated[int, typer.Option(help="Tokens after which a reply is cut.")] = (
        SamplingSettings.max_new_tokens
    )
    seed: Annotated[int, typer.Option(help="Of random choices and of the statistics.")] = SamplingSettings.seed
    fresh: Annotated[bool, typer.Option("--fresh", help="Ask again what an earlier, equal study has asked.")] = False

    def wanted(self, source: str, data: DataOptions, strategy: str, reading: str | None, k: int) -> Wanted:
        """Return what is to be planned: the samples, one strategy, its index.

        Raises:
            ShotwiseError: if a setting is out of its range.
        """
        from assistant.evaluation.running.planning import Wanted

        return Wanted(
            source=source,
            task=data.task,
            strategies=(strategy,),
            index=self.index,
            reading=reading,
            wording=self.wording,
            data_dir=data.data,
            split=data.split,
            inputs=tuple(data.inputs or ()),
            output=data.output,
            id=data.identity,
            group=data.group,
            evaluation=EvaluationSettings(limit=data.limit, seeds=1),
            retrieval=RetrievalSettings(k=k, order=self.order),
            sampling=SamplingSettings(max_new_tokens=self.max_new_tokens, seed=self.seed),
        )


Reading = Annotated[str | None, typer.Option(help="labels or generate [default: labels where the task has them].")]


@study_app.command("leaks")
@grouped
def leaks(
    source: Source,
    strategy: Strategy = "dynamic-few-shot",
    reading: Reading = None,
    k: K = RetrievalSettings.k,
    ceilings: Annotated[
        str, typer.Option(metavar="A,B,…", help="Similarities from which a row is kept out; 1 is no guard.")
    ] = "1,0.95,0.9,0.85",
    *,
    data: DataOptions,
    asked: StudyOptions,
    model: ModelOptions,
    output: OutputOptions,
    as_json: Json = False,
) -> None:
    """Leak X-ray: what is owed to near-copies.

    Says how much of the accuracy goes away with the copies of the samples, and shows them.
    """
    taus = _numbers(ceilings, float, "--ceilings")

    def carry(study: Study, arm: Arm, facts: dict[str, Any], notes: Sequence[str]) -> StudyReport:
        from assistant.evaluation.studies.leak_report import leak_report

        return leak_report(study, arm, taus, facts=facts, notes=notes)

    _carry_out("leaks", asked.wanted(source, data, strategy, reading, k), asked, model, output, as_json, carry)


@study_app.command("orders")
@grouped
def orders(
    source: Source,
    strategy: Strategy = "dynamic-few-shot",
    k: K = RetrievalSettings.k,
    *,
    data: DataOptions,
    asked: StudyOptions,
    model: ModelOptions,
    output: OutputOptions,
    as_json: Json = False,
) -> None:
    """Order lottery: the shown order among all.

    Scores every sample under all orders of its demonstrations (at most 4).
    """

    def carry(study: Study, arm: Arm, facts: dict[str, Any], notes: Sequence[str]) -> StudyReport:
        from assistant.evaluation.studies.order_report import order_report

        return order_report(study, arm, facts=facts, notes=notes)

    _carry_out("orders", asked.wanted(source, data, strategy, "labels", k), asked, model, output, as_json, carry)


@study_app.command("label-names")
@grouped
def names(
    source: Source,
    strategy: Strategy = "static-few-shot",
    reading: Reading = None,
    k: K = RetrievalSettings.k,
    alternatives: Annotated[
        str | None,
        typer.Option(
            metavar="A,B;C,D", help="Further names to try, in the order of the task's labels; ';' between sets."
        ),
    ] = None,
    *,
    data: DataOptions,
    asked: StudyOptions,
    model: ModelOptions,
    output: OutputOptions,
    as_json: Json = False,
) -> None:
    """Label-name doctor: misread or misnamed?

    Asks under permuted, arbitrary and other names, and splits the error into its causes.
    """
    further = [listed(part) for part in (alternatives or "").split(";") if listed(part)]

    def carry(study: Study, arm: Arm, facts: dict[str, Any], notes: Sequence[str]) -> StudyReport:
        from assistant.evaluation.studies.name_report import name_report

        return name_report(study, arm, further, facts=facts, notes=notes)

    _carry_out("label-names", asked.wanted(source, data, strategy, reading, k), asked, model, output, as_json, carry)


@study_app.command("k-sweep")
@grouped
def k_sweep(
    source: Source,
    strategy: Strategy = "dynamic-few-shot",
    reading: Reading = None,
    k: Annotated[str, typer.Option("--k", "-k", metavar="A,B,…", help="Numbers of demonstrations.")] = "0,1,2,4,8",
    selectors: Annotated[
        str,
        typer.Option(
            metavar="A,B,…", help="How demonstrations are chosen; random is what the others are held against."
        ),
    ] = "random,bm25,nearest,diverse,balanced",
    seeds: Annotated[int, typer.Option(min=1, help="Draws of random demonstrations.")] = EvaluationSettings.seeds,
    *,
    data: DataOptions,
    asked: StudyOptions,
    model: ModelOptions,
    output: OutputOptions,
    as_json: Json = False,
) -> None:
    """k-sweep: accuracy over k, by selector.

    Holds every way of choosing demonstrations against random ones, at every number of them.
    """
    numbers = _numbers(k, int, "--k")
    chosen = listed(selectors)
    for number in numbers:
        RetrievalSettings(k=number)
    for selector in chosen:
        RetrievalSettings(selector=selector)

    def carry(study: Study, arm: Arm, facts: dict[str, Any], notes: Sequence[str]) -> StudyReport:
        from assistant.evaluation.studies.sweep_report import sweep_report

        draws = range(study.sampling.seed, study.sampling.seed + seeds)
        return sweep_report(study, arm, numbers, chosen, draws, facts=facts, notes=notes)

    wanted = asked.wanted(source, data, strategy, reading, max(numbers))
    _carry_out("k-sweep", wanted, asked, model, output, as_json, carry)


def _carry_out(
    name: str,
    wanted: Wanted,
    asked: StudyOptions,
    model: ModelOptions,
    output: OutputOptions,
    as_json: bool,
    carry: Carry,
) -> None:
    """Plan, load the model, ask, and write and show the report."""
    from assistant.evaluation.running.planning import plan_evaluation, with_model
    from assistant.evaluation.studies.report import markdown, page
    from assistant.evaluation.studies.study import facts_of, memory_of, study_of
    from assistant.generation.loading import check_model

    output.check()
    check_model(model.settings())
    with build_bars() as bars:
        plan = plan_evaluation(replace(wanted, model=model.settings()), bars)
    _check(plan)
    assistant = load_assistant(model.settings())
    plan = with_model(plan, assistant.model)
    memory = memory_of(name, plan, fresh=asked.fresh)
    with stop_signal() as stop, Board() as board:
        study = study_of(plan, assistant, memory, stop, board.tell)
        report = carry(study, plan.asked[0], facts_of(plan), plan.notes)
    record, text = report.to_json(), markdown(report)
    output.write(record, html=lambda: page(report), markdown=lambda: text, csv=lambda: report.csv)
    show_json(record) if as_json else show(text.rstrip())
    if not report.finished:
        say(how_to_go_on(["study", name, wanted.source]))
        raise typer.Exit(STOPPED)


def _check(plan: Plan) -> None:
    """Refuse what would make the figures of a study lie, before the model is loaded.

    Raises:
        RunProblem: if samples cannot be told apart, or a parser finds answers in nonsense.
    """
    from assistant.evaluation.running.checks import check_ids, check_parser
    from assistant.prompting.strategies import find_strategy
    from assistant.prompting.tasks import load_task

    check_ids(plan.samples)
    for arm in plan.asked:
        check_parser(load_task(plan.task), find_strategy(arm.strategy))


def _numbers(text: str, kind: Callable[[str], Any], option: str) -> list[Any]:
    """Return the numbers that commas separate.

    Raises:
        SettingError: if there are none, or one is no number.
    """
    try:
        found = [kind(part) for part in listed(text)]
    except ValueError:
        raise SettingError(f"'{text}' is not a list of numbers.", f"Separate them by commas: {option} 1,2,4") from None
    if not found:
        raise SettingError(f"{option} names no number.", "Separate several by commas.")
    return found
