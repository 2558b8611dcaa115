"""An encoder-decoder that learns to summarise dialogues, from the command line, with ROUGE before and after.

    python benchmarks/encoder_decoder.py --data DIR [--work FOLDER] [--rows 1000] [--steps 300] [--test 100]

No weights of T5 or FLAN-T5 come with Shotwise, so a small T5 (random weights, the built-in model's word pieces) is
made first: the figures show that the way from rows to scores works, not how well such a model can summarise. Then the
two commands that anybody would type are run, and printed with what they say.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

from benchlib import one_thread, say

one_thread()

NAME = "summaries"


def make_t5(folder: Path) -> None:
    """Save a small T5 with random weights, the same ones each time."""
    import torch
    from tokenizers import Tokenizer, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    from assistant import paths

    core = Tokenizer.from_file(str(paths.demo() / "model" / "tokenizer.json"))
    core.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", core.token_to_id("</s>"))]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="</s>", pad_token="<pad>", model_max_length=1024
    )
    config = T5Config(
        vocab_size=len(tokenizer), d_model=128, d_kv=32, d_ff=256, num_layers=2, num_heads=4,
        feed_forward_proj="gated-gelu", dropout_rate=0.0, pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id, decoder_start_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def run(words: list[str], home: Path) -> None:
    """Run a command of Shotwise and print it with what it says."""
    say(f"$ shotwise {shlex.join(words)}")
    environment = {**os.environ, "SHOTWISE_HOME": str(home)}
    subprocess.run([sys.executable, "-m", "assistant.cli", *words], env=environment, check=True)


def main() -> None:
    """Make the model, train it, compare it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder of the public data sets")
    parser.add_argument("--work", default="runs/encoder-decoder", type=Path)
    parser.add_argument("--rows", default=1000, type=int)
    parser.add_argument("--steps", default=300, type=int)
    parser.add_argument("--test", default=100, type=int)
    parser.add_argument("--method", default="full")
    asked = parser.parse_args()
    work = asked.work.resolve()
    model = work / "small-t5"
    if not model.is_dir():
        make_t5(model)
    home = work / "home"
    trained = [
        "adapter", "train", "dialogsum", "--data", asked.data, "--name", NAME, "--model", str(model), "--replace",
        "--method", asked.method, "--rows", str(asked.rows), "--steps", str(asked.steps), "--patience", "0",
    ]  # fmt: skip
    compared = [
        "adapter", "compare", NAME, "--data", asked.data, "--model", str(model), "--limit", str(asked.test),
        "--max-new-tokens", "60",
    ]  # fmt: skip
    for words in (trained, compared):
        run(words, home)


if __name__ == "__main__":
    main()
