"""`index …`: build, list, show, search, verify, delete."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assistant.commands.loading import build_missing
from assistant.commands.options import IndexName, Json
from assistant.commands.terminal import BuildBar, read_text, say, shortened, show, show_json, table
from assistant.settings import EncoderSettings, RetrievalSettings

if TYPE_CHECKING:
    from assistant.data import Fields
    from assistant.records import Hit
    from assistant.retrieval.building import BuildReport
    from assistant.tables import Source

index_app = typer.Typer(help="Indexes of demonstrations: build, search …")

_BAD_ROWS_SHOWN = 20
_FAILED = 2

Encoder = Annotated[str | None, typer.Option(help="Refuse the index unless it was built with this encoder.")]


@index_app.command("build")
def build(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A CSV, TSV, JSON Lines (also .gz) or Parquet file, or a hub data set.",
            show_default=False,
        ),
    ],
    name: Annotated[str, typer.Option(help="The name the index gets.", show_default=False)],
    task: Annotated[str | None, typer.Option(help="The task it is for: its fields and label names are used.")] = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", metavar="FIELD", help="Input column; repeat for pairs.")
    ] = None,
    output: Annotated[str | None, typer.Option(metavar="FIELD", help="Column of the label or answer.")] = None,
    rationale: Annotated[str | None, typer.Option(metavar="FIELD", help="Column of the reasoning.")] = None,
    identity: Annotated[str | None, typer.Option("--id", metavar="FIELD", help="Column of a unique id.")] = None,
    group: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Column of a group; none is shown for a question of its own.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of a hub data set.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Good rows after which to stop.")] = None,
    encoder: Annotated[
        str, typer.Option(help="default (all-MiniLM-L6-v2), toy, a local folder or a hub id.")
    ] = EncoderSettings.encoder,
    metric: Annotated[str, typer.Option(help="cosine or l2.")] = "cosine",
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad row.")] = False,
    as_json: Json = False,
) -> None:
    """Build an index from any table."""
    from assistant.data import open_source
    from assistant.prompting.tasks import load_task
    from assistant.retrieval.builtin import check_not_built_in
    from assistant.retrieval.index import build_index

    check_not_built_in(name, source)
    chosen = load_task(task) if task else None
    opened = open_source(source, split)
    fields = _fields(opened, tuple(inputs or ()), chosen.fields if chosen else (), output, rationale, identity, group)
    with BuildBar(name) as bar:
        report = build_index(
            opened,
            name,
            fields,
            task=task,
            labels=(chosen.label_values or None) if chosen else None,
            encoder=encoder,
            metric=metric,
            limit=limit,
            strict=strict,
            progress=bar.tell,
        )
    _say_bad_rows(report)
    show_json(report.to_json()) if as_json else show(_report(report))


@index_app.command("list")
def list_all(as_json: Json = False) -> None:
    """List all indexes."""
    from assistant.retrieval.index import list_indexes

    summaries = list_indexes()
    if as_json:
        show_json([summary.to_json() for summary in summaries])
    elif not summaries:
        say("There is no index yet. Build one: shotwise index build SOURCE --name NAME, or: shotwise index builtin")
    else:
        header = ("index", "rows", "task", "encoder", "metric", "MB", "problem")
        show(
            table(
                header,
                [
                    (s.name, str(s.count), s.task or "-", s.encoder, s.metric, f"{s.size_mb:.1f}", s.problem)
                    for s in summaries
                ],
            )
        )


@index_app.command("show")
def show_index(name: IndexName, as_json: Json = False) -> None:
    """Show an index's manifest: what it was built from, and with what."""
    from assistant.retrieval.index import describe_index

    described = describe_index(name)
    if as_json:
        show_json(described)
        return
    fields = {key: value for key, value in described["fields"].items() if value}
    show(
        "\n".join(
            (
                f"{described['name']}: {described['count']} rows, width {described['width']}, {described['metric']}",
                f"source   {described['source']['location']}",
                f"fields   {_pairs(fields)}",
                f"task     {described['task'] or 'none'}",
                f"encoder  {_pairs(described['encoder'])}",
                f"built    {described['created']}, {described['bad_rows']} bad rows skipped",
                f"folder   {described['folder']} ({described['generation']}, {described['size_mb']} MB)",
                *described["notes"],
            )
        )
    )


