"""Plots of a leaderboard: accuracies with intervals, confusion, ROC, calibration, and what an answer costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assistant.evaluation.reports.plots import (
    DASHES,
    FAINT,
    GREEN,
    INK,
    LINE,
    PAPER,
    SERIES,
    SOFT,
    Plot,
    free_spots,
    mixed,
    percent,
    shortened,
    show_numbers,
    show_percent,
)

Row = Mapping[str, Any]
UNREADABLE_GAP = 0.18
"""How far the column of unreadable answers stands apart, in cells."""


def main_measure(rows: Sequence[Row]) -> str:
    """Return what the rows are ranked by: `accuracy`, or `score` where nothing is right or wrong."""
    return "accuracy" if any(row.get("accuracy") is not None for row in rows) else "score"


def forest(rows: Sequence[Row], *, baseline: str = "", measure: str = "accuracy", named: str = "") -> Plot:
    """Return a plot of each row's measure (`accuracy`, `score`, `macro_f1`) with its interval, best first.

    Filled circles are strategies, hollow squares need no language model; the dashed line is the baseline.
    `named` is what the measure is called in the title.
    """
    shown = sorted((row for row in rows if row.get(measure) is not None), key=lambda row: -row[measure])
    title = f"{named or measure.replace('_', ' ').capitalize()} with 95 % intervals"

    def draw(axes: Any) -> None:
        ends = [end for row in shown for end in (row[f"{measure}_interval"] or [row[measure]])]
        low, high = max(0.0, min(ends, default=0) - 0.03), min(1.0, max(ends, default=1) + 0.03)
        axes.set(xlim=(low, high), ylim=(-len(shown) + 0.55, 0.65), yticks=[], title=title)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        show_percent(axes.xaxis)
        for place, row in enumerate(shown):
            _forest_row(axes, row, -place, measure)
            if row["name"] == baseline:
                axes.set_xlabel(f"dashed: {shortened(baseline)}", fontsize=8.5, loc="left")
                axes.axvline(row[measure], color=SOFT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)

    words = "; ".join(f"{row['name']} {percent(row[measure])}" for row in shown)
    return Plot(f"{title}: {words}", 0.95 + 0.45 * max(1, len(shown)), draw)


def _forest_row(axes: Any, row: Row, y: float, measure: str) -> None:
    hollow = row["kind"] == "baseline"
    colour = SOFT if hollow else GREEN
    low, high = row[f"{measure}_interval"] or (row[measure], row[measure])
    axes.plot([low, high], [y, y], color=colour, linewidth=2.2, solid_capstyle="round", zorder=2)
    axes.plot(
        row[measure],
        y,
        marker="s" if hollow else "o",
        markersize=7,
        markerfacecolor=PAPER if hollow else colour,
        markeredgecolor=colour,
        markeredgewidth=1.6,
        zorder=3,
        clip_on=False,
    )
    beside = axes.get_yaxis_transform()
    plate = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
    axes.text(0, y + 0.38, shortened(row["name"], 38), transform=beside, va="center", fontsize=9, bbox=plate, zorder=4)
    value = percent(row[measure])
    axes.text(1, y + 0.38, value, transform=beside, va="center", ha="right", fontsize=9, bbox=plate, zorder=4)


def confusion(matrix: Row, name: str = "") -> Plot:
    """Return a confusion matrix: rows are what was meant; a cell's depth is its share of the row."""
    labels, columns, counts = matrix["labels"], matrix["columns"], matrix["counts"]

    def draw(axes: Any) -> None:
        small = 9.5 if len(columns) <= 5 else 8
        for y, row in enumerate(counts):
            for x, count in enumerate(row):
                left = x + (UNREADABLE_GAP if x == len(labels) else 0)  # the unreadable stand apart
                share = count / max(1, sum(row))
                colour = mixed(SOFT if x == len(labels) else GREEN, share)
                axes.bar(left, 0.96, 0.96, y, align="edge", color=colour, edgecolor=LINE, linewidth=0.7)
                axes.text(
                    left + 0.48,
                    y + 0.5,
                    f"{count:,}",
                    ha="center",
                    va="center",
                    color=PAPER if share > 0.55 else (INK if count else FAINT),
                    fontsize=small,
                    fontweight="bold" if x == y else "normal",
                )
        axes.set(xlim=(-0.05, len(columns) + 0.2), ylim=(len(labels), -0.05), title=shortened(name or "Confusion", 40))
        places = [x + 0.48 + (UNREADABLE_GAP if x == len(labels) else 0) for x in range(len(columns))]
        slant = {} if len(columns) <= 3 else {"rotation": 35, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(places, [shortened(one, 16) for one in columns], fontsize=small, **slant)
        axes.set_yticks([y + 0.48 for y in range(len(labels))], [shortened(one, 16) for one in labels], fontsize=small)
        axes.set(xlabel="answered", ylabel="meant")
        axes.tick_params(length=0)
        for side in axes.spines.values():
            side.set_visible(False)

    words = "; ".join(
        f"{label}: {dict(zip(columns, row, strict=True))}" for label, row in zip(labels, counts, strict=True)
    )
    return Plot(f"Confusion of {name}. {words}", min(6.0, 1.2 + 0.55 * len(labels)), draw)


def roc(row: Row) -> Plot:
    """Return the ROC curve of a leaderboard row, or one curve per label against the rest."""
    curves = row["roc_curve"] if isinstance(row["roc_curve"], Mapping) else {"": row["roc_curve"]}

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        for place, (label, points) in enumerate(curves.items()):
            x, y = zip(*points, strict=True)
            style = {"color": SERIES[place % len(SERIES)], "linestyle": DASHES[place % len(DASHES)]}
            axes.plot(x, y, label=shortened(label, 20), solid_capstyle="round", **style)
            if len(curves) == 1:
                axes.fill_between(x, y, color=GREEN, alpha=0.08, linewidth=0)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="false positive rate", ylabel="true positive rate")
        area = "area" if len(curves) == 1 else "mean area"
        axes.set_title(f"ROC, {area} {row['roc_auc']:.3f}\n{shortened(row['name'])}", fontsize=10)
        axes.set_aspect("equal")
        axes.grid()
        if len(curves) > 1:
            axes.legend(loc="lower right", title="against the rest", title_fontsize=8.5, handlelength=2.6)

    return Plot(f"ROC curve of {row['name']}, area {row['roc_auc']:.3f}", 4.5, draw)


