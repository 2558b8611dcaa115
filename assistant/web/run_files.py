"""What a run offers for download: its record, its tables, its report and its plots, made when they are asked for."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from assistant import paths
from assistant.errors import ShotwiseError
from assistant.web.markup import esc
from assistant.web.opened_run import OpenedRun, RunShelf
from assistant.web.run_plots import find_plot

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

_FILES = {
    "run.json": "application/json",
    "advice.json": "application/json",
    "report.html": "text/html",
    "report.md": "text/markdown",
}
# A report is a page of its own; whatever got into it, it may run nothing and send nothing.
_HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def routes(shelf: RunShelf) -> list[Route]:
    """Return the addresses under which the files of runs are found: `/runs/NAME/FILE`."""
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    def answer(request: Request) -> Response:
        try:
            found = _answer(shelf, request.path_params["name"], request.path_params["file"])
        except ShotwiseError as error:
            return PlainTextResponse(error.sentence(), 404)
        return found or PlainTextResponse("There is no such file.", 404)

    return [Route("/runs/{name}/{file}", answer, methods=["GET"])]


def _answer(shelf: RunShelf, name: str, file: str) -> Response | None:
    from starlette.responses import FileResponse, Response

    folder = paths.runs() / paths.checked_name(name, "evaluation")
    if file in _FILES:
        path = folder / file
        return FileResponse(path, media_type=_FILES[file], headers=_HEADERS) if path.is_file() else None
    if file in _TABLES:
        text = _TABLES[file](shelf.open(name))
        return Response(text.encode("utf-8-sig"), media_type="text/csv", headers=_HEADERS)
    stem, _, ending = file.rpartition(".")
    if ending not in ("svg", "png"):
        return None
    plot = find_plot(shelf.open(name), stem)
    if plot is None:
        return None
    content: Any = plot.svg() if ending == "svg" else plot.png()
    return Response(content, media_type="image/svg+xml" if ending == "svg" else "image/png", headers=_HEADERS)


def leaderboard_csv(run: OpenedRun) -> str:
    """Return the leaderboard as CSV: one line per row."""
    from assistant.evaluation.reports.report import csv_report

    return csv_report(run.record)


def samples_csv(run: OpenedRun) -> str:
    """Return one line per answer, without the prompts."""
    keys = ("id", "group", "final_answer", "problem", "correct", "score", "seed", "nearest_similarity")
    costs = ("prompt_tokens", "new_tokens", "calls", "seconds")
    lines = [
        {
            "name": row["name"],
            **{key: outcome.get(key) for key in keys},
            "targets": " | ".join(outcome["targets"]),
            "answer": outcome.get("answer"),
            **{key: outcome.get(key) for key in costs},
        }
        for number, row in enumerate(run.rows)
        for outcome in run.outcomes(number)
    ]
    return _csv(lines)


_TABLES: Mapping[str, Callable[[OpenedRun], str]] = {"leaderboard.csv": leaderboard_csv, "samples.csv": samples_csv}


def _csv(lines: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    columns = list(dict.fromkeys(key for line in lines for key in line))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _harmless(value) for key, value in line.items()} for line in lines)
    return text.getvalue()


def _harmless(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def downloads_html(folder: str) -> str:
    """Return links to all files of a run."""
    links = [
        ("Leaderboard (CSV)", "leaderboard.csv"),
        ("Answers (CSV)", "samples.csv"),
        ("Everything (JSON)", "run.json"),
        ("Report (HTML)", "report.html"),
    ]
    return _links(folder, links)


def report_html(folder: str) -> str:
    """Return the report of a run in a frame of its own, with links to its files."""
    links = [("Report (HTML)", "report.html"), ("Report (Markdown)", "report.md"), ("Everything (JSON)", "advice.json")]
    address = esc(f"runs/{quote(folder)}/report.html")
    return (
        f'<div class="sw-run-head"><h2 class="sw-side">{esc(folder)}</h2>{_links(folder, links)}</div>'
        f'<iframe class="sw-report" src="{address}" sandbox title="Report of {esc(folder)}"></iframe>'
    )


def _links(folder: str, links: list[tuple[str, str]]) -> str:
    made = [(title, file) for title, file in links if file in _TABLES or (paths.runs() / folder / file).is_file()]
    shown = "".join(
        f'<a class="sw-copy" href="{esc(f"runs/{quote(folder)}/{file}")}" download="{esc(folder)}-{file}">{title}</a>'
        for title, file in made
    )
    return f'<nav class="sw-downloads" aria-label="Downloads">{shown}</nav>'
