"""What prompts begin with in common, read once: keys and values that every row of a batch looks at."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from transformers.cache_utils import DynamicCache, DynamicLayer

from assistant.generation.labels import Ids, takes_few_logits

_KEPT = 4
_KEPT_BYTES = 256 * 2**20


class _SharedLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer for one row, shown to every row; what rows add is not kept."""

    def __init__(self, keys: Any, values: Any) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values

    def update(self, key_states: Any, value_states: Any, *_: Any) -> tuple[Any, Any]:
        """Return the shared states followed by each row's own."""
        import torch

        def joined(shared: Any, own: Any) -> Any:
            return torch.cat([shared.expand(own.shape[0], -1, -1, -1), own], dim=-2)

        return joined(self.keys, key_states), joined(self.values, value_states)


class Prefix:
    """A prefix that was read; `cache` gives its states to a forward pass."""

    def __init__(self, length: int, states: Sequence[tuple[Any, Any]]) -> None:
        self.length, self._states = length, tuple(states)

    @property
    def bytes(self) -> int:
        """Return the memory of its keys and values."""
        return sum(part.nbytes for pair in self._states for part in pair)

    def cache(self) -> Any:
        """Return a cache of which every row of a batch sees a copy."""
        cache = DynamicCache()
        cache.layers = [_SharedLayer(keys, values) for keys, values in self._states]
        return cache

    def growing(self) -> Any:
        """Return a cache that goes on from here; this prefix stays as it is."""
        return DynamicCache(self._states)


class PrefixShelf:
    """Reads prefixes and keeps the last few, so that a static beginning is read once and not once per call.

    A prefix is read in two parts. The first ends with a turn (`stop_ids`), so that it is the same from
    call to call, and only it is kept; the rest is what the prompts of one call share by chance. What is
    kept is only ever taken whole, so that a score does not depend on what was scored before.
    """

    def __init__(self, network: Any, stop_ids: Sequence[int]) -> None:
        self._network, self._stops = network, frozenset(stop_ids)
        self._kept: OrderedDict[tuple[Any, ...], Prefix] = OrderedDict()

    def read(self, ids: Ids) -> Prefix:
        """Return the prefix with these ids."""
        ends = [at + 1 for at, token in enumerate(ids) if token in self._stops]
        end = ends[-1] if ends else len(ids)
        static = self._static(tuple(ids[:end]))
        return static if end == len(ids) else self._pass(ids[end:], static)

    def _static(self, ids: tuple[int, ...]) -> Prefix:
        # Another active adapter gives other states; without PEFT around it, the attribute is a method.
        active = getattr(self._network, "active_adapters", None)
        key = (tuple(active) if isinstance(active, list) else (), ids)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        prefix = self._pass(ids, None)
        self._kept[key] = prefix
        while len(self._kept) > _KEPT or (self._kept and sum(one.bytes for one in self._kept.values()) > _KEPT_BYTES):
            self._kept.popitem(last=False)
        return prefix

    def _pass(self, ids: Ids, before: Prefix | None) -> Prefix:
        import torch

        cache = DynamicCache() if before is None else before.growing()
        row = torch.tensor([list(ids)], device=self._network.device)
        few = {"logits_to_keep": 1} if takes_few_logits(self._network) else {}
        self._network(input_ids=row, past_key_values=cache, use_cache=True, **few)
        return Prefix(cache.get_seq_length(), [(layer.keys, layer.values) for layer in cache.layers])
