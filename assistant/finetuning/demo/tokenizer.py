"""The demo model's own tokenizer: byte-level BPE, digits one by one, Zephyr-style turns."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from assistant.finetuning.demo.names import NUMBERED

ROLE_TOKENS = ("<|system|>", "<|user|>", "<|assistant|>")
OPENER = ROLE_TOKENS[-1]
"""Opens the assistant's turn."""
BEGIN, END, PAD = "<s>", "</s>", "<pad>"
# The layout of Zephyr (HuggingFaceH4/zephyr-7b-beta): role line, content, end of sequence, line break.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def train_tokenizer(texts: Iterable[str], vocabulary: int, context_tokens: int) -> Any:
    """Return a fast tokenizer trained on the texts, with the chat template set."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = [PAD, BEGIN, END, *ROLE_TOKENS]
    tokenizer = Tokenizer(models.BPE(byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(NUMBERED),
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    begin = tokenizer.token_to_id(BEGIN)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, begin)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens=list(ROLE_TOKENS),
        model_max_length=context_tokens,
        clean_up_tokenization_spaces=False,
    )
    fast.add_tokens(list(NUMBERED))  # one token each, or they would all begin alike
    fast.chat_template = CHAT_TEMPLATE
    return fast


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write the tokenizer's files into the folder."""
    tokenizer.save_pretrained(folder)


def load_tokenizer(folder: Path) -> Any:
    """Return the tokenizer saved in the folder."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
