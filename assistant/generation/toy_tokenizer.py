"""A tokenizer without a vocabulary: one id per UTF-8 byte, and a Zephyr layout."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_BOS, _EOS = 256, 257
_SPLIT = re.compile(r"(<s>|</s>)")


@dataclass(frozen=True)
class _Added:
    content: str
    special: bool = True


class ToyTokenizer:
    """The part of a transformers tokenizer that rendering uses, over bytes.

    Ids 0…255 are bytes, 256 is `<s>` (added by the tokenizer), 257 is `</s>`.
    """

    chat_template = "{# Zephyr's layout, written out in ToyTokenizer.apply_chat_template #}"
    bos_token, bos_token_id = "<s>", _BOS
    eos_token, eos_token_id = "</s>", _EOS
    unk_token_id = None
    all_special_tokens = ("<s>", "</s>")
    added_tokens_decoder: Mapping[int, _Added] = {_BOS: _Added("<s>"), _EOS: _Added("</s>")}

    def get_chat_template(self) -> str:
        """Return the name of the layout."""
        return self.chat_template

    def convert_tokens_to_ids(self, token: str) -> int:
        """Return the id of a special token."""
        return {"<s>": _BOS, "</s>": _EOS}[token]

    def apply_chat_template(
        self,
        conversation: Sequence[Mapping[str, str]],
        *,
        chat_template: str = "",
        tokenize: bool = False,
        add_generation_prompt: bool = False,
        enable_thinking: bool = False,
    ) -> str:
        """Return the conversation in Zephyr's layout; the other arguments are as in transformers."""
        del chat_template, tokenize, enable_thinking
        text = "".join(f"<|{turn['role']}|>\n{turn['content']}</s>\n" for turn in conversation)
        return text + ("<|assistant|>\n" if add_generation_prompt else "")

    def encode(self, text: str, *, add_special_tokens: bool = True, verbose: bool = False) -> list[int]:
        """Return the ids; `verbose` is as in transformers."""
        del verbose
        ids = [_BOS] if add_special_tokens else []
        for part in _SPLIT.split(text):
            ids.extend([self.convert_tokens_to_ids(part)] if part in ("<s>", "</s>") else part.encode("utf-8"))
        return ids

    def decode(
        self, ids: Sequence[int], *, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool = False
    ) -> str:
        """Return the text; an incomplete character at the end becomes U+FFFD."""
        del clean_up_tokenization_spaces
        marks = {_BOS: b"" if skip_special_tokens else b"<s>", _EOS: b"" if skip_special_tokens else b"</s>"}
        return b"".join(marks.get(token) or (bytes([token]) if token < _BOS else b"") for token in ids).decode(
            "utf-8", "replace"
        )
