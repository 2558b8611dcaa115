"""THE TABLE of ways to use labelled rows: in a prompt, a vote, an adapter of the language model, or a classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from assistant.errors import UnknownName
from assistant.evaluation.outcomes import CLASSIFIER
from assistant.evaluation.running.baselines import baselines_for
from assistant.finetuning.classifiers.methods import METHODS as CLASSIFIERS
from assistant.finetuning.generators.methods import METHODS as GENERATORS
from assistant.prompting.tasks import Task

Kind = Literal["prompt", "vote", "adapter", "classifier"]
ZERO_SHOT, STATIC, DYNAMIC, VOTE = "zero-shot", "static-few-shot", "dynamic-few-shot", "knn-vote"


@dataclass(frozen=True)
class Way:
    """One way to use labelled rows."""

    name: str
    kind: Kind
    about: str
    method: str = ""
    """Of fine-tuning, where something is trained."""

    @property
    def trains(self) -> bool:
        """Return whether weights are learnt from the rows."""
        return self.kind in ("adapter", "classifier")

    def fits(self, task: Task) -> str:
        """Return why it cannot answer a task, or nothing."""
        if self.kind == "classifier" and not task.labels:
            return f"the task '{task.name}' has no labels to learn"
        if self.kind == "vote" and VOTE not in baselines_for(task):
            return f"answers to the task '{task.name}' cannot be voted on"
        return ""


WAYS = {
    way.name: way
    for way in (
        Way(ZERO_SHOT, "prompt", "no row at all: the line at 0"),
        Way(VOTE, "vote", "the label of most of the k nearest rows; no language model"),
        Way(STATIC, "prompt", "k of the rows as demonstrations, the same for every question"),
        Way(DYNAMIC, "prompt", "the k rows nearest to the question as demonstrations"),
        *(Way(name, "adapter", row.about, name) for name, row in GENERATORS.items()),
        *(Way(f"{CLASSIFIER}{name}", "classifier", row.about, name) for name, row in CLASSIFIERS.items()),
    )
}


def find_way(name: str) -> Way:
    """Return the way of that name.

    Raises:
        UnknownName: with the nearest names and the whole list.
    """
    if name not in WAYS:
        raise UnknownName("way to use labelled rows", name, WAYS)
    return WAYS[name]
