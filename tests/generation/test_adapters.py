import json
import shutil
from threading import Event

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from assistant.errors import AdapterError
from assistant.generation.adapters import find_adapter
from assistant.generation.loading import load_chat_model
from assistant.records import Prompt
from assistant.settings import ModelSettings, SamplingSettings

# peft 0.21 asks transformers for a name that 5.23 has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


def save_adapter(folder, base, config, *, seed=1, encoder_decoder=False, scale=0.5):
    """Save an adapter with plain peft, every tensor of it random."""
    auto = AutoModelForSeq2SeqLM if encoder_decoder else AutoModelForCausalLM
    torch.manual_seed(seed)
    model = peft.get_peft_model(auto.from_pretrained(base), config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad and scale:
                weight.normal_(0, scale)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def lora(model_folder, tmp_path_factory):
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "v_proj"])
    return save_adapter(tmp_path_factory.mktemp("adapters") / "kind", model_folder("llama3"), config)


@pytest.fixture
def copy(lora, tmp_path):
    return shutil.copytree(lora, tmp_path / "copy")


def load(base, adapter=None):
    return load_chat_model(ModelSettings(model=str(base), adapter=adapter and str(adapter), device="cpu"))


def asked(model, text="a witty film"):
    return model.renderer.render(Prompt(({"role": "user", "content": text},), ("question",)))


def reply(model, text="a witty film"):
    *_, rows = model.generate([asked(model, text)], [SamplingSettings(max_new_tokens=16)], Event())
    return rows[0].text


def edit(folder, **changes):
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, **changes}))


def test_a_plain_peft_folder_loads_and_changes_the_answers(model_folder, lora):
    base, adapted = load(model_folder("llama3")), load(model_folder("llama3"), lora)
    assert adapted.adapter == "kind"
    assert base.adapter is None
    assert reply(base) != reply(adapted)


def test_adapted_label_scores_equal_those_of_plain_peft(model_folder, lora):
    model = load(model_folder("llama3"), lora)
    plain = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model_folder("llama3")), lora).eval()
    prompt = asked(model)
    ((score,),) = model.score_labels([prompt], [["positive"]])
    ids = model.renderer.label_ids(prompt, "positive")
    with torch.inference_mode():
        logits = plain(torch.tensor([[*prompt.token_ids, *ids]])).logits[0, len(prompt.token_ids) - 1 : -1]
    wanted = sum(logits.log_softmax(-1)[at, token].item() for at, token in enumerate(ids))
    assert score == pytest.approx(wanted, abs=1e-4)


def test_an_adapter_is_found_by_its_name(model_folder, lora, tmp_path, monkeypatch):
    monkeypatch.setenv("SHOTWISE_HOME", str(tmp_path))
    shutil.copytree(lora, tmp_path / "adapters" / "mine")
    assert load(model_folder("llama3"), "mine").adapter == "mine"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load(model_folder("llama3"), "~/adapters/mine").adapter == "mine"
    with pytest.raises(AdapterError, match="no adapter 'other'"):
        load(model_folder("llama3"), "other")


