"""The look of all plots, and how one becomes SVG text or PNG bytes: paper and ink with one green.

What is drawn stands in `leaderboard_plots` and `study_plots`.
"""

from __future__ import annotations

import hashlib
import html
import io
import math
import re
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

INK, SOFT, FAINT, LINE, PAPER, GREEN = "#1c1b1a", "#65625b", "#a09c92", "#e5e2da", "#ffffff", "#177863"
SERIES = (GREEN, INK, "#2a5fa8", "#b06a00", "#9b2f6b", "#6b4aa0", "#57544e", "#a3362b")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.4)), (0, (6, 2, 1, 2)), (0, (3, 1)), "-", (0, (5, 2)), (0, (1, 1.4)))
"""Colour, mark and dash differ together, so that no series is told by its colour alone."""
WIDTH = 4.4
"""Inches: at 360 pixels the letters are still ten pixels high."""
LONGEST_NAME = 44
_MOST_TICKS = 5
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "shotwise",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": SOFT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.titlepad": 9,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "figure.facecolor": PAPER,
    "figure.constrained_layout.h_pad": 0.09,
    "figure.constrained_layout.w_pad": 0.09,
    "axes.facecolor": PAPER,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
}
_ID = re.compile(r' id="([^"]+)"')
_POINTER = re.compile(r'((?:href="|url\()#)([^")]+)')
_FONT = re.compile(r"'DejaVu Sans'(?:, [^;\"]*)?")
_drawing = threading.Lock()


@dataclass(frozen=True)
class Plot:
    """A plot that is drawn when it is asked for; `words` says the same to those who cannot see it."""

    words: str
    height: float
    """Inches."""
    draw: Callable[[Any], None]

    def svg(self) -> str:
        """Return an `<svg>` element; the same plot gives the same bytes."""
        text = self._saved("svg", metadata={"Date": None, "Creator": None}).decode("utf-8")
        text = _FONT.sub("system-ui, sans-serif", _own_ids(text[text.index("<svg") :]))
        return text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(self.words)}" ', 1).strip()

    def png(self, dpi: int = 200) -> bytes:
        """Return a PNG image of 880 pixels width, unless another resolution is asked for."""
        return self._saved("png", dpi=dpi, metadata={"Software": None, "Description": self.words})

    def _saved(self, form: str, **how: Any) -> bytes:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        written = io.BytesIO()
        # Style and warnings are global: one drawing at a time. A script that the font lacks is drawn as
        # boxes in PNG images, and as it should be in SVG, whose text the browser draws.
        with _drawing, rc_context(_STYLE), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
            figure = Figure(figsize=(WIDTH, self.height), layout="constrained")
            FigureCanvasAgg(figure)
            self.draw(figure.add_subplot())
            figure.savefig(written, format=form, **how)
        return written.getvalue()


def shortened(name: str, longest: int = LONGEST_NAME) -> str:
    """Return the name on one line, cut in the middle where it is too long: names often differ at their ends."""
    name = " ".join(name.split())
    tail = longest // 3
    return name if len(name) <= longest else f"{name[: longest - tail - 1]}…{name[-tail:]}"


def _own_ids(svg: str) -> str:
    """Return the SVG with the ids it points to, named so that they meet no other plot's in a page."""
    pointed = {name for _, name in _POINTER.findall(svg)}
    mark = hashlib.sha256(svg.encode("utf-8")).hexdigest()[:8]
    svg = _ID.sub(lambda found: f' id="{found[1]}-{mark}"' if found[1] in pointed else "", svg)
    return _POINTER.sub(rf"\g<1>\g<2>-{mark}", svg)


def mixed(colour: str, share: float) -> str:
    """Return the paper mixed with a share (0…1) of the colour."""
    parts = [(int(PAPER[at : at + 2], 16), int(colour[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(paper + (ink - paper) * share):02x}" for paper, ink in parts)


def percent(value: float, digits: int = 1) -> str:
    """Return `83.3 %`."""
    return f"{100 * value:.{digits}f} %"


def show_percent(axis: Any) -> None:
    """Write the ticks of a matplotlib axis as percent."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g} %"))


def show_numbers(axis: Any, low: float, high: float, *, zero: bool) -> None:
    """Write the ticks of a logarithmic matplotlib axis as a few round numbers between low and high."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10.0**power for power in powers for step in steps if low * 0.8 <= step * 10.0**power <= high]
        if len(ticks) <= _MOST_TICKS:
            break
    axis.set_major_locator(FixedLocator([0.0, *ticks] if zero else ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
    axis.set_minor_locator(NullLocator())


class Spot(NamedTuple):
    """Where a short label stands: its distance from its mark, in points."""

    x: float
    y: float


_SPOTS = tuple(
    Spot(x * far, y * far)
    for far in (9.5, 18.0, 27.0)
    for x, y in ((1.15, 0), (0, 1), (-1.15, 0), (0, -1), (0.75, 0.75), (0.75, -0.75), (-0.75, 0.75), (-0.75, -0.75))
)


def free_spots(axes: Any, points: Sequence[tuple[float, float]], *, size: tuple[float, float]) -> list[Spot]:
    """Return for each point a place beside it that covers no mark and no other label, as far as there is one.

    Args:
        axes: Its limits and scales must be set.
        points: The marks, in data coordinates.
        size: About how wide and high the axes will be, in points.
    """
    shares = (axes.transScale + axes.transLimits).transform(points)
    marks = [(x * size[0], y * size[1]) for x, y in shares]
    taken: list[tuple[float, float]] = []
    spots = []
    for x, y in marks:
        spot = next(
            (one for one in _SPOTS if _is_free((x + one.x, y + one.y), marks, taken, size)),
            _SPOTS[0],
        )
        taken.append((x + spot.x, y + spot.y))
        spots.append(spot)
    return spots


def _is_free(
    at: tuple[float, float],
    marks: Sequence[tuple[float, float]],
    labels: Sequence[tuple[float, float]],
    size: tuple[float, float],
) -> bool:
    inside = 4 <= at[0] <= size[0] - 4 and 4 <= at[1] <= size[1] - 4
    return inside and all(math.dist(at, mark) > 8 for mark in marks) and all(math.dist(at, one) > 11 for one in labels)
