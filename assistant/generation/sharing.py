"""Copies of a network that share its weights, so that an adapter is attached to a copy and never to the network itself.

peft changes the network that it is given: it puts its own layers in place of the network's, and its state is one for
all threads. A copy of the structure costs no memory to speak of and leaves the network as it was.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from typing import Any

_HARMLESS_STARTS = (None, True, False, "gaussian", "orthogonal", "eva")
"""Ways to initialise a LoRA that leave the base weights alone; PiSSA, OLoRA, CorDA, LoftQ … write into them."""


def copy_for(network: Any, adapter_config: Mapping[str, Any]) -> Any:
    """Return a copy of the network to attach the adapter to: of its structure alone, where the adapter allows it."""
    whole = adapter_config.get("init_lora_weights") not in _HARMLESS_STARTS
    return copy.deepcopy(network) if whole else structure_copy(network)


def structure_copy(network: Any) -> Any:
    """Return a copy with modules of its own, whose parameters and buffers are the very ones of `network`."""
    return copy.deepcopy(network, {id(thing): thing for thing in _weights(network)})


def own_copies(network: Any, names: Collection[str]) -> None:
    """Give the network its own copy of each parameter or buffer of these names; what is tied stays tied."""
    named = [*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False)]
    shared = {id(tensor): tensor for name, tensor in named if name in names}
    own = {identity: copy.deepcopy(tensor) for identity, tensor in shared.items()}
    for module in network.modules() if own else ():
        for held in (module._parameters, module._buffers):
            held.update({name: own[id(tensor)] for name, tensor in held.items() if id(tensor) in own})


def stamps(network: Any) -> list[tuple[int, int]]:
    """Return address and version of every tensor: other ones say that a weight was written or replaced."""
    return [(tensor.data_ptr(), tensor._version) for tensor in (*network.parameters(), *network.buffers())]


def _weights(network: Any) -> Iterator[Any]:
    """Yield what is shared: parameters, buffers, and what a quantised layer keeps beside its numbers."""
    yield from network.buffers()
    for parameter in network.parameters():
        yield parameter
        state = getattr(parameter, "quant_state", None)
        if state is not None:
            yield state
