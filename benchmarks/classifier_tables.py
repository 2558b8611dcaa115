"""Tables of the classifier ladder as Markdown; `bench_classifiers.py` makes what stands in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from benchlib import line

from assistant.evaluation.metrics.leaderboard import pairs_of, summarise
from assistant.evaluation.outcomes import Outcome
from assistant.finetuning.classifiers.methods import METHODS
from assistant.prompting.tasks import load_task

TASKS = {"imdb": "sentiment", "mrpc": "paraphrase"}
PUBLISHED = {
    "imdb": (
        ("bert-base-cased, untrained head", "51 (47.9–54.1)", "34", "–", "source 000, n = 1,000 test rows"),
        ("bert-base-cased, 1,000 rows, 3 epochs", "87 (84.8–88.9)", "87", "–", "source 000, n = 1,000 test rows"),
    ),
    "mrpc": (
        ("bert-base-uncased, last 2 layers", "83", "80", "72 / 88", "source 001, split and seed not stated"),
        ("BERT + soft prompt", "77", "70", "54 / 85", "source 001, split and seed not stated"),
        ("LLaMA 3.1, hard prompt", "73", "67", "51 / 82", "source 001, split and size not stated"),
    ),
}


def table_of(name: str, where: str, first: Sequence[Outcome], runs: Mapping[Any, Mapping[str, Any]]) -> str:
    """Return one set's rows as Markdown, published figures below, and the steps of the ladder as paired differences."""
    task = load_task(TASKS[name])
    outcomes = list(first)
    for cell, run in runs.items():
        outcomes += [
            replace(Outcome.from_json(one), strategy=cell.method, seed=cell.seed) for one in run["outcomes"][where]
        ]
    rows = {row["name"]: row for row in summarise(outcomes, task)}
    taken = {method: [run["seconds"] for cell, run in runs.items() if cell.method == method] for method in METHODS}
    learns = {cell.method: run["parameters"] for cell, run in runs.items()}
    heads = ("", "learns", "seeds", "accuracy", "macro F1", f"F1 {' / '.join(task.labels)}", "ROC-AUC", "s per run")
    lines = [f"### {name}, {where}: n = {max((row['n'] for row in rows.values()), default=0):,}", "", line(heads)]
    lines.append(line(["---"] * len(heads)))
    for method, row in rows.items():
        classes = " / ".join(f"{100 * one['f1']:.1f}" for one in row["per_class"])
        seconds = taken.get(method) or []
        area = "–" if row["roc_auc"] is None else f"{row['roc_auc']:.3f}"
        counts = f"{learns[method]['trained']:,}" if method in learns else "–"
        mean = f"{sum(seconds) / len(seconds):.0f}" if seconds else "–"
        lines.append(
            line((method, counts, str(len(row["seeds"])), interval(row, "accuracy"), interval(row, "macro_f1"), classes,
                  area, mean))
        )  # fmt: skip
    for system, right, f1, classes, note in PUBLISHED[name]:
        lines.append(line((f"*{system}* ({note})", "–", "–", right, f1, classes, "–", "–")))
    lines += ["", *differences(outcomes, task), "", *ways(runs)]
    return "\n".join(lines)


def ways(runs: Mapping[Any, Mapping[str, Any]]) -> Iterator[str]:
    """Yield how each method was trained, as its first run says, and what early stopping made of it."""
    for method in METHODS:
        own = [run for cell, run in runs.items() if cell.method == method]
        if not own or not own[0]["steps"]:
            continue
        settings, steps = own[0]["settings"], -(-own[0]["data"]["rows"] // own[0]["settings"]["batch_size"])
        made = ", ".join(f"{run['steps'] / steps:g}" for run in own)
        kept = ", ".join(f"{run['best']['step'] / steps:g}" for run in own)
        dropout = settings.get("attention_dropout")
        yield (
            f"- {method}: learning rate {settings['learning_rate']:g}, {settings['epochs']} passes at most, "
            f"{made} made, that after pass {kept} kept; {settings['dtype']}, attention dropout "
            f"{'of the model' if dropout is None else format(dropout, 'g')}"
        )


def differences(outcomes: Sequence[Outcome], task: Any) -> Iterator[str]:
    """Yield the paired differences of neighbours on the ladder, and of the best with the vote of the nearest."""
    names = {one.strategy for one in outcomes}
    for lower, higher in (
        ("feature-based", "frozen-head"),
        ("frozen-head", "last-2"),
        ("last-2", "full"),
        ("frozen-head", "soft-prompt"),
        ("soft-prompt-full", "full"),
        ("lora", "full"),
        ("knn-vote", "full"),
        ("logistic-regression", "feature-based"),
    ):
        if {lower, higher} <= names:
            both = [one for one in outcomes if one.strategy in (lower, higher)]
            (pair,) = pairs_of(both, task, lower)
            low, high = (100 * one for one in pair["interval"])
            gap = 100 * pair["difference"]
            yield (
                f"- {higher} less {lower}: {gap:+.1f} points ({low:+.1f} to {high:+.1f}), p = {pair['p_value']:.3g}, "
                f"{pair['verdict']}"
            )


def effect_table(effects: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """Return what fine-tuned encoders change, as Markdown."""
    lines = ["### What the nearest rows are worth, before and after the encoder was fine-tuned", ""]
    lines += [line(("set", "rows", "k", "", "n", "before", "after", "difference, paired")), line(["---"] * 8)]
    for name, one in effects:
        head = (name.removeprefix("encoder-"), f"{one['rows']:,}", str(one["k"]))
        lines.append(line((*head, "their vote", *_effect_cells(one))))
        if asked := one.get("few_shot"):
            lines.append(line((*head, f"shown to {asked['model']} ({asked['strategy']})", *_effect_cells(asked))))
    return "\n".join(lines)


def _effect_cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = (100 * bound for bound in one["interval"])
    gap = f"{100 * one['difference']:+.1f} ({low:+.1f} to {high:+.1f}), {one['verdict']}"
    return (f"{one['n']:,}", interval(one["before"], "accuracy"), interval(one["after"], "accuracy"), gap)


def interval(row: Mapping[str, Any], key: str) -> str:
    """Return a share in percent with its interval."""
    low, high = row[f"{key}_interval"]
    return f"{100 * row[key]:.1f} ({100 * low:.1f}–{100 * high:.1f})"
