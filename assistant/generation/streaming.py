"""Tokens out of a thread that generates, and text out of tokens, one step at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import SimpleQueue
from threading import Event
from typing import Protocol

from assistant.records import Finish, Generation

_BROKEN = "\ufffd"
Decode = Callable[[Sequence[int]], str]


class _Tensor(Protocol):
    def tolist(self) -> list[int]: ...


@dataclass(frozen=True)
class Step:
    """The next token of every row, and the seconds since generation began."""

    tokens: tuple[int, ...]
    seconds: float


class StepQueue:
    """A streamer as `generate` wants one (`put`, `end`), for whole batches.

    transformers' own streamers refuse a batch; the protocol itself does not: `put` gets the
    prompt once, and then one token per row after every step.
    """

    def __init__(self) -> None:
        self._steps: SimpleQueue[Step | None] = SimpleQueue()
        self._begin = 0.0
        self._prompt_seen = False

    def begin(self) -> None:
        """Start the clock."""
        self._begin = time.perf_counter()

    def put(self, value: _Tensor) -> None:
        """Take the tokens of one step; the first call brings the prompt and is passed over."""
        if self._prompt_seen:
            self._steps.put(Step(tuple(value.tolist()), time.perf_counter() - self._begin))
        self._prompt_seen = True

    def end(self) -> None:
        """Do nothing: a failed generation never calls it, so `close` marks the end."""

    def close(self) -> None:
        """Say that no further step comes."""
        self._steps.put(None)

    def __iter__(self) -> Iterator[Step]:
        while (step := self._steps.get()) is not None:
            yield step


def steps_of(work: Callable[[StepQueue, Event], None]) -> Iterator[Step]:
    """Yield the steps that `work` puts into its queue while it runs in a thread of its own.

    `work` must end soon after its event is set, which happens when this iterator is closed;
    the thread has ended when the iterator has. An exception in `work` is raised here.
    """
    queue, halt = StepQueue(), Event()

    def run() -> None:
        try:
            work(queue, halt)
        finally:
            queue.close()

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="generate") as pool:
        running = pool.submit(run)
        try:
            yield from queue
        finally:
            halt.set()
        running.result()


class RowReader:
    """The text of one row as its tokens arrive.

    Only the tokens since the last complete character are decoded again, behind a few known
    ones that give them their context; a character is shown when all of its bytes are there.
    """

    def __init__(self, decode: Decode, stop_ids: Sequence[int], limit: int) -> None:
        self.generation = Generation()
        self._decode, self._stop_ids, self._limit = decode, frozenset(stop_ids), limit
        self._ids: list[int] = []
        self._from, self._shown = 0, 0

    def read(self, token: int, seconds: float) -> None:
        """Take the next token; a finished row takes no more."""
        row = self.generation
        if row.finish:
            return
        ended = token in self._stop_ids
        count = row.new_tokens + 1
        text = row.text
        if not ended:
            self._ids.append(token)
            text += self._newly_complete()
        first = seconds if row.first_token_seconds is None else row.first_token_seconds
        self.generation = replace(row, text=text, new_tokens=count, seconds=seconds, first_token_seconds=first)
        if ended or count >= self._limit:
            self._finish("end" if ended else "length")

    def stop(self) -> None:
        """Mark the row as stopped unless it had finished."""
        if not self.generation.finish:
            self._finish("stopped")

    def _finish(self, how: Finish) -> None:
        text = self._decode(self._ids).rstrip(_BROKEN)
        self.generation = replace(self.generation, text=text, finish=how)

    def _newly_complete(self) -> str:
        known = self._decode(self._ids[self._from : self._shown])
        window = self._decode(self._ids[self._from :])
        if window.endswith(_BROKEN) or len(window) <= len(known):
            return ""
        self._from, self._shown = self._shown, len(self._ids)
        return window[len(known) :]
