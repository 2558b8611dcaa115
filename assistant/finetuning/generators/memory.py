"""When memory does not suffice: one sentence, and three things to change."""

from __future__ import annotations

from collections.abc import Iterator

from assistant.errors import TrainingError
from assistant.finetuning.generators.settings import GeneratorSettings

_SAID = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")
_REMEDIES = 3


def as_memory_error(error: Exception, settings: GeneratorSettings) -> TrainingError | None:
    """Return what to tell if the error is that memory ran out, else None."""
    if not isinstance(error, MemoryError) and not any(said in str(error).lower() for said in _SAID):
        return None
    first, second, third = [*_remedies(settings)][:_REMEDIES]
    return TrainingError("Memory does not suffice for this training.", f"Try {first}, {second}, or {third}.")


def _remedies(settings: GeneratorSettings) -> Iterator[str]:
    """Yield what would need less memory, what changes the result least first."""
    if settings.batch_size > 1:
        half = settings.batch_size // 2
        twice = -(-settings.batch_size * settings.accumulation // half)
        yield f"--batch-size {half} --accumulation {twice} (the same step, in smaller batches)"
    if not settings.gradient_checkpointing and settings.method != "prefix-tuning":
        yield "--gradient-checkpointing (more time)"
    if settings.method == "full":
        yield "--method lora (a small part of the optimizer's memory)"
    elif settings.method != "qlora":
        yield "--method qlora (the base in four bits)"
    yield f"--max-tokens {max(1, settings.max_tokens // 2)} (longer rows are left out)"
    yield "--targets attention --rank 4 (fewer layers, fewer parameters)"
    yield "a smaller --model"
