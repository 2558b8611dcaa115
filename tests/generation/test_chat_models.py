"""One base network and its adapters: nothing is switched, nothing is copied, nothing leaks from one to the other."""

import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from assistant.answering import Assistant, Request
from assistant.errors import AdapterError, ModelError
from assistant.generation.chat_model import ScriptedModel
from assistant.generation.chat_models import AdapterChoice, SingleModel, load_chat_models
from assistant.generation.loading import load_chat_model
from assistant.settings import ModelSettings, SamplingSettings
from tests.generation.test_adapters import WEIGHTS, asked, edit, save_adapter

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
    pytest.mark.usefixtures("no_built_in_adapter"),
]
KINDS = {
    "lora": peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj", "v_proj"]),
    "dora": peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"], use_dora=True),
    "ia3": peft.IA3Config(
        task_type="CAUSAL_LM", target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"]
    ),
    "prompt": peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5),
    "prefix": peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5),
    "saved": peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"], modules_to_save=["lm_head"]),
}


@pytest.fixture(scope="module")
def made(model_folder, tmp_path_factory):
    """The folder of an adapter of each kind, for the tiny Llama."""
    root = tmp_path_factory.mktemp("kinds")
    return {kind: save_adapter(root / kind, model_folder("llama3"), config) for kind, config in KINDS.items()}


@pytest.fixture
def placed(made, home):
    """Put adapters of these kinds under adapters/."""

    def place(*kinds):
        for kind in kinds:
            shutil.copytree(made[kind], home / "adapters" / kind)

    return place


def models_of(folder, adapter=None):
    return load_chat_models(ModelSettings(model=str(folder), adapter=adapter, device="cpu"))


def reply(model, text="a witty film", tokens=12):
    *_, rows = model.generate([asked(model, text)], [SamplingSettings(max_new_tokens=tokens)], Event())
    return rows[0].text


def tensors(model):
    return [*model.network.parameters(), *model.network.buffers()]


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_shares_the_base_and_leaves_every_bit_of_it_alone(model_folder, placed, home, kind):
    placed(kind)
    models = models_of(model_folder("llama3"))
    base = models.get("none")
    before, places = [t.clone() for t in tensors(base)], [t.data_ptr() for t in tensors(base)]
    said = reply(base)
    adapted = models.get(kind)
    assert reply(adapted) != said
    assert [t.data_ptr() for t in tensors(base)] == places
    assert all(torch.equal(t, old) for t, old in zip(tensors(base), before, strict=True))
    assert reply(base) == said
    assert set(places) <= {t.data_ptr() for t in tensors(adapted)}
    own = sum(t.nbytes for t in tensors(adapted) if t.data_ptr() not in places)
    assert 0 < own <= (home / "adapters" / kind / WEIGHTS).stat().st_size


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_that_shares_answers_as_a_model_loaded_with_the_adapter_alone(model_folder, placed, made, kind):
    placed(kind)
    shared = models_of(model_folder("llama3")).get(kind)
    alone = load_chat_model(ModelSettings(model=str(model_folder("llama3")), adapter=str(made[kind]), device="cpu"))
    for text in ("a witty film", "Is it good or bad?"):
        assert reply(shared, text) == reply(alone, text)
    prompt = asked(shared)
    assert shared.score_labels([prompt], [["positive"]]) == alone.score_labels([prompt], [["positive"]])
    assert (shared.identity["adapter"], shared.context_tokens) == (alone.identity["adapter"], alone.context_tokens)
    assert shared.adapter_sha256 == hashlib.sha256((made[kind] / WEIGHTS).read_bytes()).hexdigest()


@pytest.mark.parametrize("family", ["mistral", "qwen2", "gemma2", "gemma3"])
def test_every_family_can_be_copied(model_folder, home, family):
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"])
    save_adapter(home / "adapters" / "mine", model_folder(family), config)
    models = models_of(model_folder(family))
    said = reply(models.get(None))
    assert reply(models.get("mine")) != said == reply(models.get("none"))


def test_an_encoder_decoder_keeps_its_tied_embeddings_in_a_copy(model_folder, home):
    config = peft.LoraConfig(task_type="SEQ_2_SEQ_LM", r=2, target_modules=["q", "v"])
    save_adapter(home / "adapters" / "mine", model_folder("t5"), config, encoder_decoder=True)
    models = models_of(model_folder("t5"))
    base, adapted = models.get("none"), models.get("mine")
    assert reply(base) != reply(adapted)
    inner = adapted.network.get_base_model()
    assert inner.shared.weight is inner.encoder.embed_tokens.weight is base.network.shared.weight


MARKS = "qz"


