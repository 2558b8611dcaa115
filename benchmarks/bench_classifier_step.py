"""What bfloat16 and leaving out attention dropout save of a training step of a classifier on a CPU.

    python benchmarks/bench_classifier_step.py [--rounds 5] [--rows 16] [--tokens 300] [--methods full,frozen-head]

One step is forward, loss and backward over random ids, all rows of the same length, on one thread. The baseline of
every round is the step as transformers' Trainer takes it by default: float32, the model's own dropout.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from benchlib import interleaved, one_thread, table

one_thread()

from assistant.environment import prepare_environment  # noqa: E402

prepare_environment()

from assistant.finetuning.classifiers.base import find_base, load_tokenizer  # noqa: E402
from assistant.finetuning.classifiers.batches import precision  # noqa: E402
from assistant.finetuning.classifiers.network import new_network  # noqa: E402
from assistant.finetuning.classifiers.settings import ClassifierSettings  # noqa: E402

BASELINE = "float32"
VARIANTS: dict[str, dict[str, Any]] = {
    BASELINE: {"dtype": "float32"},
    "bfloat16": {"dtype": "bfloat16"},
    "float32, no attention dropout": {"dtype": "float32", "attention_dropout": 0.0},
    "bfloat16, no attention dropout": {"dtype": "bfloat16", "attention_dropout": 0.0},
}


def step_of(settings: ClassifierSettings, rows: int, tokens: int) -> Callable[[], None]:
    """Return what takes one step of a new classifier over the same random rows each time."""
    import torch

    torch.set_num_threads(1)
    base = find_base(settings.encoder)
    network = new_network(base, load_tokenizer(base.folder, base.name), ("no", "yes"), settings).train()
    ids = torch.randint(1000, 20_000, (rows, tokens), generator=torch.Generator().manual_seed(0))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.arange(rows) % 2}

    def step() -> None:
        with precision(settings.dtype, "cpu"):
            loss = network(**batch).loss
        loss.backward()
        network.zero_grad()

    return step


def main() -> None:
    """Print a table per method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", default=5, type=int)
    parser.add_argument("--rows", default=16, type=int)
    parser.add_argument("--tokens", default=300, type=int)
    parser.add_argument("--methods", default="full,frozen-head")
    asked = parser.parse_args()
    for method in asked.methods.split(","):
        steps = {
            name: step_of(ClassifierSettings(method=method, **others), asked.rows, asked.tokens)
            for name, others in VARIANTS.items()
        }
        title = f"{method}: a step over {asked.rows} rows of {asked.tokens} tokens"
        print(table(title, "rows/s", asked.rows, interleaved(steps, BASELINE, asked.rounds)), flush=True)


if __name__ == "__main__":
    main()
