"""What passes between the floors: messages, demonstrations, hits, prompts, calls, answers.

Plain data, standard library only. `to_json` forms are a contract that other programs read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

INSTRUCTION = "instruction"
HISTORY = "history"
QUESTION = "question"
TEMPLATE = "template"
# Spreadsheets and pandas write integers so where a column has a gap.
_WHOLE = re.compile(r"(-?\d+)\.0+")


class Message(TypedDict):
    """One turn as transformers, Gradio and training data speak it."""

    role: str
    content: str


def find_label(names: Mapping[str, str], written: str) -> str | None:
    """Return the label's name for a label as a data set writes it (`POS`, `1`, `1.0`), or None."""
    written = written.strip()
    whole = _WHOLE.fullmatch(written)
    for key in (written.lower(), written.casefold(), whole[1] if whole else ""):
        if key in names:
            return names[key]
    return None


def demonstration_origin(identity: str) -> str:
    """Return the origin that marks a message or span as part of one demonstration."""
    return f"demonstration {identity}"


@dataclass(frozen=True)
class Demonstration:
    """A solved input: field → text, the output, and an optional rationale."""

    id: str
    inputs: Mapping[str, str]
    output: str
    rationale: str = ""
    group: str = ""

    def text(self) -> str:
        """Return what an encoder reads: the inputs joined by line breaks, never the output."""
        return "\n".join(self.inputs.values())


@dataclass(frozen=True)
class Query:
    """What is asked: the inputs by field, with id and group if it is a row of a data set."""

    inputs: Mapping[str, str]
    id: str = ""
    group: str = ""

    def text(self) -> str:
        """Return what an encoder reads: the inputs joined by line breaks."""
        return "\n".join(self.inputs.values())


@dataclass(frozen=True)
class Hit:
    """A chosen demonstration: rank 1 is the best, similarity a cosine (None: not searched)."""

    demonstration: Demonstration
    rank: int
    similarity: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return id, similarity, rank and the demonstration's fields on one level."""
        shown = self.demonstration
        record: dict[str, Any] = {"id": shown.id, "similarity": self.similarity, "rank": self.rank}
        record |= {name: text for name, text in shown.inputs.items() if name not in record}
        record["output"] = shown.output
        if shown.rationale:
            record["rationale"] = shown.rationale
        if shown.group:
            record["group"] = shown.group
        return record


@dataclass(frozen=True)
class Exclusion:
    """A demonstration that was found and not shown, and why."""

    demonstration: Demonstration
    reason: str
    similarity: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return id, similarity, reason and the demonstration's fields on one level."""
        record = Hit(self.demonstration, 0, self.similarity).to_json()
        del record["rank"]
        return {**record, "reason": self.reason}


@dataclass(frozen=True)
class Selection:
    """What a selector chose, best first, and what was kept out."""

    hits: tuple[Hit, ...] = ()
    excluded: tuple[Exclusion, ...] = ()


