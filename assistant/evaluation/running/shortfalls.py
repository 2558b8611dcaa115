"""What a reader should know of prompts with too few demonstrations, and of replies that were cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from assistant.evaluation.outcomes import Arm, Outcome
from assistant.prompting.strategies import find_strategy

ByArm = Mapping[Arm, Sequence[Outcome]]


def shortfall_notes(k: int, by_arm: ByArm) -> Iterator[str]:
    """Yield one sentence for each kind of shortfall that there was, with its count per arm."""
    scarce = _counted(by_arm, lambda one: len(one.demonstrations) + one.dropped < k, needs_index=True)
    if scarce:
        yield f"Fewer than k = {k} demonstrations were to be had: {scarce}."
    dropped = _counted(by_arm, lambda one: one.dropped > 0)
    if dropped:
        yield f"Not all demonstrations fitted into the context: {dropped}."
    cut = _counted(by_arm, lambda one: one.cut, of="answers")
    if cut:
        yield f"Replies were cut at the limit of new tokens: {cut}."


def _counted(by_arm: ByArm, short: Callable[[Outcome], bool], *, needs_index: bool = False, of: str = "prompts") -> str:
    """Return which arms fell short and how often, in words; empty if none did."""
    found = []
    for arm, outcomes in by_arm.items():
        if arm.is_baseline or (needs_index and not find_strategy(arm.strategy).needs_index):
            continue
        count = sum(bool(one.calls) and short(one) for one in outcomes)
        found += [f"{arm.name} in {count:,} of {len(outcomes):,} {of}"] if count else []
    return "; ".join(found)
