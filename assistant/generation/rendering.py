"""Messages → the exact text and token ids that a model gets, through its own chat template.

The text is encoded once, as a whole: piecewise encoding gives other tokens for harmless text.
Whatever a user or a data set wrote cannot open a turn, and that is checked on the ids.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from assistant.generation.escapes import marker_counts, neutralised, refuse_escapes
from assistant.generation.layout import PLACEHOLDERS, ChatLayout, Turn, placeholder
from assistant.records import TEMPLATE, Message, Prompt, RenderedPrompt, Span

_BETWEEN = "\n\n"  # what separates contents that were merged into one turn


class PromptRenderer:
    """A tokenizer and its chat template behind three verbs: render, count, label_ids.

    `stop_ids` end a reply; `template_hash` is the SHA-256 of the chat template, which training
    stores so that an adapter is only served under the template it was trained with.
    """

    def __init__(self, tokenizer: Any, *, encoder_decoder: bool = False, eos_ids: Sequence[int] = ()) -> None:
        self.tokenizer = tokenizer
        self.layout = ChatLayout(tokenizer, encoder_decoder=encoder_decoder)
        self.template_hash = hashlib.sha256(self.layout.template.encode("utf-8")).hexdigest()
        specials = _special_tokens(tokenizer)
        self._special_texts = {at: text for text, at in specials.items() if at != tokenizer.unk_token_id}
        self._special_ids = frozenset(self._special_texts)
        self._markers = tuple({*specials, *self.layout.markers})
        self._prefix, self._suffix = self._added_around()
        self.stop_ids = self._stops(eos_ids)
        self._eos_ids = tuple(eos_ids)
        self._expected = lru_cache(maxsize=256)(self._count_markers)
        self._known_tail = lru_cache(maxsize=512)(self._encode)

    def render(self, prompt: Prompt) -> RenderedPrompt:
        """Return the text, ids and spans of a prompt that ends at the assistant header.

        Raises:
            PromptEscape: if a content would open a turn and could not be made harmless.
            PromptError: if the chat template refuses the messages.
        """
        turns = self.layout.arrange(prompt.messages, prompt.origins)
        pieces = [(neutralised(piece.text, self._markers), piece.origin) for turn in turns for piece in turn.pieces]
        contents = [text for text, _ in pieces]
        messages = _messages(turns, contents)
        skeleton = self._whole(_messages(turns, [placeholder(n) if text else "" for n, text in enumerate(contents)]))
        text, spans = _filled(skeleton, pieces)
        rendered = self._whole(messages)
        if rendered != text:  # a template that rewrites contents (drops old reasoning, say)
            text, spans = rendered, _found(rendered, pieces)
        ids = self._encode(text)
        shape = tuple((turn.role, tuple(bool(piece.text) for piece in turn.pieces)) for turn in turns)
        refuse_escapes(self._counts(ids), self._expected(shape))
        return RenderedPrompt(text, ids, spans, prompt.messages)

    def under(self, template: str) -> PromptRenderer:
        """Return a renderer for the same tokenizer under another chat template."""
        tokenizer = copy.copy(self.tokenizer)
        tokenizer.chat_template = template
        return PromptRenderer(tokenizer, encoder_decoder=self.layout.is_encoder_decoder, eos_ids=self._eos_ids)

    def count(self, prompt: Prompt) -> int:
        """Return how many tokens the rendered prompt has."""
        return len(self.render(prompt).token_ids)

    def label_ids(self, rendered: RenderedPrompt, label: str) -> tuple[int, ...]:
        """Return the ids with which the label continues the prompt, without a turn end."""
        return self._continuation(rendered, label)

    def training_ids(self, prompt: Prompt, reply: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return ids and loss mask of one training row.

        The ids begin with exactly `render(prompt).token_ids`, then come the reply and what the
        template writes to end the turn; the mask is 1 on these two and 0 before.
        For an encoder-decoder, split at the first 1: what follows is for the decoder.
        """
        rendered = self.render(prompt)
        reply = neutralised(reply.strip(), self._markers)
        target = self._continuation(rendered, reply + self.layout.turn_end)
        if not self.layout.turn_end:
            target += self._known(self.tokenizer.eos_token_id)
        return rendered.token_ids + target, (0,) * len(rendered.token_ids) + (1,) * len(target)

    def decode(self, token_ids: Sequence[int], *, special: bool = False) -> str:
        """Return the text of the ids, without special tokens unless asked for."""
        return str(
            self.tokenizer.decode(list(token_ids), skip_special_tokens=not special, clean_up_tokenization_spaces=False)
        )

    def _continuation(self, rendered: RenderedPrompt, reply: str) -> tuple[int, ...]:
        """Return the ids of the reply: those of the whole text, unless they would change the prompt's."""
        if not self._suffix:
            tail = self._tail(rendered)
            known = len(self._known_tail(tail))
            whole = self._known_tail(tail + self.layout.reply_gap + reply)
            if whole[:known] == rendered.token_ids[-known:]:
                return whole[known:]
        return self._encode(self.layout.reply_gap + reply)

    def _tail(self, rendered: RenderedPrompt) -> str:
        """Return the text from its last special token on; nothing is merged across one, so the rest has no say."""
        last = next((at for at in reversed(rendered.token_ids) if at in self._special_ids), None)
        return (
            rendered.text if last is None else rendered.text[max(rendered.text.rfind(self._special_texts[last]), 0) :]
        )

    def _whole(self, messages: Sequence[Message]) -> str:
        """Return the rendered messages with exactly one BOS, and EOS where an encoder wants it."""
        text = self.layout.render(messages)
        prefix = "" if self._prefix and text.startswith(self._prefix) else self._prefix
        return prefix + text + self._suffix

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False, verbose=False))

    def _added_around(self) -> tuple[str, str]:
        """Return BOS and EOS as text, each empty unless the tokenizer would add it."""
        with_added = self.tokenizer.encode("a", add_special_tokens=True, verbose=False)
        bos, eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        starts = bos is not None and with_added[0] == bos
        ends = self.layout.is_encoder_decoder and eos is not None and with_added[-1] == eos
        return (self.tokenizer.bos_token if starts else ""), (self.tokenizer.eos_token if ends else "")

    def _stops(self, eos_ids: Sequence[int]) -> tuple[int, ...]:
        """Return EOS, what the model's authors added, and the one special token that closes a turn."""
        closing = [token for token in self._encode(self.layout.turn_end) if token in self._special_ids]
        ends = closing if len(closing) == 1 else []
        return tuple(dict.fromkeys((*self._known(self.tokenizer.eos_token_id), *eos_ids, *ends)))

    @staticmethod
    def _known(token: int | None) -> tuple[int, ...]:
        return () if token is None else (token,)

    def _counts(self, ids: Sequence[int]) -> dict[int | str, int]:
        return marker_counts(ids, self.decode(ids, special=True), self._special_ids, self.layout.markers)

    def _count_markers(self, shape: tuple[tuple[str, tuple[bool, ...]], ...]) -> dict[int | str, int]:
        """Return the marker counts of a conversation of this shape with harmless contents."""
        messages = [Message(role=role, content=_BETWEEN.join("x" * full for full in pieces)) for role, pieces in shape]
        return self._counts(self._encode(self._whole(messages)))


