"""Episodes of the tasks as the assistant serves them: the very prompts that the model will be asked with."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from assistant.finetuning.demo.episode import Episode, exchange
from assistant.finetuning.demo.labelled import Labelled, LabelledTask, Neighbours
from assistant.finetuning.demo.names import arbitrary_names
from assistant.finetuning.demo.stories import TEST_SEEDS, Story, write_chain, write_drill, write_story
from assistant.prompting.building import build_prompt, extraction_prompt, label_replies
from assistant.prompting.strategies import STRATEGIES, Strategy
from assistant.prompting.tasks import Task, Wording, load_task
from assistant.records import Demonstration, Message

NEAREST_OF = 400
"""Texts of a task among which the nearest demonstrations of a served prompt are looked for."""
TEMPLATES = ("imdb-instruction", "imdb-few-shot", "imdb-baseline")


class Served:
    """Draws episodes of the tasks; the same seed of `rng` gives the same episodes."""

    def __init__(
        self, tasks: Sequence[LabelledTask], near: Neighbours, words: Sequence[str], rng: random.Random
    ) -> None:
        self.rows = {task.name: task.rows for task in tasks}
        self.near, self.words, self.rng = near, words, rng
        self._sentiment, self._types = load_task("sentiment"), load_task("question-type")
        self._problems = load_task("word-problems")

    def sentiment(self) -> Episode:
        """Return the sentiment task with none to eight demonstrations."""
        return self._asked(self._sentiment, self.rows["sentiment"])

    def question_type(self) -> Episode:
        """Return the question-type task with none to eight demonstrations."""
        return self._asked(self._types, self.rows["question-type"])

    def renamed_sentiment(self) -> Episode:
        """Return the sentiment task under other names, those of the other class among them."""
        names = arbitrary_names(2, self.words, self.rng)
        if self.rng.random() < 0.35:
            names = list(reversed(self._sentiment.labels))
        return self._renamed(self._sentiment, names, self.rows["sentiment"])

    def renamed_question_type(self) -> Episode:
        """Return the question-type task under arbitrary names."""
        names = arbitrary_names(len(self._types.labels), self.words, self.rng)
        return self._renamed(self._types, names, self.rows["question-type"])

    def published_templates(self) -> Episode:
        """Return one of the published film review prompts with its ideal reply."""
        strategy = STRATEGIES[self.rng.choice(TEMPLATES)]
        row = self.rng.choice(self.rows["sentiment"])
        prompt = build_prompt(self._sentiment, strategy, {"text": row.text})
        return Episode((*prompt.messages, _reply(label_replies(self._sentiment, strategy)[row.label])))

    def direct(self) -> Episode:
        """Return a word problem answered with the number alone."""
        shown, story = self._stories(self.rng.choice([0, 1, 2, 4]))
        strategy = STRATEGIES["static-few-shot" if shown else "zero-shot"]
        prompt = build_prompt(self._problems, strategy, {"question": story.question}, shown, (), self._words().name)
        return Episode((*prompt.messages, _reply(str(story.answer))))

    def reasoned(self) -> Episode:
        """Return a word problem whose demonstrations, if any, show their reasoning, as does the reply."""
        shown, story = self._stories(self.rng.choice([0, 1, 2, 4, 4]))
        prompt = build_prompt(
            self._problems, STRATEGIES["static-cot"], {"question": story.question}, shown, (), self._words().name
        )
        told = f"Let's think step by step: {story.rationale}\nAnswer: {story.answer}"
        return Episode((*prompt.messages, _reply(told)))

    def step_by_step(self) -> Episode:
        """Return a word problem with the request to think step by step, and the question for the answer after it."""
        _, story = self._stories(0)
        prompt = build_prompt(
            self._problems, STRATEGIES["zero-shot-cot"], {"question": story.question}, (), (), self._words().name
        )
        told = f"{story.rationale}\nAnswer: {story.answer}"
        return Episode((*extraction_prompt(prompt, told).messages, _reply(str(story.answer))))

    def drill(self) -> Episode:
        """Return bare calculations, one after the other, or a chain of them with its steps."""
        if self.rng.random() < 0.4:
            story = write_chain(self._seed(), self.rng.choice([2, 3, 3, 4]))
            told = f"Let's think step by step: {story.rationale}\nAnswer: {story.answer}"
            return Episode(exchange(story.question, told))
        turns = [turn for _ in range(self.rng.choice([6, 10, 14])) for turn in exchange(*write_drill(self._seed()))]
        return Episode(tuple(turns))

    def _asked(self, task: Task, rows: Sequence[Labelled]) -> Episode:
        k = self.rng.choice([0, 0, 1, 2, 4, 4, 8])
        asked, *shown = self._near_rows(rows, k) if self.rng.random() < 0.5 else self.rng.sample(rows, k + 1)
        demonstrations = [_demonstration(task, row) for row in shown]
        if k == 4 and self.rng.random() < 0.3:
            demonstrations = list(task.demonstrations)
        words = self.rng.choice([task.wordings[0], *task.wordings])
        strategy = STRATEGIES["static-few-shot" if demonstrations else "zero-shot"]
        return self._built(self._listed_anyhow(task), strategy, asked, demonstrations, words)

    def _renamed(self, task: Task, names: Sequence[str], rows: Sequence[Labelled]) -> Episode:
        new = dict(zip(task.labels, names, strict=True))
        renamed = task.renamed(names)
        asked, *shown = (
            self._near_rows(rows, self.rng.choice([4, 4, 8]))
            if self.rng.random() < 0.5
            else self.rng.sample(rows, self.rng.choice([4, 8, 12]) + 1)
        )
        if self.rng.random() < 0.2:
            demonstrations = list(renamed.demonstrations)
        else:
            demonstrations = [_demonstration(task, Labelled(row.text, new[row.label])) for row in shown]
        words = self.rng.choice(renamed.wordings)
        row = Labelled(asked.text, new[asked.label])
        return self._built(self._listed_anyhow(renamed), STRATEGIES["static-few-shot"], row, demonstrations, words)

    def _listed_anyhow(self, task: Task) -> Task:
        """Return the task with its labels listed in any order: the order must not tell what they mean."""
        return replace(task, labels=tuple(self.rng.sample(task.labels, len(task.labels))))

    def _near_rows(self, rows: Sequence[Labelled], k: int) -> list[Labelled]:
        """Return a row and then the `k` rows of a sample that are nearest to it, the nearest last."""
        drawn = {row.text: row for row in self.rng.sample(rows, min(NEAREST_OF, len(rows)))}
        asked = self.rng.choice(list(drawn.values()))
        others = [text for text in drawn if text != asked.text]
        return [asked, *(drawn[text] for text in reversed(self.near.of(asked.text, others, k)))]

    def _built(
        self, task: Task, strategy: Strategy, asked: Labelled, shown: Sequence[Demonstration], words: Wording
    ) -> Episode:
        field = task.fields[0]
        prompt = build_prompt(task, strategy, {field: asked.text}, shown, (), words.name)
        meanings = [*(one.inputs[field] for one in shown), asked.text]
        return Episode((*prompt.messages, _reply(asked.label)), tuple(meanings))

    def _stories(self, shown: int) -> tuple[list[Demonstration], Story]:
        stories = [write_story(self._seed(), self.rng.choice([1, 1, 2, 2, 3, 3, 4])) for _ in range(shown + 1)]
        cases = [Demonstration("", {"question": s.question}, str(s.answer), s.rationale) for s in stories[1:]]
        if shown == 4 and self.rng.random() < 0.5:
            cases = list(self._problems.demonstrations)
        return cases, stories[0]

    def _words(self) -> Wording:
        return self.rng.choice([self._problems.wordings[0], *self._problems.wordings])

    def _seed(self) -> int:
        return self.rng.randrange(TEST_SEEDS)


def _reply(content: str) -> Message:
    return Message(role="assistant", content=content)


def _demonstration(task: Task, row: Labelled) -> Demonstration:
    return Demonstration("", {task.fields[0]: row.text}, row.label)
