"""Chat models by name: `demo`, `scripted`, a local folder or a hub id, with or without adapter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.errors import ModelError
from assistant.generation.adapters import (
    AdapterFolder,
    attach,
    check_adapter,
    check_base,
    check_task,
    check_template,
    find_adapter,
)
from assistant.generation.chat_model import ChatModel, ScriptedModel
from assistant.generation.identity import model_identity
from assistant.generation.prompt_only import PromptOnlyModel
from assistant.generation.rendering import PromptRenderer
from assistant.generation.sources import DEMO as DEMO
from assistant.generation.sources import FAILURES, Source, find_source, unusable
from assistant.generation.weights import load_network
from assistant.settings import NO_ADAPTER, ModelSettings

SCRIPTED = "scripted"
_NO_CONTEXT_NAMED = 2048
_MOST_CONTEXT = 10**7  # tokenizers that know no limit name a number near 10**30


def load_renderer(model: str) -> PromptRenderer:
    """Return the renderer of a model; no weights are read.

    Raises:
        ModelError: if there is no such model, or it has no usable tokenizer.
    """
    if model == SCRIPTED:
        return ScriptedModel().renderer
    source = find_source(model)
    config = _config(source)
    return _renderer(source, encoder_decoder=_is_encoder_decoder(source, config))


def load_prompt_model(settings: ModelSettings) -> ChatModel:
    """Return a stand-in that renders prompts as the model would, without its weights.

    Raises:
        ModelError: as `load_chat_model` does.
    """
    if settings.model == SCRIPTED:
        return ScriptedModel()
    source = find_source(settings.model)
    adapter = _adapter(settings, source)
    config = _config(source)
    renderer = _renderer(source, encoder_decoder=_is_encoder_decoder(source, config))
    context = _context(config, renderer) - _virtual_tokens(adapter)
    return PromptOnlyModel(renderer, name=source.name, context_tokens=context, adapter=adapter)


@dataclass(frozen=True)
class Base:
    """A model without an adapter: what chat models are made of, and what fine-tuning begins with."""

    name: str
    folder: Path | None
    """Where it lies, if it is a local folder."""
    revision: str | None
    """Of a hub id."""
    network: Any
    renderer: PromptRenderer
    context_tokens: int
    encoder_decoder: bool
    notes: tuple[str, ...] = ()
    load_in: str | None = None
    """How its weights were quantised."""

    def check(self, adapter: AdapterFolder) -> None:
        """Check all about the adapter that can be checked without attaching it.

        Raises:
            AdapterError: if it is for another base model or for another kind of work.
        """
        check_base(adapter, self.name, self.folder)
        check_task(adapter, encoder_decoder=self.encoder_decoder)
        check_template(adapter, self.renderer.template_hash)

    def chat_model(self, network: Any, adapter: AdapterFolder | None = None) -> ChatModel:
        """Return the chat model of `network`, which is this base's own or a copy of it; the adapter is attached to it.

        Raises:
            AdapterError: if the adapter does not fit.
        """
        from assistant.generation.local_model import LocalModel

        notes = self.notes
        if adapter is not None:
            check_template(adapter, self.renderer.template_hash)
            network, said = attach(network, adapter, encoder_decoder=self.encoder_decoder)
            notes += said
        identity = model_identity(
            self.name if self.folder is None else str(self.folder),
            revision=self.revision,
            load_in=self.load_in,
            adapter=adapter.path if adapter is not None else None,
        )
        return LocalModel(
            network,
            self.renderer,
            name=self.name,
            context_tokens=self.context_tokens - _virtual_tokens(adapter),
            adapter=adapter,
            notes=notes,
            identity=identity,
        )


def load_chat_model(settings: ModelSettings) -> ChatModel:
    """Return the chat model, with its adapter attached.

    Raises:
        ModelError: if the model cannot be loaded; AdapterError if the adapter is at fault.
        MissingDependency: if a quantisation is asked for without bitsandbytes.
    """
    if settings.model == SCRIPTED:
        if _adapter_is_named(settings):
            raise ModelError("The scripted model has no weights to adapt.", "Leave --adapter out.")
        return ScriptedModel()
    source = find_source(settings.model)
    adapter = _adapter(settings, source)
    base = _load(source, settings)
    return base.chat_model(base.network, adapter)


def load_base(settings: ModelSettings) -> Base:
    """Return the model without an adapter; the settings' own is checked, and not attached.

    Raises:
        ModelError: if the model cannot be loaded, or has no weights; AdapterError if the adapter cannot belong to it.
        MissingDependency: if a quantisation is asked for without bitsandbytes.
    """
    if settings.model == SCRIPTED:
        raise ModelError("The scripted model has no weights to adapt.", "Choose another --model.")
    source = find_source(settings.model)
    _adapter(settings, source)
    return _load(source, settings)


def _load(source: Source, settings: ModelSettings) -> Base:
    config = _config(source)
    encoder_decoder = _is_encoder_decoder(source, config)
    renderer = _renderer(source, encoder_decoder=encoder_decoder)
    network, notes = load_network(source, config, settings, encoder_decoder=encoder_decoder)
    return Base(
        source.name,
        source.folder,
        getattr(config, "_commit_hash", None),
        network,
        renderer,
        _context(config, renderer),
        encoder_decoder,
        notes,
        settings.load_in,
    )


def check_model(settings: ModelSettings) -> None:
    """Refuse what can be refused before anything heavy is loaded.

    Raises:
        ModelError: if there is no such model; AdapterError if the adapter cannot belong to it.
    """
    if settings.model != SCRIPTED:
        _adapter(settings, find_source(settings.model))


def _adapter(settings: ModelSettings, source: Source) -> AdapterFolder | None:
    """Return the adapter, if one is asked for, checked before anything heavy is loaded."""
    if not _adapter_is_named(settings):
        return None
    adapter = check_adapter(find_adapter(str(settings.adapter)))
    check_base(adapter, source.name, source.folder)
    return adapter


def _adapter_is_named(settings: ModelSettings) -> bool:
    return settings.adapter not in (None, "", NO_ADAPTER)


def _virtual_tokens(adapter: AdapterFolder | None) -> int:
    """Return how much of the context the adapter takes."""
    return 0 if adapter is None else int(adapter.config.get("num_virtual_tokens") or 0)


def _config(source: Source) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(source.place, **source.safely)
    except FAILURES as error:
        raise unusable(source, error) from None


def _is_encoder_decoder(source: Source, config: Any) -> bool:
    """Return which of the two kinds it is.

    Raises:
        ModelError: if it is neither (an encoder such as BERT writes nothing).
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING

    if config.is_encoder_decoder and type(config) in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING:
        return True
    if not config.is_encoder_decoder and type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        return False
    raise ModelError(
        f"The model '{source.name}' ({config.model_type}) does not write text.",
        "Use a decoder-only or an encoder-decoder language model.",
    )


def _renderer(source: Source, *, encoder_decoder: bool) -> PromptRenderer:
    from transformers import AutoTokenizer, GenerationConfig

    try:
        tokenizer = AutoTokenizer.from_pretrained(source.place, **source.safely)
    except FAILURES as error:
        raise unusable(source, error) from None
    try:
        eos = GenerationConfig.from_pretrained(source.place, **source.safely).eos_token_id
    except OSError:  # a model need not bring one
        eos = None
    ids = eos if isinstance(eos, list) else [] if eos is None else [eos]
    return PromptRenderer(tokenizer, encoder_decoder=encoder_decoder, eos_ids=ids)


def _context(config: Any, renderer: PromptRenderer) -> int:
    """Return the model's own limit, else the tokenizer's, else a small one."""
    text = config.get_text_config(decoder=True)
    named = getattr(text, "max_position_embeddings", None) or getattr(text, "n_positions", None)
    said = renderer.tokenizer.model_max_length
    return int(named or (said if said < _MOST_CONTEXT else _NO_CONTEXT_NAMED))