def test_a_folder_that_is_called_like_an_adapter_does_not_hide_it(lora, tmp_path, monkeypatch):
    monkeypatch.setenv("SHOTWISE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(lora, tmp_path / "home/adapters/mine")
    (tmp_path / "mine").mkdir()
    assert find_adapter("mine") == tmp_path / "home/adapters/mine"
    shutil.copytree(lora, tmp_path / "here")
    (tmp_path / "home/adapters/here").mkdir()
    assert find_adapter("here").resolve() == tmp_path / "here"


def test_an_adapter_of_another_base_is_refused_with_both_names(model_folder, copy):
    edit(copy, base_model_name_or_path="HuggingFaceH4/zephyr-7b-beta")
    with pytest.raises(AdapterError, match="trained for base model HuggingFaceH4/zephyr-7b-beta, but the model loaded"):
        load(model_folder("llama3"), copy)


def test_an_adapter_of_another_family_is_refused(model_folder, lora):
    with pytest.raises(AdapterError, match="was trained for base model"):
        load(model_folder("qwen2"), lora)


def test_an_adapter_that_names_no_base_is_judged_by_its_tensors(model_folder, copy):
    edit(copy, base_model_name_or_path=None)
    assert reply(load(model_folder("llama3"), copy))
    tensors = load_file(copy / WEIGHTS)
    save_file(
        {name: torch.zeros(*tensor.shape[:-1], tensor.shape[-1] + 1) for name, tensor in tensors.items()},
        copy / WEIGHTS,
    )
    with pytest.raises(AdapterError, match="does not fit the model"):
        load(model_folder("llama3"), copy)


def test_a_copy_of_the_base_elsewhere_is_known_by_its_weights(model_folder, copy, tmp_path):
    twin = shutil.copytree(model_folder("llama3"), tmp_path / "twin")
    edit(copy, base_model_name_or_path=str(twin))
    assert load(model_folder("llama3"), copy).adapter == "copy"


def test_missing_renamed_and_added_tensors_are_refused(model_folder, copy):
    tensors = load_file(copy / WEIGHTS)
    first = next(iter(tensors))
    rest = {name: tensor for name, tensor in tensors.items() if name != first}
    for changed, word in (
        (rest, "lacks 1"),
        ({**rest, first.replace("layers.0", "layers.9"): tensors[first]}, "lacks 1"),
        ({**tensors, "base_model.model.other.weight": tensors[first].clone()}, "no place"),
        ({name.replace("lora_", "loha_"): tensor for name, tensor in tensors.items()}, "lacks 8"),
    ):
        save_file(changed, copy / WEIGHTS)
        with pytest.raises(AdapterError, match=word):
            load(model_folder("llama3"), copy)


def test_an_untrained_adapter_loads_with_a_note(model_folder, tmp_path):
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"])
    folder = save_adapter(tmp_path / "fresh", model_folder("llama3"), config, scale=0)
    assert "untrained" in load(model_folder("llama3"), folder).notes[0]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"r": 50_000_000}, "r must be"),
        ({"r": True}, "r must be"),
        ({"target_modules": "(a+)+$"}, "plain module names"),
        ({"target_modules": ["(a+)+$"]}, "plain module names"),
        ({"rank_pattern": {"(a+)+$": 4}}, "rank_pattern"),
        ({"rank_pattern": {"q_proj": 5_000_000}}, "rank_pattern"),
        ({"alpha_pattern": {"(a+)+$": 4}}, "alpha_pattern"),
        ({"layers_pattern": "(a+)+$"}, "layers_pattern"),
        ({"exclude_modules": "(a+)+$"}, "exclude_modules"),
        ({"auto_mapping": {"base_model_class": "run", "parent_library": "subprocess"}}, "auto_mapping"),
        ({"peft_type": "SURPRISE"}, "peft_type"),
        ({"peft_type": None}, "peft_type"),
        ({"task_type": "SEQ_CLS"}, "SEQ_CLS"),
        ({"init_lora_weights": "pissa_niter_4"}, "does not come out the same twice"),
        ({"from_the_future": 3}, "from_the_future"),
        ({"target_modules": ["nothing_of_that_name"]}, "does not fit"),
    ],
)
def test_hostile_and_foreign_configs_are_refused(model_folder, copy, changes, word):
    edit(copy, **changes)
    with pytest.raises(AdapterError, match=word):
        load(model_folder("llama3"), copy)