@pytest.fixture
def marker(model_folder, home):
    """Put an adapter under adapters/ with which every token is one of two that nothing else is made of."""
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"], modules_to_save=["lm_head"])
    place = save_adapter(home / "adapters" / "marker", model_folder("llama3"), config)
    renderer = models_of(model_folder("llama3")).get("none").renderer
    weights = load_file(place / WEIGHTS)
    (head,) = (name for name in weights if "lm_head" in name)
    weights[head].zero_()
    # Whatever the last layer says: where one row has a negative logit, its opposite has a positive one.
    for mark, sign in zip(MARKS, (1, -1), strict=True):
        (token,) = renderer.tokenizer.encode(mark, add_special_tokens=False)
        weights[head][token] = sign * 100 * torch.linspace(0.5, 1.5, weights[head].shape[1])
    save_file(weights, place / WEIGHTS)
    return "marker"


def test_no_answer_comes_from_another_adapter_however_they_are_mixed(model_folder, marker):
    models = models_of(model_folder("llama3"))
    texts = [f"a film number {number}" for number in range(5)]
    plain = load_chat_model(ModelSettings(model=str(model_folder("llama3")), device="cpu"))
    wanted = {text: reply(plain, text, 3) for text in texts}
    assert not any(set(said) <= set(MARKS) for said in wanted.values())

    def ask(number):
        adapter, text = ("none", marker)[number % 2], texts[number % 5]
        return adapter, text, reply(models.get(adapter), text, 3)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(ask, range(400)))
    for adapter, text, said in answers:
        assert said == wanted[text] if adapter == "none" else set(said) <= set(MARKS) and len(said) == 3


def test_columns_differ_in_strategy_and_adapter_and_their_order_does_not_matter(model_folder, placed, made):
    placed("lora", "ia3")
    models = models_of(model_folder("llama3"))
    assistant = Assistant(models.get(None), models)
    sampling = SamplingSettings(max_new_tokens=6)
    requests = [
        Request("Good film", strategy, "sentiment", sampling=sampling, adapter=adapter)
        for adapter in ("none", "lora", "ia3")
        for strategy in ("zero-shot", "static-few-shot")
    ]
    *_, answers = assistant.compare(requests)
    *_, turned = assistant.compare(requests[::-1])
    assert [(one.strategy, one.adapter) for one in answers] == [
        (one.strategy, None if one.adapter == "none" else one.adapter) for one in requests
    ]
    assert [one.answer for one in answers] == [one.answer for one in turned][::-1]
    assert [one.answer for one in answers] == [one.answer for one in assistant.answer_all(requests)]
    assert len({one.answer for one in answers[::2]}) == 3
    hashes = [None, *(hashlib.sha256((made[kind] / WEIGHTS).read_bytes()).hexdigest() for kind in ("lora", "ia3"))]
    assert [one.to_json()["adapter_sha256"] for one in answers[::2]] == hashes


def test_labels_are_scored_by_the_adapter_that_is_asked_for(model_folder, placed):
    placed("lora")
    models = models_of(model_folder("llama3"))
    assistant = Assistant(models.get(None), models)
    requests = [
        Request("Good film", task="sentiment", reading="labels", adapter=adapter) for adapter in (None, "lora", "none")
    ]
    *_, (base, adapted, again) = assistant.compare(requests)
    assert base.label_scores == again.label_scores != adapted.label_scores


def test_what_the_program_was_started_with_answers_unless_something_else_is_asked_for(model_folder, placed, made):
    placed("lora")
    models = models_of(model_folder("llama3"), adapter=str(made["ia3"]))
    assert [models.get(name).adapter for name in (None, "", "none", "lora")] == ["ia3", "ia3", None, "lora"]
    assert models.choices() == (AdapterChoice(str(made["ia3"]), "ia3"), AdapterChoice("lora", "lora"))


def test_an_unknown_adapter_is_one_sentence(model_folder, placed):
    placed("lora")
    models = models_of(model_folder("llama3"))
    with pytest.raises(AdapterError, match="There is no adapter 'lore'") as caught:
        Assistant(models.get(None), models).answer(Request("Hi", adapter="lore"))
    assert "lora" in caught.value.hint
    with pytest.raises(AdapterError, match="There is no adapter 'lore'"):
        models_of(model_folder("llama3"), adapter="lore")


def test_a_new_adapter_is_there_at_once_and_one_that_is_trained_again_is_read_again(model_folder, placed, home):
    models = models_of(model_folder("llama3"))
    assert models.choices() == ()
    placed("lora")
    assert models.choices() == (AdapterChoice("lora", "lora"),)
    old = models.get("lora")
    assert models.get("lora") is old
    file = home / "adapters" / "lora" / WEIGHTS
    save_file({name: 2 * tensor for name, tensor in load_file(file).items()}, file)
    new = models.get("lora")
    assert new.adapter_sha256 != old.adapter_sha256
    assert reply(new) != reply(old)
    edit(home / "adapters" / "lora", lora_alpha=64)
    assert models.get("lora").identity != new.identity
    shutil.rmtree(home / "adapters" / "lora")
    with pytest.raises(AdapterError, match="There is no adapter"):
        models.get("lora")


