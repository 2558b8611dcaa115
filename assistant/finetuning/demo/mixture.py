"""The kinds of episode, and drawing them by the weights of a stage."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from assistant.errors import SettingError
from assistant.finetuning.demo.demonstrating import Demonstrating
from assistant.finetuning.demo.episode import Episode, exchange, system
from assistant.finetuning.demo.grounded import Grounded, GroundedEpisodes
from assistant.finetuning.demo.labelled import Neighbours
from assistant.finetuning.demo.names import frequent_words
from assistant.finetuning.demo.served import Served
from assistant.finetuning.demo.sources import Sources
from assistant.finetuning.demo.talk import Talk, TalkEpisodes
from assistant.prompting.tasks import load_task
from assistant.records import Message


@dataclass(frozen=True)
class Material:
    """All that episodes are drawn from."""

    sources: Sources
    near: Neighbours
    talk: Talk
    passages: Sequence[Grounded]

    def words(self) -> tuple[str, ...]:
        """Return the words that serve as arbitrary names."""
        return frequent_words(self.sources.texts)


class Episodes:
    """Draws episodes; the same material, words and seed give the same episodes."""

    def __init__(self, material: Material, words: Sequence[str], seed: int | str) -> None:
        self.rng = rng = random.Random(seed)
        sources, tasks = material.sources, list(material.sources.tasks.values())
        self._sources, self._chat = sources, load_task("chat")
        self._talk = TalkEpisodes(material.talk, rng, sources.held_out)
        showing, served = (make(tasks, material.near, words, rng) for make in (Demonstrating, Served))
        grounded = GroundedEpisodes(material.passages, rng)
        self.kinds: Mapping[str, Callable[[], Episode]] = {
            **{name: getattr(showing, name) for name in SHOWING},
            **{name: getattr(served, name) for name in SERVED},
            **{name: _conversation(getattr(self._talk, name)) for name in TALKING},
            "grounded": _conversation(grounded.episode),
            "written_passage": _conversation(grounded.written),
            "unaided": _conversation(grounded.unaided),
            "small_exchange": self._small_exchange,
            "instruction": self._instruction,
        }

    def draw(self, weights: Mapping[str, float]) -> Episode:
        """Return an episode of a kind drawn by the weights.

        Raises:
            SettingError: if there is no such kind.
        """
        unknown = sorted(set(weights) - set(self.kinds))
        if unknown:
            raise SettingError(
                f"There is no kind of episode called {', '.join(unknown)}.",
                f"There are {', '.join(sorted(self.kinds))}.",
            )
        return self.kinds[self.rng.choices(list(weights), list(weights.values()))[0]]()

    def _small_exchange(self) -> Episode:
        return self._chatted(self._sources.exchanges)

    def _instruction(self) -> Episode:
        return self._chatted(self._sources.instructions)

    def _chatted(self, pairs: Sequence[tuple[str, str]]) -> Episode:
        words = self.rng.choice([self._chat.wordings[0], *self._chat.wordings])
        return Episode((*system(words.instruction), *exchange(*self.rng.choice(pairs))))


SHOWING = ("alone", "copied_few", "copied_some", "copied", "nearly_copied", "same_class", "nearest")
SERVED = (
    *("sentiment", "question_type", "renamed_sentiment", "renamed_question_type", "published_templates"),
    *("direct", "reasoned", "step_by_step", "drill"),
)
TALKING = ("small_talk", "lookup", "redefinition", "reasoned_talk")


def _conversation(make: Callable[[], tuple[Message, ...]]) -> Callable[[], Episode]:
    return lambda: Episode(make())
