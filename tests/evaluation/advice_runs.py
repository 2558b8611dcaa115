"""A source of reviews, scripted readers of them, and whole advices for tests."""

import json
import random

from assistant.answering import Assistant
from assistant.evaluation.advice.advisor import advise
from assistant.evaluation.advice.plan import plan_advice
from assistant.generation.chat_model import ScriptedModel
from assistant.settings import AdviceSettings

GOOD = ("lovely", "superb", "warm", "witty", "joyful")
BAD = ("dull", "tedious", "flat", "clumsy", "empty")
NOUNS = ("film", "story", "cast", "ending", "score", "script", "scene", "joke", "plot", "camera")


def write_source(folder, n=160, films=0, name="films.jsonl", extra=""):
    """Write n reviews whose label stands in one word, in the order of their labels, and return the file."""
    draw = random.Random(0)
    lines = []
    for row in range(n):
        good = row < n // 2
        words = [draw.choice(NOUNS) for _ in range(4)]
        said = draw.choice(GOOD if good else BAD)
        text = f"The {words[0]} and the {words[1]} are {said}, {words[2]} {words[3]} {row}{extra}"
        record = {"id": f"r{row}", "text": text, "label": "positive" if good else "negative"}
        lines.append(json.dumps(record | ({"film": f"film {row % films}"} if films else {})))
    path = folder / name
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def reader(prompt, sampling):
    """Read the review right if four demonstrations are shown, now and then if none is, and never reason."""
    del sampling
    question = prompt.messages[-1]["content"]
    right = "positive" if any(word in question for word in GOOD) else "negative"
    wrong = "negative" if right == "positive" else "positive"
    if "step by step" in prompt.text or "Answer:" in prompt.text:
        return "I would rather not say."
    shown = any(span.origin.startswith("demonstration") for span in prompt.spans)
    return right if shown or len(question) % 3 == 0 else wrong


def yes(prompt, sampling):
    del prompt, sampling
    return "positive"


def planned(source, assistant, task="sentiment", fields=None, **settings):
    settings = {"encoder": "toy", "budget": 700} | settings
    return plan_advice(source, assistant, AdviceSettings(**settings), task=task, fields=fields)


def advised(home, rule=reader, folder="advice", n=160, **settings):
    assistant = Assistant(ScriptedModel(rule))
    plan = planned(write_source(home, n), assistant, **settings)
    return plan, advise(plan, assistant, home / "runs" / folder)
