"""What the commands print with: results on stdout, talk on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from assistant.errors import DataError

if TYPE_CHECKING:
    from assistant.retrieval.building import BuildProgress

_STDIN = "-"
_QUIET_INTERVAL_S = 5.0


def say(text: str) -> None:
    """Print talk: progress, notes, errors."""
    typer.echo(text, err=True)


def show(text: str) -> None:
    """Print a result."""
    typer.echo(text)


def show_json(value: Any) -> None:
    """Print a result as one JSON document."""
    show(json.dumps(value, ensure_ascii=False, indent=2))


def read_text(given: str) -> str:
    """Return the text of an argument; `-` stands for all of stdin.

    Raises:
        DataError: if stdin is not UTF-8.
    """
    if given != _STDIN:
        # Bytes that are no UTF-8 come from the shell as lone surrogates, which nothing can print.
        return given.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    try:
        return sys.stdin.read().strip()
    except UnicodeDecodeError:
        raise DataError("The text on stdin is not UTF-8.") from None


def shortened(text: str, width: int = 72) -> str:
    """Return the text on one line of at most `width` characters."""
    text = " ".join(text.split())
    return text if len(text) <= width else f"{text[: width - 1]}…"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows in aligned columns under a header; the last column is as wide as it likes."""
    lines = [[*header], *([*row] for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


class BuildBar:
    """A progress bar for builds: rows, rate and time left. It appears with the first row."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar: Any = None

    def __enter__(self) -> BuildBar:
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the bar's line."""
        if self._bar is not None:
            self._bar.close()

    def tell(self, progress: BuildProgress) -> None:
        """Show how far the build is."""
        if self._bar is None:
            from tqdm import tqdm

            interval = 0.1 if sys.stderr.isatty() else _QUIET_INTERVAL_S
            self._bar = tqdm(
                desc=self._name,
                total=progress.total,
                unit=" rows",
                file=sys.stderr,
                mininterval=interval,
                dynamic_ncols=True,
            )
        self._bar.update(progress.done - self._bar.n)
