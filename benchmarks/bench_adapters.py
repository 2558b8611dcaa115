"""Every way of fine-tuning the built-in model on rows of a kind it has never learnt: what it gains, costs and forgets.

    python benchmarks/bench_adapters.py --data DIR [--work FOLDER] [--set ag_news] [--known sst2] [--minutes 60]
    python benchmarks/bench_adapters.py --work FOLDER --print

AG News in four topics: 1,000 rows of the training part, a tenth of them set apart, so many steps of eight rows with the
method's own learning rate; then the base and what was trained answer the same held-out rows under the same prompts, the
label of highest likelihood. The same is asked of `--known`, a set that the built-in model has learnt: what was
forgotten. All of it is what `adapter train` and `adapter compare` do. QLoRA is measured against the base in four bits.

Every cell (a set, a method, a seed) is one file under `--work`; what is there is not repeated, and a training that was
killed goes on from its last checkpoint. Seconds are CPU seconds on one thread.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchlib import Cell, line, one_thread, read_cell, say, stop_on_request, write_cell

one_thread()

from assistant.environment import prepare_environment  # noqa: E402

prepare_environment()

from assistant.evaluation.tuning.comparison import Question, compare_with_base  # noqa: E402
from assistant.evaluation.tuning.source import Place, training_data  # noqa: E402
from assistant.finetuning.generators.adapter_record import read_record  # noqa: E402
from assistant.finetuning.generators.methods import METHODS  # noqa: E402
from assistant.finetuning.generators.settings import ROWS, GeneratorSettings  # noqa: E402
from assistant.finetuning.generators.shelf import Entry, delete, find_tuned, list_adapters  # noqa: E402
from assistant.finetuning.generators.training import Order, train_generator  # noqa: E402
from assistant.settings import ModelSettings  # noqa: E402

WIDE = "lora:all-linear"
ORDER = ("lora", "full", WIDE, "prompt-tuning", "prefix-tuning", "ia3", "ln-tuning", "dora", "qlora")
"""Of the cells, a method with its targets if they are not its own; the table has the order of the table of methods."""


def wanted() -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of the public data sets")
    parser.add_argument("--work", default="runs/bench-adapters", type=Path)
    parser.add_argument("--set", default="ag_news", help="what is learnt: a known data set")
    parser.add_argument("--known", default="sst2", help="on which forgetting is measured; empty: on none")
    parser.add_argument("--methods", default=",".join(ORDER))
    parser.add_argument("--seeds", default=1, type=int)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--rows", default=ROWS, type=int)
    parser.add_argument("--steps", default=150, type=int)
    parser.add_argument("--test", default=400, type=int, help="held-out rows that are answered")
    parser.add_argument("--known-test", default=800, type=int)
    parser.add_argument("--minutes", type=float, help="after which no cell begins and the one at hand is paused")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--print", action="store_true", help="print the tables of what there is and end")
    return parser.parse_args()


# Cells


def cells(asked: argparse.Namespace) -> Iterator[Cell]:
    """Yield the cells that are wanted, seed by seed."""
    for seed in range(asked.seeds):
        for method in asked.methods.split(","):
            yield Cell(asked.set, method, seed)


def run_cell(cell: Cell, asked: argparse.Namespace, stop: threading.Event) -> bool:
    """Do one cell and return whether it is done; False: paused."""
    entry = trained(cell, asked, stop)
    if entry is None:
        return False
    gains = {}
    for name, limit in ((asked.set, asked.test), (asked.known, asked.known_test)):
        if name:
            place = Place(name, data_dir=asked.data)
            model = ModelSettings(model=asked.model, device=asked.device)
            gain = compare_with_base(entry, Question(place, model, limit), stop=stop)
            if gain is None:
                return False
            gains[name] = gain.to_json()
            say(f"{cell.name}, {name}: {100 * gain.base:.1f} → {100 * gain.tuned:.1f}, {gain.verdict}")
    record = read_record(entry.folder)
    kept = ("settings", "parameters", "rows", "steps", "seconds", "tokens", "best", "curve", "data", "versions")
    facts = {key: record[key] for key in kept}
    spent = read_cell(spent_file(asked.work, cell))["cpu_seconds"]
    write_cell(cell.file(asked.work), {**facts, "cpu_seconds": spent, "size_mb": entry.size_mb, "gains": gains})
    delete(cell.name)
    return True


def spent_file(work: Path, cell: Cell) -> Path:
    """Return where it is kept what a training has spent so far."""
    return work / f"{cell.name}.spent.gz"


def trained(cell: Cell, asked: argparse.Namespace, stop: threading.Event) -> Entry | None:
    """Return what the cell's training came to; None: paused."""
    if cell.name in {entry.name for entry in list_adapters()}:
        return find_tuned(cell.name)
    method, _, targets = cell.method.partition(":")
    data = training_data(Place(asked.set, data_dir=asked.data), rows=asked.rows)
    settings = GeneratorSettings(
        method=method,
        targets=targets or GeneratorSettings.targets,
        steps=asked.steps,
        patience=0,
        seed=cell.seed,
        device=asked.device,
    )
    spent = spent_file(asked.work, cell)
    before = read_cell(spent)["cpu_seconds"] if spent.is_file() else 0.0
    begun = time.process_time()
    done = train_generator(Order(cell.name, asked.model, data, settings, resume=True), stop, say, Lines(cell.name))
    write_cell(spent, {"cpu_seconds": round(before + time.process_time() - begun, 1)})
    return find_tuned(cell.name) if done.finished else None


