"""The card of the built-in model: the table stands between two comments, and is replaced as a whole."""

from __future__ import annotations

from pathlib import Path

from assistant import paths
from assistant.errors import DataError
from assistant.evaluation.running.progress import write_text

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def card_file(model: str | Path = "demo") -> Path:
    """Return the card of a demo model: the built-in one's lies beside its folder, any other's inside it."""
    built_in = paths.demo() / "model"
    if str(model) == "demo" or Path(model).resolve() == built_in.resolve():
        return paths.demo() / "README.md"
    return Path(model) / "README.md"


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
    """Write the table into the card, which is begun if there is none, and return the card's file.

    Raises:
        DataError: if the card has no place for it.
    """
    path = path or card_file()
    card = path.read_text(encoding="utf-8") if path.is_file() else f"# {path.parent.name}\n\n{BEGIN}\n{END}\n"
    write_text(path, with_table(card, table))
    return path
