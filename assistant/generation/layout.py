"""What a chat template writes around the contents, learnt by rendering placeholders.

Nothing is known here about any model: whether a system role is accepted, whether turns must
alternate, what closes a turn, all of it is read off from what the template does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from assistant import paths
from assistant.errors import PromptError
from assistant.generation.escapes import template_markers
from assistant.records import Message

_PLACEHOLDER = "QZX{:06d}XZQ"
PLACEHOLDERS = re.compile(r"QZX(\d{6})XZQ")


def placeholder(number: int) -> str:
    """Return the harmless content that stands for piece `number`."""
    return _PLACEHOLDER.format(number)


@dataclass(frozen=True)
class Piece:
    """The content of one message of the prompt, and which message that was."""

    text: str
    origin: str


@dataclass(frozen=True)
class Turn:
    """One turn as the template gets it: messages of one role that were merged."""

    role: str
    pieces: tuple[Piece, ...]


def plain_template(*, encoder_decoder: bool) -> str:
    """Return our own template, for tokenizers that bring none."""
    name = "plain-text.jinja" if encoder_decoder else "plain-chat.jinja"
    return (paths.prompts() / "templates" / name).read_text(encoding="utf-8")


class ChatLayout:
    """A tokenizer's chat template, or ours if it has none, and what is known about it."""

    def __init__(self, tokenizer: Any, *, encoder_decoder: bool) -> None:
        self._tokenizer = tokenizer
        self.is_encoder_decoder = encoder_decoder
        own = tokenizer.get_chat_template() if tokenizer.chat_template else None
        self.template: str = own or plain_template(encoder_decoder=encoder_decoder)
        self.folds_system = not self._keeps("system", "user")
        self.alternates = not self._keeps("user", "user")
        self.turn_end, self.reply_gap = self._around_reply()
        self.markers = template_markers(self._segments())

    def render(self, messages: Sequence[Message], *, header: bool = True) -> str:
        """Return the text of the messages, with the assistant header at its end if `header`.

        Raises:
            PromptError: if the template refuses the messages.
        """
        from assistant.prompting.templates import ChatTemplateError

        try:
            # Reasoning models that know `enable_thinking` answer directly; our strategies do the reasoning.
            text = self._tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                chat_template=self.template,
                tokenize=False,
                add_generation_prompt=header,
                enable_thinking=False,
            )
        except (ChatTemplateError, TypeError, KeyError, IndexError) as error:
            raise PromptError(f"The model's chat template refuses these messages: {error}.") from None
        return str(text)

    def arrange(self, messages: Sequence[Message], origins: Sequence[str]) -> tuple[Turn, ...]:
        """Return the turns as this template accepts them: system folded, same roles merged."""
        pairs = [
            (message["role"], Piece(_clean(message["content"]), origin))
            for message, origin in zip(messages, origins, strict=True)
        ]
        turns: list[Turn] = []
        if self.folds_system:
            turns, pairs = _folded(pairs)
        for role, piece in pairs:
            waits = bool(turns) and turns[-1].role == role and (self.alternates or role == "system")
            if waits or (turns and turns[-1].role == ""):
                turns[-1] = Turn(role, (*turns[-1].pieces, piece))
            else:
                turns.append(Turn(role, (piece,)))
        return tuple(turn if turn.role else Turn("user", turn.pieces) for turn in turns)

    def _keeps(self, *roles: str) -> bool:
        """Return whether a conversation of these roles is rendered with all of its contents."""
        try:
            text = self.render(probe(*roles))
        except PromptError:
            return False
        return all(placeholder(number) in text for number in range(len(roles)))

    def _around_reply(self) -> tuple[str, str]:
        """Return what is written after a reply, and between the assistant header and a reply."""
        opened = self.render(probe("user"))
        closed = self.render(probe("user", "assistant"), header=False)
        before, _, after = closed.partition(placeholder(1))
        gap = before.removeprefix(opened) if before.startswith(opened) else ""
        return after.rstrip(), "" if self.is_encoder_decoder else gap

    def _segments(self) -> list[str]:
        roles = ["user", "assistant", "user", "assistant"]
        probes = [self.render(probe(*roles[:3])), self.render(probe(*roles), header=False)]
        if not self.folds_system:
            probes.append(self.render(probe("system", *roles[:3])))
        return [segment for text in probes for segment in PLACEHOLDERS.split(text)[::2]]


def probe(*roles: str) -> tuple[Message, ...]:
    """Return a conversation of these roles whose contents are placeholders."""
    return tuple(Message(role=role, content=placeholder(number)) for number, role in enumerate(roles))


def _folded(pairs: list[tuple[str, Piece]]) -> tuple[list[Turn], list[tuple[str, Piece]]]:
    """Return a turn without a role that the first user turn completes, and the pairs left over."""
    instructions = tuple(piece for role, piece in pairs if role == "system")
    rest = [(role, piece) for role, piece in pairs if role != "system"]
    begins_with_user = not rest or rest[0][0] == "user"
    head = [Turn("" if begins_with_user else "user", instructions)] if instructions else []
    return head, rest


def _clean(content: str) -> str:
    """Return the content without white space at either end, as valid Unicode."""
    return content.encode("utf-8", "replace").decode("utf-8").strip()
