"""A split is one of a hub data set: of anything else it is refused, in one sentence, wherever it can be named."""

import pytest

from tests.evaluation.advice_runs import write_source
from tests.test_cli import one_sentence, shotwise

__all__ = ["shotwise"]
COMMANDS = {
    "adapter train": ("adapter", "train", "reviews", "--name", "mine"),
    "classifier train": ("classifier", "train", "reviews", "--name", "mine"),
    "encoder train": ("encoder", "train", "reviews", "--name", "mine", "--few-shot", "0"),
    "evaluate": ("evaluate", "reviews", "--model", "scripted"),
    "advise": ("advise", "reviews", "--model", "scripted"),
    "study": ("study", "leaks", "reviews", "--model", "scripted"),
    "recipe run": ("recipe", "run", "prompt-or-tune", "--model", "scripted", "--methods", "knn-vote"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_known_data_set_has_no_split_of_another_name(command, shotwise, home):
    ended = shotwise(*COMMANDS[command], "--split", "nosuch")
    one_sentence(ended)
    assert ended[0] == 2
    assert "reviews" in ended[2] or "part of a data set" in ended[2]
    assert not (home / "adapters").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_has_no_splits(command, shotwise, home):
    words = [write_source(home) if word == "reviews" else word for word in COMMANDS[command]]
    words += ["--source", write_source(home)] if command == "recipe run" else []
    ended = shotwise(*words, "--task", "sentiment", "--split", "nosuch")
    one_sentence(ended)
    assert "A file has no splits." in ended[2]
