"""A small table over toy reviews: three columns, one of them under several namings."""

import json
from dataclasses import dataclass

from assistant.answering import Assistant
from assistant.evaluation.demo_table.parts import load_parts
from assistant.evaluation.demo_table.planning import Conditions
from assistant.generation.chat_model import ScriptedModel

PARTS = """
[[words]]
from = ["dax", "wug", "fep", "zorp"]
pairs = 2
seed = 1

[[words]]
written = [["class_0", "class_1"]]

[[parts]]
name = "sentiment"
title = "Sentiment"
about = "Toy reviews."

[[parts]]
name = "grounded"
title = "Passages"
about = "Toy passages."

[[parts]]
name = "small-talk"
title = "Small talk"
about = "Scripted."

[[parts]]
name = "adapter"
title = "The adapter"
about = "With and without."

[[runs]]
name = "natural"
part = "sentiment"
title = "natural names"
source = "sst2"
strategies = ["zero-shot", "random-few-shot", "dynamic-few-shot"]
rows = 800
baselines = true

[[runs]]
name = "arbitrary"
part = "sentiment"
title = "arbitrary names"
source = "sst2"
strategies = ["zero-shot", "dynamic-few-shot"]
rows = 800
words = true

[[runs]]
name = "with-passage"
part = "grounded"
title = "with the passage"
source = "grounded-passage"
strategies = ["zero-shot"]
reading = "generate"
rows = 200

[[runs]]
name = "adapted"
part = "adapter"
title = "with the adapter"
source = "sst2"
strategies = ["zero-shot"]
rows = 800
adapter = true

[[checks]]
part = "sentiment"
title = "natural names, zero-shot"
run = "natural"
arm = "zero-shot"
least = 70

[[checks]]
part = "sentiment"
title = "arbitrary names, dynamic − zero-shot"
run = "arbitrary"
arm = "dynamic-few-shot"
over = "zero-shot"
least = 0
certain = true

[[checks]]
part = "grounded"
title = "with the passage, zero-shot"
run = "with-passage"
arm = "zero-shot"
least = 40

[[checks]]
part = "adapter"
title = "with − without the adapter"
run = "adapted"
arm = "zero-shot"
over_run = "natural"
"""
GOOD = ("good", "fine", "lovely")


@dataclass(frozen=True)
class Question:
    """A question about a passage, as helpers of training write it."""

    title: str
    passage: str
    question: str
    answer: str | None
    also: tuple[str, ...] = ()


def _question(at):
    answer = None if at % 3 == 0 else f"Ada{at}"
    also = () if answer is None else (f"Mayor Ada{at}",)
    return Question(f"Town {at % 7}", f"The mayor of town {at} is Ada{at}.", "Who is the mayor?", answer, also)


QUESTIONS = tuple(_question(at) for at in range(90))


def small_parts(folder):
    """Return the parts of the small table."""
    path = folder / "parts.toml"
    path.write_text(PARTS, encoding="utf-8")
    return load_parts(path)


def write_data(folder):
    """Return a folder of data sets with toy reviews in SST-2's place."""
    (folder / "data" / "sst2").mkdir(parents=True, exist_ok=True)
    kinds = (*GOOD, "dull", "grey", "tedious")
    for name, count in (("train_sentences", 520), ("test", 30)):
        rows = ({"id": f"{name}-{at}", "text": f"{kinds[at % 6]} film of {name} {at}", "label": int(at % 6 < 3)}
                for at in range(count))  # fmt: skip
        text = "\n".join(map(json.dumps, rows))
        (folder / "data" / "sst2" / f"{name}.jsonl").write_text(text + "\n", encoding="utf-8")
    return str(folder / "data")


def conditions(folder, **changes):
    """Return the conditions of a small table."""
    settings = {"rows": 12, "seeds": 2, "encoder": "toy", "questions": lambda n: QUESTIONS[: 3 * n]} | changes
    return Conditions(write_data(folder), **settings)


def speaker(prompt, sampling):
    """Return the natural label, or the label of the last demonstration; else the last word that stands there."""
    del sampling
    question = prompt.messages[-1]["content"]
    shown = [one["content"] for one in prompt.messages if one["role"] == "assistant"]
    if question.startswith("Passage:"):
        return question.split(" is ")[1].split(".")[0] + "."
    if shown:
        return shown[-1]
    return "positive" if any(word in question for word in GOOD) else "negative"


def assistant(rule=speaker):
    """Return an assistant whose model answers by a rule."""
    return Assistant(ScriptedModel(rule))
