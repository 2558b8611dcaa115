"""Episodes that can only be solved by reading the demonstrations: what is asked for has an arbitrary name.

In the order in which they can be learnt: the asked text stands among the demonstrations (`copied`);
it does so with some words changed (`nearly_copied`); texts of the same class do (`same_class`);
the nearest texts of the task do, as retrieval would show them (`nearest`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from assistant.finetuning.demo.episode import Episode, classified, first_showings
from assistant.finetuning.demo.labelled import LabelledTask, Neighbours
from assistant.finetuning.demo.names import arbitrary_names

PREFIXES = ("", "", "", "Text: ", "Review: ", "Question: ", "News: ", "Sentence: ", "Message: ")
INSTRUCTIONS = (
    "",
    "",
    "Classify the text.",
    "Follow the demonstrations.",
    "Answer with one word: {names}.",
    "Say which it is: {names}.",
    "Which class is it, {names}?",
)
CANDIDATES = 150
"""Texts per class among which the nearest are looked for."""
FEW, SOME, MANY = (1, 2, 2, 3), (2, 3, 4), (2, 3, 4, 5, 6, 8)
"""Different texts of a copying episode: at first, then, in the end."""


class Demonstrating:
    """Draws episodes under arbitrary names; the same seed of `rng` gives the same episodes."""

    def __init__(
        self, tasks: Sequence[LabelledTask], near: Neighbours, words: Sequence[str], rng: random.Random
    ) -> None:
        self.tasks, self.near, self.words, self.rng = tasks, near, words, rng
        self._weights = [task.weight for task in tasks]
        self._short = [text for task in tasks for text in task.short]

    def alone(self) -> Episode:
        """Return one short text and a reply that does not matter: only its meaning is learnt."""
        return classified("", [(self.rng.choice(self._short), "ok")], self.rng.choice(PREFIXES))

    def copied_few(self) -> Episode:
        """Return one to three short texts, then one of them again."""
        return self._copying(FEW, (1, 2), changed=False)

    def copied_some(self) -> Episode:
        """Return two to four short texts, then some of them again."""
        return self._copying(SOME, (2, 3, 4), changed=False)

    def copied(self) -> Episode:
        """Return two to eight short texts, then some of them again."""
        return self._copying(MANY, (2, 4, 6, 8), changed=False)

    def nearly_copied(self) -> Episode:
        """Return two to eight short texts, then some of them with words left out or changed."""
        return self._copying(MANY, (2, 4, 6, 8), changed=True)

    def same_class(self) -> Episode:
        """Return texts of two to four classes of a task, in any order."""
        task = self._task()
        classes = self._classes(task)
        names = arbitrary_names(len(classes), self.words, self.rng)
        count = self.rng.choice([4, 6, 8, 10, 12]) + 1
        seen: dict[str, str] = {}
        for at in self._order(len(classes), count):
            seen[self.rng.choice(task.classes[classes[at]])] = names[at]
        return self._named(names, list(seen.items()))

    def nearest(self) -> Episode:
        """Return a text after those of its task that are nearest to it, the nearest last."""
        task = self._task()
        classes = self._classes(task)
        names = dict(zip(classes, arbitrary_names(len(classes), self.words, self.rng), strict=True))
        asked_class = self.rng.choice(classes)
        asked = self.rng.choice(task.classes[asked_class])
        pool = {
            text: names[one]
            for one in classes
            for text in self.rng.sample(task.classes[one], min(CANDIDATES, len(task.classes[one])))
            if text != asked
        }
        shown = self.near.of(asked, list(pool), self.rng.choice([2, 4, 4, 8]))
        rows = [*((text, pool[text]) for text in reversed(shown)), (asked, names[asked_class])]
        return self._named(list(names.values()), rows)

    def _copying(self, texts: Sequence[int], again: Sequence[int], *, changed: bool) -> Episode:
        names = arbitrary_names(self.rng.choice([2, 2, 3, 4]), self.words, self.rng)
        shown = [(text, self.rng.choice(names)) for text in self.rng.sample(self._short, self.rng.choice(texts))]
        asked = self.rng.choices(shown, k=self.rng.choice(again))
        rows = [*shown, *((self._changed(text) if changed else text, name) for text, name in asked)]
        # What a text is called is drawn by lot: nothing but its repetition can be known.
        first = range(len(shown))
        repeats_from = None if changed else len(shown)
        return classified(self._instruction(names), rows, self.rng.choice(PREFIXES), first, repeats_from)

    def _named(self, names: Sequence[str], rows: Sequence[tuple[str, str]]) -> Episode:
        guessed = first_showings([name for _, name in rows])
        return classified(self._instruction(names), rows, self.rng.choice(PREFIXES), guessed)

    def _changed(self, text: str) -> str:
        words = text.split()
        for _ in range(self.rng.choice([1, 1, 2, 3])):
            at = self.rng.randrange(len(words))
            if len(words) > 3 and self.rng.random() < 0.7:
                words.pop(at)
            elif len(words) > 3:
                words[at] = self.rng.choice(self.words)
        return " ".join(words)

    def _task(self) -> LabelledTask:
        return self.rng.choices(self.tasks, self._weights)[0]

    def _classes(self, task: LabelledTask) -> list[str]:
        names = sorted(task.classes)
        return self.rng.sample(names, min(len(names), self.rng.choice([2, 2, 2, 3, 4])))

    def _order(self, classes: int, count: int) -> list[int]:
        # Each class is seen once before chance decides, so that the last turns can be told.
        first = self.rng.sample(range(classes), classes)
        return [*first, *(self.rng.randrange(classes) for _ in range(max(1, count - classes)))]

    def _instruction(self, names: Sequence[str]) -> str:
        listed = self.rng.sample(names, len(names))
        return self.rng.choice(INSTRUCTIONS).format(names=" or ".join(listed))