@dataclass(frozen=True)
class Prompt:
    """Messages in the order they are sent; `origins[i]` says where message i came from.

    An origin is `instruction`, `history`, `question` or `demonstration ID`.
    """

    messages: tuple[Message, ...]
    origins: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse messages without an origin."""
        assert len(self.messages) == len(self.origins)

    def then(self, *turns: tuple[Message, str]) -> Prompt:
        """Return this prompt with further (message, origin) turns at its end."""
        return Prompt(
            self.messages + tuple(message for message, _ in turns),
            self.origins + tuple(origin for _, origin in turns),
        )


@dataclass(frozen=True)
class Span:
    """Characters `start` to `end` of a rendered prompt and where they came from.

    `origin` is that of the message, or `template` for what the chat template wrote.
    """

    start: int
    end: int
    origin: str


@dataclass(frozen=True)
class RenderedPrompt:
    """The exact text that is sent, its token ids (made once), and the origin of each part."""

    text: str
    token_ids: tuple[int, ...]
    spans: tuple[Span, ...]
    messages: tuple[Message, ...] = ()


Finish = Literal["end", "length", "stopped", ""]


@dataclass(frozen=True)
class Generation:
    """What one row of a batch has produced so far, or in the end (`finish` is then set)."""

    text: str = ""
    new_tokens: int = 0
    seconds: float = 0.0
    first_token_seconds: float | None = None
    finish: Finish = ""


@dataclass(frozen=True)
class Call:
    """One pass over the model: what was sent and what came back."""

    messages: tuple[Message, ...]
    prompt: str
    reply: str
    prompt_tokens: int
    new_tokens: int
    seconds: float
    first_token_seconds: float | None = None
    finish: Finish = ""
    spans: tuple[Span, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, prompt: RenderedPrompt, generation: Generation) -> Call:
        """Return the call that sent `prompt` and got `generation`."""
        return cls(
            messages=prompt.messages,
            prompt=prompt.text,
            reply=generation.text,
            prompt_tokens=len(prompt.token_ids),
            new_tokens=generation.new_tokens,
            seconds=generation.seconds,
            first_token_seconds=generation.first_token_seconds,
            finish=generation.finish,
            spans=prompt.spans,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the call as plain data, without the spans."""
        return {
            "messages": [dict(message) for message in self.messages],
            "prompt": self.prompt,
            "reply": self.reply,
            "prompt_tokens": self.prompt_tokens,
            "new_tokens": self.new_tokens,
            "seconds": round(self.seconds, 4),
            "first_token_seconds": self.first_token_seconds,
            "finish": self.finish,
        }


@dataclass(frozen=True)
class Answer:
    """A reply with everything that was shown, spent and decided on the way to it.

    `final_answer` is None while it is streaming and when the reply could not be parsed;
    `problem` then says why. `dropped` lists what the context budget left out.
    """

    strategy: str
    task: str
    model: str
    adapter: str | None
    message: str
    answer: str = ""
    final_answer: str | None = None
    problem: str = ""
    reasoning: str = ""
    demonstrations: tuple[Hit, ...] = ()
    excluded: tuple[Exclusion, ...] = ()
    dropped: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    label_scores: Mapping[str, float] | None = None
    votes: Mapping[str, int] | None = None
    index: str | None = None
    seed: int = 0
    seconds: float = 0.0
    done: bool = False
    notes: tuple[str, ...] = ()
    adapter_sha256: str | None = None
    """Of the adapter's weights, as `sha256sum` gives it for their file."""

    @property
    def adapter_words(self) -> str:
        """Return which adapter answered, by its name and how the hash of its weights begins."""
        return f"adapter {self.adapter} {(self.adapter_sha256 or '')[:8]}".strip() if self.adapter else "no adapter"

    @property
    def prompt_tokens(self) -> int:
        """Return the prompt tokens of all calls."""
        return sum(call.prompt_tokens for call in self.calls)

    @property
    def new_tokens(self) -> int:
        """Return the generated tokens of all calls."""
        return sum(call.new_tokens for call in self.calls)

    def to_json(self) -> dict[str, Any]:
        """Return the answer as plain data: the contract of `--json`."""
        return {
            "strategy": self.strategy,
            "task": self.task,
            "model": self.model,
            "adapter": self.adapter,
            "adapter_sha256": self.adapter_sha256,
            "index": self.index,
            "message": self.message,
            "answer": self.answer,
            "final_answer": self.final_answer,
            "problem": self.problem,
            "reasoning": self.reasoning,
            "demonstrations": [hit.to_json() for hit in self.demonstrations],
            "excluded": [exclusion.to_json() for exclusion in self.excluded],
            "dropped": list(self.dropped),
            "calls": [call.to_json() for call in self.calls],
            "label_scores": None if self.label_scores is None else dict(self.label_scores),
            "votes": None if self.votes is None else dict(self.votes),
            "seed": self.seed,
            "prompt_tokens": self.prompt_tokens,
            "new_tokens": self.new_tokens,
            "seconds": round(self.seconds, 4),
            "notes": list(self.notes),
        }
