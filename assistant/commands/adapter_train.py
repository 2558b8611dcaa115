"""`adapter train`: fine-tune a language model on labelled rows, under the prompts that are served."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assistant.commands.adapter_compare import compared, gain_table
from assistant.commands.adapter_options import LearningOptions, RowOptions, Source
from assistant.commands.evaluation_board import duration
from assistant.commands.options import Json, grouped
from assistant.commands.running import STOPPED, how_to_go_on, stop_signal
from assistant.commands.terminal import BuildBar, say, show, show_json
from assistant.finetuning.generators.settings import ROWS, GeneratorSettings
from assistant.settings import ModelSettings

if TYPE_CHECKING:
    from assistant.evaluation.tuning.comparison import Gain
    from assistant.evaluation.tuning.source import Place
    from assistant.finetuning.generators.adapter_record import TrainingData
    from assistant.finetuning.generators.progress import Progress

_QUIET_INTERVAL_S = 5.0
_LIVE_INTERVAL_S = 0.2


@grouped
def train(
    source: Source,
    name: Annotated[str, typer.Option(metavar="NAME", help="Of the adapter.", show_default=False)],
    model: Annotated[str, typer.Option(help="The base: demo, a local folder or a hub id.")] = ModelSettings.model,
    rows: Annotated[int, typer.Option(min=1, help="Rows learnt from at most, drawn evenly by label.")] = ROWS,
    also: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE[:WEIGHT]", help="A known data set that is learnt together with it; repeat."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a training that was not finished.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Put it in the place of what has this name.")] = False,
    check_forgetting: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Then compare it with its base on held-out rows of this known data set."),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Then compare it with its base on held-out rows of the same source.")
    ] = False,
    *,
    where: RowOptions,
    how: LearningOptions,
    as_json: Json = False,
) -> None:
    """Fine-tune a language model on the training part of a source; Ctrl-C keeps a checkpoint, --resume goes on."""
    from assistant.evaluation.tuning.source import known_place
    from assistant.finetuning.generators.checkpoints import last_checkpoint
    from assistant.finetuning.generators.training import Order, run_folder, train_generator
    from assistant.generation.adapters import folder_of_new

    settings = how.settings()
    place = where.place(source)
    # Looked for first: a mistake must not cost a training.
    measured = [_measured(place, _source_again(source))] if compare else []
    if check_forgetting is not None:
        measured.append(_measured(known_place(check_forgetting, where.data), check_forgetting))
    first, *others = _rows(place, also or (), rows, settings)
    order = Order(name, model, first, settings, resume, replace, tuple(others))
    if resume and last_checkpoint(run_folder(name)) is None and not folder_of_new(name).exists():
        say(f"No checkpoint of '{name}' is here: it begins from the start.")
    with stop_signal() as stop:
        trained = train_generator(order, stop, say, Ticker().tell)
    if not trained.finished:
        say(how_to_go_on(["adapter", "train", source], name) + ("" if resume else " --resume"))
        raise typer.Exit(STOPPED)
    if not as_json:
        compare_own = None if compare else _again(name, model, _source_again(source), where.data, how.device)
        show(_told(name, model, trained.record, str(trained.folder), compare_own))
    base = ModelSettings(model=model, device=how.device)
    gains = _gains(name, measured, where.data, base)
    if as_json:
        compared_with_base = [gain.to_json() for gain in gains]
        show_json({"name": name, "folder": str(trained.folder), **trained.record, "compared": compared_with_base})
    elif gains:
        show(gain_table(gains))
    if len(gains) < len(measured):
        left = [_again(name, model, said, where.data, how.device) for said in measured[len(gains) :]]
        say("Stopped; what was finished is kept. Go on with: " + "\nThen: ".join(left))
        raise typer.Exit(STOPPED)


def _measured(place: Place, said: str | None) -> str | None:
    """Return what is said of rows that it is compared on, once it is sure that they can be scored."""
    place.load(None, scored=True)
    return said


def _gains(name: str, sources: Sequence[str | None], data: str | None, base: ModelSettings) -> list[Gain]:
    """Return the comparisons with its base on rows of each source, up to the one that was stopped."""
    gains = []
    for source in sources:
        gain = compared(name, source, data, base)
        if gain is None:
            break
        gains.append(gain)
    return gains


def _rows(place: Place, also: Sequence[str], rows: int, settings: GeneratorSettings) -> Iterator[TrainingData]:
    """Yield the rows of each task; where demonstrations are retrieved, their index is built if it is missing."""
    from assistant.evaluation.tuning.source import Place, read_mixture, training_data

    further = [(Place(known, data_dir=place.data_dir), weight) for known, weight in map(read_mixture, also)]
    for one, weight in ((place, 1.0), *further):
        with BuildBar(f"{one.name} (train)") as bar:
            data = training_data(one, rows=rows, retrieved=settings.k > 0, weight=weight, building=bar.tell)
        for note in data.facts["notes"]:
            say(note)
        yield data


class Ticker:
    """Progress of a training on stderr: one live line on a terminal, else a line now and then."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._told = float("-inf")

    def tell(self, progress: Progress) -> None:
        """Show how far it is, if it is time, a validation, or an end that nothing else tells of."""
        if progress.state in ("done", "failed"):
            # The sentence that the command ends with tells it; on a terminal it begins where the live line stood.
            sys.stderr.write("\r\033[K" if self._live else "")
            return
        ended = progress.state != "running"
        validated = "validation" in progress.sentence
        now = time.perf_counter()
        if not (ended or validated) and now - self._told < (_LIVE_INTERVAL_S if self._live else _QUIET_INTERVAL_S):
            return
        self._told = now
        text = ticker_line(progress)
        if self._live and not (ended or validated):
            sys.stderr.write(f"\r\033[K{text}")
            sys.stderr.flush()
        else:
            say(f"\r\033[K{text}" if self._live else text)


