"""The classifier ladder on real rows: every method, several seeds, beside majority, kNN vote and published figures.

    python benchmarks/bench_classifiers.py --data DIR [--work FOLDER] [--seeds 5] [--sets imdb,mrpc] [--minutes 60]
    python benchmarks/bench_classifiers.py --work FOLDER --print [--sets imdb,mrpc]

IMDb: 1,000 training rows of the pool (seed 13, no film in two parts), the first 250 words of each review, 512 tokens,
early stopping on 200 rows of other films, figures on 1,000 test rows. MRPC: 3,368 training pairs, early stopping on
300 pairs cut from the training part, figures on the validation part (408) and on the test part (1,725).
`encoder-SET` fine-tunes the sentence encoder and measures, before and after, the vote of the nearest training rows and
what the built-in model answers when they are shown to it.

On a CPU the classifiers multiply matrices in bfloat16 (`--dtype`) and, on IMDb, learn without attention dropout: both
make steps over long texts cheaper. Passes are few; how each method was trained stands below a table.

Every cell (a method and a seed) is one file of outcomes under `--work`; what is there is not repeated, and a cell
that was killed goes on from its last checkpoint. Cells come seed by seed, so that every method has its first figure
early. A method whose first run took longer than ten minutes gets three seeds. Intervals hold 95 %, over seeds and
over films (IMDb) or pairs (MRPC) at once. `--rows N --test N --epochs N` make a small trial; its work folder must be
another one.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from assistant.environment import prepare_environment

prepare_environment()

from benchlib import Cell, read_cell, say, stop_on_request, write_cell  # noqa: E402
from classifier_tables import effect_table, table_of  # noqa: E402

from assistant import paths  # noqa: E402
from assistant.answering import Assistant  # noqa: E402
from assistant.evaluation.outcomes import Outcome, Sample  # noqa: E402
from assistant.evaluation.running.baselines import baseline_outcomes, baselines_for  # noqa: E402
from assistant.evaluation.sets.datasets import SEED, load_dataset  # noqa: E402
from assistant.evaluation.sets.samples import as_sample, cut  # noqa: E402
from assistant.evaluation.training.neighbours import Shown, effect_of_encoder, index_of  # noqa: E402
from assistant.evaluation.training.rows import Parts, WantedRows, read_parts, without_copies  # noqa: E402
from assistant.evaluation.training.scoring import held_out_outcomes  # noqa: E402
from assistant.finetuning.classifiers.methods import FEATURE_BASED, METHODS  # noqa: E402
from assistant.finetuning.classifiers.saved import delete_classifier, open_classifier  # noqa: E402
from assistant.finetuning.classifiers.settings import ClassifierSettings  # noqa: E402
from assistant.finetuning.classifiers.training import Paused, stopped_training, train_classifier  # noqa: E402
from assistant.finetuning.encoders.settings import EncoderTraining  # noqa: E402
from assistant.finetuning.encoders.training import encoder_names, train_encoder  # noqa: E402
from assistant.finetuning.encoders.training import stopped_training as stopped_encoder  # noqa: E402
from assistant.generation.loading import load_chat_model  # noqa: E402
from assistant.settings import ModelSettings  # noqa: E402

WORDS = {"imdb": 250}
TOKENS = {"imdb": 512, "mrpc": 128}
EPOCHS = {
    "imdb": {"full": 3, "last-2": 3, "frozen-head": 4, "soft-prompt": 4, "soft-prompt-full": 3, "lora": 3},
    "mrpc": {"full": 3, "last-2": 3, "frozen-head": 4, "soft-prompt": 4, "soft-prompt-full": 3, "lora": 3},
}
"""Passes at most: of `full` as published, of the others so few that a seed of all takes less than an hour."""
ATTENTION_DROPOUT = {"imdb": 0.0}
"""Elsewhere the model's own, 0.1: on 300 tokens, drawing what is dropped takes as long as all else."""
LONG_S = 600.0
FEW_SEEDS = 3
ENCODED = ("encoder-trec", "encoder-sst2", "encoder-imdb", "encoder-mrpc")


