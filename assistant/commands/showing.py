"""Answers in the terminal: the answer on stdout as it grows, everything about it on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from assistant.commands.terminal import say, shortened
from assistant.records import Answer, Hit


class LiveText:
    """Prints a text that grows; where it changes instead of growing, it is printed anew.

    On a stream that is not a terminal only the end is printed, so that programs read one text.
    """

    def __init__(self, stream: TextIO, live: bool | None = None) -> None:
        self._stream = stream
        self._live = stream.isatty() if live is None else live
        self._shown = ""

    def grow(self, text: str) -> None:
        """Show the text as far as it is."""
        # A half-written character or a trailing space may still change; nothing printed is taken back.
        text = text.rstrip("\ufffd \n")
        if self._live and text.startswith(self._shown):
            self._stream.write(text[len(self._shown) :])
            self._stream.flush()
            self._shown = text

    def end(self, text: str) -> None:
        """Show the whole text and end the line."""
        text = text.strip()
        rest = text[len(self._shown) :] if text.startswith(self._shown) else f"\n{text}"
        self._stream.write(f"{rest}\n" if rest or self._shown else "")
        self._stream.flush()
        self._shown = ""


def stream_answer(snapshots: Iterable[Answer]) -> Answer | None:
    """Return the last snapshot after showing all: reasoning on stderr, answer on stdout."""
    reasoning, reply = LiveText(sys.stderr), LiveText(sys.stdout)
    last: Answer | None = None
    thinking = True
    for last in snapshots:
        if thinking and last.answer:
            reasoning.end(last.reasoning)
            thinking = False
        if thinking:
            reasoning.grow(last.reasoning)
        else:
            reply.grow(last.answer)
    if last is not None:
        if thinking:
            reasoning.end(last.reasoning)
        reply.end(last.answer)
    return last


def say_about(answer: Answer) -> None:
    """Print what stood behind an answer: demonstrations, what was left out, tokens, seconds."""
    for line in about(answer):
        say(line)


def about(answer: Answer) -> list[str]:
    """Return the lines about an answer."""
    lines = []
    if answer.final_answer is not None and answer.final_answer.strip() != answer.answer.strip():
        lines.append(f"Final answer: {shortened(answer.final_answer)}")
    if answer.votes:
        lines.append(f"Votes: {', '.join(f'{final} {count}' for final, count in answer.votes.items())}")
    if answer.label_scores:
        scores = ", ".join(f"{label} {score:.2f}" for label, score in answer.label_scores.items())
        lines.append(f"Log-likelihood: {scores}")
    if answer.problem:
        lines.append(f"No final answer: {answer.problem}.")
    if answer.demonstrations:
        lines.append(f"Demonstrations: {demonstrations_line(answer.demonstrations)}")
    lines += [f"Kept out: {kept.demonstration.id}, {kept.reason}" for kept in answer.excluded]
    lines += [f"Dropped to fit the context: {what}" for what in answer.dropped]
    lines += list(answer.notes)
    lines.append(costs(answer))
    return lines


def demonstrations_line(hits: Sequence[Hit]) -> str:
    """Return ids, with similarities where there are any."""
    return ", ".join(
        hit.demonstration.id if hit.similarity is None else f"{hit.demonstration.id} ({hit.similarity:.2f})"
        for hit in hits
    )


def costs(answer: Answer) -> str:
    """Return strategy, adapter if there is one, tokens and seconds on one line."""
    speed = answer.new_tokens / answer.seconds if answer.seconds > 0 and answer.new_tokens else 0.0
    parts = [
        answer.strategy,
        *([answer.adapter_words] if answer.adapter else []),
        f"{answer.prompt_tokens} + {answer.new_tokens} tokens",
        f"{answer.seconds:.1f} s",
        *([f"{speed:.0f} tokens/s"] if speed else []),
    ]
    return f"[{' · '.join(parts)}]"
