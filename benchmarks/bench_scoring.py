"""How fast labels are scored, against lm-evaluation-harness's Hugging Face backend in the same run.

    python benchmarks/bench_scoring.py --peer-python lm-eval-env/bin/python [--data DIR] [--rows 200]

lm-eval has its own environment, because its requirements are not ours:

    python -m venv lm-eval-env
    lm-eval-env/bin/pip install torch==2.13.0 transformers==5.23.0 lm-eval==0.4.13 accelerate

Both sides get the same model folder, number format, one thread, rows, and the token ids of prompts and
labels. Loading is left out. Every round runs both in random order; CPU seconds (on a GPU wall seconds)
are compared within the round. lm-eval runs at whichever batch size of 1, 8, 32 and 64 is fastest for it.
Our side forgets its kept prefixes before every round, and its time includes the tokens of the labels.

DIR has sst2/test and trec/train (see `assistant/evaluation/sets/datasets.toml` for where they are
found); without it the built-in reviews are scored, whose labels are written out for the second case.
`--random-billion` scores with a Llama of a billion random weights and the built-in model's tokenizer, which
tells nothing about any task but takes the time of a real one (`--device cuda --dtype bfloat16`).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchlib import one_thread

one_thread()

BATCH_SIZES = (1, 8, 32, 64)
TREC_NAMES = ("an abbreviation", "a description", "an entity", "a human being", "a location", "a numeric value")
REVIEW_NAMES = ("a negative review", "a positive review")
POOL = 1000
K = 4


@dataclass(frozen=True)
class Case:
    """What is scored: a data set, how demonstrations are chosen, and names for its labels."""

    title: str
    data: str
    strategy: str
    names: tuple[str, ...] = ()
    index: str | None = None


class Peer:
    """The other side, in its own process."""

    def __init__(self, python: str, model: str, dtype: str, device: str) -> None:
        script = Path(__file__).with_name("peer_lm_eval.py")
        self._process = subprocess.Popen(
            [python, str(script)], stdin=-1, stdout=-1, stderr=subprocess.DEVNULL, text=True
        )
        self.facts = self.ask({"model": model, "dtype": dtype, "device": device})["facts"]

    def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        """Send one command and return the reply."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("The process of lm-eval ended; start peer_lm_eval.py by hand to see why.")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


class Ours:
    """Our side: prompts, their scores, and what both cost."""

    def __init__(self, model: str, dtype: str, device: str, data: str | None) -> None:
        import torch

        from assistant.answering import Assistant
        from assistant.generation.loading import load_chat_model
        from assistant.settings import ModelSettings

        torch.set_num_threads(1)
        self.model: Any = load_chat_model(ModelSettings(model=model, dtype=dtype, device=device))
        self.assistant, self._data, self._device = Assistant(self.model), data, device

    def prepare(self, case: Case, rows: int) -> list[Any]:
        """Return the prepared prompts of the first rows of a case."""
        from assistant.answering import Request
        from assistant.evaluation.running.answers import message_of
        from assistant.evaluation.sets.datasets import load_dataset
        from assistant.settings import RetrievalSettings

        loaded = load_dataset(case.data, self._data)
        common = {"reading": "labels", "label_names": case.names, "index": case.index}
        requests = [
            Request(message_of(loaded.task, one), case.strategy, loaded.task.name, sample_id=one.id, **common)
            for one in loaded.test[:rows]
        ]
        assert RetrievalSettings().k == K
        return [self.assistant.prepare(request) for request in requests]

    def clock(self) -> float:
        """Return CPU seconds, or wall seconds where a device does the work."""
        if self._device == "cpu":
            return time.process_time()
        import torch

        torch.cuda.synchronize()
        return time.perf_counter()

    def run(self, prepared: Sequence[Any]) -> dict[str, Any]:
        """Return the scores, their seconds, and the seconds of rendering the prompts before that."""
        from assistant.generation.label_batches import LabelScorer

        self.model._scorer = LabelScorer(self.model.network, self.model.renderer.stop_ids)
        labels = [replies_of(one) for one in prepared]
        started = self.clock()
        prompts = [self.model.renderer.render(one.prompt) for one in prepared]
        rendered = self.clock()
        scores = self.model.score_labels(prompts, labels)
        return {"seconds": self.clock() - rendered, "rendering": rendered - started, "scores": scores}


def replies_of(prepared: Any) -> tuple[str, ...]:
    """Return the replies whose likelihood is asked."""
    from assistant.prompting.building import label_replies

    return tuple(label_replies(prepared.task, prepared.strategy).values())


def rows_of(ours: Ours, prepared: Sequence[Any]) -> list[dict[str, Any]]:
    """Return prompts and labels as text and ids, for the peer."""
    label_ids = ours.model.renderer.label_ids
    return [
        {
            "text": one.rendered.text,
            "prompt": list(one.rendered.token_ids),
            "names": list(replies_of(one)),
            "labels": [list(label_ids(one.rendered, reply)) for reply in replies_of(one)],
        }
        for one in prepared
    ]


