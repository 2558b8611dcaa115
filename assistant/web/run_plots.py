"""The plots of a run by name, each drawn when the browser asks for it, as SVG or PNG."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from assistant.web.markup import esc
from assistant.web.opened_run import OpenedRun

if TYPE_CHECKING:
    from assistant.evaluation.reports.plots import Plot

Record = Mapping[str, Any]


def _measure(run: OpenedRun) -> str:
    from assistant.evaluation.reports.leaderboard_plots import main_measure

    return main_measure(run.rows)


def _forest(run: OpenedRun) -> Plot | None:
    from assistant.evaluation.reports.leaderboard_plots import forest

    return forest(run.rows, baseline=run.record.get("baseline") or "", measure=_measure(run)) if run.rows else None


def _pareto(cost: str) -> Callable[[OpenedRun], Plot | None]:
    def draw(run: OpenedRun) -> Plot | None:
        from assistant.evaluation.reports.leaderboard_plots import pareto

        return pareto(run.rows, cost=cost, measure=_measure(run)) if run.rows else None

    return draw


def _of_row(kind: str, needs: str) -> Callable[[OpenedRun, int], Plot | None]:
    def draw(run: OpenedRun, number: int) -> Plot | None:
        from assistant.evaluation.reports import leaderboard_plots as plots

        row = run.row(number)
        if not row.get(needs):
            return None
        if kind == "confusion":
            return plots.confusion(row[needs], row["name"])
        return plots.roc(row) if kind == "roc" else plots.calibration(row)

    return draw


_OF_RUN: Mapping[str, Callable[[OpenedRun], Any]] = {
    "forest": _forest,
    "tokens": _pareto("tokens"),
    "seconds": _pareto("seconds"),
}
_OF_ROW: Mapping[str, Callable[[OpenedRun, int], Any]] = {
    "confusion": _of_row("confusion", "confusion"),
    "roc": _of_row("roc", "roc_curve"),
    "calibration": _of_row("calibration", "calibration_curve"),
}


def find_plot(run: OpenedRun, name: str) -> Plot | None:
    """Return the plot of that name (`forest`, `roc-2` …), or None if the run has none."""
    kind, _, number = name.partition("-")
    plot: Plot | None = None
    if kind in _OF_RUN and not number:
        plot = _OF_RUN[kind](run)
    if kind in _OF_ROW and number.isascii() and number.isdigit() and int(number) < len(run.rows):
        plot = _OF_ROW[kind](run, int(number))
    return plot


def plot_html(run: OpenedRun, folder: str, name: str) -> str:
    """Return the plot with links to its files; empty if the run has none of that name."""
    plot = find_plot(run, name)
    if plot is None:
        return ""
    source = esc(f"runs/{quote(folder)}/{name}.svg")
    return (
        f'<figure class="sw-plot"><img src="{source}" alt="{esc(plot.words)}" loading="lazy">'
        f"<figcaption>{plot_links(folder, name)}</figcaption></figure>"
    )


def plot_links(folder: str, name: str) -> str:
    """Return links to the files of a plot."""
    base = f"runs/{quote(folder)}/{name}"
    links = " ".join(
        f'<a href="{esc(base)}.{kind}" download="{esc(folder)}-{esc(name)}.{kind}">{kind.upper()}</a>'
        for kind in ("png", "svg")
    )
    return f'<p class="sw-note sw-links">Download: {links}</p>'


def plots_html(run: OpenedRun, folder: str, names: tuple[str, ...], none: str = "") -> str:
    """Return several plots beside each other; `none` says why there are none."""
    found = "".join(plot_html(run, folder, name) for name in names)
    return f'<div class="sw-plots">{found}</div>' if found else f'<p class="sw-lead">{esc(none)}</p>'
