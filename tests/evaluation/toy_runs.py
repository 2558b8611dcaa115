"""Outcomes made by hand, for tests of what is computed from them."""

import math
import random
from dataclasses import replace

from assistant.evaluation.metrics.leaderboard import pairs_of, summarise
from assistant.evaluation.metrics.text import score_sample
from assistant.evaluation.outcomes import Outcome
from assistant.evaluation.statistics.power import power_record
from assistant.prompting.tasks import load_task

SENTIMENT = load_task("sentiment")
BASELINE = "fixed (labels)"


def outcome(task, sample, target, final_answer, *, strategy="fixed", reading="generate", seed=0, **rest):
    """Return the outcome of one sample; an answer of None is a reply that could not be read."""
    targets = (target,) if isinstance(target, str) else tuple(target)
    correct, score = score_sample(task, final_answer, targets)
    rest = {"answer": final_answer or "?", "problem": "" if final_answer else "the reply names no label (a, b)"} | rest
    return Outcome(
        sample=sample,
        strategy=strategy,
        reading=reading,
        seed=seed,
        targets=targets,
        final_answer=final_answer,
        correct=correct,
        score=score,
        **rest,
    )


def label_outcomes(task, *, strategy="fixed", reading="labels", skill=1.0, n=60, seed=0, **rest):
    """Return outcomes with label scores; the higher the skill, the more of them are right."""
    made = []
    for number in range(n):
        target = task.labels[random.Random(f"target {number}").randrange(len(task.labels))]
        draw = random.Random(f"{strategy} {seed} {number}")
        raw = {label: draw.gauss(0, 1) + skill * (label == target) for label in task.labels}
        total = math.log(sum(math.exp(value) for value in raw.values()))
        scores = {label: value - total for label, value in raw.items()}
        answer = max(scores, key=scores.get)
        made.append(
            outcome(
                task,
                f"row-{number}",
                target,
                answer,
                strategy=strategy,
                reading=reading,
                seed=seed,
                label_scores=scores,
                prompt=f"Review: text of row {number}\nIs it positive or negative?",
                prompt_tokens=40,
                calls=1,
                seconds=0.01 * (1 + number % 5),
                **rest,
            )
        )
    return made


def run_record(made, task=SENTIMENT, calibrations=("none",), **rest):
    """Return a run's record as the runner writes it."""
    rows = summarise(made, task, calibrations=calibrations, draws=200)
    return {
        "format": 1,
        "name": "first-run",
        "created": "2026-01-02 03:04",
        "finished": True,
        "task": {"name": task.name, "labels": list(task.labels), "metric": task.metric},
        "settings": {"retrieval": {"k": 4, "guard": {"enabled": True, "cosine": 0.95}}, "seeds": [0]},
        "settings_hash": "ab12cd",
        "versions": {"shotwise": "0.1.0", "python": "3.11"},
        "data": {"source": "reviews.csv", "n": 60, "split": "test", "groups": 0, "ids_sha256": "beef", "note": ""},
        "model": {"name": "demo", "adapter": None},
        "index": None,
        "baseline": BASELINE,
        "tried": len(rows),
        "results": rows,
        "pairs": pairs_of(made, task, BASELINE, calibrations=calibrations, draws=200),
        "power": power_record(60, len(rows), 0.8, 0.2),
        "notes": ["The set is old and public."],
        "samples": [one.to_json() for one in made],
    } | rest


def some_outcomes(task=SENTIMENT):
    """Return outcomes of three strategies and a baseline; one reply could not be read."""
    generated = [
        replace(one, label_scores=None, answer=f"I think it is {one.final_answer}.", new_tokens=6)
        for one in label_outcomes(task, strategy="cot", reading="generate", skill=1.0)
    ]
    generated[3] = replace(
        generated[3],
        final_answer=None,
        correct=False,
        score=0.0,
        problem="the reply names no label (a, b)",
        answer="Hm.",
    )
    return [
        *label_outcomes(task, strategy="fixed", skill=0.8),
        *label_outcomes(task, strategy="nearest", skill=3.0),
        *generated,
        *label_outcomes(task, strategy="knn-vote", reading="none", skill=1.0),
    ]
