"""The names that the labels of a task are tried under, to see whether an error is one of names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

from assistant.errors import SettingError
from assistant.prompting.building import label_names
from assistant.prompting.strategies import Strategy
from assistant.prompting.tasks import Task

OWN, UNEXPLAINED = "as asked", "as asked, unexplained"
_MOST_PERMUTED = 4
"""Labels of which all permutations are tried; of more only the cyclic shifts."""

Names = tuple[str, ...]


@dataclass(frozen=True)
class Naming:
    """One set of names for the labels of a task, in their order."""

    title: str
    names: Names
    kind: str
    """`own`, `unexplained`, `alternative`, `task`, `permuted`, `arbitrary` or `data set`."""


def namings(task: Task, strategy: Strategy, alternatives: Sequence[Names] = ()) -> tuple[Naming, ...]:
    """Return the namings that are tried: those of the prompt as it is first, then other, permuted and arbitrary names.

    Wordings that explain the task's names cannot be used with others. So that names are compared
    and not wordings, the task's names are then tried a second time, unexplained as the others are.
    Names that data sets use are taken from the task's file (`neg`/`pos`, `class_0`/`class_1` …).

    Raises:
        SettingError: if the task has no labels, or an alternative does not name each label once.
    """
    if not task.labels:
        raise SettingError(f"The task '{task.name}' has no labels to rename.", "Choose a task with labels.")
    as_asked = tuple(label_names(task, strategy))
    own = [Naming(OWN, as_asked, "own")]
    if not strategy.template and task.renamed(task.labels).wordings != task.wordings:
        own.append(Naming(UNEXPLAINED, as_asked, "unexplained"))
    found = []
    for names in alternatives:
        task.renamed(names)
        found.append(Naming(", ".join(names), tuple(names), "alternative"))
    found.append(Naming(", ".join(task.labels), task.labels, "task"))
    orders = permutations(as_asked) if len(as_asked) <= _MOST_PERMUTED else _shifts(as_asked)
    found += [Naming(f"permuted: {', '.join(names)}", tuple(names), "permuted") for names in orders]
    found.append(_arbitrary([f"class_{number}" for number in range(len(as_asked))]))
    found.append(_arbitrary([chr(ord("A") + number) for number in range(len(as_asked))]))
    found += [Naming(", ".join(names), names, "data set") for names in _written(task)]
    first: dict[Names, Naming] = {}
    for naming in found:
        if naming.names != as_asked:
            first.setdefault(tuple(name.casefold() for name in naming.names), naming)
    return (*own, *first.values())


def _arbitrary(names: Sequence[str]) -> Naming:
    return Naming(", ".join(names), tuple(names), "arbitrary")


def _shifts(labels: Names) -> list[Names]:
    return [labels[at:] + labels[:at] for at in range(1, len(labels))]


def _written(task: Task) -> list[Names]:
    """Return the ways in which data sets write all the labels, the first of each label together, and so on."""
    ways = [
        [value for value, name in task.label_values.items() if name == label and value != label.casefold()]
        for label in task.labels
    ]
    return [names for names in zip(*ways, strict=False) if len(set(names)) == len(names)]
