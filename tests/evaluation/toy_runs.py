"""Outcomes made by hand, for tests of what is computed from them."""

import math
import random

from assistant.evaluation.outcomes import Outcome
from assistant.evaluation.text_metrics import score_sample


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
