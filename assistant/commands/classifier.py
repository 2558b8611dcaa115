"""`classifier …`: train, list, show, evaluate, predict, delete."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assistant.commands.options import Json, grouped
from assistant.commands.running import STOPPED, OutputOptions, build_bars, how_to_go_on, stop_signal
from assistant.commands.terminal import read_text, say, show, show_json, table
from assistant.commands.training_options import Replace, Resume, RowOptions, Source, TrainingBar, say_parts, say_stopped
from assistant.finetuning.classifiers.methods import METHODS
from assistant.finetuning.classifiers.settings import DEVICES, DTYPES, ClassifierSettings

if TYPE_CHECKING:
    from assistant.evaluation.running.wanted import Wanted
    from assistant.evaluation.training.rows import Parts
    from assistant.finetuning.classifiers.saved import SavedClassifier

classifier_app = typer.Typer(help="Classifiers trained on your rows: from a frozen body to full fine-tuning.")
Name = Annotated[str, typer.Argument(metavar="NAME", help="The classifier's name, or its folder.", show_default=False)]
Device = Annotated[str, typer.Option(help=f"One of: {', '.join(DEVICES)}.")]
_METHODS = ", ".join(f"{one.name} ({one.trained})" for one in METHODS.values())


@dataclass(frozen=True)
class LearningOptions:
    """Which model learns, what of it, and how."""

    encoder: Annotated[
        str,
        typer.Option(help="default (all-MiniLM-L6-v2), demo, a folder or hub id: an encoder or a decoder-only model."),
    ] = ClassifierSettings.encoder
    method: Annotated[str, typer.Option(help=f"What learns: {_METHODS}.")] = ClassifierSettings.method
    max_tokens: Annotated[int, typer.Option(help="Tokens read of a text or pair.")] = ClassifierSettings.max_tokens
    words: Annotated[int | None, typer.Option(help="Words read of each text [default: all].")] = (
        ClassifierSettings.words
    )
    learning_rate: Annotated[float | None, typer.Option(help="The highest [default: the method's].")] = (
        ClassifierSettings.learning_rate
    )
    batch_size: Annotated[int, typer.Option(help="Rows per step.")] = ClassifierSettings.batch_size
    epochs: Annotated[int | None, typer.Option(help="Passes over the rows at most [default: the method's].")] = (
        ClassifierSettings.epochs
    )
    patience: Annotated[int, typer.Option(help="Passes without a lower loss on the rows kept aside, then stop.")] = (
        ClassifierSettings.patience
    )
    virtual_tokens: Annotated[int, typer.Option(help="Vectors of a soft prompt.")] = ClassifierSettings.virtual_tokens
    rank: Annotated[int, typer.Option(help="Of LoRA's updates.")] = ClassifierSettings.rank
    attention_dropout: Annotated[
        float | None,
        typer.Option(help="While learning [default: the model's]; 0 is faster over long texts on a CPU."),
    ] = ClassifierSettings.attention_dropout
    seed: Annotated[int, typer.Option(help="Of new weights, dropout and the rows' order.")] = ClassifierSettings.seed
    device: Device = ClassifierSettings.device
    dtype: Annotated[
        str, typer.Option(help=f"One of: {', '.join(DTYPES)}. auto: bfloat16 on a CUDA GPU that has it, else float32.")
    ] = ClassifierSettings.dtype

    def settings(self) -> ClassifierSettings:
        """Return them as settings.

        Raises:
            ShotwiseError: if one is out of its range.
        """
        return ClassifierSettings(**vars(self))


@classifier_app.command("train")
@grouped
def train(
    source: Source,
    name: Annotated[str, typer.Option(help="Under which it is kept.", show_default=False)],
    *,
    learning: LearningOptions,
    rows: RowOptions,
    resume: Resume = False,
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Train a classifier on labelled rows; rows that are kept out of training say what it is worth."""
    from assistant.evaluation.training.rows import read_parts, without_learnt
    from assistant.evaluation.training.scoring import scored
    from assistant.finetuning.classifiers.base import find_base
    from assistant.finetuning.classifiers.saved import check_free
    from assistant.finetuning.classifiers.training import Paused, train_classifier

    settings = learning.settings()
    check_free(name, replace=replace or resume)
    base = find_base(settings.encoder)
    parts = without_learnt(read_parts(rows.wanted(source)), base)
    say_parts(parts)
    with stop_signal() as stop, TrainingBar(name) as bar:
        trained = train_classifier(
            parts.training_rows(), settings, name, resume=resume, replace=replace, stop=stop, tell=bar.tell
        )
    if isinstance(trained, Paused):
        say_stopped(trained.step, trained.steps, ["classifier", "train", source, "--name", name])
        raise typer.Exit(STOPPED)
    try:
        if stop.is_set():  # as it took its last step
            raise KeyboardInterrupt
        say(f"Measuring on {len(parts.test):,} rows that it has not seen …")
        figures = scored(name, parts.test, parts.task, source, learning.device)
    except KeyboardInterrupt:
        say(f"\nThe classifier is kept. Measure it: {_measuring(name, source, rows, parts)}")
        raise typer.Exit(STOPPED) from None
    if as_json:
        show_json({"name": name, "folder": str(trained.folder), "scores": figures})
    else:
        show("\n".join((*_about(trained), "", *_figures(source, figures))))