def calibration(row: Row) -> Plot:
    """Return accuracy against confidence of a leaderboard row; the bars below count the answers."""
    curve = row["calibration_curve"]
    error = row["expected_calibration_error"]

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        most = max(n for *_, n in curve)
        axes.bar(
            [min(0.95, int(x * 10) / 10 + 0.05) for x, _, _ in curve],
            [0.18 * n / most for *_, n in curve],
            width=0.086,
            color=LINE,
        )
        axes.plot([x for x, _, _ in curve], [y for _, y, _ in curve], color=GREEN, marker="o", markersize=6)
        axes.set(
            xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="confidence in the answer", ylabel="share that is right"
        )
        axes.set_title(f"Calibration, expected error {error:.3f}\n{shortened(row['name'])}", fontsize=10)
        axes.set_aspect("equal")
        axes.grid()

    return Plot(f"Calibration of {row['name']}, expected error {error:.3f}", 4.5, draw)


def pareto(rows: Sequence[Row], *, cost: str = "tokens", measure: str = "accuracy", named: str = "") -> Plot:
    """Return the measure against the cost of one answer (`tokens` or `seconds`); the green steps are the front.

    On the front nothing else is both cheaper and better. Numbers stand for names, which are listed below.
    """
    name = named or measure.replace("_", " ").capitalize()
    shown = [row for row in rows if row.get(measure) is not None]
    costs = [cost_per_answer(row, cost) for row in shown]
    front = pareto_front(costs, [row[measure] for row in shown])

    def draw(axes: Any) -> None:
        reach = _cost_axis(axes, costs)
        ends = [end for place in front for end in (shown[place].get(f"{measure}_interval") or ())]
        ends += [row[measure] for row in shown]
        axes.set(ylim=(max(-0.02, min(ends) - 0.03), min(1.03, max(ends) + 0.04)))
        steps = sorted((costs[place], shown[place][measure]) for place in front)
        axes.step([x for x, _ in steps] + [reach], [y for _, y in steps] + [steps[-1][1]], where="post", color=GREEN)
        marks = [(x, row[measure]) for x, row in zip(costs, shown, strict=True)]
        for place, spot in enumerate(free_spots(axes, marks, size=(250, 190))):
            _pareto_point(axes, costs[place], shown[place], on_front=place in front, measure=measure)
            style: dict[str, Any] = {"color": GREEN, "fontweight": "bold"} if place in front else {"color": INK}
            style["bbox"] = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.4}
            axes.annotate(
                str(place + 1),
                marks[place],
                spot,
                textcoords="offset points",
                ha="center",
                va="center_baseline",
                fontsize=8,
                zorder=2.5,
                **style,
            )
        show_percent(axes.yaxis)
        axes.set_title(f"{name} against {cost}")
        axes.grid()
        names = (f"{place}  {shortened(row['name'])}" for place, row in enumerate(shown, 1))
        key = "\n".join((f"{cost} per answer", "", *names))
        axes.set_xlabel(key, loc="left", linespacing=1.45, fontsize=8.5, color=INK)

    best = ", ".join(shown[place]["name"] for place in front)
    return Plot(f"{name} against {cost} per answer; on the front: {best}", 3.4 + 0.185 * len(shown), draw)


