"""The scripted turns are new: what training asks is drawn, and none of them is among it."""

import random
import re
from itertools import chain

from assistant.evaluation.demo_table.conversations import load_conversations
from assistant.finetuning.demo.talk import TalkEpisodes, load_talk


def letters(text):
    return re.sub(r"\W", "", text.casefold())


def test_no_scripted_turn_is_one_that_training_asks():
    episodes = TalkEpisodes(load_talk(), random.Random(0), frozenset())
    drawn = chain.from_iterable(episodes.small_talk() for _ in range(3000))
    trained = {letters(message["content"]) for message in drawn if message["role"] == "user"}
    assert len(trained) > 1000
    assert not [turn for turn in chain(*load_conversations()) if letters(turn) in trained]
