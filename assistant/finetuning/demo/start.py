"""Weights to start from in which looking back already works, roughly: attention heads by hand, the rest by chance.

A small network finds out very late that the answer stands in a demonstration: until then nothing
rewards looking. So training starts where some heads already do, and only has to do it better (the
idea of Trockman & Kolter 2023, Mimetic Initialization of Self-Attention Layers; the heads are those of
Olsson et al. 2022, In-context Learning and Induction Heads):

- layer 0: each position gathers the words of about the last twenty tokens, and whether the token
  before it opens the assistant's turn;
- layer 2: each position gets what the one before it has gathered, and that one's token;
- layer 3: where a reply begins, attention goes to the first tokens of earlier replies, most to
  those whose question is most like this one, and brings their token as what to say;
- layer 4: attention goes to what followed this same token earlier, and brings that.

The states are divided among these uses; the token embeddings start in the first part of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

GATHER, SHIFT, MATCH, FOLLOW = 0, 2, 3, 4
LAYERS = 5
"""Fewest layers that have room for it."""
NARROWEST = 128
"""Narrowest states that divide among its uses."""
WORD, CONSTANT = 0.05, 0.1
"""Root mean square of an embedding, and the size of the state that is the same for every token."""
NUDGE = 0.5
"""How much of a word's vector is drawn by chance, to the rest."""
QUIET = 0.2
"""What the layers of random weights are multiplied by, so that they do not drown the heads."""
REACH = (0.075, 0.05, 0.032, 0.02)
"""Angles per token by which "about the last twenty tokens" is told: the window of layer 0."""
GATE = 3.0
"""How strongly the beginning of a reply is drawn to the beginnings of earlier ones."""
SAY, FOLLOWED = 0.7, 0.4
"""How loudly layers 3 and 4 say what they bring."""
SLOW = 0.004
"""Angle per token up to which attention hardly depends on the distance: there, contents are compared."""