def _cost_axis(axes: Any, costs: Sequence[float]) -> float:
    """Scale the axis of costs by logarithms, with a place for 0 if anything is free; return its right end."""
    paid = [one for one in costs if one > 0] or [1.0]
    smallest, reach = min(paid), max(paid) * 1.6
    free = min(costs, default=0.0) == 0
    if free:
        axes.set_xscale("symlog", linthresh=smallest, linscale=0.4)
    else:
        axes.set_xscale("log")
    axes.set_xlim(-smallest * 0.6 if free else smallest / 1.6, reach)
    show_numbers(axes.xaxis, smallest, reach, zero=free)
    return reach


def cost_per_answer(row: Row, cost: str) -> float:
    """Return the row's tokens (prompt and new) or seconds per answer."""
    total = row["seconds"] if cost == "seconds" else row["prompt_tokens"] + row["new_tokens"]
    answers: int = row.get("answers") or row["n"] * len(row["seeds"] or [0])
    return float(total) / max(1, answers)


def pareto_front(costs: Sequence[float], measures: Sequence[float]) -> list[int]:
    """Return the places that nothing beats in both: the cheapest first, each next dearer and better."""
    front: list[int] = []
    for place in sorted(range(len(costs)), key=lambda at: (costs[at], -measures[at])):
        if not front or measures[place] > measures[front[-1]]:
            front.append(place)
    return front


def _pareto_point(axes: Any, x: float, row: Row, *, on_front: bool, measure: str) -> None:
    edge = GREEN if on_front else SOFT
    low, high = row.get(f"{measure}_interval") or (row[measure], row[measure])
    if on_front:  # more intervals would hide each other; the forest plot has them all
        axes.plot([x, x], [low, high], color=edge, linewidth=1, alpha=0.6, zorder=2)
    axes.plot(
        x,
        row[measure],
        marker="s" if row["kind"] == "baseline" else "o",
        markersize=7,
        markerfacecolor=GREEN if on_front else PAPER,
        markeredgecolor=edge,
        markeredgewidth=1.4,
        zorder=3,
    )
