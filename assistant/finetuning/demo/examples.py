"""Episodes as token ids: what is learnt of them, and batches of examples of like length."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from assistant.finetuning.demo.episode import Episode
from assistant.finetuning.demo.mixture import Episodes, Material
from assistant.finetuning.demo.recipe import Stage
from assistant.finetuning.demo.tokenizer import END

if TYPE_CHECKING:
    import numpy as np

PORTION = 16
"""Batches whose examples are drawn together and sorted by length, so that little is padded."""
PROSE_WORDS = 200
IGNORED = -100
"""Label of a token that is not learnt, as torch's cross entropy has it."""


@dataclass(frozen=True)
class Example:
    """Token ids, which of them are learnt, and where the end of a turn should tell a text's meaning."""

    ids: Sequence[int]
    learnt: Sequence[int]
    """1 for each id that is learnt."""
    meanings: Sequence[tuple[int, int]] = ()
    """Positions and rows of the table of meanings."""


def episode_example(tokenizer: Any, episode: Episode, rows: Mapping[str, int]) -> Example:
    """Return a conversation as ids; what the assistant says, and its end token, is learnt.

    What the user repeats is learnt as well: every token of it teaches looking back, a label is only one.
    """
    text = tokenizer.bos_token + tokenizer.apply_chat_template(list(episode.messages), tokenize=False)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    spans = encoded["offset_mapping"]
    replies = _ranges(text, episode, "assistant")
    told = [reply for number, reply in enumerate(replies) if number not in episode.guessed]
    learnt = _inside(spans, told)
    if episode.repeats_from is not None:
        again = _inside(spans, _ranges(text, episode, "user")[episode.repeats_from :])
        learnt = [max(pair) for pair in zip(learnt, again, strict=True)]
    starts = {start: position for position, (start, _) in enumerate(spans)}
    found = [
        (starts[reply[0]] - 1, rows[meant])
        for reply, meant in zip(replies, episode.meanings, strict=False)
        if meant in rows
    ]
    return Example(encoded["input_ids"], learnt, found)


def prose_example(tokenizer: Any, text: str, longest: int) -> Example:
    """Return plain English as ids, all of them learnt but the first."""
    ids = tokenizer(tokenizer.bos_token + text, add_special_tokens=False)["input_ids"][:longest]
    return Example(ids, [0] + [1] * (len(ids) - 1))


def _inside(spans: Sequence[tuple[int, int]], ranges: Sequence[tuple[int, int]]) -> list[int]:
    """Return 1 for each span of characters that lies in one of the ranges, both in ascending order."""
    found, at = [], 0
    for start, end in spans:
        while at < len(ranges) and start >= ranges[at][1]:
            at += 1
        found.append(int(at < len(ranges) and ranges[at][0] <= start and end <= ranges[at][1]))
    return found


def _ranges(text: str, episode: Episode, role: str) -> list[tuple[int, int]]:
    """Return where in the text the role speaks, the end token included."""
    ranges, at = [], 0
    for message in episode.messages:
        header = f"<|{message['role']}|>\n"
        start = text.index(header, at) + len(header)
        at = start + len(message["content"]) + len(END)
        if message["role"] == role:
            ranges.append((start, at))
    return ranges


class Batches:
    """The batches of a stage by number; each can be made again at any time, in any order.

    A portion of `PORTION` batches is drawn with a seed of its own, so that a training that goes on
    after a kill sees what it would have seen.
    """

    def __init__(self, tokenizer: Any, material: Material, stage: Stage, seed: int) -> None:
        self.tokenizer, self.material, self.stage, self.seed = tokenizer, material, stage, seed
        self.words = material.words()
        self._portion = lru_cache(maxsize=2)(self._drawn)

    def __len__(self) -> int:
        return self.stage.steps

    def __getitem__(self, number: int) -> dict[str, np.ndarray]:
        """Return `input_ids`, `attention_mask`, `labels`, each (b, T), and `meaning_at` (m, 3): row, position, text."""
        return self._portion(number // PORTION)[number % PORTION]

    def _drawn(self, portion: int) -> list[dict[str, np.ndarray]]:
        seed = f"{self.seed} {self.stage.name} {portion}"
        order = random.Random(seed)
        episodes = Episodes(self.material, self.words, seed)
        examples = sorted(self._examples(episodes, order), key=lambda one: len(one.ids))
        batches = [padded(part, self.tokenizer.pad_token_id) for part in _parts(examples)]
        order.shuffle(batches)
        return batches

    def _examples(self, episodes: Episodes, rng: random.Random) -> Iterator[Example]:
        goal = PORTION * self.stage.batch_tokens
        while goal > 0:
            example = self._example(episodes, rng)
            if len(example.ids) <= self.stage.longest:
                goal -= len(example.ids)
                yield example

    def _example(self, episodes: Episodes, rng: random.Random) -> Example:
        if rng.random() < self.stage.prose:
            return prose_example(self.tokenizer, self._stretch(rng), self.stage.longest)
        return episode_example(self.tokenizer, episodes.draw(self.stage.mixture), self.material.near.rows)

    def _stretch(self, rng: random.Random) -> str:
        words = rng.choice(self.material.sources.prose).split(" ")
        start = rng.randrange(max(1, len(words) - PROSE_WORDS))
        return " ".join(words[start : start + PROSE_WORDS]).strip()


def _parts(examples: Sequence[Example]) -> list[Sequence[Example]]:
    """Return `PORTION` parts of the sorted examples with about as many tokens each; none is empty."""
    ends: list[int] = []
    done, total = 0, sum(len(one.ids) for one in examples)
    for count, example in enumerate(examples, start=1):
        done += len(example.ids)
        left = len(examples) - count
        wanted = PORTION - len(ends)
        if left < wanted or done * PORTION >= total * (len(ends) + 1):
            ends.append(count)
    ends = [*ends[: PORTION - 1], len(examples)]
    return [examples[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def padded(examples: Sequence[Example], pad: int) -> dict[str, np.ndarray]:
    """Return the examples as one batch, filled up on the right."""
    import numpy as np

    width = max(len(one.ids) for one in examples)
    ids = np.full((len(examples), width), pad, dtype=np.int64)
    labels = np.full((len(examples), width), IGNORED, dtype=np.int64)
    attention = np.zeros((len(examples), width), dtype=np.int64)
    meanings: list[tuple[int, int, int]] = []
    for row, one in enumerate(examples):
        size, tokens = len(one.ids), np.asarray(one.ids)
        ids[row, :size], attention[row, :size] = tokens, 1
        labels[row, :size] = np.where(np.asarray(one.learnt, dtype=bool), tokens, IGNORED)
        meanings += [(row, at, text) for at, text in one.meanings]
    return {
        "input_ids": ids,
        "attention_mask": attention,
        "labels": labels,
        "meaning_at": np.asarray(meanings, dtype=np.int64).reshape(-1, 3),
    }
