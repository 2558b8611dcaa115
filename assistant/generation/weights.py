"""Reading the weights of a model: which format, which device, which quantisation; safetensors only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assistant.errors import MissingDependency, ModelError
from assistant.generation.sources import FAILURES, Source, unusable
from assistant.settings import ModelSettings

_MEMORY_SHARE = 0.6
_QUIET_BYTES = 10**9
_PACKED_ROWS, _PACKED_COLUMNS = 32, 64
_PACKS = "support_avx512bf16_for_cpu"
_INEXACT = ": an answer may depend on what runs beside it."


def load_network(
    source: Source,
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
        network = leave_unpacked(network) if settings.load_in else network.to(device)
    except torch.cuda.OutOfMemoryError:
        raise ModelError(f"The model '{source.name}' does not fit on {device}.", "Try --load-in 4bit.") from None
    except _safetensors_errors() as error:
        raise unusable(source, error) from None
    lost = sorted([*report["missing_keys"], *(str(key[0]) for key in report["mismatched_keys"])])
    if lost:
        raise ModelError(f"The weights of '{source.name}' lack {len(lost)} tensors, among them {lost[0]}.")
    return network, notes


def leave_unpacked(network: Any, *, every: bool = False) -> Any:
    """Return the network with four-bit weights that bitsandbytes does not pack for a CPU: misfits, or `every` one.

    bitsandbytes 0.50 packs a layer's weights in place at the first evaluation on a CPU with AVX512-BF16. It breaks off
    at those that are no multiple of its blocks, and gradients that go back through packed weights are wrong.
    """
    for module in network.modules():
        if hasattr(module, _PACKS):
            rows, columns = module.out_features, module.in_features
            if every or rows % _PACKED_ROWS or columns % _PACKED_COLUMNS:
                setattr(module, _PACKS, False)
    return network


def _safetensors_errors() -> tuple[type[Exception], ...]:
    from safetensors import SafetensorError

    return (*FAILURES, SafetensorError)


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
