"""Conversations for training: small talk with a memory, replies looked up among earlier ones, words redefined."""

from __future__ import annotations

import random
from collections.abc import Callable, Container, Sequence

from assistant.finetuning.demo.episode import exchange, system
from assistant.finetuning.demo.held_out import HeldOut
from assistant.finetuning.demo.runs import text_key
from assistant.finetuning.demo.sayings import Intent, Saying, Talk, as_typed, capital, load_talk
from assistant.prompting.building import build_prompt, extraction_prompt
from assistant.prompting.strategies import STRATEGIES
from assistant.prompting.tasks import load_task
from assistant.records import Demonstration, Message

__all__ = ["Episode", "Talk", "TalkEpisodes", "load_talk"]

Episode = tuple[Message, ...]

LENGTHS = (1, 1, 2, 3, 4, 5, 6, 8, 10, 10)
"""Exchanges of a conversation, drawn from these."""
_TRIES = 200
_UNKNOWN = (
    "I do not know that.",
    "You have not told me, so I do not know.",
    "I do not know. I would only be guessing.",
)


class TalkEpisodes:
    """Draws conversations; the same talk, `held_out` and state of `rng` give the same ones.

    No user turn is held out: `held_out` tells copies and near copies, or it holds just the keys
    (`text_key`) of what nobody may ask.
    """

    def __init__(self, talk: Talk, rng: random.Random, held_out: Container[str] | HeldOut) -> None:
        self.talk, self.rng, self.held_out = talk, rng, held_out
        self._chat = load_task("chat")
        default, none, careful = (self._chat.wording(name).instruction for name in ("default", "none", "careful"))
        self._instructions = (*[default] * 5, *[careful] * 2, *[none] * 3)

    def small_talk(self) -> Episode:
        """Return a conversation of one to ten exchanges in which what was told is remembered."""
        length = self.rng.choice(LENGTHS)
        conversation = _Conversation(self)
        for at in range(length):
            conversation.go_on(at, length)
        return (*self._system(), *conversation.turns)

    def lookup(self) -> Episode:
        """Return questions with their replies, then one of them in other words.

        The replies are the usual ones, those of other questions, or made up for this episode, so
        that only the earlier turn tells; sometimes the made-up one asked for is not among them.
        """
        k = self.rng.choice((1, 2, 3, 4, 4, 5))
        if self.rng.random() < 0.45:
            pairs, asked = self._made_up(k)
        else:
            intents = self.rng.sample(self.talk.intents, k)
            replies = [self.rng.choice(intent.reply) for intent in intents]
            if self.rng.random() < 0.5:
                replies = [self.rng.choice(self.rng.choice(self.talk.intents).reply) for _ in intents]
            pairs = [(self.ask(intent.ask), reply) for intent, reply in zip(intents, replies, strict=True)]
            at = self.rng.randrange(k)
            asked = (self.ask(intents[at].ask), replies[at])
        return (*self._system(), *(turn for pair in (*pairs, asked) for turn in exchange(*pair)))

    def redefinition(self) -> Episode:
        """Return questions about a word that the prompt has just given another meaning."""
        table = self.talk.redefinition
        meaning, opposite = self.rng.sample(self.rng.choice(table.pairs), 2)
        slots = {"word": self.rng.choice(table.words), "meaning": meaning.meaning}
        turns: list[Message] = []
        if self.rng.random() < 0.25:
            fits = self.rng.random() < 0.5
            slots["other"] = (meaning if fits else opposite).meaning
            turns += self._judged(table.plain, fits, slots)
        else:
            asked = self.rng.choice((1, 1, 1, 2, 3))
            statements = self.rng.sample([*meaning.statements, *opposite.statements], asked)
            for at, statement in enumerate(statements):
                slots["statement"] = statement
                turns += self._judged(table.again if at else table.ask, statement in meaning.statements, slots)
        return (*self._system(), *turns)

    def reasoned_talk(self) -> Episode:
        """Return a message that is answered after a step of reasoning, shown or asked for."""
        asked, *shown = [self._thought() for _ in range(self.rng.choice((1, 1, 2, 3)))]
        if not shown and self.rng.random() < 0.5:
            shown = list(self._chat.demonstrations)
        if self.rng.random() < 0.5:
            prompt = build_prompt(self._chat, STRATEGIES["static-cot"], asked.inputs, shown)
            told = f"Let's think step by step: {asked.rationale}\nAnswer: {asked.output}"
            return (*prompt.messages, Message(role="assistant", content=told))
        prompt = build_prompt(self._chat, STRATEGIES["zero-shot-cot"], asked.inputs)
        extracted = extraction_prompt(prompt, f"{asked.rationale}\nAnswer: {asked.output}")
        return (*extracted.messages, Message(role="assistant", content=asked.output))

    def ask(self, patterns: Sequence[str], slots: dict[str, str] | None = None) -> str:
        """Return one of the patterns as a person may type it, not held out."""
        return self.free(lambda: as_typed(self.talk.speak(self.rng.choice(patterns), self.rng, slots), self.rng))

    def free(self, make: Callable[[], str]) -> str:
        """Return the first text made that is not held out.

        Raises:
            ValueError: if every one of many tries is held out.
        """
        for _ in range(_TRIES):
            text = make()
            if not self._is_held_out(text):
                return text
        raise ValueError(f"every way to say {text!r} is held out")

    def _is_held_out(self, text: str) -> bool:
        if isinstance(self.held_out, HeldOut):
            return self.held_out.why(text) is not None
        return text_key(text) in self.held_out

    def _system(self) -> Episode:
        return system(self.rng.choice(self._instructions))

    def _made_up(self, k: int) -> tuple[list[tuple[str, str]], tuple[str, str]]:
        sayings = self.rng.sample(self.talk.made_up, k)
        if self.rng.random() < 0.5:
            sayings = [sayings[0]] * k  # questions that differ in a word only
        told: dict[str, tuple[dict[str, str], Saying, str]] = {}
        pairs: list[tuple[str, str]] = []
        for saying in sayings:
            question, slots = self._new_question(saying, told)
            about = str(slots)
            reply = capital(self.talk.speak(self.rng.choice(saying.reply), self.rng, slots))
            told[about] = (slots, saying, reply)
            pairs.append((question, reply))
        if self.rng.random() < 0.15:
            return pairs, (self._new_question(sayings[0], told)[0], self.rng.choice(_UNKNOWN))
        slots, saying, reply = self.rng.choice(list(told.values()))
        return pairs, (self.ask(saying.ask, slots), reply)

    def _new_question(self, saying: Saying, told: Container[str]) -> tuple[str, dict[str, str]]:
        """Return a question about what was not told yet, and the words in its slots."""
        while True:
            slots: dict[str, str] = {}
            question = self.ask(saying.ask, slots)
            if str(slots) not in told:
                return question, slots

    def _judged(self, ask: Sequence[str], fits: bool, slots: dict[str, str]) -> tuple[Message, Message]:
        table = self.talk.redefinition
        asked = self.free(lambda: capital(self.talk.speak(self.rng.choice(ask), self.rng, slots)))
        return exchange(asked, self.talk.speak(self.rng.choice(table.yes if fits else table.no), self.rng, slots))

    def _thought(self) -> Demonstration:
        intent = self.rng.choice(self.talk.intents)
        rationale = self.rng.choice(self.talk.rationale[intent.kind])
        return Demonstration("", {"message": self.ask(intent.ask)}, self.rng.choice(intent.reply), rationale)


