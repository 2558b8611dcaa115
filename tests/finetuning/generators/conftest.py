import threading

import pytest

from assistant.finetuning.generators.adapter_record import TrainingData
from assistant.finetuning.generators.settings import GeneratorSettings
from assistant.finetuning.generators.training import Order, train_generator
from tests.finetuning.generators.made_rows import review_rows
from tests.generation.tiny_models import save_model


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """A function from a family to the folder of its tiny model, made once."""
    made = {}

    def folder(family):
        if family not in made:
            made[family] = str(save_model(family, tmp_path_factory.mktemp("models") / f"tiny-{family}"))
        return made[family]

    return folder


@pytest.fixture
def train(model_folder):
    """A function that trains a tiny model on a few rows and returns what it came to."""

    def run(name="mine", family="llama3", *, stop=None, rows=None, replace=False, resume=False, told=None, **settings):
        settings = {"steps": 4, "batch_size": 4, "device": "cpu", "max_tokens": 512, "validation": 0.2, **settings}
        order = Order(
            name=name,
            model=family if family == "demo" else model_folder(family),
            data=TrainingData("sentiment", rows or review_rows(), {"source": "made up"}),
            settings=GeneratorSettings(**settings),
            replace=replace,
            resume=resume,
        )
        reports = told if told is not None else []
        return train_generator(order, stop or threading.Event(), lambda text: None, reports.append)

    return run


@pytest.fixture(scope="session")
def trained_once(model_folder, tmp_path_factory):
    """A function from a method to the folder of an adapter of the tiny llama, trained once."""
    made = {}

    def folder(method):
        if method not in made:
            home = tmp_path_factory.mktemp(f"home-{method}")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("SHOTWISE_HOME", str(home))
                settings = GeneratorSettings(
                    method=method, steps=2, batch_size=4, device="cpu", learning_rate=0.05, virtual_tokens=6
                )
                data = TrainingData("sentiment", review_rows(12), {"source": "made up"})
                order = Order(method, model_folder("llama3"), data, settings)
                made[method] = train_generator(order, threading.Event(), lambda text: None).folder
        return made[method]

    return folder
