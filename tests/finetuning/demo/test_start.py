"""The weights that training starts from already look back at earlier turns."""

import pytest
import torch

from assistant.finetuning.demo.network import new_network
from assistant.finetuning.demo.recipe import Size
from assistant.finetuning.demo.start import LAYERS, Rooms
from assistant.finetuning.demo.tokenizer import OPENER


@pytest.mark.parametrize(("width", "heads"), [(256, 4), (128, 2), (384, 6)])
def test_the_states_are_divided_without_overlap(width, heads):
    rooms = Rooms.of(width, heads)
    ranges = (rooms.word, rooms.gathered, rooms.gathered_before, rooms.word_before, rooms.said)
    used = [state for one in ranges for state in one]
    used += [rooms.opens, rooms.opened, rooms.first, rooms.constant]
    assert len(used) == len(set(used))
    assert max(used) < width
    assert all(len(one) % heads == 0 for one in ranges)


def test_a_network_with_too_few_layers_is_refused(tokenizer):
    with pytest.raises(ValueError, match=f"needs {LAYERS} layers"):
        new_network(tokenizer, Size(width=64, layers=LAYERS - 1, heads=2, feed_forward=32), 0, 8)


def test_every_token_has_the_constant_state_and_only_the_opener_opens(tokenizer):
    network = new_network(tokenizer, Size(width=128, layers=LAYERS, heads=2, feed_forward=32), 0, 8)
    rooms, table = Rooms.of(128, 2), network.get_input_embeddings().weight
    opener = tokenizer.convert_tokens_to_ids(OPENER)
    assert (table[:, rooms.constant] > 0).all()
    assert table[:, rooms.opens].nonzero().flatten().tolist() == [opener]


ASKED = {"plot plot plot plot": "A", "camera camera camera": "B", "music music music music": "C", "hero hero hero": "D"}


def brought_back(tokenizer, seed, *, structured):
    """Return how many of four replies an untrained network names first when their text is repeated."""
    size = Size(width=256, layers=6, heads=4, feed_forward=256, structured_start=structured)
    network = new_network(tokenizer, size, seed, 8).eval()
    right = 0
    for text, reply in ASKED.items():
        turns = [
            {"role": role, "content": content}
            for pair in ASKED.items()
            for role, content in zip(("user", "assistant"), pair, strict=True)
        ]
        turns.append({"role": "user", "content": text})
        prompt = tokenizer.bos_token + tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            scores = network(input_ids=ids).logits[0, -1]
        told = {name: scores[tokenizer.encode(name)[1]].item() for name in ASKED.values()}
        right += max(told, key=told.__getitem__) == reply
    return right


def test_untrained_a_repeated_text_already_brings_back_its_reply(tokenizer):
    # One network alone may be unlucky with a vocabulary as small as this one: a quarter is chance, half is not.
    seeds = range(6)
    right = sum(brought_back(tokenizer, seed, structured=True) for seed in seeds)
    by_chance = sum(brought_back(tokenizer, seed, structured=False) for seed in seeds)
    assert right >= 2 * len(seeds)
    assert right > by_chance + len(seeds)