def _measuring(name: str, source: str, rows: RowOptions, parts: Parts) -> str:
    """Return what to type to measure a classifier on the rows that its training left to measure on."""
    # A draw is the one that was cut off, unless whole groups were: of all rows, those that were learnt are left out.
    limit = len(parts.train) + len(parts.dev) + len(parts.test) if rows.group else rows.test_rows
    named = {
        "--data": rows.data,
        "--split": rows.split,
        "--output": rows.output,
        "--group": rows.group,
        "--limit": None if limit == MeasuredOptions.limit else str(limit),
    }
    given = [word for option, value in named.items() if value is not None for word in (option, value)]
    inputs = [word for field in rows.inputs or () for word in ("--input", field)]
    return shlex.join(["shotwise", "classifier", "evaluate", name, source, *given, *inputs])


@classifier_app.command("list")
def list_all(as_json: Json = False) -> None:
    """List all classifiers."""
    from assistant.finetuning.classifiers.saved import classifier_names, list_classifiers

    found = list_classifiers()
    if as_json:
        show_json(found)
    elif not classifier_names():
        say("There is no classifier yet. Train one: shotwise classifier train SOURCE --name NAME")
    else:
        header = ("classifier", "task", "method", "encoder", "rows", "accuracy", "problem")
        show(table(header, [tuple(str(one[key]) for key in header[:5]) + _last_cells(one) for one in found]))


def _last_cells(one: Mapping[str, Any]) -> tuple[str, str]:
    scores = [f"{figures['accuracy']:.1%} of {source}" for source, figures in one["scores"].items()]
    return ", ".join(scores) or "–", str(one["problem"])


@classifier_app.command("show")
def show_classifier(name: Name, as_json: Json = False) -> None:
    """Show what a classifier was made of, from what, and what it came to."""
    from assistant.finetuning.classifiers.saved import open_classifier

    saved = open_classifier(name)
    if as_json:
        show_json(dict(saved.record))
        return
    lines = _about(saved)
    passes = [line for line in saved.record["curve"] if "dev_loss" in line]
    if passes:
        cells = [
            (f"{line['epoch']:g}", f"{line['step']:,}", f"{line['dev_loss']:.4f}", f"{line['dev_accuracy']:.1%}")
            for line in passes
        ]
        lines += ["", table(("epoch", "step", "loss on rows kept aside", "accuracy there"), cells)]
    for source, figures in saved.record.get("scores", {}).items():
        lines += ["", *_figures(source, figures)]
    show("\n".join(lines))


