"""What lets the demo model look back: its first stage again, each time with one thing left out.

    python benchmarks/demo_ablation.py --data DIR [--steps 500] [--rows 200]

Every variant is trained by the recipe of the shipped model up to its first stage, with the same seed, data and
steps, and then answers test rows that no training saw: SST-2 under names that say nothing, and AG News, a task
that is never trained on. The answers come from the language model alone; how far the sentence encoder gets without
one stands in the row of the kNN vote. Results are kept under the home folder: a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from assistant import paths
from assistant.commands.held_out import held_out_texts
from assistant.commands.loading import load_assistant
from assistant.evaluation.demo_table.figures import Column, share
from assistant.evaluation.demo_table.parts import Parts, load_parts
from assistant.evaluation.demo_table.planning import Conditions, Planned, plan_table
from assistant.evaluation.recipes.runs import folder_of
from assistant.evaluation.running.planning import with_model
from assistant.evaluation.running.runner import evaluate
from assistant.finetuning.demo.held_out import HeldOut
from assistant.finetuning.demo.recipe import Recipe, load_recipe
from assistant.finetuning.demo.trainer import Pace
from assistant.finetuning.demo.training import train_demo_model
from assistant.settings import ModelSettings

RUNS = ("arbitrary", "topic")
ARMS = ("static-few-shot", "random-few-shot", "dynamic-few-shot")
CELLS = (*(("arbitrary", arm) for arm in ARMS), *(("topic", arm) for arm in ("random-few-shot", "dynamic-few-shot")))


@dataclass(frozen=True)
class Variant:
    """A recipe with something left out."""

    name: str
    size: Mapping[str, Any] = field(default_factory=dict)
    stage: Mapping[str, Any] = field(default_factory=dict)

    def recipe(self, steps: int) -> Recipe:
        """Return the first stage of the shipped model's recipe, changed."""
        whole = load_recipe(steps=steps)
        return replace(whole, size=replace(whole.size, **self.size), stages=(replace(whole.stages[0], **self.stage),))


BARE = {"start_from_encoder": False, "structured_start": False}
VARIANTS = (
    Variant("all of it"),
    Variant("no meanings to aim at", stage={"meaning": 0.0}),
    Variant("no heads that look back", {"structured_start": False}),
    Variant("nothing of the encoder, no heads", BARE, {"meaning": 0.0}),
)


def main() -> None:
    """Train, ask and print one row for each variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--rows", type=int, default=200)
    asked = parser.parse_args()
    planned = plan_table(_parts(load_parts()), Conditions(str(asked.data), asked.rows), adapter=False)
    print("| | " + " | ".join(f"{run}: {arm}" for run, arm in CELLS) + " |", flush=True)
    print("|---" * (len(CELLS) + 1) + "|", flush=True)
    columns: dict[str, Column] = {}
    for variant in VARIANTS:
        columns = _columns(planned, _trained(variant, asked.data, asked.steps))
        print(f"| {variant.name} | " + " | ".join(_cell(columns[run], arm) for run, arm in CELLS) + " |", flush=True)
    without = ["", "", _cell(columns["arbitrary"], "knn-vote"), "", _cell(columns["topic"], "knn-vote")]
    print("| kNN vote, no language model | " + " | ".join(without) + " |", flush=True)


def _parts(parts: Parts) -> Parts:
    runs = [
        replace(run, strategies=ARMS, baselines=True, name=f"{run.name}-ablation")
        for run in parts.runs
        if run.name in RUNS
    ]
    return replace(parts, runs=tuple(runs), checks=())


def _trained(variant: Variant, data: Path, steps: int) -> str:
    folder = paths.runs() / "demo-ablation" / variant.name.replace(" ", "-").replace(",", "")
    if not (folder / "training.json").is_file():
        held_out = HeldOut(held_out_texts(data).texts)
        train_demo_model(data, held_out, variant.recipe(steps), folder, Pace(), lambda _: None)
    return str(folder)


def _columns(planned: list[Planned], model: str) -> dict[str, Column]:
    assistant = load_assistant(ModelSettings(model, None, "float32", "cpu"))
    records: dict[str, list[Any]] = {}
    for one, record in _records(planned, assistant):
        records.setdefault(one.run.name.removesuffix("-ablation"), []).append(record)
    return {name: Column(tuple(of_run)) for name, of_run in records.items()}


def _records(planned: list[Planned], assistant: Any) -> Iterator[tuple[Planned, Any]]:
    for one in planned:
        plan = with_model(one.plan, assistant.model)
        yield one, evaluate(plan, assistant, folder_of(plan), stop=threading.Event(), report=lambda _: None)


def _cell(column: Column, arm: str) -> str:
    found = share(column, arm)
    return f"{100 * found.value:.0f} ({100 * found.interval.low:.0f} to {100 * found.interval.high:.0f})"


if __name__ == "__main__":
    main()