@index_app.command("search")
def search(
    name: IndexName,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to look for; - reads stdin.", show_default=False)],
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Hits shown.")] = RetrievalSettings.k,
    encoder: Encoder = None,
    as_json: Json = False,
) -> None:
    """Search an index; the leak guard is not applied here."""
    from assistant.retrieval.index import DemonstrationIndex

    index = DemonstrationIndex.open(name, encoder)
    for note in index.notes:
        say(note)
    hits = index.search(read_text(text), k)
    if as_json:
        show_json([_with_own_names(hit, index.manifest.fields) for hit in hits])
        return
    rows = [
        (str(hit.rank), f"{hit.similarity:.4f}", hit.demonstration.id, shortened(hit.demonstration.output, 24),
         shortened(hit.demonstration.text(), 90))
        for hit in hits
    ]  # fmt: skip
    show(table(("rank", "similarity", "id", "output", "input"), rows))


@index_app.command("verify")
def verify(name: IndexName, as_json: Json = False) -> None:
    """Check an index byte by byte; exit code 2 if damaged."""
    from assistant.retrieval.index import verify_index

    problems = verify_index(name)
    if as_json:
        show_json({"name": name, "ok": not problems, "problems": problems})
    elif not problems:
        show(f"The index '{name}' is whole.")
    else:
        for problem in problems:
            say(problem)
    if problems:
        raise typer.Exit(_FAILED)


@index_app.command("delete")
def delete(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The index's name.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask (asked only at a terminal).")] = False,
    as_json: Json = False,
) -> None:
    """Delete an index."""
    from assistant.retrieval.index import delete_index
    from assistant.retrieval.opened import index_folder

    folder = index_folder(name)
    if not yes and sys.stdin.isatty() and not typer.confirm(f"Delete {folder}?", err=True):
        say("Nothing was deleted.")
        return
    deleted = delete_index(name)
    show_json({"deleted": name, "folder": str(deleted)}) if as_json else show(f"Deleted {deleted}.")


@index_app.command("builtin")
def builtin(as_json: Json = False) -> None:
    """Build the built-in indexes that are missing or stale."""
    built = build_missing()
    if as_json:
        show_json({"built": list(built)})
    else:
        show(f"Built: {', '.join(built)}." if built else "The built-in indexes are all there.")


def _fields(
    source: Source,
    inputs: tuple[str, ...],
    task_fields: Sequence[str],
    output: str | None,
    rationale: str | None,
    identity: str | None,
    group: str | None,
) -> Fields:
    """Return the columns as given; what was not given is guessed from the table's own names, and said."""
    from assistant.data import Fields, check_fields, guess_fields

    columns = source.columns()
    if inputs or not columns:
        check_fields(source, Fields(inputs or ("text",), output, rationale, identity, group), columns)
    guessed = guess_fields(columns, inputs or task_fields)
    fields = Fields(
        inputs=inputs or guessed.inputs,
        output=output or guessed.output,
        rationale=rationale or (guessed.rationale if guessed.rationale != output else None),
        id=identity,
        group=group,
    )
    if fields.inputs != inputs or fields.output != output or fields.rationale != rationale:
        shown = {"input": "+".join(fields.inputs), "output": fields.output, "rationale": fields.rationale}
        say(f"Columns: {_pairs({key: value for key, value in shown.items() if value})}.")
    if fields.output is None:
        say("No output column: these rows cannot be shown as solved demonstrations.")
    return fields


def _say_bad_rows(report: BuildReport) -> None:
    for bad in report.bad_rows[:_BAD_ROWS_SHOWN]:
        say(f"line {bad.line}: {bad.reason}")
    if len(report.bad_rows) > _BAD_ROWS_SHOWN:
        say(f"… and {len(report.bad_rows) - _BAD_ROWS_SHOWN} more bad rows.")


def _report(report: BuildReport) -> str:
    return (
        f"Built the index '{report.name}': {report.count} rows in {report.seconds:.1f} s "
        f"({report.rows_per_s:.0f} rows/s), {len(report.bad_rows)} bad rows skipped, "
        f"peak memory {report.peak_mb:.0f} MB.\n{report.folder}"
    )


def _with_own_names(hit: Hit, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hit, its fields also under the names they have in the source."""
    record, shown = hit.to_json(), hit.demonstration
    own = {"output": shown.output, "rationale": shown.rationale, "id": shown.id, "group": shown.group}
    for part, value in own.items():
        name = fields.get(part)
        if name and name not in record:
            record[name] = value
    return record


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {'+'.join(value) if isinstance(value, list) else value}" for key, value in values.items())
