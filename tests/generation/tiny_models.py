"""Random-weight models of each family, small enough to be made in a test."""

import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from tests.generation.layouts import make_tokenizer

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
}
FAMILIES = {
    # name: (layout, config, model); the windows are shorter than any prompt of the tests
    "mistral": ("mistral", MistralConfig, MistralForCausalLM, {"sliding_window": 8}),
    "zephyr": ("zephyr-sp", MistralConfig, MistralForCausalLM, {"sliding_window": None}),
    "llama3": ("llama3", LlamaConfig, LlamaForCausalLM, {"rope_theta": 500_000.0}),
    "qwen2": ("chatml", Qwen2Config, Qwen2ForCausalLM, {"tie_word_embeddings": True}),
    "qwen3": ("chatml", Qwen3Config, Qwen3ForCausalLM, {}),
    "gemma2": ("gemma", Gemma2Config, Gemma2ForCausalLM, {"sliding_window": 8}),
    "gemma3": ("gemma", Gemma3TextConfig, Gemma3ForCausalLM, {"sliding_window": 8}),
    "t5": ("t5", T5Config, T5ForConditionalGeneration, {}),
}
_T5_SHAPE = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "feed_forward_proj": "gated-gelu"}


def save_model(family, folder, seed=0):
    """Save a random model with its tokenizer; its generation defaults are made to be a nuisance."""
    layout, config_class, model_class, extra = FAMILIES[family]
    tokenizer = make_tokenizer(layout)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    if family == "t5":
        shape = {**_T5_SHAPE, "pad_token_id": tokenizer.pad_token_id, "decoder_start_token_id": tokenizer.pad_token_id}
    else:
        shape = {**SHAPE, "pad_token_id": tokenizer.pad_token_id}
    torch.manual_seed(seed)
    model = model_class(config_class(vocab_size=len(tokenizer), **shape, **ids, **extra))
    with torch.no_grad():  # the usual initialisation is too flat: every reply would be one token repeated
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.25)
    model.generation_config = GenerationConfig(
        **{name: at for name, at in ids.items() if at is not None},
        decoder_start_token_id=shape.get("decoder_start_token_id"),
        do_sample=True, temperature=1.7, top_p=0.5, top_k=3, repetition_penalty=1.9,
        max_length=40, no_repeat_ngram_size=2,
    )  # fmt: skip
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
