"""A small plan over toy reviews, and a scripted model that answers by the words it is asked about."""

from dataclasses import replace

from assistant.answering import Assistant
from assistant.evaluation.outcomes import Arm, Sample
from assistant.evaluation.running.plan import Plan
from assistant.generation.chat_model import ScriptedModel

SAMPLES = tuple(
    Sample(f"s{number}", {"text": text}, (label,))
    for number, (text, label) in enumerate(
        (
            ("a witty film", "positive"),
            ("tedious and grey", "negative"),
            ("superb acting throughout", "positive"),
            ("nobody cares about anyone here", "negative"),
            ("a dull evening", "negative"),
            ("warm and lovely", "positive"),
            ("far too long by half", "negative"),
        )
    )
)
GOOD = ("witty", "superb", "lovely", "gorgeous", "joy", "warm")
ARMS = (
    Arm("zero-shot", "labels"),
    Arm("dynamic-few-shot", "labels"),
    Arm("random-few-shot", "labels"),
    Arm("zero-shot", "generate"),
    *(Arm(name, "none") for name in ("majority", "knn-vote", "logistic-regression")),
)


def reader(prompt, sampling):
    """Return the label that fits the last message."""
    del sampling
    return "positive" if any(word in prompt.messages[-1]["content"] for word in GOOD) else "negative"


def assistant(rule=reader):
    """Return an assistant whose model answers by a rule."""
    return Assistant(ScriptedModel(rule))


def toy_plan(**changes):
    """Return a plan of seven samples in blocks of three; it needs the index `toy`."""
    plan = Plan(
        name="run",
        task="sentiment",
        samples=SAMPLES,
        arms=ARMS,
        baseline=ARMS[0].name,
        seeds=(0, 1),
        index="toy",
        index_facts={"name": "toy"},
        block_size=3,
        check_size=2,
        data={"source": "toys"},
        model={"name": "scripted", "adapter": None, "dtype": "none", "identity": {}},
    )
    return replace(plan, **changes)
