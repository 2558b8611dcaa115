"""`strategy list`, `task list`, `task show`: the tables everything else reads."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assistant.commands.options import Json
from assistant.commands.terminal import show, show_json, table

if TYPE_CHECKING:
    from assistant.prompting.tasks import Task

strategy_app = typer.Typer(help="Strategies: how a question is put to the model.")
task_app = typer.Typer(help="Tasks: what is asked.")


@strategy_app.callback()
def _strategies() -> None:
    """Keep `list` a command of its own: typer folds a lone one into its group."""


@strategy_app.command("list")
def list_strategies(as_json: Json = False) -> None:
    """List all strategies."""
    from assistant.prompting.strategies import STRATEGIES

    if as_json:
        show_json([{**asdict(row), "needs_index": row.needs_index} for row in STRATEGIES.values()])
        return
    rows = [(row.name, row.selector, str(row.samples), row.about) for row in STRATEGIES.values()]
    show(table(("strategy", "selector", "replies", "about"), rows))


@task_app.command("list")
def list_all_tasks(as_json: Json = False) -> None:
    """List all tasks."""
    from assistant.prompting.tasks import list_tasks

    tasks = list_tasks()
    if as_json:
        show_json([_brief(task) for task in tasks])
        return
    rows = [(task.name, ", ".join(task.fields), task.index or "-", task.about) for task in tasks]
    show(table(("task", "fields", "index", "about"), rows))


@task_app.command("show")
def show_task(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The task's name.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Show a task: fields, labels, wordings, fixed demonstrations."""
    from assistant.prompting.tasks import load_task

    task = load_task(name)
    show_json(_full(task)) if as_json else show(_page(task))


def _brief(task: Task) -> dict[str, Any]:
    return {
        "name": task.name,
        "title": task.title,
        "about": task.about,
        "fields": list(task.fields),
        "labels": list(task.labels),
        "metric": task.metric,
        "index": task.index or None,
        "wordings": [wording.name for wording in task.wordings],
    }


def _full(task: Task) -> dict[str, Any]:
    return {
        **_brief(task),
        "label_values": dict(task.label_values),
        "wordings": [asdict(wording) for wording in task.wordings],
        "demonstrations": [asdict(shown) for shown in task.demonstrations],
        "examples": list(task.examples),
    }


def _page(task: Task) -> str:
    lines = [
        f"{task.name}: {task.title}",
        task.about,
        "",
        f"fields   {', '.join(task.fields)}",
        f"labels   {', '.join(task.labels) or 'none: answered in free text'}",
        f"metric   {task.metric}",
        f"index    {task.index or 'none built in'}",
    ]
    for wording in task.wordings:
        lines += ["", f"Wording '{wording.name}'"]
        lines += [f"  {line}" for line in (wording.instruction.strip() or "(no instruction)").splitlines()]
        lines += [f"  {line}" for line in wording.question.strip().splitlines()]
    lines += ["", f"{len(task.demonstrations)} fixed demonstrations"]
    lines += [f"  {' | '.join(shown.inputs.values())} → {shown.output}" for shown in task.demonstrations]
    return "\n".join(lines)
