"""Every strategy on one question, byte for byte. After a change that is meant: python -m tests.test_golden_prompts."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

from assistant.answering import Assistant, Request
from assistant.generation.chat_model import ScriptedModel
from assistant.generation.rendering import PromptRenderer
from assistant.prompting.strategies import STRATEGIES
from assistant.settings import RetrievalSettings
from tests.generation.layouts import make_tokenizer
from tests.toys import make_explained

GOLDEN = Path(__file__).parent / "golden"
QUESTION = "A gorgeous, witty film that is far too long."
REASONING = "The writer calls the film gorgeous and witty. The length is a smaller complaint."


def request(strategy):
    return Request(QUESTION, strategy, "sentiment", "golden", retrieval=RetrievalSettings(k=3))


def prompts(strategy):
    """Return every different prompt that a strategy sends, in turn."""
    model = ScriptedModel([REASONING, "positive"])
    Assistant(model).answer(request(strategy))
    return list(dict.fromkeys(prompt.text for prompt in model.history))


def file_of(strategy, number):
    return GOLDEN / (f"{strategy}.txt" if number == 1 else f"{strategy}-{number}.txt")


@pytest.fixture
def golden_index(home):
    return make_explained(home, "golden")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_prompt_is_byte_for_byte_what_it_was(strategy, golden_index):
    sent = prompts(strategy)
    assert [text.encode() for text in sent] == [file_of(strategy, at).read_bytes() for at in range(1, len(sent) + 1)]
    assert not file_of(strategy, len(sent) + 1).exists()


def test_every_golden_file_belongs_to_a_strategy():
    names = {path.stem.removesuffix("-2") for path in GOLDEN.glob("*.txt")}
    assert names == set(STRATEGIES)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("layout", "bos", "header"),
    [
        ("zephyr", "<s>", "<|assistant|>\n"),
        ("llama3", "<|begin_of_text|>", "<|start_header_id|>assistant<|end_header_id|>\n\n"),
    ],
)
def test_ids_have_one_bos_and_end_at_the_assistant_header(layout, bos, header, strategy, golden_index):
    model = ScriptedModel()
    model.renderer = PromptRenderer(make_tokenizer(layout))
    rendered = Assistant(model).prepare(request(strategy)).rendered
    tokenizer = model.renderer.tokenizer
    ids = list(rendered.token_ids)
    assert ids.count(tokenizer.convert_tokens_to_ids(bos)) == 1
    assert ids[0] == tokenizer.convert_tokens_to_ids(bos)
    end = tokenizer.encode(header, add_special_tokens=False)
    assert tokenizer.decode(ids[-len(end) :]) == tokenizer.decode(end)
    assert ids == tokenizer.encode(rendered.text, add_special_tokens=False)
    assert "".join(rendered.text[span.start : span.end] for span in rendered.spans) == rendered.text


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_ids_of_the_scripted_model_are_those_of_its_text(strategy, golden_index):
    model = ScriptedModel()
    rendered = Assistant(model).prepare(request(strategy)).rendered
    assert rendered.token_ids.count(256) == 1
    assert model.renderer.decode(rendered.token_ids, special=True) == rendered.text


def _write():
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SHOTWISE_HOME"] = folder
        make_explained(Path(folder), "golden")
        for strategy in STRATEGIES:
            for number, text in enumerate(prompts(strategy), start=1):
                file_of(strategy, number).write_bytes(text.encode())
                sys.stdout.write(f"{file_of(strategy, number)}\n")


if __name__ == "__main__":
    _write()
