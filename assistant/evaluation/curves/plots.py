"""Plots of curves: a measure over the number of labelled rows, or over the rank of an adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assistant.evaluation.reports.plots import DASHES, MARKERS, SERIES, SOFT, Plot, percent, show_percent

Spot = tuple[int, float, float, float]
"""Rows or rank, the measure, and the ends of its interval."""
_APART = 0.07
"""Distance of two methods at the same number, so that their intervals stand beside each other."""


def over_numbers(
    curves: Mapping[str, Sequence[Spot]], *, measure: str, axis: str, base: float | None, based: str = "zero-shot"
) -> Plot:
    """Return a line with intervals for each method, at even distances; the dotted line is what no row is needed for."""
    ticks = sorted({spot[0] for spots in curves.values() for spot in spots})

    def draw(axes: Any) -> None:
        for place, (name, spots) in enumerate(curves.items()):
            shift = _APART * (place - (len(curves) - 1) / 2)
            x = [ticks.index(number) + shift for number, *_ in spots]
            colour, y = SERIES[place % len(SERIES)], [spot[1] for spot in spots]
            axes.vlines(
                x, [spot[2] for spot in spots], [spot[3] for spot in spots], color=colour, linewidth=1, alpha=0.55
            )
            axes.plot(
                x,
                y,
                color=colour,
                linestyle=DASHES[place % len(DASHES)],
                marker=MARKERS[place % len(MARKERS)],
                linewidth=1.4,
                markersize=4.5,
                label=name,
            )
        if base is not None:
            axes.axhline(base, color=SOFT, linewidth=1, linestyle=(0, (1, 2)), label=f"{based}: no row")
        axes.set_xticks(range(len(ticks)), [f"{number:,}" for number in ticks])
        axes.set(xlabel=axis, ylabel=measure)
        axes.set_title(f"{measure[:1].upper()}{measure[1:]} over {axis},\nwith 95 % intervals")
        show_percent(axes.yaxis)
        axes.grid(axis="y")
        axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.17), ncols=2, handlelength=3.2, columnspacing=1.4)

    best = "; ".join(f"{name} {percent(spots[-1][1])} at {spots[-1][0]:,}" for name, spots in curves.items() if spots)
    return Plot(f"{measure} over {axis}: {best}", 3.6 + 0.12 * len(curves), draw)
