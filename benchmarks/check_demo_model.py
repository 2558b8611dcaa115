"""How often the built-in model is right: accuracy with Wilson intervals, per strategy and reading.

    python benchmarks/check_demo_model.py --data ../shared/data [-n 600] [--model demo]

Sentiment on rows of SST-2 `test` (a public set the model never saw; JSON Lines with `text` and
`label`), demonstrations from the built-in index; word problems from the generator's test seeds.
Prints a Markdown table. Source of the interval: Wilson 1927, Probable inference.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from assistant.environment import prepare_environment

BATCH = 16
SENTIMENT = ("zero-shot", "static-few-shot", "random-few-shot", "dynamic-few-shot", "imdb-instruction")
PROBLEMS = ("zero-shot", "static-few-shot", "static-cot", "zero-shot-cot")


def wilson(right: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the 95 % interval of a share."""
    share, spread = right / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return middle - half, middle + half


def batches(items: Sequence[tuple[str, str]]) -> Iterator[Sequence[tuple[str, str]]]:
    """Yield the items in portions."""
    for at in range(0, len(items), BATCH):
        yield items[at : at + BATCH]


def measure(assistant, rows, strategy, task, reading, max_new_tokens):
    """Return right answers, unreadable answers and n."""
    from assistant.answering import Request
    from assistant.settings import SamplingSettings

    right = unread = 0
    for portion in batches(rows):
        sampling = SamplingSettings(max_new_tokens=max_new_tokens)
        requests = [Request(text, strategy, task, reading=reading, sampling=sampling) for text, _ in portion]
        *_, answers = assistant.compare(requests)
        right += sum(answer.final_answer == gold for answer, (_, gold) in zip(answers, portion, strict=True))
        unread += sum(answer.final_answer is None for answer in answers)
        print(f"\r{strategy} {reading}: {right} right", end="", file=sys.stderr)
    print(file=sys.stderr)
    return right, unread, len(rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="Folder with sst2/test.jsonl.gz.")
    parser.add_argument("-n", type=int, default=600)
    parser.add_argument("--model", default="demo")
    options = parser.parse_args()
    prepare_environment()
    from assistant.answering import Assistant
    from assistant.finetuning.arithmetic import TEST_SEEDS, write_story
    from assistant.generation.loading import load_chat_model
    from assistant.retrieval.builtin import build_built_in
    from assistant.settings import ModelSettings

    build_built_in()
    assistant = Assistant(load_chat_model(ModelSettings(model=options.model)))
    with gzip.open(options.data / "sst2/test.jsonl.gz", "rt", encoding="utf-8") as lines:
        reviews = [json.loads(line) for line in lines]
    random.Random(0).shuffle(reviews)
    sentiment = [(row["text"], ("negative", "positive")[row["label"]]) for row in reviews[: options.n]]
    stories = [write_story(TEST_SEEDS + n, 2) for n in range(options.n // 5)]
    problems = [(story.question, str(story.answer)) for story in stories]
    print("| task | strategy | reading | n | accuracy | 95 % interval | unreadable |\n|---|---|---|---:|---:|---|---:|")
    plan = [("sentiment", sentiment, one, reading, 16) for one in SENTIMENT for reading in ("labels", "generate")]
    plan += [("word-problems", problems, one, "generate", 96) for one in PROBLEMS]
    for task, rows, strategy, reading, tokens in plan:
        right, unread, n = measure(assistant, rows, strategy, task, reading, tokens)
        low, high = wilson(right, n)
        cells = f"{task} | `{strategy}` | {reading} | {n} | {right / n:.3f} | {low:.3f} to {high:.3f} | {unread}"
        print(f"| {cells} |", flush=True)


if __name__ == "__main__":
    main()