def test_damaged_folders_are_refused(model_folder, copy):
    base = model_folder("llama3")
    (copy / "adapter_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(AdapterError, match="pickled"):
        load(base, copy)
    (copy / "adapter_model.bin").unlink()
    whole = (copy / WEIGHTS).read_bytes()
    strange = (b"[]", b'{"a":{"shape":[1e999],"dtype":"F32"}}')
    headers = [len(text).to_bytes(8, "little") + text for text in strange]
    for torn in (b"", b"\xff" * 64, whole[:100], whole[:8] + b"x" * 500, whole[:-10], *headers):
        (copy / WEIGHTS).write_bytes(torn)
        with pytest.raises(AdapterError):
            load(base, copy)
    (copy / WEIGHTS).unlink()
    with pytest.raises(AdapterError, match="has no adapter_model"):
        load(base, copy)
    for text in ("{", "[]", "[" * 100_000, '"x"'):
        (copy / CONFIG).write_text(text)
        with pytest.raises(AdapterError, match=CONFIG):
            load(base, copy)
    (copy / CONFIG).unlink()
    with pytest.raises(AdapterError, match="is not an adapter"):
        load(base, copy)


KINDS = {
    "prompt": lambda task: peft.PromptTuningConfig(task_type=task, num_virtual_tokens=5),
    "prefix": lambda task: peft.PrefixTuningConfig(task_type=task, num_virtual_tokens=5),
    "ia3": lambda task: peft.IA3Config(
        task_type=task,
        target_modules=["k", "v", "wo"] if task.startswith("SEQ") else ["k_proj", "v_proj", "down_proj"],
        feedforward_modules=["wo"] if task.startswith("SEQ") else ["down_proj"],
    ),
    "lora": lambda task: peft.LoraConfig(task_type=task, r=2, target_modules=["q", "v"]),
}


@pytest.mark.parametrize(
    ("family", "kind"),
    [("llama3", "prompt"), ("llama3", "prefix"), ("llama3", "ia3"), ("t5", "lora"), ("t5", "prompt"), ("t5", "prefix")],
)
def test_every_kind_of_adapter_replies_as_its_whole_rows_score(model_folder, tmp_path, family, kind):
    """Greedy replies in a padded batch equal argmax over plain full passes with the adapter."""
    seq2seq = family == "t5"
    config = KINDS[kind]("SEQ_2_SEQ_LM" if seq2seq else "CAUSAL_LM")
    folder = save_adapter(tmp_path / kind, model_folder(family), config, encoder_decoder=seq2seq)
    base, model = load(model_folder(family)), load(model_folder(family), folder)
    auto = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
    plain = peft.PeftModel.from_pretrained(auto.from_pretrained(model_folder(family)), folder).eval()
    prompts = [asked(model), asked(model, "Is this review positive or negative? The plot was dull.")]
    *_, rows = model.generate(prompts, [SamplingSettings(max_new_tokens=8)] * 2, Event())
    *_, old = base.generate(prompts, [SamplingSettings(max_new_tokens=8)] * 2, Event())
    assert [row.text for row in rows] != [row.text for row in old]
    for prompt, row in zip(prompts, rows, strict=True):
        ids = []
        for _ in range(row.new_tokens):
            with torch.inference_mode():
                if seq2seq:
                    fed = torch.tensor([[model.network.config.decoder_start_token_id, *ids]])
                    logits = plain(
                        input_ids=torch.tensor([prompt.token_ids]),
                        attention_mask=torch.ones(1, len(prompt.token_ids)),
                        decoder_input_ids=fed,
                    ).logits
                else:
                    fed = torch.tensor([[*prompt.token_ids, *ids]])
                    logits = plain(input_ids=fed, attention_mask=torch.ones_like(fed)).logits
            ids.append(int(logits[0, -1].argmax()))
        assert row.text == model.renderer.decode([i for i in ids if i not in model.renderer.stop_ids]).rstrip("\ufffd")
    ((score,), *_) = model.score_labels(prompts, [["positive"]] * len(prompts))
    label = model.renderer.label_ids(prompts[0], "positive")
    with torch.inference_mode():
        if seq2seq:
            fed = torch.tensor([[model.network.config.decoder_start_token_id, *label[:-1]]])
            logits = plain(
                input_ids=torch.tensor([prompts[0].token_ids]),
                attention_mask=torch.ones(1, len(prompts[0].token_ids)),
                decoder_input_ids=fed,
            ).logits[0]
        else:
            fed = torch.tensor([[*prompts[0].token_ids, *label]])
            logits = plain(input_ids=fed, attention_mask=torch.ones_like(fed)).logits[0, -len(label) - 1 : -1]
    wanted = sum(logits.log_softmax(-1)[at, token].item() for at, token in enumerate(label))
    assert score == pytest.approx(wanted, abs=1e-4)
