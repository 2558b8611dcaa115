"""Plots of studies: accuracy over the number of demonstrations, under a similarity ceiling, over their orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from assistant.evaluation.reports.plots import (
    DASHES,
    FAINT,
    GREEN,
    INK,
    MARKERS,
    PAPER,
    SERIES,
    SOFT,
    Plot,
    percent,
    shortened,
    show_percent,
)

Point = tuple[float, float, float, float]
"""x, the measure, and the ends of its interval."""


def sweep(curves: Mapping[str, Sequence[Point]], *, measure: str = "accuracy", baseline: float | None = None) -> Plot:
    """Return the measure over k for each selector, with its band; the dotted line is k = 0 or a baseline."""

    def draw(axes: Any) -> None:
        for place, (name, points) in enumerate(curves.items()):
            x, y, low, high = zip(*points, strict=True)
            colour = SERIES[place % len(SERIES)]
            axes.fill_between(x, low, high, color=colour, alpha=0.1, linewidth=0)
            axes.plot(
                x,
                y,
                color=colour,
                linestyle=DASHES[place % len(DASHES)],
                marker=MARKERS[place % len(MARKERS)],
                label=shortened(name, 30),
            )
        if baseline is not None:
            axes.axhline(baseline, color=SOFT, linewidth=1, linestyle=(0, (1, 2)), label="without demonstrations")
        axes.set_xticks(sorted({point[0] for points in curves.values() for point in points}))
        axes.set(xlabel="demonstrations shown (k)", ylabel=measure.replace("_", " "))
        axes.set_title(f"{measure[:1].upper()}{measure[1:].replace('_', ' ')} over k, with 95 % bands")
        show_percent(axes.yaxis)
        axes.grid(axis="y")
        axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.17), ncols=2, handlelength=3.2, columnspacing=1.4)

    best = "; ".join(f"{name} {percent(max(point[1] for point in points))} at best" for name, points in curves.items())
    return Plot(f"{measure} over k: {best}", 3.5 + 0.12 * len(curves), draw)


def ceilings(points: Sequence[Point], *, name: str = "", adjusted: float | None = None) -> Plot:
    """Return the accuracy under each similarity ceiling, 1 (nothing is kept out) at the left.

    What lies between the accuracy without a ceiling and `adjusted` (by default the strictest) is shaded:
    that share is owed to near-copies.
    """
    ordered = sorted(points, key=lambda point: -point[0])
    first = ordered[0][1]
    floor = ordered[-1][1] if adjusted is None else adjusted

    def draw(axes: Any) -> None:
        places = list(range(len(ordered)))
        _, y, low, high = zip(*ordered, strict=True)
        axes.fill_between(places, low, high, color=GREEN, alpha=0.1, linewidth=0)
        axes.plot(places, y, color=GREEN, marker="o", zorder=3)
        if floor < first:
            axes.fill_between(places, [first] * len(places), y, color="#b06a00", alpha=0.28, linewidth=0, hatch="////")
        axes.axhline(first, color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xticks(places, ["no ceiling" if tau >= 1 else f"{tau:g}" for tau, *_ in ordered])
        axes.set(xlabel="highest similarity that may be shown", ylabel="accuracy")
        owed = 100 * (first - floor)
        axes.set_title(f"{owed:+.1f} points owed to near-copies\n{shortened(name)}".rstrip(), fontsize=10)
        show_percent(axes.yaxis)
        axes.grid(axis="y")

    return Plot(f"Accuracy {percent(first)} without a ceiling, {percent(floor)} without near-copies", 3.6, draw)


def orders(
    accuracies: Sequence[float], shown: float, percentile: float, *, name: str = "", ensemble: float | None = None
) -> Plot:
    """Return every order of the demonstrations as a dot at its accuracy, equal ones stacked.

    Args:
        accuracies: One number per order, 0…1.
        shown: That of the order which the strategy uses.
        percentile: Its place among all orders, 0…100.
        name: The strategy.
        ensemble: The accuracy of the vote of all orders, if known.
    """

    def draw(axes: Any) -> None:
        stacks = Counter(round(accuracy, 6) for accuracy in accuracies)
        tallest = max(stacks.values())
        dots = [(accuracy, level) for accuracy, many in stacks.items() for level in range(many)]
        axes.scatter([x for x, _ in dots], [y for _, y in dots], s=26, color=PAPER, edgecolors=SOFT, linewidths=1.2)
        axes.plot(shown, 0, marker="o", markersize=7, color=GREEN, zorder=4)
        axes.axvline(shown, color=GREEN, linewidth=1.2, zorder=1)
        if ensemble is not None:
            axes.axvline(ensemble, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
            beside = "left" if ensemble <= sum(accuracies) / len(accuracies) else "right"
            plate = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.5}
            style = {"ha": beside, "va": "center", "fontsize": 8.5, "bbox": plate, "zorder": 5}
            axes.text(ensemble, tallest + 0.6, "all orders together", **style)
        axes.set(ylim=(-0.7, tallest + 1.2), yticks=[], xlabel=f"accuracy of each of {len(accuracies)} orders")
        title = f"Shown order: percentile {percentile:.0f} of its own orders"
        axes.set_title(f"{title}\n{shortened(name)}".rstrip(), fontsize=10)
        axes.spines["left"].set_visible(False)
        axes.margins(x=0.08)
        show_percent(axes.xaxis)
        axes.tick_params(axis="x", color=FAINT)

    lowest, highest = percent(min(accuracies)), percent(max(accuracies))
    words = f"Orders of the demonstrations reach {lowest} to {highest}; the shown one {percent(shown)}"
    return Plot(words, 1.9 + 0.11 * max(Counter(round(one, 6) for one in accuracies).values()), draw)
