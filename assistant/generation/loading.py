"""Chat models by name: `demo`, `scripted`, a local folder or a hub id, with or without adapter."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant import paths
from assistant.errors import MissingDependency, ModelError
from assistant.generation.adapters import AdapterFolder, attach, check_adapter, check_base, find_adapter
from assistant.generation.chat_model import ChatModel, ScriptedModel
from assistant.generation.identity import model_identity
from assistant.generation.prompt_only import PromptOnlyModel
from assistant.generation.rendering import PromptRenderer
from assistant.hub import why_unreachable
from assistant.settings import ModelSettings

DEMO, SCRIPTED = "demo", "scripted"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_NO_CONTEXT_NAMED = 2048
_MOST_CONTEXT = 10**7  # tokenizers that know no limit name a number near 10**30
_MEMORY_SHARE = 0.6
_QUIET_BYTES = 10**9
_HUB_TIMEOUT_S = 5.0
_INEXACT = ": an answer may depend on what runs beside it."


@dataclass(frozen=True)
class _Source:
    """Where a model is loaded from: `place` is a folder or a hub id."""

    name: str
    place: str
    folder: Path | None
    hub: str = ""
    """Of a hub id, why only the cache can have it; empty if the hub answers."""

    @property
    def safely(self) -> dict[str, bool]:
        """Return the arguments that every `from_pretrained` here gets."""
        return {"trust_remote_code": False, "local_files_only": self.folder is not None or bool(self.hub)}


def load_renderer(model: str) -> PromptRenderer:
    """Return the renderer of a model; no weights are read.

    Raises:
        ModelError: if there is no such model, or it has no usable tokenizer.
    """
    if model == SCRIPTED:
        return ScriptedModel().renderer
    source = _find(model)
    config = _config(source)
    return _renderer(source, encoder_decoder=_is_encoder_decoder(source, config))


def load_prompt_model(settings: ModelSettings) -> ChatModel:
    """Return a stand-in that renders prompts as the model would, without its weights.

    Raises:
        ModelError: as `load_chat_model` does.
    """
    if settings.model == SCRIPTED:
        return ScriptedModel()
    source = _find(settings.model)
    adapter = _adapter(settings, source)
    config = _config(source)
    renderer = _renderer(source, encoder_decoder=_is_encoder_decoder(source, config))
    context, name = _context(config, renderer), None
    if adapter is not None:
        context, name = context - int(adapter.config.get("num_virtual_tokens") or 0), adapter.name
    return PromptOnlyModel(renderer, name=source.name, context_tokens=context, adapter=name)


def load_chat_model(settings: ModelSettings) -> ChatModel:
    """Return the chat model, with its adapter attached.

    Raises:
        ModelError: if the model cannot be loaded; AdapterError if the adapter is at fault.
        MissingDependency: if a quantisation is asked for without bitsandbytes.
    """
    if settings.model == SCRIPTED:
        if settings.adapter:
            raise ModelError("The scripted model has no weights to adapt.", "Leave --adapter out.")
        return ScriptedModel()
    source = _find(settings.model)
    adapter = _adapter(settings, source)
    config = _config(source)
    encoder_decoder = _is_encoder_decoder(source, config)
    renderer = _renderer(source, encoder_decoder=encoder_decoder)
    network, notes = _network(source, config, settings, encoder_decoder=encoder_decoder)
    context = _context(config, renderer)
    if adapter is not None:
        network, said = attach(network, adapter, encoder_decoder=encoder_decoder)
        notes += said
        context -= int(adapter.config.get("num_virtual_tokens") or 0)
    from assistant.generation.local_model import LocalModel

    name = adapter.name if adapter is not None else None
    identity = model_identity(
        source.place,
        revision=getattr(config, "_commit_hash", None),
        load_in=settings.load_in,
        adapter=adapter.path if adapter is not None else None,
    )
    return LocalModel(
        network, renderer, name=source.name, context_tokens=context, adapter=name, notes=notes, identity=identity
    )


@dataclass(frozen=True)
class Base:
    """A model without an adapter: what fine-tuning begins with."""

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


def load_base(settings: ModelSettings) -> Base:
    """Return the model as fine-tuning needs it, without an adapter.

    Raises:
        ModelError: if the model cannot be loaded, or has no weights.
        MissingDependency: if a quantisation is asked for without bitsandbytes.
    """
    if settings.model == SCRIPTED:
        raise ModelError("The scripted model has no weights to adapt.", "Choose another --model.")
    source = _find(settings.model)
    config = _config(source)
    encoder_decoder = _is_encoder_decoder(source, config)
    renderer = _renderer(source, encoder_decoder=encoder_decoder)
    network, notes = _network(source, config, settings, encoder_decoder=encoder_decoder)
    revision = getattr(config, "_commit_hash", None)
    context = _context(config, renderer)
    return Base(source.name, source.folder, revision, network, renderer, context, encoder_decoder, notes)


def check_model(settings: ModelSettings) -> None:
    """Refuse what can be refused before anything heavy is loaded.

    Raises:
        ModelError: if there is no such model; AdapterError if the adapter cannot belong to it.
    """
    if settings.model != SCRIPTED:
        _adapter(settings, _find(settings.model))


def _adapter(settings: ModelSettings, source: _Source) -> AdapterFolder | None:
    """Return the adapter, if one is asked for, checked before anything heavy is loaded."""
    if not settings.adapter:
        return None
    adapter = check_adapter(find_adapter(settings.adapter))
    check_base(adapter, source.name, source.folder)
    return adapter


def _find(model: str) -> _Source:
    """Return where the model is, with what must be in a folder checked."""
    folder = paths.demo() / "model" if model == DEMO else Path(os.path.expanduser(model))
    if folder.is_dir():
        _check_folder(folder)
        return _Source(model, str(folder), folder)
    if model == DEMO:
        raise ModelError("The demo model is not in this installation.", "Give a folder or a hub id with --model.")
    if not _HUB_ID.fullmatch(model) or ".." in model:
        raise ModelError(f"There is no folder '{model}', and it is not a hub id either.")
    return _Source(model, model, None, why_unreachable(_HUB_TIMEOUT_S))


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise ModelError(f"The folder '{folder}' is not a model: it has no config.json.")
    if not any(folder.glob("*.safetensors")):
        pickled = any(file.suffix in (".bin", ".pt", ".pth") for file in folder.iterdir())
        why = " (only pickled weights, which can run code)" if pickled else ""
        raise ModelError(
            f"The folder '{folder}' has no safetensors weights{why}.", "Convert it with safe_serialization."
        )


def _unusable(source: _Source, error: Exception) -> ModelError:
    """Return the one sentence for whatever transformers said at length."""
    if source.folder is None:
        return ModelError(
            f"The model '{source.name}' is neither a folder nor in the cache, and the hub "
            f"{source.hub or 'did not give it'}.",
            "Check the name and the connection, or give a local folder.",
        )
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return ModelError(f"The model in '{source.place}' cannot be loaded: {reason[:200]}.")


_FAILURES = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError)


def _config(source: _Source) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(source.place, **source.safely)
    except _FAILURES as error:
        raise _unusable(source, error) from None


def _is_encoder_decoder(source: _Source, config: Any) -> bool:
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


def _renderer(source: _Source, *, encoder_decoder: bool) -> PromptRenderer:
    from transformers import AutoTokenizer, GenerationConfig

    try:
        tokenizer = AutoTokenizer.from_pretrained(source.place, **source.safely)
    except _FAILURES as error:
        raise _unusable(source, error) from None
    try:
        eos = GenerationConfig.from_pretrained(source.place, **source.safely).eos_token_id
    except OSError:  # a model need not bring one
        eos = None
    ids = eos if isinstance(eos, list) else [] if eos is None else [eos]
    return PromptRenderer(tokenizer, encoder_decoder=encoder_decoder, eos_ids=ids)


def _network(
    source: _Source,
    config: Any,
    settings: ModelSettings,
    *,
    encoder_decoder: bool,
) -> tuple[Any, tuple[str, ...]]:
    """Return the model on its device, and notes.

    Raises:
        ModelError: if weights are missing or unreadable.
    """
    import torch
    import transformers

    auto = transformers.AutoModelForSeq2SeqLM if encoder_decoder else transformers.AutoModelForCausalLM
    device = _device(settings.device)
    dtype, notes = _dtype(settings, device, config, auto)
    wanted = {**source.safely, "dtype": dtype, "use_safetensors": True, "output_loading_info": True}
    if settings.load_in is not None:
        wanted |= {"quantization_config": _quantisation(settings.load_in, dtype), "device_map": {"": device}}
    try:
        with _Quiet(source.folder):
            network, report = auto.from_pretrained(source.place, config=config, **wanted)
        network = network if settings.load_in else network.to(device)
    except torch.cuda.OutOfMemoryError:
        raise ModelError(f"The model '{source.name}' does not fit on {device}.", "Try --load-in 4bit.") from None
    except _safetensors_errors() as error:
        raise _unusable(source, error) from None
    lost = sorted([*report["missing_keys"], *(str(key[0]) for key in report["mismatched_keys"])])
    if lost:
        raise ModelError(f"The weights of '{source.name}' lack {len(lost)} tensors, among them {lost[0]}.")
    return network, notes


def _safetensors_errors() -> tuple[type[Exception], ...]:
    from safetensors import SafetensorError

    return (*_FAILURES, SafetensorError)


class _Quiet:
    """No progress bar while a small local model loads: it is there before the bar is."""

    def __init__(self, folder: Path | None) -> None:
        small = folder is not None and sum(f.stat().st_size for f in folder.glob("*.safetensors")) < _QUIET_BYTES
        from transformers.utils import logging

        self._logging = logging if small and logging.is_progress_bar_enabled() else None

    def __enter__(self) -> None:
        if self._logging:
            self._logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        if self._logging:
            self._logging.enable_progress_bar()


def _device(wanted: str) -> str:
    import torch

    if wanted != "auto":
        try:
            # Only an attempt tells whether a device that has a name is there.
            return str(torch.empty(1, device=wanted, dtype=torch.uint8).device)
        except (RuntimeError, AssertionError, NotImplementedError):
            raise ModelError(f"There is no device '{wanted}'.", "Use auto, cpu or cuda.") from None
    return "cuda" if torch.cuda.is_available() else "cpu"


def _dtype(settings: ModelSettings, device: str, config: Any, auto: Any) -> tuple[Any, tuple[str, ...]]:
    """Return the number format, and a note where it costs exactness."""
    import torch

    if settings.dtype != "auto":
        exact = device != "cpu" or settings.dtype == "float32"
        return getattr(torch, settings.dtype), () if exact else (f"Loaded in {settings.dtype}{_INEXACT}",)
    if settings.load_in == "8bit":
        return torch.float16, ()  # what its matrix product works in, whatever it is given
    if device != "cpu":
        return (torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16), ()
    with torch.device("meta"):
        parameters = sum(weight.numel() for weight in auto.from_config(config).parameters())
    if 4 * parameters < _MEMORY_SHARE * _available_bytes():
        return torch.float32, ()
    return torch.bfloat16, (f"Loaded in bfloat16 for lack of memory{_INEXACT}",)


def _available_bytes() -> float:
    """Return the memory that is free, or no limit where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("inf")
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), float("inf"))


def _quantisation(load_in: str, dtype: Any) -> Any:
    import importlib.util

    from transformers import BitsAndBytesConfig

    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingDependency(f"Loading in {load_in} needs bitsandbytes.", "Install it: pip install bitsandbytes")
    if load_in == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def _context(config: Any, renderer: PromptRenderer) -> int:
    """Return the model's own limit, else the tokenizer's, else a small one."""
    text = config.get_text_config(decoder=True)
    named = getattr(text, "max_position_embeddings", None) or getattr(text, "n_positions", None)
    said = renderer.tokenizer.model_max_length
    return int(named or (said if said < _MOST_CONTEXT else _NO_CONTEXT_NAMED))
