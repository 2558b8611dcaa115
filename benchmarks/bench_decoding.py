"""How fast replies are written, against plain `transformers.generate` on the same weights in the same run.

    python benchmarks/bench_decoding.py [--rounds 9] [--threads 1] [--model demo]

Both sides get the same model folder, number format, threads and token ids of three prompts (chat, few-shot
sentiment, chain of thought), decode greedily, and write exactly `--tokens` tokens to each: stop tokens are
switched off for both. Every round runs both in random order; CPU and wall seconds are compared within the
round, and 1.00 means as fast as transformers. Our time has everything in it that happens between the ids and
the finished text: the thread, the queue, and the text decoded after every token. That the texts are equal is
checked. `--threads 2` gives what a person sees on two cores.

The second table is the wait for the first token of a few-shot prompt of `--prompt` tokens: ours from the
messages (rendering and tokenising are in it) to the first text, theirs from the ids to one token.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from benchlib import one_thread

one_thread()


@dataclass(frozen=True)
class Taken:
    """CPU and wall seconds of one run."""

    cpu: float
    wall: float


class Sides:
    """The same weights behind our chat model and behind transformers alone."""

    def __init__(self, folder: str, dtype: str, threads: int) -> None:
        import torch
        from transformers import AutoModelForCausalLM, GenerationConfig

        from assistant.generation.loading import load_chat_model
        from assistant.settings import ModelSettings

        torch.set_num_threads(threads)
        self.ours: Any = load_chat_model(ModelSettings(model=folder, dtype=dtype, device="cpu"))
        self.ours.renderer.stop_ids = ()
        self.ours.network.generation_config = self.ours._config()  # generate() falls back on it for stop tokens
        self.plain = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
        self.plain.generation_config = GenerationConfig(do_sample=False, use_cache=True, pad_token_id=0)
        self._torch = torch

    def write(self, rendered: Any, tokens: int) -> str:
        """Return our reply."""
        from assistant.settings import SamplingSettings

        steps = self.ours.generate([rendered], [SamplingSettings(max_new_tokens=tokens)], Event())
        (last,) = deque(steps, maxlen=1).pop()
        assert last.new_tokens == tokens
        return str(last.text)

    def write_plain(self, rendered: Any, tokens: int) -> str:
        """Return the reply of transformers alone."""
        ids = self._torch.tensor([rendered.token_ids])
        mask = self._torch.ones_like(ids)
        made = self.plain.generate(input_ids=ids, attention_mask=mask, max_new_tokens=tokens)
        new = made[0, ids.shape[1] :].tolist()
        assert len(new) == tokens
        return str(self.ours.renderer.decode(new))

    def first_token(self, prompt: Any) -> None:
        """Wait for our first token, rendering included."""
        from assistant.settings import SamplingSettings

        steps = self.ours.generate([self.ours.renderer.render(prompt)], [SamplingSettings(max_new_tokens=1)], Event())
        next(steps)
        steps.close()


def prompts_of(renderer: Any) -> list[Any]:
    """Return the three prompts whose replies are written."""
    from assistant.prompting.building import build_prompt
    from assistant.prompting.strategies import STRATEGIES
    from assistant.prompting.tasks import load_task

    asked = (
        ("chat", "zero-shot", "What can you do for me?"),
        ("sentiment", "static-few-shot", "A slow start, but the last hour makes up for everything."),
        ("word-problems", "zero-shot-cot", "Tim has 12 pens. He buys 7 more and gives 5 away. How many are left?"),
    )
    made = []
    for name, strategy, text in asked:
        task = load_task(name)
        shown = task.demonstrations if strategy == "static-few-shot" else ()
        made.append(renderer.render(build_prompt(task, STRATEGIES[strategy], {task.fields[0]: text}, shown)))
    return made


def long_prompt(renderer: Any, tokens: int) -> Any:
    """Return a sentiment prompt with as many built-in reviews as make about `tokens` tokens."""
    from assistant.evaluation.sets.datasets import load_dataset
    from assistant.prompting.building import build_prompt
    from assistant.prompting.strategies import STRATEGIES

    loaded = load_dataset("reviews")
    for k in range(1, len(loaded.pool)):
        shown = loaded.pool[:k]
        prompt = build_prompt(loaded.task, STRATEGIES["static-few-shot"], loaded.test[0].inputs, shown)
        if len(renderer.render(prompt).token_ids) >= tokens:
            return prompt
    raise SystemExit(f"The built-in reviews make no prompt of {tokens} tokens.")


def measured(variants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[Taken]]:
    """Return what each variant took in every round, in random order within the round, after a warm-up."""
    draw = random.Random(0)
    taken: dict[str, list[Taken]] = {name: [] for name in variants}
    for variant in variants.values():
        variant()
    for _ in range(rounds):
        for name in draw.sample(sorted(variants), len(variants)):
            cpu, wall = time.process_time(), time.perf_counter()
            variants[name]()
            taken[name].append(Taken(time.process_time() - cpu, time.perf_counter() - wall))
    return taken


def with_range(values: Sequence[float], digits: int = 2) -> str:
    """Return the median with the least and the most."""
    return f"{statistics.median(values):.{digits}f} [{min(values):.{digits}f}, {max(values):.{digits}f}]"


def decoding_table(taken: Mapping[str, Sequence[Taken]], tokens: int) -> str:
    """Return the first table: tokens per second, and the ratios of the rounds."""
    lines = ["| side | tokens/s (wall) | CPU s | wall s | ratio, CPU | ratio, wall |", "|---|---:|---:|---:|---|---|"]
    for name, own in taken.items():
        cpu = [base.cpu / one.cpu for base, one in zip(taken["transformers"], own, strict=True)]
        wall = [base.wall / one.wall for base, one in zip(taken["transformers"], own, strict=True)]
        seconds = statistics.median(one.wall for one in own)
        middle = f"{statistics.median(one.cpu for one in own):.2f} | {seconds:.2f}"
        lines.append(f"| {name} | {tokens / seconds:,.0f} | {middle} | {with_range(cpu)} | {with_range(wall)} |")
    return "\n".join(lines)


def first_token_table(taken: Mapping[str, Sequence[Taken]], tokens: int) -> str:
    """Return the second table: the wait for the first token."""
    lines = [f"| first token after {tokens} tokens | wall s | CPU s |", "|---|---|---|"]
    for name, own in taken.items():
        walls, cpus = [one.wall for one in own], [one.cpu for one in own]
        lines.append(f"| {name} | {with_range(walls, 3)} | {with_range(cpus, 3)} |")
    return "\n".join(lines)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo", help="'demo' or a model folder.")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--tokens", type=int, default=128, help="New tokens of each reply.")
    parser.add_argument("--prompt", type=int, default=600, help="Tokens of the few-shot prompt.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["SHOTWISE_HOME"] = home
        import torch
        import transformers

        from assistant import paths
        from assistant.environment import prepare_environment

        prepare_environment()
        folder = str(paths.demo() / "model") if options.model == "demo" else str(Path(options.model))
        sides = Sides(folder, options.dtype, options.threads)
        renderer = sides.ours.renderer
        prompts, few_shot = prompts_of(renderer), long_prompt(renderer, options.prompt)
        same = sum(sides.write(one, options.tokens) == sides.write_plain(one, options.tokens) for one in prompts)
        load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
        print(f"torch {torch.__version__}, transformers {transformers.__version__}, {options.dtype}, ", end="")
        print(f"{options.threads} thread(s), load average {load}, {same} of {len(prompts)} replies equal\n", flush=True)
        decoded = measured(
            {
                "transformers": lambda: [sides.write_plain(one, options.tokens) for one in prompts],
                "Shotwise": lambda: [sides.write(one, options.tokens) for one in prompts],
            },
            options.rounds,
        )
        print(decoding_table(decoded, len(prompts) * options.tokens), end="\n\n", flush=True)
        rendered = renderer.render(few_shot)
        waited = measured(
            {
                "transformers": lambda: sides.write_plain(rendered, 1),
                "Shotwise": lambda: sides.first_token(few_shot),
            },
            options.rounds,
        )
        print(first_token_table(waited, len(rendered.token_ids)))


if __name__ == "__main__":
    main()
