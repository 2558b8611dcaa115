"""What an evaluation looks like on a terminal: live progress, the leaderboard, the comparisons."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from assistant.commands.terminal import say, shortened, table

if TYPE_CHECKING:
    from assistant.evaluation.running.progress import ArmProgress, Progress

_QUIET_INTERVAL_S = 5.0
_LIVE_INTERVAL_S = 0.2
_BAR_WIDTH = 30
_NAME_WIDTH = 40


class Board:
    """Live progress on stderr: one line per arm and a bar on a terminal, else a line now and then."""

    def __init__(self, unit: str = "answers") -> None:
        self._unit = unit
        self._live = sys.stderr.isatty()
        self._lines = 0
        self._told = float("-inf")

    def __enter__(self) -> Board:
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Leave what was shown last."""

    def tell(self, progress: Progress) -> None:
        """Show how far the evaluation is, if it is time or the end."""
        now = time.perf_counter()
        ended = progress.state != "running"
        if not ended and now - self._told < (_LIVE_INTERVAL_S if self._live else _QUIET_INTERVAL_S):
            return
        self._told = now
        if not self._live:
            say(line(progress, self._unit))
            return
        width, height = shutil.get_terminal_size()
        lines = [text[: width - 1] for text in board_lines(progress, height - 1, self._unit)]
        up = f"\033[{self._lines}F" if self._lines else ""
        sys.stderr.write(up + "".join(f"\033[K{text}\n" for text in lines))
        sys.stderr.flush()
        self._lines = len(lines)


def board_lines(progress: Progress, most: int, unit: str = "answers") -> list[str]:
    """Return the lines of the board, at most `most`: what does not fit is counted."""
    arms = [_arm_line(arm) for arm in progress.arms]
    if len(arms) + 1 > most:
        kept = max(most - 2, 0)
        arms = [*arms[:kept], f"  … and {len(arms) - kept} more"]
    return [*arms, line(progress, unit)]


def line(progress: Progress, unit: str = "answers") -> str:
    """Return the whole evaluation's progress on one line."""
    share = progress.done / progress.total if progress.total else 1.0
    full = round(share * _BAR_WIDTH)
    left = "" if progress.seconds_left is None else f", {duration(progress.seconds_left)} left"
    bar = "█" * full + "░" * (_BAR_WIDTH - full)
    return f"{bar} {progress.done:,} of {progress.total:,} {unit}{left}  {progress.sentence}"


def _arm_line(arm: ArmProgress) -> str:
    right = "" if arm.accuracy is None else f"{arm.accuracy:6.1%}"
    if arm.interval is not None:
        right += f" ({arm.interval[0]:.1%} to {arm.interval[1]:.1%})"
    return f"  {shortened(arm.name, _NAME_WIDTH):<{_NAME_WIDTH}} {arm.done:>6,}/{arm.total:<6,} {right}"


def duration(seconds: float) -> str:
    """Return seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{seconds / 3600:.1f} h"


def leaderboard(record: Mapping[str, Any]) -> str:
    """Return the leaderboard of a run's record as a table, best first."""
    rows: Sequence[Mapping[str, Any]] = record["results"]
    if not rows:
        return "Nothing was answered yet."
    measure = "accuracy" if any(row["accuracy"] is not None for row in rows) else "score"
    labelled = any(row["macro_f1"] is not None for row in rows)
    header = ["strategy", "n", f"{measure} (95 % interval)", *(["macro F1"] if labelled else [])]
    header += ["unreadable", "tokens", "seconds"]
    best_first = sorted(rows, key=lambda row: -(row[measure] or 0.0))
    return table(header, [_row(row, measure, labelled) for row in best_first])


def _row(row: Mapping[str, Any], measure: str, labelled: bool) -> list[str]:
    low, high = row[f"{measure}_interval"]
    seeds = f" × {len(row['seeds'])} seeds" if len(row["seeds"]) > 1 else ""
    cells = [row["name"], f"{row['n']:,}{seeds}", f"{row[measure]:.1%} ({low:.1%} to {high:.1%})"]
    if labelled:
        cells.append("–" if row["macro_f1"] is None else f"{row['macro_f1']:.3f}")
    asked = row["kind"] == "strategy"
    tokens = f"{row['prompt_tokens'] + row['new_tokens']:,}" if asked else "–"
    return [*cells, str(row["parse_failures"]), tokens, f"{row['seconds']:.1f}"]


def comparisons(record: Mapping[str, Any]) -> list[str]:
    """Return the paired comparisons with the baseline as a table, each with its verdict in honest words."""
    from assistant.evaluation.reports.words import p_value, points

    pairs = record["pairs"]
    rows = [
        (
            pair["b"],
            f"{points(pair['difference'])} ({points(pair['interval'][0])} to {points(pair['interval'][1])})",
            f"{pair['wins']:,} : {pair['losses']:,}",
            p_value(pair["p_holm"]),
            pair["verdict"],
        )
        for pair in pairs
    ]
    header = (
        "compared with " + record["baseline"],
        "points (95 % interval, uncorrected)",
        "better : worse",
        "Holm",
        "verdict",
    )
    return [table(header, rows), f"Paired by sample; p-values are corrected for {len(pairs)} comparisons."]
