"""The demo model's network: a Llama, and while it is trained a head that tells the meaning of a turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assistant.finetuning.demo.examples import IGNORED
from assistant.finetuning.demo.meaning import word_vectors
from assistant.finetuning.demo.recipe import Size
from assistant.finetuning.demo.start import structured
from assistant.finetuning.demo.tokenizer import OPENER


def new_network(tokenizer: Any, size: Size, seed: int, meaning_width: int) -> Any:
    """Return an untrained network; the same seed gives the same weights."""
    import torch
    from transformers import LlamaConfig, set_seed

    set_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.width,
        intermediate_size=size.feed_forward,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        max_position_embeddings=size.context_tokens,
        rope_parameters={"rope_type": "default", "rope_theta": size.rope_theta},
        tie_word_embeddings=not (size.start_from_encoder and size.structured_start),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        meaning_width=meaning_width,
        meaning_layer=size.meaning_layer,
    )
    network = _kind()(config)
    if not size.start_from_encoder:
        return network
    vectors, known = word_vectors(tokenizer, size.width)
    if size.structured_start:
        structured(network, vectors, known, tokenizer.convert_tokens_to_ids(OPENER), seed)
    else:
        with torch.no_grad():
            network.get_input_embeddings().weight[known] = vectors[known]
    return network


def load_network(folder: Path) -> Any:
    """Return the network of a finished stage."""
    return _kind().from_pretrained(folder, dtype="float32", use_safetensors=True, local_files_only=True)


def plain_llama(network: Any) -> Any:
    """Return the network without its head: what is shipped."""
    from transformers import LlamaConfig, LlamaForCausalLM

    settings = {
        name: value for name, value in network.config.to_dict().items() if not name.startswith(("meaning", "archi"))
    }
    plain = LlamaForCausalLM(LlamaConfig(**settings))
    wanted = {name: value for name, value in network.state_dict().items() if not name.startswith("meaning")}
    plain.load_state_dict(wanted)
    return plain


def _kind() -> Any:
    import torch
    from transformers import LlamaForCausalLM

    class MeaningLlama(LlamaForCausalLM):  # type: ignore[misc]
        """A Llama with a linear map from a layer's states to sentence embeddings."""

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.meaning = torch.nn.Linear(config.hidden_size, config.meaning_width)
            self.post_init()

    return MeaningLlama


def losses(network: Any, batch: dict[str, Any], meanings: Any) -> tuple[Any, Any]:
    """Return the loss of the replies, and how far the turns' ends are from the texts' meanings (1 - cosine).

    The output layer sees only the positions that are learnt: three of four tokens are prompt, and
    without them a step on a CPU takes half the time for the same loss.

    Source of the second: Reimers & Gurevych 2020, Making Monolingual Sentence Embeddings Multilingual
    using Knowledge Distillation.
    """
    import torch

    out = network.model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        use_cache=False,
        output_hidden_states=True,
    )
    labels = batch["labels"][:, 1:]
    learnt = labels != IGNORED
    logits = network.lm_head(out.last_hidden_state[:, :-1][learnt]).float()
    reply = torch.nn.functional.cross_entropy(logits, labels[learnt])
    row, position, text = batch["meaning_at"].T
    if not len(row):
        return reply, reply.new_zeros(())
    told = network.meaning(out.hidden_states[network.config.meaning_layer][row, position])
    # The table stays on the CPU: it is large, and a step needs a few dozen of its rows.
    wanted = meanings[text.cpu()].to(told.device)
    return reply, 1 - torch.nn.functional.cosine_similarity(told.float(), wanted, dim=-1).mean()
