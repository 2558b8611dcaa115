"""Tiny bases, made once, and a way to train on them in a moment."""

import pytest

from assistant.finetuning.classifiers.settings import ClassifierSettings
from tests.tiny_models import save_bert, save_llama


@pytest.fixture(scope="session")
def bert(tmp_path_factory):
    return str(save_bert(tmp_path_factory.mktemp("bert")))


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    return str(save_llama(tmp_path_factory.mktemp("llama")))


@pytest.fixture
def settings(bert):
    def made(method="full", encoder=bert, **others):
        values = {"max_tokens": 32, "batch_size": 8, "epochs": 3, "learning_rate": 0.01, "device": "cpu"}
        return ClassifierSettings(encoder=encoder, method=method, **(values | others))

    return made