def wanted() -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of the public data sets")
    parser.add_argument("--work", default="runs/bench-classifiers", type=Path)
    parser.add_argument("--sets", default="imdb,mrpc", help=f"of imdb, mrpc, {', '.join(ENCODED)}")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", default=5, type=int)
    parser.add_argument("--minutes", type=float, help="after which no cell begins and the one at hand is paused")
    parser.add_argument("--few-shot", default=300, type=int, help="test rows that the built-in model is asked")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="bfloat16", help="in which the classifiers multiply matrices")
    parser.add_argument("--encoder", default="default")
    parser.add_argument("--rows", type=int, help="training rows at most, for a trial")
    parser.add_argument("--test", type=int, help="test rows at most, for a trial")
    parser.add_argument("--epochs", type=int, help="passes at most, for a trial")
    parser.add_argument("--batch-size", default=16, type=int)
    parser.add_argument("--print", action="store_true", help="print the tables of what there is and end")
    return parser.parse_args()


# Rows


def parts_of(name: str, asked: argparse.Namespace) -> dict[str, Parts]:
    """Return where a set is measured → its parts; all train on the same rows."""
    if name == "mrpc":
        found = mrpc_parts(asked)
    else:
        test = asked.test or 1000
        found = {"test": read_parts(WantedRows(name, data_dir=asked.data, rows=asked.rows, dev=200, test=test))}
    words = WORDS.get(name)
    return {where: shortened(parts, words) for where, parts in found.items()} if words else found