def compare(case: Case, ours: Ours, peer: Peer, rows: int, rounds: int) -> str:
    """Return one row of the table."""
    prepared = ours.prepare(case, rows)
    sent = rows_of(ours, prepared)
    peer.ask({"rows": sent})
    first = max(64, rows // 3)
    tried = {size: peer.ask({"batch_size": size, "first": first})["seconds"] for size in BATCH_SIZES}
    best = min(tried, key=tried.__getitem__)
    ours.run(prepared[:8])
    draw, taken = random.Random(0), []
    for _ in range(rounds):
        found: dict[str, Any] = {}
        for side in draw.sample(("ours", "theirs"), 2):
            found[side] = ours.run(prepared) if side == "ours" else peer.ask({"batch_size": best})
        taken.append(found)
    texts = peer.ask({"batch_size": best, "texts": True})
    return _row(case, sent, taken, best, texts)


def _row(case: Case, sent: list[dict[str, Any]], taken: list[dict[str, Any]], best: int, texts: dict[str, Any]) -> str:
    mine, theirs = taken[-1]["ours"]["scores"], taken[-1]["theirs"]["scores"]
    pairs = list(zip(mine, theirs, strict=True))
    far = max(abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True))
    agreed = sum(
        max(range(len(one)), key=one.__getitem__) == max(range(len(other)), key=other.__getitem__)
        for one, other in pairs
    )
    ratios = [one["theirs"]["seconds"] / one["ours"]["seconds"] for one in taken]
    seconds = [statistics.median(one[side]["seconds"] for one in taken) for side in ("theirs", "ours")]
    whole = statistics.median(one["ours"]["seconds"] + one["ours"]["rendering"] for one in taken)
    lengths = [len(row["prompt"]) for row in sent]
    tokens = [len(label) for label in sent[0]["labels"]]
    cells = [
        case.title,
        f"{len(sent)} × {len(tokens)}",
        f"{statistics.median(lengths):.0f}",
        f"{min(tokens)}–{max(tokens)}" if min(tokens) < max(tokens) else str(tokens[0]),
        str(best),
        f"{seconds[0]:.2f}",
        f"{seconds[1]:.2f}",
        f"**{statistics.median(ratios):.2f}** [{min(ratios):.2f}, {max(ratios):.2f}]",
        f"{texts['seconds'] / whole:.2f}{'' if texts['same_ids'] else ' (other ids)'}",
        f"{far:.1e}",
        f"{agreed} of {len(pairs)}",
    ]
    return f"| {' | '.join(cells)} |"


HEAD = (
    "| case | rows × labels | prompt tokens | label tokens | lm-eval's best batch | lm-eval s | ours s | ratio "
    "| from text | largest difference | same argmax |\n|---|---|---:|---:|---:|---:|---:|---|---:|---:|---|"
)


def random_billion(folder: str, tokenizer: str) -> str:
    """Return the folder of a Llama with about 10⁹ random weights, saved in bfloat16."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    known = AutoTokenizer.from_pretrained(tokenizer)
    config = LlamaConfig(
        vocab_size=len(known), hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32,
        num_key_value_heads=8, max_position_embeddings=4096, bos_token_id=known.bos_token_id,
        eos_token_id=known.eos_token_id, pad_token_id=known.pad_token_id, dtype=torch.bfloat16,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    known.save_pretrained(folder)
    return folder


def cases_of(data: str | None) -> list[Case]:
    """Return what is measured; builds the index of the retrieved cases."""
    if data is None:
        fixed, names = "static-few-shot", REVIEW_NAMES
        return [
            Case("built-in reviews, 4 fixed", "reviews", fixed),
            Case("built-in reviews, written-out names, 4 fixed", "reviews", fixed, names),
            Case("built-in reviews, 4 retrieved", "reviews", "dynamic-few-shot"),
        ]
    from assistant.evaluation.sets.datasets import data_file, find_data_set
    from assistant.retrieval.index import build_index

    trec = find_data_set("trec")
    build_index(str(data_file(trec, "train", data)), "trec", trec.fields, task=trec.task, limit=POOL)
    return [
        Case("SST-2, 4 fixed", "sst2", "static-few-shot"),
        Case("TREC, written-out names, 4 fixed", "trec", "static-few-shot", TREC_NAMES),
        Case("SST-2, 4 retrieved", "sst2", "dynamic-few-shot"),
        Case("TREC, written-out names, 4 retrieved", "trec", "dynamic-few-shot", TREC_NAMES, "trec"),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", required=True, help="A Python that has lm-eval.")
    parser.add_argument("--data", help="Folder of the public data sets.")
    parser.add_argument("--model", default="demo", help="'demo' or a model folder.")
    parser.add_argument("--random-billion", action="store_true", help="A billion random weights instead of --model.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["SHOTWISE_HOME"] = home
        from assistant import paths
        from assistant.environment import prepare_environment
        from assistant.retrieval.builtin import build_built_in

        prepare_environment()
        build_built_in()
        folder = str(paths.demo() / "model") if options.model == "demo" else options.model
        if options.random_billion:
            folder = random_billion(f"{home}/random-billion", folder)
        cases = cases_of(options.data)
        ours = Ours(folder, options.dtype, options.device, options.data)
        peer = Peer(options.peer_python, folder, options.dtype, options.device)
        print(
            f"lm-eval {peer.facts['lm_eval']}, torch {peer.facts['torch']}, {peer.facts['dtype']}\n\n{HEAD}", flush=True
        )
        for case in cases:
            print(compare(case, ours, peer, options.rows, options.rounds), flush=True)
        peer.close()


if __name__ == "__main__":
    main()
