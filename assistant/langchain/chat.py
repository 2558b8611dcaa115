"""Our chat models as a LangChain chat model."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, fields, replace
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import run_in_executor
from pydantic import Field, PrivateAttr

from assistant.errors import SettingError, ShotwiseError
from assistant.langchain.messages import to_prompt
from assistant.langchain.stopping import StopWords
from assistant.records import Generation, RenderedPrompt
from assistant.settings import SamplingSettings

_Ready = Mapping[tuple[int, ...], Generation]
_ready: ContextVar[_Ready | None] = ContextVar("ready", default=None)
"""Replies that a batch has already computed, by the token ids of their prompts."""

_RENAMED = {"max_tokens": "max_new_tokens"}
_OTHERS = ("stream", "tool_choice")


class ShotwiseChatModel(BaseChatModel):
    """A chat model of ours for LangChain programs: prompts go through its own chat template, once.

    `batch` runs as one padded batch. Everything that decides about a reply is in the cache key:
    model, revision, adapter, number format, template and sampling.
    """

    chat_model: Any
    sampling: SamplingSettings = Field(default_factory=SamplingSettings)
    _object: str = PrivateAttr(default_factory=lambda: uuid.uuid4().hex)

    @property
    def _llm_type(self) -> str:
        return "shotwise"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        model = self.chat_model
        # A model that does not say what it is shares its cache with nothing but itself.
        identity = dict(getattr(model, "identity", None) or {"object": self._object})
        return {
            "model": model.name,
            "adapter": model.adapter,
            "dtype": model.dtype,
            "template": getattr(model.renderer, "template_hash", None),
            "identity": identity,
            "sampling": asdict(self.sampling),
        }

    def get_token_ids(self, text: str) -> list[int]:
        """Return the ids of a text by the model's own tokenizer; LangChain would fetch GPT-2's."""
        ids: list[int] = self.chat_model.renderer.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def get_num_tokens_from_messages(self, messages: Sequence[BaseMessage], tools: Any = None) -> int:
        """Return how many tokens the conversation has as it is sent, template included."""
        del tools
        return int(self.chat_model.renderer.count(to_prompt(messages)))

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Return the replies to all inputs, generated as one padded batch."""
        with self._computed(inputs, kwargs):
            replies: list[AIMessage] = super().batch(inputs, config, return_exceptions=return_exceptions, **kwargs)
            return replies

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Return the replies to all inputs, generated as one padded batch."""
        token = _ready.set(await run_in_executor(None, self._replies, inputs, kwargs))
        try:
            replies: list[AIMessage] = await super().abatch(
                inputs, config, return_exceptions=return_exceptions, **kwargs
            )
            return replies
        finally:
            _ready.reset(token)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        del run_manager
        sampling = self._sampling(kwargs)
        prompt = self.chat_model.renderer.render(to_prompt(messages))
        generation = (_ready.get() or {}).get(prompt.token_ids)
        if generation is None:
            (generation,) = self._run([prompt], sampling, StopWords(stop))
        message = AIMessage(
            content=generation.text,
            usage_metadata=_usage(prompt, generation),
            response_metadata=self._metadata(generation),
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        words, sampling = StopWords(stop), self._sampling(kwargs)
        prompt = self.chat_model.renderer.render(to_prompt(messages))
        shown, last = "", Generation()
        for (last,) in self.chat_model.generate([prompt], [sampling], threading.Event()):
            text, ended = words.cut(last.text)
            # An incomplete character reads as U+FFFD until its other bytes are there.
            text = text if ended or last.finish else words.settled(text).rstrip("\ufffd")
            if text.startswith(shown) and text != shown:
                chunk = ChatGenerationChunk(message=AIMessageChunk(content=text[len(shown) :]))
                if run_manager is not None:
                    run_manager.on_llm_new_token(text[len(shown) :], chunk=chunk)
                shown = text
                yield chunk
            if ended:
                last = replace(last, finish="end")
                break
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="", usage_metadata=_usage(prompt, last), response_metadata=self._metadata(last)
            )
        )

    @contextmanager
    def _computed(self, inputs: Sequence[LanguageModelInput], kwargs: Mapping[str, Any]) -> Iterator[None]:
        token = _ready.set(self._replies(inputs, kwargs))
        try:
            yield
        finally:
            _ready.reset(token)

    def _replies(self, inputs: Sequence[LanguageModelInput], kwargs: Mapping[str, Any]) -> _Ready:
        """Return the replies of one padded batch; none if it cannot run, each then fails by itself."""
        options = {name: value for name, value in kwargs.items() if name != "stop"}
        try:
            sampling = self._sampling(options)
            render = self.chat_model.renderer.render
            prompts = {
                prompt.token_ids: prompt
                for prompt in (render(to_prompt(self._convert_input(one).to_messages())) for one in inputs)
            }
            rows = self._run(list(prompts.values()), sampling, StopWords(kwargs.get("stop"))) if prompts else ()
        except ShotwiseError:
            return {}
        return dict(zip(prompts, rows, strict=True))

    def _run(
        self, prompts: Sequence[RenderedPrompt], sampling: SamplingSettings, words: StopWords
    ) -> tuple[Generation, ...]:
        """Return the replies, each cut at its stop word; ends when all rows have met theirs."""
        rows = tuple(Generation() for _ in prompts)
        for rows in self.chat_model.generate(prompts, [sampling] * len(prompts), threading.Event()):
            if all(row.finish or words.cut(row.text)[1] for row in rows):
                break
        cut = [(row, *words.cut(row.text)) for row in rows]
        return tuple(replace(row, text=text, finish="end" if ended else row.finish) for row, text, ended in cut)

    def _sampling(self, given: Mapping[str, Any]) -> SamplingSettings:
        """Return the sampling with what a call or `bind` gave.

        Raises:
            SettingError: for an option we do not have.
        """
        known = {field.name for field in fields(SamplingSettings)}
        options = {_RENAMED.get(name, name): value for name, value in given.items() if name not in _OTHERS}
        unknown = [name for name in options if name not in known]
        if unknown:
            raise SettingError(f"There is no option {', '.join(unknown)}.", f"Known: {', '.join(sorted(known))}.")
        return replace(self.sampling, **options)

    def _metadata(self, generation: Generation) -> dict[str, Any]:
        return {
            "model_name": self.chat_model.name,
            "adapter": self.chat_model.adapter,
            "finish_reason": "length" if generation.finish == "length" else "stop",
            "seconds": generation.seconds,
        }


def _usage(prompt: RenderedPrompt, generation: Generation) -> UsageMetadata:
    read, written = len(prompt.token_ids), generation.new_tokens
    return UsageMetadata(
        input_tokens=read,
        output_tokens=written,
        total_tokens=read + written,
        input_token_details=InputTokenDetails(cache_read=0),
    )
