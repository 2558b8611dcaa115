"""What the commands that run for long share: where reports go, how they are stopped, how to go on."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assistant.commands.terminal import BuildBar, say
from assistant.errors import SettingError

if TYPE_CHECKING:
    from assistant.retrieval.building import BuildProgress

STOPPED = 130
Text = Callable[[], str]


def listed(text: str | None) -> tuple[str, ...]:
    """Return the parts of a text that commas separate."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def how_to_go_on(words: Sequence[str], name: str | None = None) -> str:
    """Return what to type to go on: the same command, under the same name if it has one.

    `words` are the command's own, for where it was not called from a command line.
    """
    words = sys.argv[1:] if len(sys.argv) > 1 else words
    if name is not None and not any(word == "--name" or word.startswith("--name=") for word in words):
        words = [*words, "--name", name]
    return f"Stopped; what was finished is kept. Go on with: shotwise {shlex.join(words)}"


@dataclass(frozen=True)
class PageOptions:
    """Where the report is also written."""

    out: Annotated[str | None, typer.Option(metavar="FILE", help="Also write the record (JSON) here.")] = None
    html: Annotated[str | None, typer.Option(metavar="FILE", help="Also write the report as one HTML file.")] = None
    markdown: Annotated[str | None, typer.Option(metavar="FILE", help="Also write the report as Markdown.")] = None

    def files(self) -> tuple[str, ...]:
        """Return the files that were named."""
        return tuple(filter(None, (self.out, self.html, self.markdown)))

    def check(self) -> None:
        """Refuse a file that could not be written in the end.

        Raises:
            SettingError: naming the file.
        """
        for file in self.files():
            path = Path(file).expanduser()
            if path.is_dir():
                raise SettingError(f"'{file}' is a folder.", "Name a file in it.")
            if not path.parent.is_dir():
                raise SettingError(f"'{file}' cannot be written: there is no folder '{path.parent}'.")
            if not os.access(path if path.exists() else path.parent, os.W_OK):
                raise SettingError(f"'{file}' cannot be written here.", "Choose another place.")

    def write_pages(self, record: Mapping[str, Any], *, html: Text, markdown: Text) -> None:
        """Write whatever was asked for; a text is made only if it is."""
        from assistant.evaluation.running.progress import write_json

        if self.out:
            write_json(Path(self.out).expanduser(), record)
        for file, text in ((self.html, html), (self.markdown, markdown)):
            if file:
                Path(file).expanduser().write_text(text(), encoding="utf-8")


@dataclass(frozen=True)
class OutputOptions(PageOptions):
    """Where the report is also written, its figures as a table too."""

    csv: Annotated[str | None, typer.Option(metavar="FILE", help="Also write the figures as CSV.")] = None

    def files(self) -> tuple[str, ...]:
        """Return the files that were named."""
        return (*super().files(), *filter(None, (self.csv,)))

    def write(self, record: Mapping[str, Any], *, html: Text, markdown: Text, csv: Text) -> None:
        """Write whatever was asked for; a text is made only if it is."""
        self.write_pages(record, html=html, markdown=markdown)
        if self.csv:
            Path(self.csv).expanduser().write_text(csv(), encoding="utf-8", newline="")


@contextmanager
def stop_signal() -> Iterator[threading.Event]:
    """Yield what is set by Ctrl-C or a request to end; a second Ctrl-C breaks off at once."""
    stop = threading.Event()

    def ask_to_stop(number: int, frame: object) -> None:
        del frame
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()
        say("\nStopping; what is finished is kept.")

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, ask_to_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Bars:
    """One bar per index that is built."""

    def __init__(self) -> None:
        self._bars: dict[str, BuildBar] = {}

    def __call__(self, name: str, progress: BuildProgress) -> None:
        if name not in self._bars:
            say(f"Building the index '{name}' (once).")
            self._bars[name] = BuildBar(name)
        self._bars[name].tell(progress)

    def close(self) -> None:
        for bar in self._bars.values():
            bar.__exit__()


@contextmanager
def build_bars() -> Iterator[_Bars]:
    """Yield what shows a bar for every index that is built."""
    bars = _Bars()
    try:
        yield bars
    finally:
        bars.close()
