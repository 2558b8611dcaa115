"""A stand-in for a chat model that shows prompts and writes nothing: no weights are loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from assistant.errors import ModelError
from assistant.generation.adapters import AdapterFolder
from assistant.generation.chat_model import StopSignal
from assistant.generation.rendering import PromptRenderer
from assistant.records import Generation, RenderedPrompt
from assistant.settings import SamplingSettings


class PromptOnlyModel:
    """The renderer and the context limit of a model, as `Assistant.prepare` needs them."""

    dtype = "none"
    notes: tuple[str, ...] = ()

    def __init__(
        self, renderer: PromptRenderer, *, name: str, context_tokens: int, adapter: AdapterFolder | None = None
    ) -> None:
        self.renderer, self.name, self.context_tokens = renderer, name, context_tokens
        self.adapter = None if adapter is None else adapter.name
        self.adapter_sha256 = None if adapter is None else adapter.sha256

    def generate(
        self, prompts: Sequence[RenderedPrompt], samplings: Sequence[SamplingSettings], stop: StopSignal
    ) -> Iterator[tuple[Generation, ...]]:
        """Refuse.

        Raises:
            ModelError: always.
        """
        raise self._refusal()

    def score_labels(
        self, prompts: Sequence[RenderedPrompt], labels: Sequence[Sequence[str]], stop: StopSignal | None = None
    ) -> tuple[tuple[float, ...], ...]:
        """Refuse.

        Raises:
            ModelError: always.
        """
        raise self._refusal()

    def _refusal(self) -> ModelError:
        return ModelError(f"Only the prompts of '{self.name}' were loaded, not its weights.")