@dataclass(frozen=True)
class MeasuredOptions:
    """Which rows a classifier is measured on, and beside what."""

    task: Annotated[str | None, typer.Option(help="The task [default: that of the classifier].")] = None
    data: Annotated[str | None, typer.Option(metavar="DIR", help="Folder of public data sets.")] = None
    split: Annotated[str | None, typer.Option(help="dev or test of a known data set.")] = None
    inputs: Annotated[list[str] | None, typer.Option("--input", metavar="FIELD", help="Input column.")] = None
    label: Annotated[str | None, typer.Option("--output", metavar="FIELD", help="Column of the label.")] = None
    group: Annotated[str | None, typer.Option(metavar="FIELD", help="Column of a group.")] = None
    limit: Annotated[int, typer.Option(help="Rows answered, drawn evenly by label.")] = 500
    index: Annotated[str | None, typer.Option(help="Index of the rows that kNN vote … may use.")] = None
    run: Annotated[str | None, typer.Option(help="Name of the run [default: data and settings].")] = None

    def where(self, source: str) -> str:
        """Return under which name the figures stand in the card: that of the source, and of a part that is not test."""
        return source if self.split in (None, "test") else f"{source} ({self.split})"

    def wanted(self, name: str, source: str) -> Wanted:
        """Return what is asked for: the classifier and the rows without a model, on these samples.

        Raises:
            ShotwiseError: if there is no such classifier, or a number is out of its range.
        """
        from assistant.evaluation.running.planning import Wanted
        from assistant.evaluation.sets.datasets import data_set_names
        from assistant.finetuning.classifiers.saved import open_classifier
        from assistant.settings import EvaluationSettings

        own = None if source in data_set_names() else open_classifier(name).task
        return Wanted(
            source=source,
            task=self.task or own,
            classifiers=(name,),
            ask_model=False,
            index=self.index,
            name=self.run,
            data_dir=self.data,
            split=self.split,
            inputs=tuple(self.inputs or ()),
            output=self.label,
            group=self.group,
            evaluation=EvaluationSettings(limit=self.limit, seeds=1, check_size=0),
        )


@classifier_app.command("evaluate")
@grouped
def evaluate(
    name: Name,
    source: Source,
    *,
    measured: MeasuredOptions,
    output: OutputOptions,
    as_json: Json = False,
) -> None:
    """Measure a classifier beside majority, kNN vote and logistic regression; no language model is asked."""
    from assistant import paths
    from assistant.answering import Assistant
    from assistant.commands.evaluate import publish
    from assistant.commands.evaluation_board import Board
    from assistant.evaluation.running.planning import named, plan_evaluation
    from assistant.evaluation.running.runner import evaluate as carry_out
    from assistant.evaluation.training.scoring import keep_scores
    from assistant.generation.chat_model import ScriptedModel

    output.check()
    with build_bars() as bars:
        plan = named(plan_evaluation(measured.wanted(name, source), bars))
    folder = paths.runs() / plan.name
    with stop_signal() as stop, Board() as board:
        record = carry_out(
            plan,
            Assistant(ScriptedModel()),
            folder,
            stop=stop,
            report=board.tell,
            publish=partial(publish, folder, output),
        )
    if record["finished"]:
        keep_scores(name, record["results"], measured.where(source))
    show_json(record) if as_json else show(_told(record, folder / "report.html"))
    if not record["finished"]:
        say(how_to_go_on(["classifier", "evaluate", name, source]))
        raise typer.Exit(STOPPED)


