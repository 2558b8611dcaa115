"""Training episodes of the demo model: conversations whose every reply is learnt.

Episodes are put together with the same `build_prompt` that the assistant serves, so the model
is trained on the very prompts it will be asked with.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assistant.finetuning.arithmetic import TEST_SEEDS, write_story
from assistant.finetuning.demo_sources import Labelled, Sources, spoken, text_key
from assistant.prompting.building import build_prompt, extraction_prompt, label_replies
from assistant.prompting.strategies import STRATEGIES, Strategy
from assistant.prompting.tasks import Task, Wording, load_task
from assistant.records import Demonstration, Message

Episode = tuple[Message, ...]


@dataclass(frozen=True)
class Share:
    """A kind of episode and its weight in the mixture, early and late in training."""

    name: str
    early: float
    late: float


MIXTURE = (
    Share("copying", 2.0, 0.6),
    Share("renamed_labels", 0.6, 1.0),
    Share("sentiment", 4.0, 4.0),
    Share("published_templates", 0.3, 2.5),
    Share("question_type", 0.5, 0.5),
    Share("arithmetic", 1.2, 1.8),
    Share("small_talk", 1.2, 5.0),
    Share("lookup", 0.8, 1.5),
    Share("redefinition", 0.3, 0.8),
    Share("exchange", 0.2, 0.3),
    Share("instruction", 0.2, 0.2),
)


class Episodes:
    """Draws episodes; the same sources and seed give the same episodes."""

    def __init__(self, sources: Sources, seed: int) -> None:
        self.sources = sources
        self.rng = random.Random(seed)
        self._sentiment = load_task("sentiment")
        self._problems = load_task("word-problems")
        self._types = load_task("question-type")
        self._chat = load_task("chat")

    def draw(self, progress: float) -> Episode:
        """Return the next episode; `progress` (0…1) moves the mixture from early to late."""
        weights = [share.early * (1 - progress) + share.late * progress for share in MIXTURE]
        share = self.rng.choices(MIXTURE, weights)[0]
        maker: Callable[[], Episode] = getattr(self, share.name)
        return maker()

    def copying(self) -> Episode:
        """Return demonstrations with arbitrary replies, the question being one of them again."""
        words = self.rng.sample(_WORDS, self.rng.randint(2, 5))
        texts = [row.text for row in self.rng.sample(self.sources.reviews, self.rng.randint(2, 6))]
        shown = [(text, self.rng.choice(words)) for text in texts]
        asked = self.rng.choice(shown)
        if self.rng.random() < 0.5:
            asked = (_shortened(asked[0], self.rng), asked[1])
        prefix = self.rng.choice(["", "Review: ", "Text: "])
        turns = [turn for text, word in [*shown, asked] for turn in _exchange(prefix + text, word)]
        return (
            *_system(
                self.rng.choice(["", "Follow the demonstrations.", f"Answer with one word: {' or '.join(words)}."])
            ),
            *turns,
        )

    def renamed_labels(self) -> Episode:
        """Return sentiment demonstrations under names that mean nothing: only they tell what is meant."""
        if self.rng.random() < 0.5:
            names = dict(zip(("negative", "positive"), self.rng.sample(_WORDS, 2), strict=True))
        else:
            pair = self.rng.choice([("class_0", "class_1"), ("A", "B"), ("0", "1")])
            names = dict(zip(("negative", "positive"), self.rng.choice([pair, pair[::-1]]), strict=True))
        rows = [*self._balanced(self.rng.choice([4, 6, 8])), self.rng.choice(self.sources.reviews)]
        prefix = self.rng.choice(["Review: ", "", "Text: "])
        turns = [turn for row in rows for turn in _exchange(prefix + row.text, names[row.label])]
        listed = list(names.values())
        self.rng.shuffle(listed)
        return (*_system(f"Classify the text. Answer with one word: {' or '.join(listed)}."), *turns)

    def sentiment(self) -> Episode:
        """Return the sentiment task as the assistant asks it, with none to eight demonstrations.

        Every label is learnt, so one long episode teaches as much as nine short ones with the
        instruction read once.
        """
        row, k = self.rng.choice(self.sources.reviews), self.rng.choice([0, 1, 2, 4, 4, 8, 8, 8])
        shown = [_demonstration(self._sentiment, one) for one in self._balanced(k)]
        if k == 4 and self.rng.random() < 0.5:
            shown = list(self._sentiment.demonstrations)
        return self._asked(self._sentiment, STRATEGIES["static-few-shot"], row, shown)

    def published_templates(self) -> Episode:
        """Return one of the three published film review prompts with its ideal reply."""
        strategy = STRATEGIES[self.rng.choice(["imdb-instruction", "imdb-few-shot", "imdb-baseline"])]
        row = self.rng.choice(self.sources.reviews)
        prompt = build_prompt(self._sentiment, strategy, {"text": row.text})
        return (*prompt.messages, _reply(label_replies(self._sentiment, strategy)[row.label]))

    def question_type(self) -> Episode:
        """Return the question-type task with none to six demonstrations."""
        rows = self.rng.sample(self.sources.questions, self.rng.choice([0, 2, 4, 6]) + 1)
        shown = [_demonstration(self._types, one) for one in rows[1:]]
        return self._asked(self._types, STRATEGIES["static-few-shot"], rows[0], shown)

    def arithmetic(self) -> Episode:
        """Return a word problem, answered directly, with shown reasoning, or asked to think step by step."""
        kind = self.rng.choice(["direct", "shown", "shown", "asked"])
        strategy = STRATEGIES[{"direct": "static-few-shot", "shown": "static-cot", "asked": "zero-shot-cot"}[kind]]
        stories = [write_story(self.rng.randrange(TEST_SEEDS), self.rng.choice([1, 1, 2, 2, 3, 4])) for _ in range(5)]
        k = 0 if kind == "asked" else self.rng.choice([0, 1, 2, 4])
        cases = [Demonstration("", {"question": s.question}, str(s.answer), s.rationale) for s in stories]
        shown = cases[1 : k + 1]
        if k == 4 and self.rng.random() < 0.5:
            shown = list(self._problems.demonstrations)
        words = self._wording(self._problems)
        prompt = build_prompt(self._problems, strategy, cases[0].inputs, shown, (), words.name)
        if kind == "direct":
            return (*prompt.messages, _reply(cases[0].output))
        if kind == "shown":
            told = f"Let's think step by step: {cases[0].rationale}\nAnswer: {cases[0].output}"
            return (*prompt.messages, _reply(told))
        told = f"{cases[0].rationale}\nAnswer: {cases[0].output}"
        return (*extraction_prompt(prompt, told).messages, _reply(cases[0].output))

    def small_talk(self) -> Episode:
        """Return a conversation of one to four exchanges about the assistant itself."""
        turns: list[Message] = []
        for talk in self.rng.choices(self.sources.talk["talk"], k=self.rng.choice([1, 1, 1, 2, 3, 4])):
            turns += _exchange(self._ask(talk), self.rng.choice(talk["reply"]))
        return (*self._chat_system(), *turns)

    def lookup(self) -> Episode:
        """Return questions with their replies, then one of them asked in other words."""
        talks = self.rng.sample(self.sources.talk["talk"], self.rng.choice([2, 3, 4]))
        questions = [self._ask(talk) for talk in talks]
        replies = [self.rng.choice(talk["reply"]) for talk in talks]
        if self.rng.random() < 0.4:
            replies = [self.rng.choice(self.sources.exchanges)[1] for _ in talks]
        at = self.rng.randrange(len(talks))
        pairs = [*zip(questions, replies, strict=True), (self._ask(talks[at]), replies[at])]
        turns = [turn for question, reply in pairs for turn in _exchange(question, reply)]
        return (*self._chat_system(), *turns)

    def redefinition(self) -> Episode:
        """Return a question about a word that the prompt has just redefined."""
        table = self.sources.talk["redefinition"][0]
        word, meaning = self.rng.choice(table["words"]), self.rng.choice(table["meanings"])
        other = self.rng.choice([meaning, self.rng.choice(table["meanings"])])
        verdict = "Yes" if other == meaning else "No"
        link = "so" if verdict == "Yes" else "and this is something else, so"
        asked = f'Define {word} as "{meaning}". Something is {other}. Is it {word}?'
        is_not = "is" if verdict == "Yes" else "is not"
        return (
            *self._chat_system(),
            *_exchange(asked, f'{verdict}. Here {word} means "{meaning}", {link} it {is_not} {word}.'),
        )

    def exchange(self) -> Episode:
        """Return a piece of public small talk."""
        return (*self._chat_system(), *_exchange(*self.rng.choice(self.sources.exchanges)))

    def instruction(self) -> Episode:
        """Return a simple instruction with its response."""
        return (*self._chat_system(), *_exchange(*self.rng.choice(self.sources.instructions)))

    def _ask(self, talk: Mapping[str, Any]) -> str:
        while True:
            asked = spoken(self.rng.choice(talk["ask"]), self.rng)
            if text_key(asked) not in self.sources.held_out:
                return asked if self.rng.random() < 0.3 else asked[:1].upper() + asked[1:]

    def _balanced(self, k: int) -> list[Labelled]:
        rows = self.rng.sample(self.sources.reviews, k)
        if k > 1 and len({row.label for row in rows}) == 1:
            return self._balanced(k)
        return rows

    def _asked(self, task: Task, strategy: Strategy, row: Labelled, shown: Sequence[Demonstration]) -> Episode:
        prompt = build_prompt(task, strategy, {task.fields[0]: row.text}, shown, (), self._wording(task).name)
        return (*prompt.messages, _reply(row.label))

    def _wording(self, task: Task) -> Wording:
        return self.rng.choice([task.wordings[0], *task.wordings])

    def _chat_system(self) -> Episode:
        words = self.rng.choice([self._chat.wordings[0], *self._chat.wordings])
        return _system(words.instruction)


_WORD_LINE = (
    "apple river stone lamp tiger cloud piano sugar wheel garden copper velvet north seven blue green left right up "
    "down alpha beta gamma delta x y red gold dog cat foo bar one two three sun moon"
)
_WORDS = tuple(_WORD_LINE.split())


def _system(content: str) -> Episode:
    return (Message(role="system", content=content),) if content else ()


def _exchange(asked: str, reply: str) -> Episode:
    return (Message(role="user", content=asked), _reply(reply))


def _reply(content: str) -> Message:
    return Message(role="assistant", content=content)


def _demonstration(task: Task, row: Labelled) -> Demonstration:
    return Demonstration("", {task.fields[0]: row.text}, row.label)


def _shortened(text: str, rng: random.Random) -> str:
    words = text.split()
    drop = rng.randrange(len(words))
    return " ".join(words[:drop] + words[drop + 1 :]) or text