def test_adapters_that_do_not_fit_are_listed_with_the_reason(model_folder, placed, home):
    placed("lora", "ia3", "prompt")
    folder = home / "adapters"
    edit(folder / "lora", base_model_name_or_path="HuggingFaceH4/zephyr-7b-beta")
    edit(folder / "ia3", task_type="SEQ_CLS")
    (folder / "prompt" / WEIGHTS).write_bytes(b"torn")
    (folder / "README.md").write_text("not a folder")
    problems = {one.name: one.problem for one in models_of(model_folder("llama3")).choices()}
    for name, word in (("lora", "zephyr-7b-beta"), ("ia3", "SEQ_CLS"), ("prompt", "not a valid safetensors")):
        assert word in problems[name]


def test_an_adapter_that_was_trained_under_another_chat_template_is_refused(model_folder, placed, home):
    placed("lora")
    models = models_of(model_folder("llama3"))
    own = models.get("none").renderer.template_hash
    record = home / "adapters" / "lora" / "training.json"
    record.write_text(json.dumps({"chat_template_sha256": "of another"}))
    assert "another chat template" in models.choices()[0].problem
    settings = ModelSettings(model=str(model_folder("llama3")), adapter="lora", device="cpu")
    for ask in (lambda: models.get("lora"), lambda: load_chat_model(settings)):
        with pytest.raises(AdapterError, match="trained under another chat template"):
            ask()
    record.write_text(json.dumps({"chat_template_sha256": own}))
    assert models.get("lora").adapter == "lora"


def test_only_the_last_few_stay_and_the_base_always(model_folder, made, home):
    for number in range(6):
        shutil.copytree(made["lora"], home / "adapters" / f"a{number}")
    models = models_of(model_folder("llama3"))
    base, first = models.get("none"), models.get("a0")
    for number in range(1, 4):
        models.get(f"a{number}")
    assert models.get("a0") is first
    models.get("a4")
    models.get("a5")
    assert models.get("a0") is first
    for number in range(1, 5):
        models.get(f"a{number}")
    assert models.get("a0") is not first
    assert models.get("none") is base


def test_tensors_of_the_base_in_an_adapter_are_not_written_over_the_base(model_folder, placed, home):
    """peft saves resized embeddings with an adapter, and loads them over the model's own."""
    placed("lora")
    folder = home / "adapters" / "lora"
    models = models_of(model_folder("llama3"))
    base = models.get("none")
    said, embedding = reply(base), base.network.get_input_embeddings().weight
    before = embedding.clone()
    name = "base_model.model.model.embed_tokens.weight"
    save_file({**load_file(folder / WEIGHTS), name: embedding.flip(0).contiguous()}, folder / WEIGHTS)
    adapted = models.get("lora")
    assert torch.equal(adapted.network.get_input_embeddings().weight, before.flip(0))
    assert torch.equal(embedding, before)
    assert reply(base) == said


def test_an_adapter_whose_start_changes_the_base_gets_weights_of_its_own(model_folder, home):
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"], init_lora_weights="olora")
    save_adapter(home / "adapters" / "mine", model_folder("llama3"), config)
    models = models_of(model_folder("llama3"))
    base = models.get("none")
    before, said = [t.clone() for t in tensors(base)], reply(base)
    reply(models.get("mine"))
    assert all(torch.equal(t, old) for t, old in zip(tensors(base), before, strict=True))
    assert reply(base) == said


def test_weights_that_change_while_they_are_read_are_refused(model_folder, placed, home, monkeypatch):
    placed("lora")
    models = models_of(model_folder("llama3"))
    monkeypatch.setattr("assistant.generation.adapters.file_sha256", lambda file: "of an earlier moment")
    with pytest.raises(AdapterError, match="changed while it was being read"):
        models.get("lora")


def test_a_model_without_weights_answers_without_an_adapter_only():
    models = load_chat_models(ModelSettings(model="scripted"))
    assert isinstance(models.get("none"), ScriptedModel)
    assert models.get(None) is models.get("none")
    assert models.choices() == ()
    with pytest.raises(AdapterError, match="was loaded without an adapter and cannot answer with 'lora'"):
        models.get("lora")
    with pytest.raises(ModelError):
        load_chat_models(ModelSettings(model="scripted", adapter="lora"))


def test_an_assistant_of_one_model_has_that_ones_adapter_and_no_other():
    model = ScriptedModel(["Hello."])
    model.adapter = "mine"
    assistant = Assistant(model)
    assert assistant.answer(Request("Hi", adapter="mine")).answer == "Hello."
    with pytest.raises(AdapterError, match="was loaded with the adapter 'mine' and cannot answer without one"):
        assistant.answer(Request("Hi", adapter="none"))
    assert SingleModel(model).get(None) is model


def test_adapters_of_one_base_share_no_cache_of_replies(model_folder, placed):
    from assistant.langchain.chat import ShotwiseChatModel

    placed("lora", "ia3")
    models = models_of(model_folder("llama3"))
    keys = [str(ShotwiseChatModel(chat_model=models.get(one))._identifying_params) for one in ("none", "lora", "ia3")]
    assert len(set(keys)) == 3
    again = models_of(model_folder("llama3"), adapter="lora")
    assert str(ShotwiseChatModel(chat_model=again.get(None))._identifying_params) == keys[1]
