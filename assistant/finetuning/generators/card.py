"""The card of a fine-tuned model, written from the record of its training."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from assistant.finetuning.generators.methods import Method, find_method
from assistant.generation.sources import DEMO

_CARD = """---
{front}---
# {name}

{title} for the model `{base}`, trained with Shotwise on the task **{task}**. {about}

| | |
| --- | --- |
| base | `{base}`{revision} |
| data | {source} |
| rows | {rows} |
| prompts | strategy `{strategy}`, wording `{wording}`{shown} |
| learnt | {trainable:,} of {total:,} parameters ({share:.2%}) |
| steps | {steps:,} of {batch} rows, {tokens:,} tokens read, {seconds:,.0f} s |
| learning rate | {rate:g} |
| loss | {losses} |
| seed | {seed} |
{scores}
## How to use it

    shotwise chat {use} --task {task}
{compare}
Without Shotwise:

    {plain}

The prompts must be those of the base model's own chat template; `training.json` has its hash, all settings, the whole
curve, and the hashes of rows, task and base weights.

{terms}Method: {published}.
"""


def card(record: Mapping[str, Any]) -> str:
    """Return the card as Markdown."""
    method = find_method(record["settings"]["method"])
    settings, data, base = record["settings"], record["data"], record["base"]
    name = record["name"]
    whole = is_model(record)
    terms = f"Terms of the data: {data['terms']}\n\n" if data.get("terms") else ""
    return _CARD.format(
        front=_front(record, whole),
        name=name,
        title=method.title,
        about=method.about,
        base=base["model"],
        revision=f", revision `{base['revision']}`" if base.get("revision") else "",
        task=record["task"]["name"],
        source=_sources(record),
        rows=_rows(record["rows"]),
        strategy=settings["strategy"],
        wording=settings["wording"],
        shown=f", {settings['k']} demonstrations of the index `{record['index']}`" if settings["k"] else "",
        trainable=record["parameters"]["trainable"],
        total=record["parameters"]["total"],
        share=record["parameters"]["trainable"] / record["parameters"]["total"],
        steps=record["steps"],
        batch=settings["batch_size"] * settings["accumulation"],
        tokens=record["tokens"],
        seconds=record["seconds"],
        rate=settings["learning_rate"],
        losses=_losses(record),
        seed=record["seed"],
        scores=_scores(record.get("scores") or ()),
        use=f"--model adapters/{name}" if whole else f"--model {base['model']} {adapter_option(name, method)}",
        compare="" if whole else f"    shotwise adapter compare {name}\n",
        plain=_plain(base, whole),
        terms=terms,
        published=method.source,
    )


def adapter_option(name: str, method: Method) -> str:
    """Return what is said to serve an adapter beside the weights it was trained beside."""
    return f"--adapter {name}" + (f" --load-in {method.load_in}" if method.load_in else "")


def beside(model: str, options: str) -> str:
    """Return options with what names the base on a command line; the built-in one is meant where none is named."""
    return options if model == DEMO else f"--model {shlex.quote(model)} {options}"


def is_model(record: Mapping[str, Any]) -> bool:
    """Return whether the folder is a model of its own rather than an adapter."""
    return bool(record.get("merged_from")) or find_method(record["settings"]["method"]).form == "model"


def _scores(scores: Sequence[Mapping[str, Any]]) -> str:
    """Return what it scored beside its base, as a table; empty where nothing was compared."""
    if not scores:
        return ""
    lines = [
        "",
        "## Against the base, on rows it never saw",
        "",
        "| rows | n | measure | base | this | difference (95 %) |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in scores:
        low, high = one["interval"]
        lines.append(
            f"| {one['source']} | {one['n']} | {one['metric']}, {one['strategy']} ({one['reading']}) "
            f"| {100 * one['base']:.1f} | {100 * one['tuned']:.1f} "
            f"| {100 * one['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f}) |"
        )
    return "\n".join([*lines, ""])


def _front(record: Mapping[str, Any], whole: bool) -> str:
    base = record["base"]["model"]
    library = "transformers" if whole else "peft"
    return f"library_name: {library}\nbase_model: {base}\ntags: [{record['settings']['method']}, shotwise]\n"


def _sources(record: Mapping[str, Any]) -> str:
    """Return where the rows of all tasks come from, each with its weight if there are several."""
    several = record.get("also") or []
    told = []
    for part in (record, *several):
        data = part["data"]
        split = f", {data['split']}" if data.get("split") else ""
        weight = f" (weight {part['weight']:g}, task {part['task']['name']})" if several else ""
        told.append(f"{data.get('source', 'rows given by a program')}{split}{weight}")
    return "; ".join(told)


def _rows(rows: Mapping[str, Any]) -> str:
    left_out = "".join(f"; {count} left out ({reason})" for reason, count in rows["left_out"].items())
    return f"{rows['learnt']:,} learnt from, {rows['validation']:,} set apart{left_out}"


def _losses(record: Mapping[str, Any]) -> str:
    train, best = record["curve"]["train"], record["best"]
    told = f"{train[0][1]:.3f} → {train[-1][1]:.3f}" if train else "–"
    checked = "" if best is None else f"; best validation {best['validation_loss']:.3f} at step {best['step']:,}, kept"
    return told + checked


def _plain(base: Mapping[str, Any], whole: bool) -> str:
    auto = "AutoModelForSeq2SeqLM" if base["encoder_decoder"] else "AutoModelForCausalLM"
    if whole:
        return f"{auto}.from_pretrained(FOLDER)"
    return f"PeftModel.from_pretrained({auto}.from_pretrained(BASE), FOLDER)"
