"""Chat templates in the layouts of the families, and throwaway tokenizers for them."""

import json

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

ZEPHYR = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + eos_token + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
CHATML = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou help.<|im_end|>\\n' }}{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}"
    "{{ message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate user/assistant/user/assistant') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}"
    "{% set system = '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' %}{% set messages = messages[1:] %}"
    "{% else %}{% set system = '' %}{% endif %}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('must alternate') }}{% endif %}"
    "{% set content = (system if loop.first else '') + message['content'] %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content + ' [/INST]' }}"
    "{% else %}{{ ' ' + content + ' ' + eos_token }}{% endif %}{% endfor %}"
)
LLAMA3_SPECIALS = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
LAYOUTS = {
    # name: (template, special tokens, BOS, EOS, BOS added by the tokenizer)
    "zephyr": (ZEPHYR, ("<unk>", "<s>", "</s>"), "<s>", "</s>", True),
    "llama3": (LLAMA3, LLAMA3_SPECIALS, "<|begin_of_text|>", "<|end_of_text|>", True),
    "chatml": (CHATML, ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), None, "<|im_end|>", False),
    "mistral": (MISTRAL, ("<unk>", "<s>", "</s>"), "<s>", "</s>", True),
    "gemma": (GEMMA, ("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"), "<bos>", "<eos>", True),
    "llama2-sp": (LLAMA2, ("<unk>", "<s>", "</s>"), "<s>", "</s>", True),
    "zephyr-sp": (ZEPHYR, ("<unk>", "<s>", "</s>"), "<s>", "</s>", True),
    "plain": (None, ("<s>", "</s>"), "<s>", "</s>", True),
    "t5": (None, ("<pad>", "</s>", "<unk>"), None, "</s>", False),
}
CORPUS = [
    "A gorgeous, witty film that is full of life.",
    "Is this review positive or negative? The plot was dull and the actors were tired.",
    "user assistant system model Human Assistant positive negative neutral happy sad",
    "What is seven times six? Forty-two. Let us think step by step: 6 * 7 = 42.",
    "Ünïcödé — grüße, 你好, привет, 🙂 and a word\u2060joiner.",
] * 4


def _byte_level(specials):
    """As Llama 3, Qwen and GPT-2 have it."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=list(specials), initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(CORPUS, trainer)
    return core


def _sentence_pieces(specials):
    """As Llama 2, Mistral and Zephyr have it: a space before each segment, unknown characters as bytes."""
    core = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=[*specials, *byte_tokens], show_progress=False)
    core.train_from_iterator([word for line in CORPUS[:3] for word in line.split()], trainer)
    plain = json.loads(core.to_str())
    plain["added_tokens"] = [token for token in plain["added_tokens"] if not token["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(plain))


def make_tokenizer(layout):
    """Return a tokenizer of a few hundred tokens with the layout's template."""
    template, specials, bos, eos, adds_bos = LAYOUTS[layout]
    core = _sentence_pieces(specials) if layout.endswith("-sp") else _byte_level(specials)
    if adds_bos:
        core.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, core.token_to_id(bos))]
        )
    elif layout == "t5":
        core.post_processor = processors.TemplateProcessing(
            single=f"$A {eos}", special_tokens=[(eos, core.token_to_id(eos))]
        )
    known = {"bos_token": bos, "eos_token": eos, "pad_token": "<pad>" if "<pad>" in specials else None}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        additional_special_tokens=[token for token in specials if token not in (bos, eos, "<pad>")],
        **{name: token for name, token in known.items() if token},
    )
    if template:
        tokenizer.chat_template = template
    return tokenizer