def _special_tokens(tokenizer: Any) -> dict[str, int]:
    """Return text → id of everything the tokenizer treats as special."""
    added = {token.content: at for at, token in tokenizer.added_tokens_decoder.items() if token.special}
    named = {token: tokenizer.convert_tokens_to_ids(token) for token in tokenizer.all_special_tokens}
    return {**added, **named}


def _messages(turns: Sequence[Turn], contents: Sequence[str]) -> list[Message]:
    """Return the turns as messages, with their pieces replaced by `contents` in order."""
    rest = iter(contents)
    return [Message(role=turn.role, content=_BETWEEN.join(next(rest) for _ in turn.pieces)) for turn in turns]


def _filled(skeleton: str, pieces: Sequence[tuple[str, str]]) -> tuple[str, tuple[Span, ...]]:
    """Return the skeleton with the pieces in their places, and the span of each part."""
    text, spans = "", list[Span]()
    for at, part in enumerate(PLACEHOLDERS.split(skeleton)):
        content, origin = pieces[int(part)] if at % 2 else (part, TEMPLATE)
        if content:
            spans.append(Span(len(text), len(text) + len(content), origin))
            text += content
    return text, tuple(spans)


def _found(text: str, pieces: Sequence[tuple[str, str]]) -> tuple[Span, ...]:
    """Return spans from where each piece is found after the one before; the rest is template."""
    spans, end = list[Span](), 0
    for content, origin in pieces:
        at = text.find(content, end) if content else -1
        if at >= 0:
            spans += [Span(end, at, TEMPLATE)] if at > end else []
            spans.append(Span(at, at + len(content), origin))
            end = at + len(content)
    return (*spans, Span(end, len(text), TEMPLATE)) if end < len(text) else tuple(spans)