@classifier_app.command("predict")
def predict(
    name: Name,
    text: Annotated[
        str,
        typer.Argument(metavar="TEXT", help="A text, or a pair as 'one ||| other'; - reads stdin.", show_default=False),
    ],
    device: Device = ClassifierSettings.device,
    as_json: Json = False,
) -> None:
    """Say which label a text has, and how likely each label is."""
    import math

    from assistant.finetuning.classifiers.predicting import load_classifier
    from assistant.prompting.tasks import load_task

    classifier = load_classifier(name, device)
    inputs = load_task(classifier.saved.task).inputs(read_text(text))
    (answer,) = classifier.predict([inputs])
    shares = {label: math.exp(log) for label, log in answer.log_probabilities.items()}
    if as_json:
        show_json({"label": answer.label, "probabilities": shares, "inputs": inputs})
        return
    show(answer.label)
    say(", ".join(f"{label} {share:.1%}" for label, share in sorted(shares.items(), key=lambda one: -one[1])))


@classifier_app.command("delete")
def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask (asked only at a terminal).")] = False,
    as_json: Json = False,
) -> None:
    """Delete a classifier, or what a stopped training has learnt."""
    from assistant.finetuning.classifiers.saved import classifier_folder, classifier_names, delete_classifier
    from assistant.finetuning.classifiers.trainer import drop_stopped
    from assistant.finetuning.classifiers.training import stopped_training

    stopped = stopped_training(name)
    kept = stopped is None or name in classifier_names()
    folder = classifier_folder(name) if kept else stopped
    if not yes and sys.stdin.isatty() and not typer.confirm(f"Delete {folder}?", err=True):
        say("Nothing was deleted.")
        return
    if stopped is not None:
        drop_stopped(stopped)
    deleted = delete_classifier(name) if kept else folder
    show_json({"deleted": name, "folder": str(deleted)}) if as_json else show(f"Deleted {deleted}.")


def _told(record: Mapping[str, Any], report: Any) -> str:
    """Return the leaderboard, and of every classifier what it mixes up."""
    from assistant.commands.evaluation_board import comparisons, leaderboard
    from assistant.evaluation.outcomes import CLASSIFIER

    own = [row for row in record["results"] if row["strategy"].startswith(CLASSIFIER)]
    told = [part for row in own for part in ("", *_figures(row["name"], row))]
    notes = ["", *(f"- {note}" for note in record["notes"])] if record["notes"] else []
    pairs = ["", *comparisons(record)] if record["pairs"] else []
    return "\n".join((leaderboard(record), *pairs, *told, *notes, "", f"Report: {report}"))


def _about(saved: SavedClassifier) -> list[str]:
    record = saved.record
    trained, total = record["parameters"]["trained"], record["parameters"]["all"]
    data, row = record["data"], saved.settings.row
    return [
        f"{saved.name}: {row.name} on {record['base']['public_name']}, for the task '{saved.task}' "
        f"({', '.join(saved.labels)})",
        f"learns   {row.trained}: {trained:,} of {total:,} parameters ({trained / total:.2%})",
        f"data     {data.get('source', '–')}: {data['rows']:,} rows, {data['dev_rows']:,} kept aside",
        f"reads    {_reads(saved)}",
        f"folder   {saved.folder} ({record['created']}, {record['seconds']:.0f} s)",
    ]


def _reads(saved: SavedClassifier) -> str:
    settings = saved.settings
    words = "" if settings.words is None else f"the first {settings.words} words of each text, "
    return f"{words}{settings.max_tokens} tokens at most"


def _figures(source: str, figures: Mapping[str, Any]) -> Sequence[str]:
    """Return figures and confusion matrix as lines."""
    from assistant.evaluation.training.scoring import confusion_lines

    low, high = figures["accuracy_interval"]
    area = "" if figures["roc_auc"] is None else f", ROC-AUC {figures['roc_auc']:.3f}"
    return (
        f"{source}: accuracy {figures['accuracy']:.1%} ({low:.1%} to {high:.1%}) on {figures['n']:,} rows, "
        f"macro F1 {figures['macro_f1']:.3f}{area}",
        table(*confusion_lines(figures)),
    )
