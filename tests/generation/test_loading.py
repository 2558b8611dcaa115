import builtins
import importlib.util
import json
import shutil
from threading import Event

import pytest
import torch
from safetensors.torch import load_file, save_file

from assistant import paths
from assistant.errors import MissingDependency, ModelError, UnknownName
from assistant.generation import sources, weights
from assistant.generation.chat_model import ScriptedModel
from assistant.generation.loading import load_chat_model, load_renderer
from assistant.records import Prompt
from assistant.settings import ModelSettings, SamplingSettings

ASK = Prompt(({"role": "user", "content": "a witty film"},), ("question",))


@pytest.fixture
def copy(model_folder, tmp_path):
    return shutil.copytree(model_folder("llama3"), tmp_path / "copy")


def refusal(model, **settings):
    with pytest.raises(ModelError) as caught:
        load_chat_model(ModelSettings(model=str(model), **settings))
    sentence = caught.value.sentence()
    assert "\n" not in sentence
    assert len(sentence) < 400
    return sentence


def test_a_folder_loads_and_replies_without_a_word_on_stderr(model_folder, capfd):
    folder = model_folder("llama3")
    capfd.readouterr()
    model = load_chat_model(ModelSettings(model=str(folder), device="cpu"))
    prompt = model.renderer.render(ASK)
    list(model.generate([prompt, prompt], [SamplingSettings(max_new_tokens=3)] * 2, Event()))
    model.score_labels([prompt], [["yes", "no"]])
    assert (model.dtype, model.context_tokens, model.adapter, model.notes) == ("float32", 512, None, ())
    assert capfd.readouterr() == ("", "")


def test_the_renderer_alone_reads_no_weights(copy):
    whole = load_chat_model(ModelSettings(model=str(copy))).renderer.render(ASK)
    for file in copy.glob("*.safetensors"):
        file.write_bytes(b"")
    assert load_renderer(str(copy)).render(ASK) == whole


def test_scripted_and_demo_are_names():
    assert isinstance(load_chat_model(ModelSettings(model="scripted")), ScriptedModel)
    assert load_renderer("scripted").count(ASK) > 10
    with pytest.raises(ModelError, match="no weights"):
        load_chat_model(ModelSettings(model="scripted", adapter="x"))


def test_the_demo_model_lies_in_the_package(model_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "demo", lambda: tmp_path)
    assert "demo model is not in this installation" in refusal("demo")
    shutil.copytree(model_folder("llama3"), tmp_path / "model")
    assert load_chat_model(ModelSettings(model="demo", device="cpu")).name == "demo"


def test_what_is_not_a_model_is_refused_in_one_sentence(tmp_path):
    assert "not a model: it has no config.json" in refusal(tmp_path)
    assert "There is no folder" in refusal(tmp_path / "missing")
    assert "There is no folder" in refusal("../elsewhere")
    assert "There is no folder" in refusal("https://example.org/model")
    (tmp_path / "config.json").write_text("{}")
    assert "no safetensors weights" in refusal(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert "only pickled weights" in refusal(tmp_path)


@pytest.mark.parametrize("why", ["is switched off (HF_HUB_OFFLINE)", "cannot be reached"])
def test_a_hub_id_without_the_hub_is_one_sentence(monkeypatch, why):
    monkeypatch.setattr(sources, "why_unreachable", lambda timeout_s: why)
    assert f"neither a folder nor in the cache, and the hub {why}." in refusal("HuggingFaceH4/zephyr-7b-beta")
    with pytest.raises(ModelError, match="neither a folder"):
        load_renderer("nobody/nothing")


def test_an_unreachable_hub_is_noticed_at_once(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "the hub is switched off (HF_HUB_OFFLINE)." in refusal("nobody/nothing")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert "the hub cannot be reached." in refusal("nobody/nothing")


def test_a_tilde_is_the_users_folder(model_folder, monkeypatch):
    folder = model_folder("llama3")
    monkeypatch.setenv("HOME", str(folder.parent))
    assert load_renderer(f"~/{folder.name}").render(ASK) == load_renderer(str(folder)).render(ASK)
    monkeypatch.setenv("SHOTWISE_HOME", "~/mine")
    assert paths.home() == folder.parent / "mine"


@pytest.mark.parametrize("text", ["{", "[]", "null", "{}", '{"model_type": "from-the-future"}', '{"model_type": 3}'])
def test_a_bad_config_is_one_sentence(copy, text):
    (copy / "config.json").write_text(text)
    assert "cannot be loaded" in refusal(copy)


def test_a_model_that_does_not_write_is_refused(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "model_type": "vit", "architectures": ["ViTModel"]}))
    assert "does not write text" in refusal(copy)


