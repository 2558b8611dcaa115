"""Adapters made by plain peft, for tests above the floor of generation."""

import hashlib

from assistant import paths


def save_demo_adapter(home, name, seed=1, **config):
    """Put a random LoRA for the built-in model under adapters/ and return its folder; `config` is peft's."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    from assistant.generation.adapters import quiet_peft

    network = AutoModelForCausalLM.from_pretrained(paths.demo() / "model", dtype=torch.float32)
    shape = {"r": 2, "target_modules": ["q_proj", "v_proj"], "init_lora_weights": False, **config}
    torch.manual_seed(seed)
    with quiet_peft():
        model = peft.get_peft_model(network, peft.LoraConfig(task_type="CAUSAL_LM", **shape))
    folder = home / "adapters" / name
    model.save_pretrained(folder)
    return folder


def sha256(folder):
    """Return the hash of an adapter's weights."""
    return hashlib.sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest()
