"""Scores labels with lm-evaluation-harness for `bench_scoring.py`, in the environment that has it.

Commands come as JSON lines on standard input, replies go out as JSON lines. Both sides are given the
same token ids; `texts` is for the check that its own tokenisation does the same work.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ["HF_HUB_OFFLINE"] = "1"


class Peer:
    """lm-eval's Hugging Face backend, with the rows of the case being measured."""

    def __init__(self, model: str, dtype: str, device: str) -> None:
        import lm_eval
        import torch
        from lm_eval.models.huggingface import HFLM

        torch.set_num_threads(1)
        self.device = device
        self.lm = HFLM(pretrained=model, dtype=dtype, device=device, batch_size=1)
        self.facts = {"lm_eval": lm_eval.__version__, "torch": torch.__version__, "threads": torch.get_num_threads()}
        self.facts["dtype"] = str(self.lm.model.dtype)
        self.rows: list[dict[str, Any]] = []

    def clock(self) -> float:
        """Return CPU seconds, or wall seconds where a device does the work."""
        if self.device == "cpu":
            return time.process_time()
        import torch

        torch.cuda.synchronize()
        return time.perf_counter()

    def run(self, batch_size: int, rows: int | None = None) -> dict[str, Any]:
        """Return the seconds and the scores from token ids."""
        self.lm.batch_size_per_gpu = batch_size
        chosen = self.rows[:rows]
        started = self.clock()
        requests = [(("", ""), row["prompt"], label) for row in chosen for label in row["labels"]]
        flat = iter(self.lm._loglikelihood_tokens(requests, disable_tqdm=True))
        scores = [[next(flat)[0] for _ in row["labels"]] for row in chosen]
        return {"seconds": self.clock() - started, "scores": scores}

    def run_texts(self, batch_size: int) -> dict[str, Any]:
        """Return the seconds from text, with its own tokenisation, and whether that gives our ids."""
        from lm_eval.api.instance import Instance

        self.lm.batch_size_per_gpu = batch_size
        pairs = [(row["text"], name) for row in self.rows for name in row["names"]]
        instances = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(pairs)]
        started = self.clock()
        self.lm.loglikelihood(instances, disable_tqdm=True)
        seconds = self.clock() - started
        encoded = [[token for part in self.lm._encode_pair(*pair) for token in part] for pair in pairs]
        same = encoded == [[*row["prompt"], *label] for row in self.rows for label in row["labels"]]
        return {"seconds": seconds, "same_ids": same}


def main() -> None:
    """Answer commands until the input ends."""
    out, sys.stdout = sys.stdout, sys.stderr
    start = json.loads(sys.stdin.readline())
    peer = Peer(start["model"], start["dtype"], start["device"])
    replies: dict[str, Any] = {"facts": peer.facts}
    while True:
        print(json.dumps(replies), file=out, flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        command = json.loads(line)
        if "rows" in command:
            peer.rows, replies = command["rows"], {}
        elif command.get("texts"):
            replies = peer.run_texts(command["batch_size"])
        else:
            replies = peer.run(command["batch_size"], command.get("first"))


if __name__ == "__main__":
    main()
