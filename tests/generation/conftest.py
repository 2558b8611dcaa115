import pytest

from assistant.generation.loading import load_chat_model
from assistant.generation.rendering import PromptRenderer
from assistant.settings import ModelSettings
from tests.generation.layouts import LAYOUTS, make_tokenizer
from tests.generation.tiny_models import save_model


@pytest.fixture(scope="session")
def renderers():
    return {name: PromptRenderer(make_tokenizer(name), encoder_decoder=name == "t5") for name in LAYOUTS}


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """A function from a family to the folder of its tiny model, made once."""
    made = {}

    def folder(family):
        if family not in made:
            made[family] = save_model(family, tmp_path_factory.mktemp("models") / f"tiny-{family}")
        return made[family]

    return folder


@pytest.fixture(scope="session")
def chat_model(model_folder):
    """A function from a family to its tiny model, loaded once through the real path."""
    loaded = {}

    def load(family):
        if family not in loaded:
            loaded[family] = load_chat_model(ModelSettings(model=str(model_folder(family)), device="cpu"))
        return loaded[family]

    return load
