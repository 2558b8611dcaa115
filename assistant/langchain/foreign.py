"""Any LangChain chat model as one of ours."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from langchain_core.language_models import BaseChatModel

from assistant.errors import ModelError
from assistant.generation.chat_model import StopSignal
from assistant.langchain.messages import to_langchain
from assistant.records import TEMPLATE, Finish, Generation, Prompt, RenderedPrompt, Span
from assistant.settings import SamplingSettings

_PIECE = re.compile(r"\w{1,5}|[^\w\s]")
_LOOK_S = 0.05
_NOTES = (
    "The prompt is shown as a transcript: the model's own template is not known here.",
    "Token counts are estimates.",
)
_OWN_SAMPLING = "Sampling is set in the LangChain model; the settings here do not reach it."

Options = Callable[[SamplingSettings], Mapping[str, Any]]


class TranscriptRenderer:
    """Shows messages as `role: content`; ids are place-holders, one per estimated token."""

    def render(self, prompt: Prompt) -> RenderedPrompt:
        """Return the transcript, with an estimated number of tokens."""
        text, spans = "", list[Span]()
        for message, origin in zip(prompt.messages, prompt.origins, strict=True):
            for part, of in ((f"{message['role']}: ", TEMPLATE), (message["content"], origin), ("\n", TEMPLATE)):
                if part:
                    spans.append(Span(len(text), len(text) + len(part), of))
                    text += part
        return RenderedPrompt(text, tuple(range(len(_PIECE.findall(text)))), tuple(spans), prompt.messages)

    def count(self, prompt: Prompt) -> int:
        """Return the estimated number of tokens."""
        return len(self.render(prompt).token_ids)

    def label_ids(self, rendered: RenderedPrompt, label: str) -> tuple[int, ...]:
        """Return a place-holder per estimated token of the label."""
        del rendered
        return tuple(range(len(_PIECE.findall(label))))


class LangChainChatModel:
    """Any LangChain chat model behind our verbs; it gives no likelihoods.

    `options` turns our sampling settings into keyword arguments of the model's calls, whose names
    differ from model to model; without it the model's own settings hold.
    """

    adapter: str | None = None
    adapter_sha256: str | None = None
    dtype = "unknown"

    def __init__(
        self, model: BaseChatModel, *, name: str = "", context_tokens: int = 8192, options: Options | None = None
    ) -> None:
        self.model, self.context_tokens = model, context_tokens
        self.name = name or _name(model)
        self.renderer = TranscriptRenderer()
        self.notes = _NOTES if options else (*_NOTES, _OWN_SAMPLING)
        self._options: Options = options or (lambda sampling: {})

    def generate(
        self, prompts: Sequence[RenderedPrompt], samplings: Sequence[SamplingSettings], stop: StopSignal
    ) -> Iterator[tuple[Generation, ...]]:
        """Yield all rows after every piece that arrives; the rows run side by side."""
        begin, halt = time.perf_counter(), threading.Event()
        arrived: queue.Queue[tuple[int, str]] = queue.Queue()
        rows = [Generation() for _ in prompts]

        def ask(row: int) -> None:
            options = dict(self._options(samplings[row]))
            for chunk in self.model.stream(to_langchain(prompts[row].messages), **options):
                if halt.is_set():
                    return
                arrived.put((row, str(chunk.text)))

        with ThreadPoolExecutor(max_workers=max(len(prompts), 1)) as pool:
            futures = [pool.submit(ask, row) for row in range(len(prompts))]
            try:
                while not (all(future.done() for future in futures) and arrived.empty()):
                    if stop.is_set():
                        break
                    try:
                        row, piece = arrived.get(timeout=_LOOK_S)
                    except queue.Empty:
                        continue
                    if piece:
                        rows[row] = _grown(rows[row], piece, time.perf_counter() - begin)
                        yield tuple(rows)
            finally:
                halt.set()
        for future in futures:
            future.result()
        ending: Finish = "stopped" if stop.is_set() else "end"
        yield tuple(replace(row, finish=ending, seconds=time.perf_counter() - begin) for row in rows)

    def score_labels(
        self, prompts: Sequence[RenderedPrompt], labels: Sequence[Sequence[str]], stop: StopSignal | None = None
    ) -> tuple[tuple[float, ...], ...]:
        """Refuse.

        Raises:
            ModelError: always.
        """
        raise ModelError(f"The model '{self.name}' gives no likelihoods.", "Choose the reading 'generate'.")


def _grown(row: Generation, piece: str, seconds: float) -> Generation:
    text = row.text + piece
    return Generation(text, len(_PIECE.findall(text)), seconds, row.first_token_seconds or seconds)


def _name(model: BaseChatModel) -> str:
    named = getattr(model, "model_name", None) or getattr(model, "model", None)
    return named if isinstance(named, str) else type(model).__name__
