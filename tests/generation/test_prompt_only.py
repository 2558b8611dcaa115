import threading

import pytest

from assistant.answering import Assistant, Request
from assistant.errors import ModelError
from assistant.generation.identity import model_identity
from assistant.generation.loading import load_prompt_model
from assistant.records import RenderedPrompt
from assistant.settings import ModelSettings, SamplingSettings
from tests.generation.tiny_models import save_model


def test_a_prompt_is_the_same_with_and_without_weights(chat_model, model_folder):
    with_weights = chat_model("llama3")
    without = load_prompt_model(ModelSettings(model=str(model_folder("llama3"))))
    request = Request("hello", sampling=SamplingSettings(max_new_tokens=8))
    assert Assistant(without).prepare(request) == Assistant(with_weights).prepare(request)
    assert without.context_tokens == with_weights.context_tokens


def test_the_weights_are_not_read(tmp_path):
    folder = save_model("zephyr", tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"not weights at all")
    prepared = Assistant(load_prompt_model(ModelSettings(model=str(folder)))).prepare(Request("hello"))
    assert "hello" in prepared.rendered.text


def test_it_writes_and_scores_nothing(model_folder):
    model = load_prompt_model(ModelSettings(model=str(model_folder("llama3"))))
    prompt = RenderedPrompt("x", (1,), ())
    with pytest.raises(ModelError, match="not its weights"):
        model.generate([prompt], [SamplingSettings()], threading.Event())
    with pytest.raises(ModelError, match="not its weights"):
        model.score_labels([prompt], [["a"]])


def test_the_scripted_model_is_its_own_stand_in():
    assert load_prompt_model(ModelSettings(model="scripted")).name == "scripted"


def test_models_adapters_and_quantisations_are_told_apart(tmp_path):
    for name, text in (("one", "a"), ("two", "b"), ("copy", "a")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_model.safetensors").write_text(text)
    place = str(tmp_path / "one")
    plain = model_identity(place)
    one, two, copy = (model_identity(place, adapter=tmp_path / name) for name in ("one", "two", "copy"))
    assert one == copy
    assert len({str(identity) for identity in (plain, one, two, model_identity(place, load_in="4bit"))}) == 4
    (tmp_path / "one" / "model.safetensors").write_text("new weights")
    assert model_identity(place) != plain
    assert model_identity("org/model", revision="abc") == {"place": "org/model", "revision": "abc"}
