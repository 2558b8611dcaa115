"""The options of `adapter …`: where rows are, and how they are learnt; defaults are those of the settings."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from assistant.finetuning.generators.methods import METHODS
from assistant.finetuning.generators.settings import TARGETS, GeneratorSettings
from assistant.settings import DTYPES

if TYPE_CHECKING:
    from assistant.evaluation.tuning.source import Place

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A known data set (reviews, sst2 …), a CSV, TSV, JSON Lines or Parquet file, or a hub id.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class RowOptions:
    """Where the rows are found."""

    task: Annotated[str | None, typer.Option(help="The task [default: that of the known data set].")] = None
    data: Annotated[str | None, typer.Option(metavar="DIR", help="Folder of public data sets.")] = None
    split: Annotated[str | None, typer.Option(help="Of a hub data set.")] = None
    inputs: Annotated[
        list[str] | None, typer.Option("--input", metavar="FIELD", help="Input column; repeat for pairs.")
    ] = None
    output: Annotated[str | None, typer.Option(metavar="FIELD", help="Column of the label or answer.")] = None
    rationale: Annotated[str | None, typer.Option(metavar="FIELD", help="Column of the reasoning.")] = None
    identity: Annotated[str | None, typer.Option("--id", metavar="FIELD", help="Column of a unique id.")] = None
    group: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Column of a group, such as the film that is reviewed.")
    ] = None

    def place(self, source: str) -> Place:
        """Return where the rows of a source are."""
        from assistant.evaluation.tuning.source import Place

        return Place(
            source=source,
            task=self.task,
            data_dir=self.data,
            split=self.split,
            inputs=tuple(self.inputs or ()),
            output=self.output,
            rationale=self.rationale,
            id=self.identity,
            group=self.group,
        )


_Default = GeneratorSettings


@dataclass(frozen=True)
class LearningOptions:
    """How the rows are learnt: the fields of `GeneratorSettings`, with its defaults."""

    method: Annotated[str, typer.Option(help=f"One of: {', '.join(METHODS)}.")] = _Default.method
    rank: Annotated[int, typer.Option(help="Of low-rank matrices.")] = _Default.rank
    alpha: Annotated[int | None, typer.Option(help="Their product counts alpha/rank [default: twice the rank].")] = (
        _Default.alpha
    )
    dropout: Annotated[float, typer.Option(help="In the low-rank branch.")] = _Default.dropout
    targets: Annotated[str, typer.Option(help=f"Which layers. One of: {', '.join(TARGETS)}.")] = _Default.targets
    virtual_tokens: Annotated[int, typer.Option(help="Vectors of a soft prompt.")] = _Default.virtual_tokens
    epochs: Annotated[float, typer.Option(help="Times that every row is learnt from.")] = _Default.epochs
    steps: Annotated[int | None, typer.Option(help="Steps, instead of epochs.")] = _Default.steps
    batch_size: Annotated[int, typer.Option(help="Rows at once.")] = _Default.batch_size
    accumulation: Annotated[int, typer.Option(help="Batches for one step.")] = _Default.accumulation
    learning_rate: Annotated[
        float | None, typer.Option(help="The highest [default: the method's own, more for narrow models].")
    ] = _Default.learning_rate
    warmup: Annotated[float, typer.Option(help="Share of the steps in which it rises.")] = _Default.warmup
    weight_decay: Annotated[float, typer.Option(help="Of AdamW.")] = _Default.weight_decay
    max_tokens: Annotated[int, typer.Option(help="Longest row; longer ones are left out.")] = _Default.max_tokens
    validation: Annotated[float, typer.Option(help="Share of the rows that is set apart.")] = _Default.validation
    evaluate_every: Annotated[
        int | None, typer.Option(help="Steps between validations and checkpoints [default: a tenth of the run].")
    ] = _Default.evaluate_every
    patience: Annotated[int, typer.Option(help="Validations without a better loss until it ends; 0: never.")] = (
        _Default.patience
    )
    packing: Annotated[bool, typer.Option("--packing", help="Several rows share a line, apart from each other.")] = (
        _Default.packing
    )
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Less memory, more time.")
    ] = _Default.gradient_checkpointing
    strategy: Annotated[str, typer.Option(help="Under whose prompts rows are learnt.")] = _Default.strategy
    k: Annotated[int, typer.Option("--k", "-k", help="Demonstrations retrieved into each training prompt.")] = (
        _Default.k
    )
    wording: Annotated[str, typer.Option(help="Of the instruction; see: shotwise task show.")] = _Default.wording
    seed: Annotated[int, typer.Option(help="Of new weights, split, order and dropout.")] = _Default.seed
    dtype: Annotated[str, typer.Option(help=f"Of the base. One of: {', '.join(DTYPES)}.")] = _Default.dtype
    device: Annotated[str, typer.Option(help="auto, cpu, cuda …")] = _Default.device

    def settings(self) -> GeneratorSettings:
        """Return them as settings.

        Raises:
            ShotwiseError: for a value out of its range, or two that contradict each other.
        """
        return GeneratorSettings(**{one.name: getattr(self, one.name) for one in dataclasses.fields(self)})
