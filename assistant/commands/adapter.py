"""`adapter …`: train, list, show, merge, delete, compare fine-tuned language models."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assistant.commands.adapter_compare import compare
from assistant.commands.adapter_train import train
from assistant.commands.options import Json
from assistant.commands.terminal import say, show, show_json, table
from assistant.errors import AdapterError

if TYPE_CHECKING:
    from assistant.finetuning.generators.shelf import Entry

adapter_app = typer.Typer(help="Fine-tuning: adapters, soft prompts and whole models.")
adapter_app.command("train")(train)
adapter_app.command("compare")(compare)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The adapter's name, or its folder.", show_default=False)]
Model = Annotated[
    str | None, typer.Option(metavar="MODEL", help="The base, if it is not found by the name that is recorded.")
]


@adapter_app.command("list")
def list_all(as_json: Json = False) -> None:
    """List all adapters and fine-tuned models that have a name."""
    from assistant.finetuning.generators.shelf import list_adapters

    entries = list_adapters()
    if as_json:
        show_json([entry.to_json() for entry in entries])
    elif not entries:
        say("There is no adapter yet. Train one: shotwise adapter train reviews --name mine")
    else:
        header = ("name", "method", "base", "task", "learnt", "validation loss", "MB", "problem")
        rows = [
            (
                entry.name,
                entry.method,
                entry.base or "-",
                entry.task or "-",
                "-" if entry.trainable is None else f"{entry.trainable:,}",
                "-" if entry.validation_loss is None else f"{entry.validation_loss:.3f}",
                f"{entry.size_mb:.1f}",
                entry.problem,
            )
            for entry in entries
        ]
        show(table(header, rows))


@adapter_app.command("show")
def show_one(name: Name, model: Model = None, as_json: Json = False) -> None:
    """Show what an adapter was made of, how its training went, and what its soft prompt is near to."""
    from assistant.finetuning.generators.shelf import describe, find_tuned

    entry = find_tuned(name)
    described = describe(entry, model)
    show_json(described) if as_json else show(_told(described, _use(entry, described["record"], model)))


@adapter_app.command("merge")
def merge(
    name: Name,
    to: Annotated[str, typer.Option("--to", metavar="NEW", help="Name of the merged model.", show_default=False)],
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Fold an adapter into its base's weights: a model of its own, which answers as fast as the base."""
    from assistant.finetuning.generators.shelf import find_tuned
    from assistant.finetuning.generators.shelf import merge as fold

    folder = fold(find_tuned(name), to, model)
    show_json({"name": to, "folder": str(folder)}) if as_json else show(f"Saved in {folder}. Use it: --model {folder}")


@adapter_app.command("delete")
def delete(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The adapter's name.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask (asked only at a terminal).")] = False,
    as_json: Json = False,
) -> None:
    """Delete an adapter or fine-tuned model, and what its training left behind; or a training that was stopped."""
    from assistant.finetuning.generators.shelf import delete as remove

    if not yes and sys.stdin.isatty() and not typer.confirm(f"Delete the adapter {name}?", err=True):
        say("Nothing was deleted.")
        return
    folder = remove(name)
    show_json({"deleted": name, "folder": str(folder)}) if as_json else show(f"Deleted {folder}.")


def _told(described: dict[str, Any], use: str) -> str:
    """Return an adapter as it is told on a terminal."""
    record = described["record"]
    lines = [
        f"{described['name']}: {described['method']} for {described['base'] or 'a base that is not named'}",
        *([f"problem   {described['problem']}"] if described["problem"] else []),
        *(_recorded(record, described) if record else [_unrecorded(Path(described["folder"]))]),
        f"folder    {described['folder']} ({described['size_mb']} MB)",
        f"use it    {use}",
    ]
    if "nearest_tokens" in described:
        lines += ["", "Tokens near to each virtual token (a reading aid, not a meaning):"]
        for at, near in enumerate(described["nearest_tokens"], start=1):
            lines.append(f"{at:4}  " + "   ".join(f"{one['text']!r} {one['similarity']:.2f}" for one in near))
    elif "nearest_tokens_missing" in described:
        lines += ["", f"Its virtual tokens cannot be read: {described['nearest_tokens_missing']}"]
    return "\n".join(lines)


def _use(entry: Entry, record: dict[str, Any], model: str | None) -> str:
    """Return what serves it: beside its base, and what was learnt beside weights in four bits beside those."""
    from assistant.finetuning.generators.card import adapter_option, beside
    from assistant.finetuning.generators.methods import find_method
    from assistant.finetuning.generators.shelf import base_of

    if entry.whole:
        return f"--model {entry.folder}"
    method = find_method(record["settings"]["method"]) if record else None
    option = f"--adapter {entry.name}" if method is None else adapter_option(entry.name, method)
    try:
        return beside(base_of(entry, model), option)
    except AdapterError:
        return f"{beside('FOLDER', option)} (FOLDER: where {entry.base or 'its base'} lies)"


def _unrecorded(folder: Path) -> str:
    card = folder / "README.md"
    return "It was not made by adapter train: " + (f"see {card}" if card.is_file() else "nothing says how it was made.")


def _recorded(record: dict[str, Any], described: dict[str, Any]) -> list[str]:
    settings, rows, best = record["settings"], record["rows"], record["best"]
    train = record["curve"]["train"]
    lines = [
        f"task      {record['task']['name']}, prompts of {settings['strategy']}, wording {settings['wording']}",
        f"data      {record['data'].get('source', '-')}: {rows['learnt']:,} learnt, {rows['validation']:,} set apart",
        f"learnt    {described['parameters']}",
        f"steps     {record['steps']:,}, learning rate {settings['learning_rate']:g}, {record['tokens']:,} tokens",
        f"loss      {train[0][1]:.3f} at first, {train[-1][1]:.3f} at last",
    ]
    if best is not None:
        lines.append(f"best      validation loss {best['validation_loss']:.3f} at step {best['step']:,}: these weights")
    for one in record.get("scores", ()):
        low, high = one["interval"]
        lines.append(
            f"scores    {one['source']}, n = {one['n']}: {100 * one['tuned']:.1f}, its base {100 * one['base']:.1f}, "
            f"{100 * one['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
        )
    return lines