class _Conversation:
    """A conversation while it grows: what was said, and what the user has told."""

    def __init__(self, episodes: TalkEpisodes) -> None:
        self.episodes, self.talk, self.rng = episodes, episodes.talk, episodes.rng
        self.turns: list[Message] = []
        self._said: set[str] = set()
        self._used: set[tuple[str, ...]] = set()
        self._told: dict[tuple[int, tuple[str, ...]], dict[str, str]] = {}
        self._recallable: list[tuple[int, tuple[str, ...]]] = []
        """What was told, twice: it may be asked for two times."""
        self._last: Intent | None = None
        self._telling = self.rng.choice((0.5, 1.0, 3.0))
        """How much of the conversation is about what the user tells."""

    def go_on(self, at: int, length: int) -> None:
        """Add exchange number `at` (from 0) of `length`."""
        if at == 0 and length > 1 and self.rng.random() < 0.35:
            return self._say(self._intent("first"))
        if at == length - 1 and length > 2 and self.rng.random() < 0.4:
            return self._say(self._intent("last"))
        ways: dict[Callable[[], None], float] = {
            lambda: self._small_talk(length): 1.0,
            self._follow_up: 0.5 if self._last and self._last.more else 0.04 if self._last else 0.0,
            self._tell: 0.3 * self._telling,
            self._recall: 0.5 * self._telling if self._recallable else 0.0,
            self._ask_untold: 0.06,
            self._sum: 0.04,
        }
        return self.rng.choices(list(ways), list(ways.values()))[0]()

    def _small_talk(self, length: int) -> None:
        self._say(self._intent(self.rng.choice(("", "", "first", "last")) if length == 1 else ""))

    def _intent(self, place: str) -> Intent:
        kinds = self.talk.share
        kind = "social" if place else self.rng.choices(list(kinds), list(kinds.values()))[0]
        fits = [one for one in self.talk.intents if one.kind == kind and one.place == place]
        return self.rng.choice([one for one in fits if one.ask not in self._used] or fits)

    def _say(self, intent: Intent) -> None:
        self._used.add(intent.ask)
        name = next((slots["name"] for slots in self._told.values() if "name" in slots), "")
        named = intent.named if name and self.rng.random() < 0.7 else ()
        self._add(intent.ask, {}, named or intent.reply, {"name": name})
        self._last = intent

    def _follow_up(self) -> None:
        more = self._last.more if self._last else ()
        self._add(self.talk.follow_up.ask, {}, more or self.talk.follow_up.reply)

    def _tell(self) -> None:
        number, slots = self._drawn()
        changed = [number for number, about in self._told if not about]
        if changed and self.rng.random() < 0.12:
            number, slots = self._drawn(self.rng.choice(changed))
        memory = self.talk.memories[number]
        about = (number, tuple(slots[key] for key in memory.keys))
        tell = (
            [f"[actually|no, wait|oh, in fact], {one}" for one in memory.tell] if about in self._told else memory.tell
        )
        self._told[about] = slots
        self._recallable = [one for one in self._recallable if one != about] + [about] * 2
        self._add(tell, slots, memory.noted, slots)

    def _recall(self) -> None:
        about = self._recallable.pop(self.rng.randrange(len(self._recallable)))
        memory, slots = self.talk.memories[about[0]], self._told[about]
        self._add(memory.ask, slots, memory.recall, slots)

    def _ask_untold(self) -> None:
        while True:
            number, slots = self._drawn()
            memory = self.talk.memories[number]
            if (number, tuple(slots[key] for key in memory.keys)) not in self._told:
                return self._add(memory.ask, slots, memory.unknown, slots)

    def _sum(self) -> None:
        a, b = self.rng.randint(0, 20), self.rng.randint(0, 20)
        slots = {"a": str(a), "b": str(b), "sum": str(a + b)}
        self._add(self.talk.sum.ask, slots, self.talk.sum.reply, slots)

    def _drawn(self, number: int | None = None) -> tuple[int, dict[str, str]]:
        memories = self.talk.memories
        if number is None:
            number = self.rng.choices(range(len(memories)), [memory.weight for memory in memories])[0]
        return number, {slot: self.rng.choice(self.talk.words[words]) for slot, words in memories[number].slots.items()}

    def _add(
        self, ask: Sequence[str], asked: dict[str, str], replies: Sequence[str], slots: dict[str, str] | None = None
    ) -> None:
        texts = [capital(self.talk.speak(reply, self.rng, slots)) for reply in replies]
        reply = self.rng.choice([text for text in texts if text not in self._said] or texts)
        self.turns += exchange(self.episodes.ask(ask, asked), reply)
        self._said.add(reply)
        self._last = None