class Lines:
    """Progress on stderr, a line for each validation."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, progress: Any) -> None:
        """Tell how far the training is."""
        if "validation" in progress.sentence:
            say(f"{self._name}: {progress.sentence}")


# Tables


def tables(asked: argparse.Namespace) -> Iterator[str]:
    """Yield the tables of what there is: what was gained, and what was forgotten."""
    runs = {cell: read_cell(cell.file(asked.work)) for cell in cells(asked) if cell.file(asked.work).is_file()}
    ordered = sorted(
        runs.items(), key=lambda one: ([*METHODS].index(one[0].method.partition(":")[0]), one[0].method, one[0].seed)
    )
    head = ("method", "seed", "rate", "numbers that learn", "MB", "CPU s", "base", "adapted", "difference (95 %)", "")
    yield "\n".join(
        [f"### {asked.set}", "", line(head), line(["---"] * len(head))]
        + [line((cell.method, str(cell.seed), *costs(run), *gained(run["gains"][asked.set]))) for cell, run in ordered]
    )
    known = [(cell, run["gains"][asked.known]) for cell, run in ordered if asked.known in run["gains"]]
    if known:
        head = ("method", "seed", "before", "after", "difference (95 %)", "")
        yield "\n".join(
            [f"### {asked.known}, after learning {asked.set}", "", line(head), line(["---"] * len(head))]
            + [line((cell.method, str(cell.seed), *gained(gain))) for cell, gain in known]
        )


def costs(run: Mapping[str, Any]) -> tuple[str, ...]:
    """Return learning rate, numbers that learn, megabytes on disk and CPU seconds of a training."""
    learns = f"{run['parameters']['trainable']:,}"
    return f"{run['settings']['learning_rate']:.2g}", learns, f"{run['size_mb']:.2f}", f"{run['cpu_seconds']:.0f}"


def gained(gain: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a comparison in percent, with what it comes to."""
    low, high = (100 * bound for bound in gain["interval"])
    difference = f"{100 * gain['difference']:+.1f} ({low:+.1f} to {high:+.1f})"
    return f"{100 * gain['base']:.1f}", f"{100 * gain['tuned']:.1f}", difference, f"{gain['verdict']}, n = {gain['n']}"


def main() -> int:
    """Run the cells that are not there yet and print the tables."""
    asked = wanted()
    asked.work.mkdir(parents=True, exist_ok=True)
    os.environ["SHOTWISE_HOME"] = str(asked.work.resolve() / "home")
    stop = stop_on_request(asked.minutes)
    for cell in () if asked.print else cells(asked):
        if stop.is_set() or not (cell.file(asked.work).is_file() or run_cell(cell, asked, stop)):
            break
    if asked.print or not stop.is_set():
        print("\n\n".join(tables(asked)))
    return 130 if stop.is_set() else 0


if __name__ == "__main__":
    sys.exit(main())
