import pytest

from assistant.generation.rendering import PromptRenderer
from tests.generation.layouts import LAYOUTS, make_tokenizer


@pytest.fixture(scope="session")
def renderers():
    return {name: PromptRenderer(make_tokenizer(name), encoder_decoder=name == "t5") for name in LAYOUTS}