@dataclass(frozen=True)
class Rooms:
    """Which of the states are used for what."""

    word: range
    """The token."""
    gathered: range
    """The words of the turn."""
    gathered_before: range
    """What the position before has gathered."""
    word_before: range
    said: range
    """What the output layer reads: the token to come."""
    opens: int
    """Whether the token opens the assistant's turn."""
    opened: int
    """Whether the one before does."""
    first: int
    """Whether this is the first token of a reply."""
    constant: int

    @classmethod
    def of(cls, width: int, heads: int) -> Rooms:
        """Divide `width` states; every part divides among the heads."""
        word, gathered = (heads * (width * share // (256 * heads)) for share in (56, 40))
        ends = list(accumulate([0, word, gathered, gathered, word, word]))
        own, around, around_before, before, said = (range(start, end) for start, end in pairwise(ends))
        return cls(own, around, around_before, before, said, width - 4, width - 3, width - 2, width - 1)


def structured(network: Any, vectors: torch.Tensor, known: torch.Tensor, opener: int, seed: int) -> None:
    """Set embeddings and attention heads of a new Llama in place.

    `vectors` (tokens, width) are the word vectors in order of importance, `known` (tokens,) which tokens have one,
    `opener` the token that opens the assistant's turn.

    Raises:
        ValueError: if the network has too few layers.
    """
    import torch

    config = network.config
    if config.num_hidden_layers < LAYERS:
        raise ValueError(f"a structured start needs {LAYERS} layers")
    rooms = Rooms.of(config.hidden_size, config.num_attention_heads)
    with torch.no_grad():
        _embed(network, rooms, vectors, known, opener, seed)
        for layer in network.model.layers[:LAYERS]:
            for one in (*_projections(layer.self_attn), layer.mlp.down_proj):
                one.weight.mul_(QUIET)
        builder = _Builder(network, rooms)
        builder.gather()
        builder.shift()
        builder.match()
        builder.follow()


def _projections(attention: Any) -> tuple[Any, Any, Any, Any]:
    return attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj


def _embed(network: Any, rooms: Rooms, vectors: torch.Tensor, known: torch.Tensor, opener: int, seed: int) -> None:
    import torch

    table, out = network.get_input_embeddings().weight, network.get_output_embeddings().weight
    chance = torch.Generator().manual_seed(seed)
    count, width = table.shape
    words = vectors[:, : len(rooms.word)].clone()
    # "River", "river" and " river" have one vector: what is drawn by chance tells them apart.
    drawn = torch.randn(words.shape, generator=chance)
    words += NUDGE * words[known].std() * drawn
    words[~known] = 0
    start = torch.zeros(count, width)
    start[:, rooms.word.start : rooms.word.stop] = words
    # Tokens that are no words (roles, line breaks) live where nothing is gathered.
    other = range(rooms.gathered_before.start, rooms.said.start)
    start[~known, other.start : other.stop] = torch.randn(int((~known).sum()), len(other), generator=chance)
    start *= WORD / start.pow(2).mean(dim=1, keepdim=True).sqrt().clamp(min=1e-6)
    words = start[:, rooms.word.start : rooms.word.stop].clone()
    words[~known] = words[known].std() * drawn[~known]
    out.normal_(std=0.1 * WORD, generator=chance)
    out[:, rooms.said.start : rooms.said.stop] += words
    start += 0.1 * WORD * torch.randn(count, width, generator=chance)
    start[:, [rooms.opens, rooms.opened, rooms.first]] = 0
    start[opener, rooms.opens] = 5 * WORD
    start[:, rooms.constant] = CONSTANT
    table.copy_(start)


class _Builder:
    """Writes the heads; `h` numbers a head, `o` its first row in the projections."""

    def __init__(self, network: Any, rooms: Rooms) -> None:
        config = network.config
        self.network, self.rooms = network, rooms
        self.heads, self.size = config.num_attention_heads, config.hidden_size // config.num_attention_heads
        base = config.rope_parameters["rope_theta"]
        self.angles = [base ** (-2 * pair / self.size) for pair in range(self.size // 2)]

    def gather(self) -> None:
        """Layer 0: all heads but the last gather words, the last looks one token back for the opener."""
        attention = self.network.model.layers[GATHER].self_attn
        pull = math.sqrt(1.5 * math.sqrt(self.size) / self._constant(GATHER) ** 2)
        gathering = self.heads - 1
        for h in range(gathering):
            for angle in REACH:
                pair = self._pair(angle)
                for one in (attention.q_proj, attention.k_proj):
                    one.weight[h * self.size + pair, self.rooms.constant] += pull
            self._carry(attention, h, self.rooms.word[h::gathering], self.rooms.gathered[h::gathering], 0.5)
        self._look_back(attention, gathering, GATHER)
        self._carry(attention, gathering, [self.rooms.opens], [self.rooms.opened], 0.1)

    def shift(self) -> None:
        """Layer 2: every head looks one token back."""
        attention = self.network.model.layers[SHIFT].self_attn
        rooms = self.rooms
        for h in range(self.heads):
            self._look_back(attention, h, SHIFT)
            sources = [*rooms.gathered[h :: self.heads], *rooms.word[h :: self.heads]]
            places = [*rooms.gathered_before[h :: self.heads], *rooms.word_before[h :: self.heads]]
            self._carry(attention, h, sources, places, 0.1)
        self._carry(attention, 0, [rooms.opened], [rooms.first], 0.1, at=self.size - 1)

    def match(self) -> None:
        """Layer 3: every head looks at first tokens of replies, most where the turn before was like this one."""
        attention = self.network.model.layers[MATCH].self_attn
        rooms = self.rooms
        for h in range(self.heads):
            self._compare(attention, h, rooms.gathered, rooms.gathered_before, 1.0)
            row = h * self.size + self._slow()[-1]
            attention.q_proj.weight[row, rooms.opened] += GATE
            attention.k_proj.weight[row, rooms.first] += GATE
            self._carry(attention, h, rooms.word[h :: self.heads], rooms.said[h :: self.heads], SAY)

    def follow(self) -> None:
        """Layer 4: every head looks at what came after this token earlier."""
        attention = self.network.model.layers[FOLLOW].self_attn
        for h in range(self.heads):
            self._compare(attention, h, self.rooms.word, self.rooms.word_before, 2.0)
            words, said = self.rooms.word[h :: self.heads], self.rooms.said[h :: self.heads]
            self._carry(attention, h, words, said, FOLLOWED)

    def _look_back(self, attention: Any, h: int, layer: int) -> None:
        """Make a head attend to the token before, by the fast angles of its rotary positions."""
        pull = math.sqrt(6.0 * math.sqrt(self.size) / self._constant(layer) ** 2)
        o, half = h * self.size, self.size // 2
        for pair in range(6):
            attention.k_proj.weight[o + pair, self.rooms.constant] += pull
            attention.q_proj.weight[o + pair, self.rooms.constant] += pull * math.cos(self.angles[pair])
            attention.q_proj.weight[o + half + pair, self.rooms.constant] -= pull * math.sin(self.angles[pair])

    def _compare(self, attention: Any, h: int, asking: range, answering: range, scale: float) -> None:
        """Make a head compare parts of the states, the first of each part, whatever the distance."""
        rows = [h * self.size + one for one in self._slow()[:-1]]
        for row, asked, answered in zip(rows, asking, answering, strict=False):
            attention.q_proj.weight[row, asked] += scale
            attention.k_proj.weight[row, answered] += scale

    def _carry(self, attention: Any, h: int, sources: Any, places: Any, gain: float, at: int = 0) -> None:
        """Make a head bring some states of where it attends to, from its value row `at` on."""
        for row, (source, place) in enumerate(zip(sources, places, strict=False), start=h * self.size + at):
            attention.v_proj.weight[row, source] += 1.0
            attention.o_proj.weight[place, row] += gain

    def _pair(self, angle: float) -> int:
        return min(range(len(self.angles)), key=lambda pair: abs(math.log(self.angles[pair] / angle)))

    def _slow(self) -> list[int]:
        """Return the rows of a head that turn slowly, both of a pair in turn."""
        slow = [pair for pair, angle in enumerate(self.angles) if angle < SLOW]
        return [*slow, *(self.size // 2 + pair for pair in slow)]

    def _constant(self, layer: int) -> float:
        """Return how large the constant state is after normalisation, at the start of a layer, for a word."""
        # Each carrying layer adds about as much again as a word's embedding.
        return CONSTANT / (WORD * math.sqrt(1 + CONSTANT**2 / (WORD**2 * 256) + 2.2 * layer))
