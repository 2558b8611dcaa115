"""A transformers model in this process, behind the ChatModel verbs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Event, Lock
from typing import Any

import torch

from assistant.errors import ModelError, PromptTooLong
from assistant.generation.adapters import AdapterFolder
from assistant.generation.chat_model import StopSignal
from assistant.generation.label_batches import LabelScorer
from assistant.generation.labels import LabelRow
from assistant.generation.rendering import PromptRenderer
from assistant.generation.sampling import RowSampling, RowStopping
from assistant.generation.streaming import RowReader, StepQueue, steps_of
from assistant.records import Generation, RenderedPrompt
from assistant.settings import SamplingSettings

_LOCK_POLL_S = 0.05


class LocalModel:
    """A decoder-only or encoder-decoder model; one generation at a time.

    `network` is the transformers model, or the PEFT model around it if there is an adapter.
    """

    def __init__(
        self,
        network: Any,
        renderer: PromptRenderer,
        *,
        name: str,
        context_tokens: int,
        adapter: AdapterFolder | None = None,
        notes: tuple[str, ...] = (),
        identity: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.notes = name, notes
        self.adapter = None if adapter is None else adapter.name
        self.adapter_sha256 = None if adapter is None else adapter.sha256
        self.identity = dict(identity or {})
        self.renderer, self.context_tokens = renderer, context_tokens
        self.network = network.eval()
        self.dtype = str(network.dtype).removeprefix("torch.")
        self._lock = Lock()
        self._is_encoder_decoder = bool(network.config.is_encoder_decoder)
        peft_config = getattr(network, "active_peft_config", None)
        virtual = peft_config is not None and peft_config.is_prompt_learning
        self._scorer = LabelScorer(self.network, renderer.stop_ids, virtual=virtual)
        # Soft prompts are put in front here: peft 0.21 drops the position ids of a padded batch, so that a
        # shorter row would answer differently beside a longer one.
        self._soft_prompt = getattr(peft_config, "peft_type", None) in ("PROMPT_TUNING", "P_TUNING")
        self._pad_id = self._pad()
        # What generate() is not told, it takes from here, and there the model's authors may have put a
        # temperature, a repetition penalty or a length: only the ids are kept.
        self._base = network.get_base_model() if hasattr(network, "get_base_model") else network
        self._base.generation_config = network.generation_config = self._config()

    def generate(
        self, prompts: Sequence[RenderedPrompt], samplings: Sequence[SamplingSettings], stop: StopSignal
    ) -> Iterator[tuple[Generation, ...]]:
        """Yield all rows of one padded batch after every token.

        Raises:
            PromptTooLong: if a prompt leaves no room in the context.
            ModelError: if the device has not enough memory.
        """
        assert prompts
        limits = [self._limit(prompt, sampling) for prompt, sampling in zip(prompts, samplings, strict=True)]
        readers = [RowReader(self.renderer.decode, self.renderer.stop_ids, limit) for limit in limits]

        def work(queue: StepQueue, halt: Event) -> None:
            while not self._lock.acquire(timeout=_LOCK_POLL_S):
                if halt.is_set() or stop.is_set():
                    return
            try:
                queue.begin()
                if not (halt.is_set() or stop.is_set()):
                    self._generate(prompts, samplings, limits, queue, (halt, stop))
            finally:
                self._lock.release()

        for step in steps_of(work):
            for reader, token in zip(readers, step.tokens, strict=True):
                reader.read(token, step.seconds)
            yield tuple(reader.generation for reader in readers)
        if not all(reader.generation.finish for reader in readers):
            for reader in readers:
                reader.stop()
            yield tuple(reader.generation for reader in readers)

    def score_labels(
        self, prompts: Sequence[RenderedPrompt], labels: Sequence[Sequence[str]], stop: StopSignal | None = None
    ) -> tuple[tuple[float, ...], ...]:
        """Return per prompt the sum of the log-probabilities of each label's tokens, in nats.

        `stop` ends it after a batch; prompts that were not reached then have no scores.

        Raises:
            PromptTooLong: if a prompt with its longest label does not fit the context.
            ModelError: if the device has not enough memory.
        """
        rows = [
            LabelRow(prompt.token_ids, tuple(self.renderer.label_ids(prompt, label) for label in own))
            for prompt, own in zip(prompts, labels, strict=True)
        ]
        for row in rows:
            self._check_room(len(row.prompt) + (0 if self._is_encoder_decoder else row.longest))
        scores: list[tuple[float, ...]] = [()] * len(rows)
        for numbers, run in self._scorer.passes(rows) if rows else ():
            # The lock is given up between batches: someone may be waiting with one question.
            with self._lock, self._memory_told():
                if stop is not None and stop.is_set():
                    break
                for number, sums in zip(numbers, run(), strict=True):
                    scores[number] = sums
        return tuple(scores)

    def _generate(
        self,
        prompts: Sequence[RenderedPrompt],
        samplings: Sequence[SamplingSettings],
        limits: Sequence[int],
        queue: StepQueue,
        signals: Sequence[StopSignal],
    ) -> None:
        from transformers import LogitsProcessorList, StoppingCriteriaList

        config = self._config()
        config.max_new_tokens = max(limits)
        network = self._base if self._soft_prompt else self.network
        # A processor costs a copy of the scores per token, even if it changes none.
        drawn = any(sampling.temperature > 0 for sampling in samplings)
        with self._memory_told(), torch.inference_mode():
            network.generate(
                **self._batch([prompt.token_ids for prompt in prompts]),
                generation_config=config,
                logits_processor=LogitsProcessorList([RowSampling(samplings)] if drawn else []),
                stopping_criteria=StoppingCriteriaList([RowStopping(limits, signals)]),
                streamer=queue,
            )

    @contextmanager
    def _memory_told(self) -> Iterator[None]:
        """Tell in one sentence that the device's memory is full."""
        try:
            yield
        except torch.cuda.OutOfMemoryError:
            raise ModelError(
                f"The model '{self.name}' ran out of memory.",
                "Use fewer demonstrations, compare fewer strategies, or load it in 4bit.",
            ) from None

    def _batch(self, rows: Sequence[Sequence[int]]) -> dict[str, Any]:
        """Return ids (or embeddings, under a soft prompt) and mask, padded at the left."""
        width, device = max(len(row) for row in rows), self.network.device
        ids = torch.tensor([[self._pad_id] * (width - len(row)) + list(row) for row in rows], device=device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
        if not self._soft_prompt:
            return {"input_ids": ids, "attention_mask": mask}
        with torch.no_grad():
            embedded = self.network.word_embeddings(ids)
            virtual = self.network.get_prompt(batch_size=len(rows)).to(embedded)
        virtual = virtual[:, : self.network.active_peft_config.num_virtual_tokens]
        return {
            "inputs_embeds": torch.cat([virtual, embedded], dim=1),
            "attention_mask": torch.cat([mask.new_ones(virtual.shape[:2]), mask], dim=1),
        }

    def _config(self) -> Any:
        """Return a generation config that says everything: greedy, because RowSampling draws."""
        from transformers import GenerationConfig

        config = self.network.config
        return GenerationConfig(
            do_sample=False,
            num_beams=1,
            use_cache=True,
            eos_token_id=list(self.renderer.stop_ids) or None,
            pad_token_id=self._pad_id,
            bos_token_id=self.renderer.tokenizer.bos_token_id,
            decoder_start_token_id=getattr(config, "decoder_start_token_id", None),
        )

    def _pad(self) -> int:
        """Return an id to pad with; the mask hides it, so any id does where none is named."""
        named = self.renderer.tokenizer.pad_token_id
        return int(named if named is not None else (*self.renderer.stop_ids, 0)[0])

    def _limit(self, prompt: RenderedPrompt, sampling: SamplingSettings) -> int:
        self._check_room(len(prompt.token_ids) + (0 if self._is_encoder_decoder else 1))
        if self._is_encoder_decoder:
            return sampling.max_new_tokens
        return min(sampling.max_new_tokens, self.context_tokens - len(prompt.token_ids))

    def _check_room(self, tokens: int) -> None:
        if tokens > self.context_tokens:
            raise PromptTooLong(
                f"The prompt needs {tokens} tokens, and the context of '{self.name}' has {self.context_tokens}.",
                "Shorten the message or show fewer demonstrations.",
            )
