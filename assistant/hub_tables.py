"""A data set of the hub as a stream of rows (owner of `datasets`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from assistant.errors import DataError
from assistant.hub import hub_reachable
from assistant.tables import Row, Source


class HubSource(Source):
    """One split of a hub data set, streamed; a row's line is its number."""

    def __init__(self, identity: str, split: str | None) -> None:
        super().__init__(identity, identity)
        self.split = split or "train"
        self._opened: Any = None

    @property
    def fingerprint(self) -> str:
        """Return `hub:` and the revision that is streamed, with the split."""
        from huggingface_hub import HfApi

        try:
            revision = HfApi().dataset_info(self.location, timeout=30).sha
        except (OSError, ValueError):
            revision = "unknown"
        return f"hub:{revision}:{self.split}"

    def rows(self) -> Iterator[Row]:
        """Yield the rows as the hub streams them.

        Raises:
            DataError: if the hub cannot be reached, has no such data set or split, or breaks off.
        """
        number = 0
        try:
            for number, row in enumerate(self._stream(), start=1):
                yield number, dict(row)
        except (OSError, EOFError) as error:
            why = (str(error) or type(error).__name__).splitlines()[0]
            raise DataError(
                f"The hub broke off after row {number} of the data set '{self.location}': {why}",
                "Try again, or take fewer rows with --limit.",
            ) from error

    def columns(self) -> tuple[str, ...]:
        """Return the columns the data set declares, else those of its first rows."""
        declared = self._stream().features
        return tuple(declared) if declared else super().columns()

    def count(self) -> int | None:
        """Return the number of rows the data set declares."""
        info = getattr(self._stream(), "info", None)
        splits = getattr(info, "splits", None) or {}
        return splits[self.split].num_examples if self.split in splits else None

    def _stream(self) -> Any:
        if self._opened is None:
            self._opened = self._load()
        return self._opened

    def _load(self) -> Any:
        if not hub_reachable():
            raise DataError(
                f"The hub cannot be reached for the data set '{self.location}'.",
                "If a file was meant: no such file exists here.",
            )
        import datasets

        try:
            return datasets.load_dataset(self.location, split=self.split, streaming=True)
        except (OSError, ValueError) as error:
            raise DataError(
                f"The hub has no data set '{self.location}' with a split '{self.split}' that can be read: "
                f"{str(error).splitlines()[0]}",
                "If a file was meant: no such file exists here. Another split is chosen with --split.",
            ) from error