def ticker_line(progress: Progress) -> str:
    """Return how far a training is, on one line."""
    if progress.state != "running":
        return progress.sentence
    parts = [progress.sentence.rstrip(".")]
    if progress.tokens_per_second is not None:
        parts.append(f"{progress.tokens_per_second:,.0f} tokens/s")
    if progress.seconds_left is not None:
        parts.append(f"{duration(progress.seconds_left)} left")
    parts.append(f"{progress.peak_mb:,.0f} MB")
    return ", ".join(parts)


def _source_again(source: str) -> str | None:
    """Return what has to be said of the rows when they are compared on: nothing if they are found by their name."""
    return source if Path(source).expanduser().is_file() else None


def _again(name: str, model: str, source: str | None, data: str | None, device: str) -> str:
    """Return what is typed to compare it with its base on a source: what is not found by its name is named."""
    words = ["shotwise", "adapter", "compare", name, *filter(None, [source])]
    words += ["--data", data] if data else []
    words += ["--model", model] if Path(model).expanduser().is_dir() else []
    return shlex.join([*words, "--device", device] if device != ModelSettings.device else words)


def _told(name: str, model: str, record: Mapping[str, Any], folder: str, compare: str | None) -> str:
    from assistant.finetuning.generators.card import adapter_option, beside
    from assistant.finetuning.generators.methods import find_method

    train, best = record["curve"]["train"], record["best"]
    whole = record["settings"]["method"] == "full"
    lines = [
        f"Saved in {folder}.",
        f"Learnt: {record['parameters']['trainable']:,} of {record['parameters']['total']:,} parameters, "
        f"{record['steps']:,} steps, loss {train[0][1]:.3f} → {train[-1][1]:.3f}.",
    ]
    if best is not None:
        lines.append(f"Kept: the weights of step {best['step']:,}, validation loss {best['validation_loss']:.3f}.")
    option = adapter_option(name, find_method(record["settings"]["method"]))
    lines.append("Use it: " + (f"--model {folder}" if whole else beside(model, option)))
    if compare is not None:
        lines.append(f"Compare it with its base: {compare}")
    return "\n".join(lines)