def mrpc_parts(asked: argparse.Namespace) -> dict[str, Parts]:
    """Return MRPC measured on its validation and its test part; early stopping sees training pairs alone."""
    loaded = load_dataset("mrpc", asked.data)
    pieces = cut(loaded.pool, loaded.task, dev=min(300, (asked.rows or 3000) // 2), test=0, seed=SEED)
    train, dev = (tuple(map(as_sample, piece)) for piece in (pieces.train[: asked.rows], pieces.dev))
    facts = {"source": "mrpc", "sha256": dict(loaded.fingerprints), "cut_seed": SEED}
    held_out = {"validation": loaded.dev[: asked.test], "test": loaded.test[: asked.test]}
    # What is trained on must be the same for both, so copies of either are left out of it.
    both = without_copies(Parts(loaded.task, train, dev, (*held_out["validation"], *held_out["test"]), facts))
    return {where: replace(both, test=samples) for where, samples in held_out.items()}


def shortened(parts: Parts, words: int) -> Parts:
    """Return the rows with no more words than the classifiers read, for whoever is compared with them."""

    def short(samples: Sequence[Sample]) -> tuple[Sample, ...]:
        return tuple(
            replace(one, inputs={name: " ".join(text.split()[:words]) for name, text in one.inputs.items()})
            for one in samples
        )

    return replace(parts, train=short(parts.train), dev=short(parts.dev), test=short(parts.test))


# Cells


def cells(asked: argparse.Namespace) -> Iterator[Cell]:
    """Yield the cells that are wanted, seed by seed."""
    for seed in range(asked.seeds):
        for name in asked.sets.split(","):
            if name.startswith("encoder-"):
                if not seed:
                    yield Cell(name, "encoder", 0)
                continue
            for method in asked.methods.split(","):
                if method != FEATURE_BASED or not seed:  # nothing is drawn by chance
                    yield Cell(name, method, seed)


def too_long(cell: Cell, work: Path) -> bool:
    """Return whether the method's first run took so long that this seed is left out."""
    first = replace(cell, seed=0).file(work)
    return cell.seed >= FEW_SEEDS and first.is_file() and read_cell(first)["seconds"] > LONG_S


def run_cell(cell: Cell, asked: argparse.Namespace, stop: threading.Event) -> bool:
    """Do one cell and return whether it is done; False: paused."""
    if cell.method == "encoder":
        return run_encoder(cell, asked, stop)
    found = parts_of(cell.data, asked)
    parts = next(iter(found.values()))
    settings = ClassifierSettings(
        encoder=asked.encoder,
        method=cell.method,
        max_tokens=TOKENS[cell.data],
        words=WORDS.get(cell.data),
        epochs=asked.epochs or EPOCHS[cell.data].get(cell.method),
        batch_size=asked.batch_size,
        seed=cell.seed,
        device=asked.device,
        dtype=asked.dtype,
        attention_dropout=ATTENTION_DROPOUT.get(cell.data),
    )
    begun = stopped_training(cell.name) is not None
    trained = trained_already(cell.name) or train_classifier(
        parts.training_rows(), settings, cell.name, resume=begun, stop=stop, tell=Lines(cell.name)
    )
    if isinstance(trained, Paused):
        say(f"{cell.name}: paused at step {trained.step} of {trained.steps}")
        return False
    outcomes = {
        where: [one.to_json() for one in held_out_outcomes(cell.name, one_parts.test, one_parts.task, asked.device)]
        for where, one_parts in found.items()
    }
    kept = ("seconds", "parameters", "settings", "base", "data", "best", "steps", "versions")
    write_cell(cell.file(asked.work), {**{key: trained.record[key] for key in kept}, "outcomes": outcomes})
    delete_classifier(cell.name)
    return True


def trained_already(name: str) -> Any:
    """Return the classifier of a cell that was killed between training and measuring, or None."""
    from assistant.finetuning.classifiers.saved import classifier_names

    return open_classifier(name) if name in classifier_names() else None


def run_encoder(cell: Cell, asked: argparse.Namespace, stop: threading.Event) -> bool:
    """Fine-tune the encoder on a set, measure what that changes, and return whether it is done."""
    name = cell.data.removeprefix("encoder-")
    parts = parts_of(name, asked)["test"]
    settings = EncoderTraining(encoder=asked.encoder, device=asked.device, passes=asked.epochs or 3)
    began = time.monotonic()
    begun = stopped_encoder(cell.name) is not None
    if cell.name not in encoder_names():
        trained = train_encoder(
            parts.training_rows(), settings, cell.name, resume=begun, stop=stop, tell=Lines(cell.name)
        )
        if isinstance(trained, Paused):
            return False
    both = (asked.encoder, str(paths.adapters() / cell.name))
    shown = Shown(Assistant(load_chat_model(ModelSettings())), asked.few_shot, stop)
    effect = effect_of_encoder(cell.name, both, parts.train, parts.test, parts.task, shown=shown)
    if effect is None:
        return False
    seconds = round(time.monotonic() - began, 1)
    write_cell(cell.file(asked.work), {"seconds": seconds, "effect": effect, "settings": settings.to_json()})
    return True


class Lines:
    """Progress on stderr, a line now and then."""

    def __init__(self, name: str) -> None:
        self._name, self._told = name, 0.0

    def __call__(self, progress: Any) -> None:
        """Tell how far the training is."""
        if progress.dev_loss is not None or time.monotonic() - self._told > 30:
            self._told = time.monotonic()
            say(f"{self._name}: {progress.sentence}")


# Tables


def baselines(name: str, asked: argparse.Namespace) -> dict[str, list[Outcome]]:
    """Return where → what majority, kNN vote and logistic regression answer; made once and kept."""
    path = asked.work / f"{name}-baselines.json.gz"
    if not path.is_file():
        if asked.data is None:
            return {}
        found: dict[str, list[dict[str, Any]]] = {}
        for where, parts in parts_of(name, asked).items():
            with index_of(f"{name}-bench", asked.encoder, parts.train, parts.task) as index:
                found[where] = [
                    one.to_json()
                    for baseline in baselines_for(parts.task)
                    for one in baseline_outcomes(baseline, parts.test, index, parts.task)
                ]
        write_cell(path, found)
    return {where: [Outcome.from_json(one) for one in many] for where, many in read_cell(path).items()}


def tables(asked: argparse.Namespace) -> Iterator[str]:
    """Yield the tables of what there is."""
    for name in asked.sets.split(","):
        if name.startswith("encoder-"):
            continue
        runs = {cell: read_cell(cell.file(asked.work)) for cell in cells(asked) if cell.data == name
                and cell.file(asked.work).is_file()}  # fmt: skip
        first = baselines(name, asked)
        for where in first or {key: () for run in runs.values() for key in run["outcomes"]}:
            yield table_of(name, where, first.get(where, []), runs)
    effects = [cell for cell in cells(asked) if cell.method == "encoder" and cell.file(asked.work).is_file()]
    if effects:
        yield effect_table([(cell.data, read_cell(cell.file(asked.work))["effect"]) for cell in effects])


def main() -> int:
    """Run the cells that are not there yet and print the tables."""
    asked = wanted()
    asked.work.mkdir(parents=True, exist_ok=True)
    os.environ["SHOTWISE_HOME"] = str(asked.work / "home")
    stop = stop_on_request(asked.minutes)
    if not asked.print:
        for cell in cells(asked):
            if stop.is_set():
                break
            if not cell.file(asked.work).is_file() and not too_long(cell, asked.work):
                say(f"{cell.name} …")
                if not run_cell(cell, asked, stop):
                    break
    if not stop.is_set() or asked.print:
        print("\n\n".join(tables(asked)))
    return 130 if stop.is_set() else 0


if __name__ == "__main__":
    sys.exit(main())
