"""The card of the built-in model: the table stands between two comments, and is replaced as a whole."""

from __future__ import annotations

from pathlib import Path

from assistant import paths
from assistant.errors import DataError
from assistant.evaluation.running.progress import write_text

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def card_file() -> Path:
    """Return the model's card."""
    return paths.demo() / "README.md"


def with_table(card: str, table: str) -> str:
    """Return the card with another table between its two comments.

    Raises:
        DataError: if the comments do not stand in it once each, in their order.
    """
    before, begin, rest = card.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after:
        raise DataError(
            f"The model's card needs one '{BEGIN}' and after it one '{END}'.", "Put both on lines of their own."
        )
    return f"{before}{BEGIN}\n\n{table.strip()}\n\n{END}{after}"


def write_table(table: str, path: Path | None = None) -> Path:
    """Write the table into the card and return the card's file.

    Raises:
        DataError: if the card has no place for it.
    """
    path = path or card_file()
    write_text(path, with_table(path.read_text(encoding="utf-8"), table))
    return path
