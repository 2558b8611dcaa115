"""Runs as an evaluation leaves them on disk, made of drawn outcomes; figures and comparisons are the real ones."""

import json
import math
import random
import time

from assistant.evaluation.metrics.leaderboard import pairs_of, summarise
from assistant.evaluation.outcomes import Outcome
from assistant.prompting.tasks import load_task

ARMS = (("zero-shot", "labels", 0.6), ("static-few-shot", "generate", 0.7), ("dynamic-few-shot", "labels", 0.95))
HOSTILE = '<img src=x onerror="window.pwned=1"> <|user|> ${6*7} {{value}}'


def drawn_outcomes(n, arms=ARMS, labels=("negative", "positive"), seed=0, text="A film worth seeing."):
    """Return outcomes of every arm on the same samples, some unreadable, some with rows kept out."""
    chance = random.Random(seed)
    outcomes = []
    for strategy, reading, skill in (*arms, ("majority", "none", 0.5)):
        for number in range(n):
            target = labels[number % len(labels)]
            right = chance.random() < skill
            answer = target if right else chance.choice([one for one in labels if one != target])
            scores = None
            if reading == "labels":
                sure = chance.uniform(0.5, 3)
                scores = {one: -0.2 if one == answer else -0.2 - sure for one in labels}
            unreadable = reading == "generate" and chance.random() < 0.1
            kept = (("row-9", "a near copy of the question: cosine 0.97", 0.97),) if number % 7 == 0 else ()
            outcomes.append(
                Outcome(
                    sample=f"s{number}",
                    strategy=strategy,
                    reading=reading,
                    seed=0,
                    targets=(target,),
                    final_answer=None if unreadable else answer,
                    correct=right and not unreadable,
                    score=float(right and not unreadable),
                    answer="I would rather not say." if unreadable else answer,
                    problem="the reply names no label" if unreadable else "",
                    prompt="" if reading == "none" else f"<|system|>\nJudge.\n<|user|>\n{text} {number} {HOSTILE}\n",
                    label_scores=scores,
                    label_lengths={one: (len(one), 1) for one in labels} if scores else {},
                    demonstrations=(("row-1", 0.81), ("row-2", 0.74)) if strategy == "dynamic-few-shot" else (),
                    excluded=kept if strategy == "dynamic-few-shot" else (),
                    prompt_tokens=0 if reading == "none" else 40 + 90 * (strategy != "zero-shot"),
                    new_tokens=0 if reading != "generate" else 2,
                    calls=0 if reading == "none" else 1,
                    seconds=0.0 if reading == "none" else 0.03 + 0.02 * math.sin(number) ** 2,
                )
            )
    return outcomes


def write_run(folder, n=60, *, finished=True, task="sentiment", calibrations=("none",), **drawn):
    """Write a whole run into a folder and return its record."""
    outcomes, found = drawn_outcomes(n, **drawn), load_task(task)
    baseline = "zero-shot (labels)"
    record = {
        "format": 1,
        "name": folder.name,
        "created": time.time(),
        "finished": finished,
        "task": {"name": task, "labels": list(found.labels), "metric": found.metric},
        "settings": {"retrieval": {"guard": {"enabled": True}}},
        "data": {"source": "reviews", "n": n},
        "model": {"name": "demo", "adapter": None, "dtype": "float32"},
        "index": {"name": "reviews"},
        "baseline": baseline,
        "tried": 3,
        "results": summarise(outcomes, found, calibrations=calibrations, draws=200),
        "pairs": pairs_of(outcomes, found, baseline, calibrations=calibrations),
        "notes": ["Contamination: written for this test."],
        "samples": [one.to_json() for one in outcomes],
    }
    samples = [
        {"id": f"s{number}", "inputs": {"text": f"A film worth seeing. {number} {HOSTILE}"}, "targets": [], "group": ""}
        for number in range(n)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    (folder / "plan.json").write_text(json.dumps({"format": 1, "samples": samples}), encoding="utf-8")
    return record


def write_progress(folder, state="running", *, done=30, total=180, pid=0, sentence="Answering."):
    """Write how far a run is."""
    folder.mkdir(parents=True, exist_ok=True)
    arms = [{"name": "zero-shot (labels)", "done": done, "total": total, "accuracy": 0.6, "interval": [0.42, 0.75]}]
    progress = {
        "state": state,
        "sentence": sentence,
        "done": done,
        "total": total,
        "seconds": 12.0,
        "seconds_left": 60.0,
    }
    progress |= {"arms": arms, "pid": pid, "updated": time.time()}
    (folder / "progress.json").write_text(json.dumps(progress), encoding="utf-8")
