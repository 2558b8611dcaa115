"""What the page asks: one base model, loaded in the background, that answers one run at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeVar

from assistant.errors import ModelError, ShotwiseError
from assistant.records import Answer
from assistant.settings import NO_ADAPTER, ModelSettings
from assistant.web.jobs import Jobs
from assistant.web.opened_run import RunShelf
from assistant.web.shelf import AnswerShelf

if TYPE_CHECKING:
    from assistant.answering import Assistant, Request
    from assistant.generation.chat_model import ChatModel
    from assistant.generation.chat_models import AdapterChoice, ChatModels

UPDATE_S = 1 / 20
"""Least time between two updates of the page: it gains nothing from more, and pays for each."""
_LOOK_S = 0.1
_MOST_WAITING = 64

T = TypeVar("T")


@dataclass(frozen=True)
class Status:
    """How far the service is, in one sentence."""

    state: Literal["loading", "ready", "failed"]
    sentence: str
    model: str = ""
    adapter: str | None = None
    dtype: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Waiting:
    """Why a run has not begun yet."""

    sentence: str


class Service:
    """One model for all visitors; runs wait for their turn, and each can be stopped."""

    def __init__(
        self,
        settings: ModelSettings | None = None,
        model: ChatModel | None = None,
        models: ChatModels | None = None,
    ) -> None:
        """Answer with `models`, or with `model` alone; without either, with what the settings name."""
        self.settings = settings or ModelSettings()
        self._model, self._models = model, models
        self._assistant: Assistant | None = None
        self._turn = threading.Lock()
        self._runs: dict[str, threading.Event] = {}
        self._waiting = 0
        self.answers = AnswerShelf()
        self.jobs = Jobs()
        self.run_shelf = RunShelf()
        name = self.settings.model if model is None else model.name
        self.status = Status("loading", f"Loading the model {name} …", name, self.settings.adapter)

    def start(self) -> None:
        """Begin to load in the background."""
        threading.Thread(target=self.load, name="load", daemon=True).start()

    def load(self) -> None:
        """Load the model, the encoder and the built-in indexes; `status` says how far it is."""
        try:
            models = self._load_models()
            model = models.get(None)
            notes = (*model.notes, *self._prepare_retrieval())
        except ShotwiseError as error:
            self._say("failed", error.sentence())
            return
        except Exception as error:
            # Without this the page would say "loading" for ever.
            self._say("failed", f"The model could not be loaded ({type(error).__name__}: {error}).")
            raise
        from assistant.answering import Assistant

        self._assistant = Assistant(model, models)
        self.status = Status("ready", "Ready", model.name, model.adapter, model.dtype, notes)

    @property
    def first_adapter(self) -> str:
        """Return the adapter that the program was started with, as a request names it."""
        return self.settings.adapter or NO_ADAPTER

    def adapters(self) -> tuple[AdapterChoice, ...]:
        """Return the adapters that lie on this machine now; none while the model is being loaded."""
        return () if self._assistant is None else self._assistant.adapters()

    def run(self, requests: Sequence[Request], stop: threading.Event) -> Iterator[Waiting | tuple[Answer, ...]]:
        """Yield why it waits, then all answers as they grow, at most 20 times a second.

        Closing the iterator, or setting `stop`, ends generation within one token. Stopped while
        it waits, it yields no answers.

        Raises:
            ShotwiseError: if a request cannot be answered.
        """
        if self._waiting >= _MOST_WAITING:
            raise ModelError("Too many questions are waiting for this model.", "Try again in a moment.")
        self._waiting += 1
        try:
            assistant = yield from self._until_ready(stop)
            if assistant is None or not (yield from self._until_my_turn(stop)):
                return
        finally:
            self._waiting -= 1
        try:
            yield from throttled(assistant.compare(requests, stop))
        finally:
            stop.set()
            self._turn.release()

    def begin(self, key: str) -> threading.Event:
        """Return the stop signal of a new run; an earlier run of this key is stopped."""
        self.discard(key)
        signal = self._runs[key] = threading.Event()
        return signal

    def is_current(self, key: str, signal: threading.Event) -> bool:
        """Return whether a run is still the one to be shown: not replaced, not discarded."""
        return self._runs.get(key) is signal

    def stop(self, key: str) -> None:
        """Stop the run of that key, if there is one; what it has so far is still shown."""
        signal = self._runs.get(key)
        if signal is not None:
            signal.set()

    def discard(self, key: str) -> None:
        """Stop the run of that key; nothing more of it is shown."""
        self.stop(key)
        self._runs.pop(key, None)

    def end(self, key: str, signal: threading.Event) -> None:
        """Forget a run that is over, and stop it if it is not."""
        signal.set()
        if self.is_current(key, signal):
            del self._runs[key]

    def _until_ready(self, stop: threading.Event) -> Generator[Waiting, None, Assistant | None]:
        while self._assistant is None and not stop.is_set():
            if self.status.state == "failed":
                raise ModelError(self.status.sentence)
            yield Waiting(self.status.sentence)
            time.sleep(_LOOK_S)
        return self._assistant

    def _until_my_turn(self, stop: threading.Event) -> Generator[Waiting, None, bool]:
        while not stop.is_set():
            if self._turn.acquire(timeout=_LOOK_S):
                return True
            yield Waiting("Waiting for another answer to finish …")
        return False

    def _load_models(self) -> ChatModels:
        from assistant.generation.chat_models import SingleModel, load_chat_models

        if self._model is not None:
            return SingleModel(self._model)
        return self._models or load_chat_models(self.settings)

    def _prepare_retrieval(self) -> tuple[str, ...]:
        """Build missing built-in indexes and warm up the encoder; return what stands in the way."""
        from assistant.retrieval.builtin import build_built_in
        from assistant.retrieval.encoders import load_encoder

        self._say("loading", "Loading the encoder …")
        try:
            # The first text costs a second more than the others; the first visitor should not pay it.
            load_encoder().encode(["warm up"])
            build_built_in(lambda name, _: self._say("loading", f"Building the index {name} …"))
        except ShotwiseError as error:
            return (f"No demonstrations can be retrieved: {error.sentence()}",)
        return ()

    def _say(self, state: Literal["loading", "failed"], sentence: str) -> None:
        self.status = replace(self.status, state=state, sentence=sentence)


def throttled(snapshots: Iterable[T], least_s: float = UPDATE_S) -> Iterator[T]:
    """Yield the first and the last snapshot, and between them at most one in `least_s` seconds."""
    shown_at, held = float("-inf"), []
    for snapshot in snapshots:
        held = [snapshot]
        if time.monotonic() - shown_at >= least_s:
            yield held.pop()
            shown_at = time.monotonic()
    yield from held
