"""The chat model behind one verb, and a scripted one that needs no weights."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from assistant.generation.rendering import PromptRenderer
from assistant.generation.toy_tokenizer import ToyTokenizer
from assistant.records import Generation, Prompt, RenderedPrompt, demonstration_origin
from assistant.settings import SamplingSettings


class StopSignal(Protocol):
    """Anything that says whether to stop, such as a `threading.Event`."""

    def is_set(self) -> bool:
        """Return whether generation should end now."""
        ...


class Renderer(Protocol):
    """What turns prompts into token ids."""

    def render(self, prompt: Prompt) -> RenderedPrompt:
        """Return the exact text and ids that are sent."""
        ...

    def count(self, prompt: Prompt) -> int:
        """Return how many tokens the prompt has."""
        ...

    def label_ids(self, rendered: RenderedPrompt, label: str) -> tuple[int, ...]:
        """Return the ids with which the label continues the prompt."""
        ...


class ChatModel(Protocol):
    """A language model: prompts in, replies out, or the likelihood of given labels."""

    @property
    def name(self) -> str:
        """Return the name under which it was loaded."""
        ...

    @property
    def adapter(self) -> str | None:
        """Return the name of the adapter in use, or None."""
        ...

    @property
    def adapter_sha256(self) -> str | None:
        """Return the hash of the adapter's weights, as `sha256sum` gives it for their file, or None."""
        ...

    @property
    def context_tokens(self) -> int:
        """Return how many tokens prompt and reply may have together."""
        ...

    @property
    def dtype(self) -> str:
        """Return the number format of the weights, such as `float32`."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what a user should know about how it was loaded."""
        ...

    @property
    def renderer(self) -> Renderer:
        """Return the renderer of this model's prompts."""
        ...

    def generate(
        self, prompts: Sequence[RenderedPrompt], samplings: Sequence[SamplingSettings], stop: StopSignal
    ) -> Iterator[tuple[Generation, ...]]:
        """Yield all rows after every token; in the last snapshot every row has its `finish`.

        Closing the iterator or setting `stop` ends generation within one token.
        """
        ...

    def score_labels(
        self, prompts: Sequence[RenderedPrompt], labels: Sequence[Sequence[str]], stop: StopSignal | None = None
    ) -> tuple[tuple[float, ...], ...]:
        """Return per prompt log P(label | prompt) of each of its labels, in nats.

        A prompt that was not reached before `stop` was set has no scores.
        """
        ...


Rule = Callable[[RenderedPrompt, SamplingSettings], str]
_WORD = re.compile(r"\s*\S+|\s+$")


def parrot(prompt: RenderedPrompt, sampling: SamplingSettings) -> str:
    """Return the answer of the last demonstration, or the last message if there is none."""
    del sampling
    mark = demonstration_origin("")
    shown = [prompt.text[span.start : span.end] for span in prompt.spans if span.origin.startswith(mark)]
    return shown[-1] if shown else prompt.messages[-1]["content"].strip()


class ScriptedModel:
    """A chat model without weights: deterministic replies, one word at a time.

    `replies` is a rule, or texts given out in turn (the last one again and again); by default
    it repeats the last demonstration's answer, or else the question. Prompts are really
    rendered, in Zephyr's layout, one token per byte. `history` lists every prompt it was sent;
    `steps` counts the words it produced.
    """

    name = "scripted"
    adapter: str | None = None
    adapter_sha256: str | None = None
    dtype = "none"
    notes: tuple[str, ...] = ()

    def __init__(
        self, replies: Rule | Sequence[str] = parrot, *, context_tokens: int = 16_384, word_seconds: float = 0.0
    ) -> None:
        self.renderer = PromptRenderer(ToyTokenizer())
        self.context_tokens = context_tokens
        self.history: list[RenderedPrompt] = []
        self.steps = 0
        self._word_seconds = word_seconds
        self._rule = replies if callable(replies) else None
        self._queue = [] if callable(replies) else list(replies)

    def generate(
        self, prompts: Sequence[RenderedPrompt], samplings: Sequence[SamplingSettings], stop: StopSignal
    ) -> Iterator[tuple[Generation, ...]]:
        """Yield all rows after every word, as a real model does after every token."""
        begin = time.perf_counter()
        self.history.extend(prompts)
        scripts = [
            _Script(self._reply(prompt, sampling), sampling)
            for prompt, sampling in zip(prompts, samplings, strict=True)
        ]
        rows = [Generation() for _ in prompts]
        while not all(row.finish for row in rows):
            if stop.is_set():
                yield tuple(row if row.finish else replace(row, finish="stopped") for row in rows)
                return
            time.sleep(self._word_seconds)
            seconds = time.perf_counter() - begin
            rows = [row if row.finish else script.next(row, seconds) for row, script in zip(rows, scripts, strict=True)]
            self.steps += 1
            yield tuple(rows)

    def score_labels(
        self, prompts: Sequence[RenderedPrompt], labels: Sequence[Sequence[str]], stop: StopSignal | None = None
    ) -> tuple[tuple[float, ...], ...]:
        """Return nine tenths for the label it would reply, the rest shared; all alike if none."""
        return tuple(
            () if stop is not None and stop.is_set() else self._likelihoods(prompt, own)
            for prompt, own in zip(prompts, labels, strict=True)
        )

    def _likelihoods(self, prompt: RenderedPrompt, labels: Sequence[str]) -> tuple[float, ...]:
        self.history.append(prompt)
        reply = self._reply(prompt, SamplingSettings()).strip().casefold()
        matches = [label.strip().casefold() == reply for label in labels]
        if not any(matches) or len(labels) == 1:
            return tuple(-math.log(len(labels)) for _ in labels)
        share = 0.1 / (len(labels) - 1)
        return tuple(math.log(0.9 if match else share) for match in matches)

    def _reply(self, prompt: RenderedPrompt, sampling: SamplingSettings) -> str:
        if self._rule is not None:
            return self._rule(prompt, sampling)
        return self._queue.pop(0) if len(self._queue) > 1 else "".join(self._queue)


class _Script:
    """The words of one reply."""

    def __init__(self, reply: str, sampling: SamplingSettings) -> None:
        self._words = _WORD.findall(reply)
        self._limit = sampling.max_new_tokens

    def next(self, row: Generation, seconds: float) -> Generation:
        """Return the row with one more word, or its end."""
        shown = min(row.new_tokens + 1, self._limit, max(len(self._words), 1))
        complete = shown >= len(self._words)
        return replace(
            row,
            text="".join(self._words[:shown]),
            new_tokens=shown,
            seconds=seconds,
            first_token_seconds=row.first_token_seconds or seconds,
            finish="end" if complete else "length" if shown >= self._limit else "",
        )
