"""QLoRA for real, where bitsandbytes is installed: it quantises on a CPU too."""

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from assistant import paths
from assistant.answering import Assistant, Request
from assistant.finetuning.generators.shelf import find_tuned, merge
from assistant.generation.loading import load_chat_model
from assistant.settings import ModelSettings

pytest.importorskip("bitsandbytes")
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


@pytest.fixture
def trained(train):
    """A LoRA that was learnt beside weights in four bits."""
    return train(method="qlora", learning_rate=0.05)


def scores(model, adapter=None, load_in=None):
    settings = ModelSettings(model=str(model), adapter=adapter, load_in=load_in, device="cpu")
    chat = load_chat_model(settings)
    return Assistant(chat).answer(Request("a witty film", task="sentiment", reading="labels")).label_scores


def test_it_is_learnt_beside_weights_in_four_bits(train):
    first = {
        method: train(name=method, method=method, family="demo", dropout=0.0, steps=1).record["curve"]["train"][0][1]
        for method in ("lora", "qlora")
    }
    assert first["qlora"] != pytest.approx(first["lora"], abs=1e-5)  # the base that begins is another one
    assert first["qlora"] == pytest.approx(first["lora"], rel=0.2)


def test_a_validation_between_steps_changes_no_gradient(train):
    # bitsandbytes packs weights at an evaluation, and gradients do not go back through packed ones.
    kept = []
    for every in (1, 4):
        done = train(name=f"every-{every}", method="qlora", family="demo", steps=4, evaluate_every=every, dropout=0.0)
        kept.append([loss for _, loss in done.record["curve"]["train"]])
    assert kept[0] == pytest.approx(kept[1], abs=1e-6)


def test_it_changes_what_is_said_beside_weights_in_four_bits_and_beside_whole_ones(trained, model_folder):
    base = model_folder("llama3")
    for load_in in ("4bit", None):
        assert scores(base, "mine", load_in) != pytest.approx(scores(base, None, load_in), abs=1e-3)
    assert "--adapter mine --load-in 4bit" in (trained.folder / "README.md").read_text()


def test_plain_peft_loads_it_beside_weights_in_four_bits(train):
    # The demo model: bitsandbytes alone does not evaluate layers as narrow as the tiny one's on every CPU.
    folder, base = train(method="qlora", family="demo", learning_rate=0.05).folder, paths.demo() / "model"
    quantised = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
    network = AutoModelForCausalLM.from_pretrained(
        base, quantization_config=quantised, device_map={"": "cpu"}, dtype=torch.float32
    )
    plain = peft.PeftModel.from_pretrained(network, folder).eval()
    ours = load_chat_model(ModelSettings(adapter="mine", load_in="4bit", device="cpu", dtype="float32"))
    prompt = Assistant(ours).prepare(Request("a witty film", task="sentiment")).rendered
    ids = ours.renderer.label_ids(prompt, "positive")
    with torch.inference_mode():
        rows = plain(input_ids=torch.tensor([[*prompt.token_ids, *ids]])).logits[0, -len(ids) - 1 : -1]
    told = sum(rows.log_softmax(-1)[at, token].item() for at, token in enumerate(ids))
    assert ours.score_labels([prompt], [["positive"]])[0][0] == pytest.approx(told, abs=1e-2)


def test_it_is_merged_into_the_whole_weights(trained, model_folder):
    base = model_folder("llama3")
    folder = merge(find_tuned("mine"), "merged", base)
    assert scores(folder) == pytest.approx(scores(base, "mine"), abs=1e-4)
