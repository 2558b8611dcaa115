"""LoRA and QLoRA steps on a Llama of random weights: tokens/s and memory, by us and by a bare trl script.

`bench_training.py --random-llama` calls it. Every run is a process of its own, so that its peak is its own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench_training import bare_trainer, mean_loss, our_trainer
from benchlib import line, say

METHODS, SIDES = ("lora", "qlora"), ("bare trl", "shotwise")
WARM_STEPS = 2
"""Not timed."""


def random_llama_table(asked: argparse.Namespace) -> str:
    """Return the table, made in interleaved rounds."""
    with tempfile.TemporaryDirectory() as folder:
        parameters = make_llama(Path(folder), asked.width, asked.layers)
        found: dict[tuple[str, str], list[dict[str, float]]] = {}
        for at in range(asked.rounds):
            for one in random.Random(at).sample([(method, side) for method in METHODS for side in SIDES], 4):
                found.setdefault(one, []).append(in_own_process(folder, *one, asked))
                say(f"{one}: {found[one][-1]}")
    head = ("method", "side", "tokens/s", "ratio within the round", "peak MB", "mean loss")
    lines = [f"### {parameters / 1e9:.2f} billion parameters, {asked.device}", "", line(head), line(["---"] * 6)]
    for method in METHODS:
        for side in SIDES:
            runs, bare = found[method, side], found[method, SIDES[0]]
            ratios = [own["rate"] / other["rate"] for own, other in zip(runs, bare, strict=True)]
            ratio = f"{statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"
            rate = statistics.median(run["rate"] for run in runs)
            most = max(run["peak_mb"] for run in runs)
            lines.append(line((method, side, f"{rate:,.0f}", ratio, f"{most:,.0f}", f"{runs[-1]['loss']:.4f}")))
    return "\n".join(lines)


def make_llama(folder: Path, width: int, layers: int) -> int:
    """Save a Llama of random weights with the built-in model's tokenizer and return how many parameters it has."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from assistant import paths

    tokenizer = AutoTokenizer.from_pretrained(paths.demo() / "model")
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=11 * width // 4, num_hidden_layers=layers,
        num_attention_heads=max(1, width // 64), num_key_value_heads=max(1, width // 256),
        max_position_embeddings=2048, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return sum(weight.numel() for weight in model.parameters())


def in_own_process(folder: str, method: str, side: str, asked: argparse.Namespace) -> dict[str, float]:
    """Return what one run came to."""
    shape = {"steps": asked.steps, "batch_size": asked.batch_size, "tokens": asked.tokens, "device": asked.device}
    words = [sys.executable, __file__, json.dumps({"folder": folder, "method": method, "side": side, **shape})]
    done = subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True, env=os.environ)
    return json.loads(done.stdout.splitlines()[-1])


def run(wanted: dict[str, Any]) -> dict[str, float]:
    """Train for some steps and return tokens/s, peak memory and mean loss."""
    from assistant.environment import prepare_environment

    prepare_environment()
    from transformers import TrainerCallback
    from transformers.trainer_callback import PrinterCallback

    from assistant.finetuning.generators.adapting import quiet_libraries
    from assistant.finetuning.generators.learnt_tokens import logits_of_learnt_tokens
    from assistant.finetuning.generators.progress import peak_mb
    from assistant.finetuning.generators.settings import GeneratorSettings

    cuda = wanted["device"].startswith("cuda")
    steps = wanted["steps"] + WARM_STEPS
    settings = GeneratorSettings(
        method=wanted["method"], steps=steps, batch_size=wanted["batch_size"], validation=0.0, dropout=0.0,
        warmup=0.0, learning_rate=1e-4, device=wanted["device"],
    )  # fmt: skip

    class Watch(TrainerCallback):  # type: ignore[misc]
        """Notes when each step ends."""

        ends: list[float] = []  # noqa: RUF012

        def on_step_end(self, args: Any, state: Any, control: Any, **_: object) -> None:
            if cuda:
                import torch

                torch.cuda.synchronize()
            self.ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as scratch, quiet_libraries():
        ours = wanted["side"] == SIDES[1]
        trainer = (our_side if ours else bare_side)(wanted, settings, Path(scratch))
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(Watch())
        if ours:
            with logits_of_learnt_tokens():
                trainer.train()
        else:
            trainer.train()
    seconds = Watch.ends[-1] - Watch.ends[WARM_STEPS - 1]
    read = wanted["steps"] * wanted["batch_size"] * wanted["tokens"]
    return {"rate": read / seconds, "peak_mb": peak_mb(cuda), "loss": mean_loss(trainer)}


def rows(wanted: dict[str, Any], vocabulary: int) -> Sequence[Any]:
    """Return rows of random tokens, the last eighth of each learnt."""
    from assistant.finetuning.generators.examples import Example

    draw = random.Random(0)
    length, learnt = wanted["tokens"], wanted["tokens"] // 8
    count = (wanted["steps"] + WARM_STEPS) * wanted["batch_size"]
    marks = (0,) * (length - learnt) + (1,) * learnt
    return [Example(str(at), tuple(draw.choices(range(8, vocabulary), k=length)), marks) for at in range(count)]


def our_side(wanted: dict[str, Any], settings: Any, scratch: Path) -> Any:
    """Return the trainer of `adapter train` on the model loaded as that loads it."""
    from assistant.generation.loading import load_base
    from assistant.settings import ModelSettings

    load_in = settings.table_row.load_in
    base = load_base(ModelSettings(model=wanted["folder"], device=wanted["device"], load_in=load_in))
    return our_trainer(base, base.network, settings, rows(wanted, len(base.renderer.tokenizer)), scratch)


def bare_side(wanted: dict[str, Any], settings: Any, scratch: Path) -> Any:
    """Return a bare trl trainer on the model loaded by transformers."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    tokenizer = AutoTokenizer.from_pretrained(wanted["folder"])
    dtype = torch.bfloat16 if wanted["device"].startswith("cuda") else torch.float32
    quantised = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    network = AutoModelForCausalLM.from_pretrained(
        wanted["folder"], dtype=dtype, device_map={"": wanted["device"]},
        quantization_config=quantised if wanted["method"] == "qlora" else None,
    )  # fmt: skip
    if wanted["method"] == "qlora":
        network = peft.prepare_model_for_kbit_training(network, use_gradient_checkpointing=False)
    return bare_trainer(network, tokenizer, settings, rows(wanted, len(tokenizer)), scratch)


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))
