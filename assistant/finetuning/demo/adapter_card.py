"""The card of the demo model's adapter, written from the record of its training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assistant.prompting.tasks import load_task

_CARD = """---
library_name: peft
base_model: {base}
language: en
tags: [lora, shotwise]
---
# {name}: the demo model's adapter

A LoRA (rank {rank}, {parameters:,} parameters, float16) for the model `{base}` of Shotwise, trained to make it better
at one task: telling what kind of answer a question asks for ({labels}).
It is a teaching aid: choosing an adapter should do something out of the box, and something that can be measured.

    shotwise ask "What is artificial intelligence ?" --task question-type --adapter {name}
    shotwise serve --adapter {name}

**What it gains and what it costs** is measured on rows it never saw, with and without it: the part "The adapter" of the
table in the base model's card (`assistant/demo/README.md`). It learnt this one task under its natural names alone, so
expect it to be worse than the model without it elsewhere: under other names, on other tasks, in conversation.

## How it was made

    shotwise demo-model adapter --data DIR --seed {seed}

{steps:,} steps of the task's own prompts in all its wordings, with none to eight demonstrations, {tokens:,} tokens in
all; only the replies were learnt. The mean loss of a reply's tokens went from {first} in the first {logged} steps to
{last} in the last.
[training.json](training.json) has the settings, the whole curve, and the hashes of data, task, template and of the
weights it was trained on; Shotwise refuses to attach it to others.

It learnt from {learnt:,} of the {rows:,} training questions of TREC (Li & Roth 2002, Learning Question Classifiers).
Those that strategies are compared on, their demonstrations, and near copies of any text that is kept for tests were
left out ({left_out:,}). The base model has learnt from such questions too, among much else.

**Terms**: TREC's questions come without a stated licence, for research; use these weights for teaching and research.
The code that makes them is Apache-2.0.

Without Shotwise:

    from peft import PeftModel
    from transformers import LlamaForCausalLM

    base = LlamaForCausalLM.from_pretrained(BASE_FOLDER)          # of the built-in model: assistant/demo/model
    model = PeftModel.from_pretrained(base, ADAPTER_FOLDER)       # and assistant/demo/adapter
"""


def card(record: Mapping[str, Any]) -> str:
    """Return the card as Markdown."""
    data, curve = record["data"], record["loss"] or [["?", "?"]]
    return _CARD.format(
        name=record["name"],
        base=record["base"]["model"],
        rank=record["lora"]["rank"],
        parameters=record["parameters"],
        labels=", ".join(load_task(record["task"]["name"]).labels),
        seed=record["seed"],
        steps=record["stage"]["steps"],
        tokens=record["tokens"],
        logged=curve[0][0],
        first=curve[0][1],
        last=curve[-1][1],
        learnt=data["rows_learnt"],
        rows=data["rows"],
        left_out=data["rows"] - data["rows_learnt"],
    )
