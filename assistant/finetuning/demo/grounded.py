"""Grounded questions: the answer is copied from a passage, or the passage does not say.

Passages come from the development set of SQuAD, whose articles are divided by their titles into
training and test (`squad.py`), and from our own generator (`written.py`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from assistant.finetuning.demo.episode import exchange, system
from assistant.finetuning.demo.passages import Grounded, sentences, swapped
from assistant.finetuning.demo.squad import is_test_title, read_squad, test_questions
from assistant.finetuning.demo.written import written_passages
from assistant.prompting.building import build_prompt, demonstrated_reply, extraction_prompt
from assistant.prompting.strategies import STRATEGIES, Strategy
from assistant.prompting.tasks import load_task
from assistant.records import Demonstration, Message

__all__ = [
    "NOT_SAID",
    "Grounded",
    "GroundedEpisodes",
    "is_test_title",
    "read_squad",
    "test_questions",
    "written_passages",
]

NOT_SAID = "The passage does not say."
"""The reply that the task asks for when the answer is not there."""
NO_PASSAGE = "(none)"
"""Stands where a passage would, where a question is asked without one."""
REFUSALS = (
    "I do not know. Give me a passage about it, and I can look there.",
    "I do not know that, and I do not want to guess.",
    "I am a very small model and do not know that.",
    "I cannot say. A larger model, or a passage to read, would help.",
)
"""Replies to such questions in open conversation."""
UNANSWERABLE = 0.3
LONGEST = 330
"""Words of an episode, about 450 tokens."""
_QUOTED = 35
"""Words of the longest sentence that is quoted as a rationale."""


class GroundedEpisodes:
    """Draws grounded questions as the assistant asks them; the same passages and `rng` give the same episodes.

    At least two passages must have an answer.
    """

    def __init__(self, passages: Sequence[Grounded], rng: random.Random) -> None:
        self.rng = rng
        self._task, self._chat = load_task("grounded-qa"), load_task("chat")
        self._answered = [one for one in passages if one.answer is not None]
        self._unanswered = [one for one in passages if one.answer is None]
        self._written = written_passages(rng)

    def episode(self) -> tuple[Message, ...]:
        """Return none to four solved questions and one more, on the given passages.

        Three in ten have no answer: questions written so, or asked about another passage.
        """
        return self._asked([self._drawn() for _ in range(self.rng.choice((1, 1, 1, 2, 3, 4)))])

    def written(self) -> tuple[Message, ...]:
        """Return the same on passages of our own generator."""
        return self._asked(list(islice(self._written, self.rng.choice((1, 1, 2, 3, 4)))))

    def unaided(self) -> tuple[Message, ...]:
        """Return one to three of the questions in open conversation, where no passage tells: none is answered."""
        turns: list[Message] = []
        replies = self.rng.sample(REFUSALS, 3)
        for reply in replies[: self.rng.choice((1, 1, 2, 3))]:
            one = next(self._written) if self.rng.random() < 0.3 else self.rng.choice(self._answered)
            turns += exchange(one.question, reply)
        words = self.rng.choice([self._chat.wordings[0], *self._chat.wordings])
        return (*system(words.instruction), *turns)

    def _drawn(self) -> Grounded:
        if self.rng.random() >= UNANSWERABLE:
            return self.rng.choice(self._answered)
        if self._unanswered and self.rng.random() < 0.5:
            return self.rng.choice(self._unanswered)
        asked = self.rng.choice(self._answered)
        if self.rng.random() < 0.25:
            return replace(asked, passage=NO_PASSAGE, answer=None, also=())
        return swapped(asked, self._answered, self.rng)

    def _asked(self, questions: Sequence[Grounded]) -> tuple[Message, ...]:
        """Return the last question after the others, in the prompt of a strategy of the assistant."""
        cases = [self._case(one) for one in questions]
        words = self.rng.choice([self._task.wordings[0], *self._task.wordings]).name
        asked, shown = cases[-1], cases[:-1]
        if not shown and self.rng.random() < 0.4:
            shown = list(self._task.demonstrations)
        name = "static-few-shot"
        if all(case.rationale for case in [*shown, asked]) and self.rng.random() < 0.25:
            name = self.rng.choice(("static-cot", "static-cot", "zero-shot-cot"))
        while True:
            episode = self._served(STRATEGIES[name], asked, shown, words)
            if not shown or sum(len(message["content"].split()) for message in episode) <= LONGEST:
                return episode
            shown = shown[1:]

    def _served(
        self, strategy: Strategy, asked: Demonstration, shown: Sequence[Demonstration], words: str
    ) -> tuple[Message, ...]:
        if strategy.reasoning == "asked":
            prompt = build_prompt(self._task, strategy, asked.inputs, (), (), words)
            prompt = extraction_prompt(prompt, f"{asked.rationale}\nAnswer: {asked.output}")
        else:
            prompt = build_prompt(self._task, strategy, asked.inputs, shown, (), words)
        return (*prompt.messages, Message(role="assistant", content=demonstrated_reply(asked, strategy)))

    def _case(self, question: Grounded) -> Demonstration:
        """Return the question with its passage among none to two others that do not tell."""
        passages = [question.passage]
        if self.rng.random() < 0.25 and question.passage != NO_PASSAGE:
            others = self.rng.sample(self._answered, min(len(self._answered), self.rng.choice((1, 1, 2))))
            passages += [other.passage for other in others if not question.told_by(other.passage)]
        self.rng.shuffle(passages)
        inputs = {"passage": "\n".join(passages), "question": question.question}
        return Demonstration("", inputs, question.answer or NOT_SAID, _rationale(question))


def _rationale(question: Grounded) -> str:
    if question.answer is None:
        return "The passage does not say this."
    told = next((one for one in sentences(question.passage) if question.answer in one), "")
    return f"The passage says: {told}" if told and len(told.split()) <= _QUOTED else ""