def test_code_that_comes_with_a_model_is_never_run_or_asked_for(copy, monkeypatch):
    config = json.loads((copy / "config.json").read_text())
    auto_map = {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil", "AutoTokenizer": ["evil.Evil", None]}
    (copy / "config.json").write_text(json.dumps({**config, "model_type": "evil", "auto_map": auto_map}))
    (copy / "evil.py").write_text(f"open({str(copy / 'ran')!r}, 'w')\nclass Evil: pass\n")
    monkeypatch.setattr(builtins, "input", lambda *_: "y")
    refusal(copy)
    assert not (copy / "ran").exists()


def test_torn_and_incomplete_weights_are_refused(copy):
    (file,) = copy.glob("*.safetensors")
    whole = file.read_bytes()
    for torn in (b"", b"\xff" * 64, whole[:200], whole[:-7]):
        file.write_bytes(torn)
        assert "cannot be loaded" in refusal(copy)
    file.write_bytes(whole)
    tensors = load_file(file)
    lost = "model.layers.1.mlp.up_proj.weight"
    save_file({n: t for n, t in tensors.items() if n != lost}, file, metadata={"format": "pt"})
    assert f"lack 1 tensors, among them {lost}" in refusal(copy)


def test_a_model_that_fills_the_memory_is_loaded_in_bfloat16_with_a_note(model_folder, monkeypatch):
    monkeypatch.setattr(weights, "_available_bytes", lambda: 100_000.0)
    model = load_chat_model(ModelSettings(model=str(model_folder("llama3")), device="cpu"))
    assert model.dtype == "bfloat16"
    assert "bfloat16" in model.notes[0]
    prompt = model.renderer.render(ASK)
    *_, rows = model.generate([prompt], [SamplingSettings(max_new_tokens=4)], Event())
    assert rows[0].finish


def test_the_number_format_asked_for_is_used(model_folder):
    model = load_chat_model(ModelSettings(model=str(model_folder("qwen2")), device="cpu", dtype="bfloat16"))
    assert next(model.network.parameters()).dtype is torch.bfloat16
    assert model.notes == ("Loaded in bfloat16: an answer may depend on what runs beside it.",)
    exact = load_chat_model(ModelSettings(model=str(model_folder("qwen2")), device="cpu", dtype="float32"))
    assert exact.notes == ()


def test_quantisation_without_its_library_says_what_to_install(model_folder, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "bitsandbytes" else real(name, *a)
    )
    with pytest.raises(MissingDependency, match="needs bitsandbytes"):
        load_chat_model(ModelSettings(model=str(model_folder("llama3")), device="cpu", load_in="4bit"))


def test_unknown_devices_and_settings_are_refused(model_folder):
    assert "no device 'abacus'" in refusal(model_folder("llama3"), device="abacus")
    assert "no device 'cuda:99'" in refusal(model_folder("llama3"), device="cuda:99")
    with pytest.raises(UnknownName):
        ModelSettings(dtype="int3")


def test_a_tokenizer_without_a_template_gets_the_plain_one(copy):
    (copy / "chat_template.jinja").unlink()
    assert load_renderer(str(copy)).render(ASK).text.endswith("### User:\na witty film\n\n### Assistant:\n")


@pytest.mark.parametrize("load_in", ["4bit", "8bit"])
def test_quantised_models_reply_and_score(model_folder, load_in):
    pytest.importorskip("bitsandbytes")
    model = load_chat_model(ModelSettings(model=str(model_folder("llama3")), device="cpu", load_in=load_in))
    prompt = model.renderer.render(ASK)
    *_, rows = model.generate([prompt], [SamplingSettings(max_new_tokens=3)], Event())
    assert rows[0].finish
    assert all(score < 0 for score in model.score_labels([prompt], [["yes", "no"]])[0])
    assert "bitsandbytes" in type(model.network.model.layers[0].mlp.up_proj).__module__
