"""What the commands that train share: which rows, how progress is shown, how a stopped training goes on."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assistant.commands.terminal import say

if TYPE_CHECKING:
    from assistant.evaluation.training.rows import Parts, WantedRows
    from assistant.finetuning.classifiers.progress import Progress

_QUIET_INTERVAL_S = 5.0

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A known data set (reviews, sst2 …), a CSV, TSV, JSON Lines or Parquet file, or a hub id.",
        show_default=False,
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a training that was stopped.")]
Replace = Annotated[bool, typer.Option("--replace", help="Give up what has this name already.")]


@dataclass(frozen=True)
class RowOptions:
    """Which rows are trained on, kept aside, and measured on."""

    task: Annotated[str | None, typer.Option(help="The task [default: that of the known data set].")] = None
    data: Annotated[str | None, typer.Option(metavar="DIR", help="Folder of public data sets.")] = None
    split: Annotated[str | None, typer.Option(help="Split of a hub data set.")] = None
    inputs: Annotated[
        list[str] | None, typer.Option("--input", metavar="FIELD", help="Input column; repeat for pairs.")
    ] = None
    output: Annotated[str | None, typer.Option(metavar="FIELD", help="Column of the label.")] = None
    identity: Annotated[str | None, typer.Option("--id", metavar="FIELD", help="Column of a unique id.")] = None
    group: Annotated[str | None, typer.Option(metavar="FIELD", help="Column of a group, which is cut as a whole.")] = (
        None
    )
    rows: Annotated[
        int | None, typer.Option(help="Rows to train on at most [default: all, or the data set's pool].")
    ] = None
    dev_rows: Annotated[int, typer.Option(help="Rows kept aside, to see when to stop.")] = 200
    test_rows: Annotated[int, typer.Option(help="Rows to measure on.")] = 500

    def wanted(self, source: str) -> WantedRows:
        """Return what is asked for.

        Raises:
            SettingError: if a number is out of its range.
        """
        from assistant.evaluation.training.rows import WantedRows

        return WantedRows(
            source=source,
            task=self.task,
            data_dir=self.data,
            split=self.split,
            inputs=tuple(self.inputs or ()),
            output=self.output,
            id=self.identity,
            group=self.group,
            rows=self.rows,
            dev=self.dev_rows,
            test=self.test_rows,
        )


def say_parts(parts: Parts) -> None:
    """Say how many rows are trained on, kept aside and measured on, and what has to be known of the cut."""
    for note in parts.notes:
        say(note)
    say(f"{len(parts.train):,} rows to train on, {len(parts.dev):,} kept aside, {len(parts.test):,} to measure on.")


def say_stopped(step: int, steps: int, words: Sequence[str]) -> None:
    """Say where a training was stopped and what to type to go on; `words` where it was not a command line."""
    words = sys.argv[1:] if len(sys.argv) > 1 else list(words)
    kept = [word for word in words if word not in ("--replace", "--resume")]
    if step:
        say(f"Stopped at step {step:,} of {steps:,}; what was learnt is kept.")
    else:
        say("Stopped before anything was learnt.")
    say(f"Go on with: shotwise {shlex.join([*kept, '--resume'])}")


class TrainingBar:
    """Progress of a training on stderr: a bar on a terminal, else a line now and then; every pass has its line."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._live = sys.stderr.isatty()
        self._bar: Any = None
        self._told = float("-inf")

    def __enter__(self) -> TrainingBar:
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the bar's line."""
        if self._bar is not None:
            self._bar.close()

    def tell(self, progress: Progress) -> None:
        """Show how far the training is."""
        if progress.dev_loss is not None:
            self._line(progress.sentence)
        elif self._live:
            self._show(progress)
        elif time.monotonic() - self._told >= _QUIET_INTERVAL_S:
            self._told = time.monotonic()
            say(progress.sentence)

    def _line(self, text: str) -> None:
        if self._bar is None:
            say(text)
        else:
            self._bar.write(text, file=sys.stderr)

    def _show(self, progress: Progress) -> None:
        from tqdm import tqdm

        if self._bar is None:
            self._bar = tqdm(
                desc=self._name, total=progress.steps, unit=" steps", file=sys.stderr, dynamic_ncols=True, initial=0
            )
        if self._bar.total != progress.steps:
            self._bar.reset(total=progress.steps)
        if progress.loss is not None:
            self._bar.set_postfix_str(f"loss {progress.loss:.3f}", refresh=False)
        self._bar.update(progress.step - self._bar.n)
