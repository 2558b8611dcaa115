"""What fits into the context, and what is dropped first.

Over the limit, the lowest-ranked demonstration goes first, then the oldest exchange of the
history; the instruction, the question and the assistant header never go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from assistant.errors import PromptTooLong
from assistant.records import Hit, Message, Prompt

Build = Callable[[Sequence[Hit], Sequence[Message]], Prompt]


@dataclass(frozen=True)
class Fitted:
    """A prompt that fits, the hits (best first) and history that are left in it, and what went."""

    prompt: Prompt
    hits: tuple[Hit, ...]
    history: tuple[Message, ...]
    dropped: tuple[str, ...]


def fit_to_context(
    build: Build, hits: Sequence[Hit], history: Sequence[Message], count: Callable[[Prompt], int], limit: int
) -> Fitted:
    """Return the prompt with as many hits (best first) and as much history as fit in `limit` tokens.

    Raises:
        PromptTooLong: if the instruction and the question alone do not fit.
    """
    kept, past, dropped = list(hits), list(history), []
    prompt = build(kept, past)
    while (tokens := count(prompt)) > limit:
        if kept:
            last = kept.pop()
            dropped.append(f"demonstration {last.demonstration.id} (rank {last.rank})")
        elif past:
            dropped.append(f"earlier turn: {_shortened(past[0]['content'])}")
            del past[: _exchange(past)]
        else:
            raise PromptTooLong(
                f"The question needs {tokens} tokens, and only {max(limit, 0)} fit beside the reply.",
                "Shorten it, or lower the number of new tokens.",
            )
        prompt = build(kept, past)
    return Fitted(prompt, tuple(kept), tuple(past), tuple(dropped))


def _exchange(history: Sequence[Message]) -> int:
    """Return how many messages the oldest exchange has: up to the next turn of the user."""
    users = [at for at, message in enumerate(history) if message["role"] == "user" and at > 0]
    return users[0] if users else len(history)


def _shortened(text: str, width: int = 40) -> str:
    text = " ".join(text.split())
    return text if len(text) <= width else f"{text[: width - 1]}…"
