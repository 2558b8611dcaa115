"""Training on miniature sets: the same seed, a pause or a kill end in the same weights, which load anywhere."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from assistant.answering import Assistant, Request
from assistant.finetuning.demo import meaning, training
from assistant.finetuning.demo.held_out import HeldOut
from assistant.finetuning.demo.network import losses, new_network, plain_llama
from assistant.finetuning.demo.recipe import Size, load_recipe
from assistant.finetuning.demo.trainer import Pace
from assistant.finetuning.demo.training import Paused, train_demo_model
from assistant.generation.loading import load_chat_model
from assistant.retrieval.encoders import ToyEncoder
from assistant.settings import ModelSettings, SamplingSettings

ROOT = Path(__file__).resolve().parents[3]
RECIPE = """
seed = 1
[size]
vocabulary = 500
tokenizer_episodes = 60
width = 16
layers = 2
heads = 2
feed_forward = 16
start_from_encoder = false
meaning_layer = 1
[[stages]]
name = "looking"
steps = {steps}
batch_tokens = 300
longest = 300
warmup_steps = 2
meaning = 0.5
mixture = {{ alone = 1.0, copied_few = 2.0, same_class = 1.0 }}
[[stages]]
name = "talking"
steps = {later}
schedule = "linear"
batch_tokens = 300
longest = 300
warmup_steps = 1
prose = 0.2
mixture = {{ drill = 1.0, small_exchange = 1.0, sentiment = 0.2 }}
"""


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.setattr(meaning, "load_encoder", ToyEncoder)


@pytest.fixture
def recipe(tmp_path):
    """Return a function that gives the tiny recipe."""

    def load(steps=6, later=3, **options):
        path = tmp_path / "tiny.toml"
        path.write_text(RECIPE.format(steps=steps, later=later), encoding="utf-8")
        return load_recipe(path, **options)

    return load


@pytest.fixture
def train(public_sets, held_texts, recipe, tmp_path, monkeypatch):
    """Return a function that trains in the working folder of a name; returns where it paused and what it told."""

    def run(name, plan=None, *, until=None, save_every=250):
        monkeypatch.setenv("SHOTWISE_HOME", str(tmp_path / name))
        told = []
        pace = Pace(until=until, save_every=save_every, log_every=1)
        held, out = HeldOut.of(held_texts), tmp_path / name / "out"
        paused = train_demo_model(public_sets, held, plan or recipe(), out, pace, told.append)
        return paused, told

    return run


def record(home):
    return json.loads((home / "out/training.json").read_text("utf-8"))


def curves(home):
    return [stage["loss"] for stage in record(home)["stages"]]


def weights(home):
    """Return the float32 weights of the last stage."""
    (last,) = (home / "runs/demo-model").glob("2-*")
    return load_file(last / "model.safetensors")


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_same_seed_gives_the_same_losses_and_another_seed_others(train, recipe, tmp_path):
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        train(name, recipe(seed=seed))
    assert curves(tmp_path / "first") == curves(tmp_path / "again")
    assert [len(curve) for curve in curves(tmp_path / "first")] == [6, 3]
    assert equal(weights(tmp_path / "first"), weights(tmp_path / "again"))
    assert curves(tmp_path / "first") != curves(tmp_path / "other")


def test_a_training_that_pauses_and_goes_on_ends_with_the_same_weights(train, tmp_path):
    whole, _ = train("whole")
    pauses = [train("pausing", until=time.monotonic())[0] for _ in range(3)]
    assert whole is None
    assert pauses == [Paused("looking", step, 6) for step in (1, 2, 3)]
    assert not (tmp_path / "pausing/out").exists()
    assert train("pausing")[0] is None
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "pausing"))
    assert curves(tmp_path / "whole") == curves(tmp_path / "pausing")
    assert not list((tmp_path / "pausing/runs").rglob("checkpoint-*"))


def test_finished_stages_are_used_again_if_nothing_that_decides_them_changed(train, recipe, tmp_path):
    train("home")
    before = weights(tmp_path / "home")
    _, told = train("home", recipe(later=4))
    assert not any(line.startswith("looking") for line in told)
    assert any(line.startswith("talking: step 4 of 4") for line in told)
    assert [len(curve) for curve in curves(tmp_path / "home")] == [6, 4]
    _, told = train("home")
    assert not any(": step" in line for line in told)
    _, told = train("home", recipe(seed=2))
    assert any(line.startswith("looking: step 6 of 6") for line in told)
    assert len(before) > 4


def test_what_is_saved_loads_with_transformers_alone_and_as_a_chat_model(train, tmp_path):
    from transformers import AutoTokenizer, LlamaForCausalLM

    train("home")
    out = tmp_path / "home/out"
    plain, info = LlamaForCausalLM.from_pretrained(out, output_loading_info=True)
    assert not any(info.values())
    assert plain.dtype == torch.bfloat16
    trained = weights(tmp_path / "home")["model.embed_tokens.weight"]
    torch.testing.assert_close(plain.get_input_embeddings().weight, trained.to(torch.bfloat16), rtol=0, atol=0)
    assert AutoTokenizer.from_pretrained(out).chat_template
    model = load_chat_model(ModelSettings(model=str(out)))
    answer = Assistant(model).answer(Request("Hello!", sampling=SamplingSettings(max_new_tokens=4)))
    assert answer.calls[0].new_tokens >= 1
    assert answer.calls[0].prompt.endswith("<|assistant|>\n")


def test_the_record_says_what_was_trained_on_what(train, tmp_path):
    train("home")
    told = record(tmp_path / "home")
    assert (told["recipe"], told["seed"], told["size"]["width"]) == ("tiny", 1, 16)
    assert [stage["stage"]["name"] for stage in told["stages"]] == ["looking", "talking"]
    assert all(stage["tokens"] > 500 and stage["device"] == "cpu" for stage in told["stages"])
    assert {(one["set"], one["rows"]) for one in told["rows_left_out"]} >= {("films", 1), ("questions", 2)}
    plain = load_file(tmp_path / "home/out/model.safetensors")
    assert told["parameters"] == sum(weight.numel() for weight in plain.values())


def test_a_failing_export_leaves_the_stages_to_be_used_again(train, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(training, "plain_llama", lambda network: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train("home")
    paused, told = train("home")
    assert paused is None
    assert not any(": step" in line for line in told)
    assert (tmp_path / "home/out/model.safetensors").is_file()


@pytest.mark.parametrize("structured", [False, True])
def test_a_new_network_is_decided_by_its_seed_and_plain_without_its_head(tokenizer, structured):
    size = Size(width=64, layers=5, heads=2, feed_forward=32, structured_start=structured)
    first, again, other = (new_network(tokenizer, size, seed, 12) for seed in (1, 1, 2))
    assert equal(first.state_dict(), again.state_dict())
    assert not equal(first.state_dict(), other.state_dict())
    ids = torch.tensor([tokenizer("the plot of film 7 is dull")["input_ids"]])
    torch.testing.assert_close(plain_llama(first.eval()).eval()(ids).logits, first(ids).logits)


def test_the_loss_is_that_of_the_whole_network_on_what_is_learnt(tokenizer):
    size = Size(width=16, layers=2, heads=2, feed_forward=16, start_from_encoder=False, meaning_layer=1)
    network = new_network(tokenizer, size, 0, 4).eval()
    ids = torch.randint(6, 300, (2, 9), generator=torch.Generator().manual_seed(0))
    labels = ids.clone()
    labels[:, :4] = labels[1, 7:] = -100
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    batch = {"input_ids": ids, "attention_mask": mask, "labels": labels, "meaning_at": torch.tensor([[1, 3, 2]])}
    meanings = torch.nn.functional.normalize(torch.randn(3, 4, generator=torch.Generator().manual_seed(1)))
    reply, told = losses(network, batch, meanings)
    whole = network(input_ids=ids, attention_mask=mask, labels=labels, output_hidden_states=True)
    torch.testing.assert_close(reply, whole.loss)
    state = network.meaning(whole.hidden_states[1][1, 3])
    torch.testing.assert_close(told, 1 - torch.nn.functional.cosine_similarity(state, meanings[2], dim=0))
    none = losses(network, batch | {"meaning_at": torch.zeros((0, 3), dtype=torch.long)}, meanings)
    torch.testing.assert_close(none[0], reply)
    assert none[1] == 0


@pytest.mark.slow
def test_two_hundred_steps_are_the_same_again_and_after_a_kill(public_sets, held_texts, recipe, train, tmp_path):
    plan = recipe(steps=150, later=50)
    train("first", plan)
    train("again", plan)
    assert [len(curve) for curve in curves(tmp_path / "first")] == [150, 50]
    assert curves(tmp_path / "first") == curves(tmp_path / "again")
    _killed_in_the_middle(public_sets, held_texts, tmp_path)
    kept = [path.name for path in (tmp_path / "killed/runs").rglob("checkpoint-*")]
    assert kept
    paused, told = train("killed", plan, save_every=40)
    assert paused is None
    assert not any(line.startswith("looking: step 1 ") for line in told)
    assert curves(tmp_path / "killed") == curves(tmp_path / "first")
    assert equal(weights(tmp_path / "killed"), weights(tmp_path / "first"))


def _killed_in_the_middle(public_sets, held_texts, tmp_path):
    """Train in a process of its own and kill it without warning after step 95 of the first stage."""
    program = (
        "import json, sys; from pathlib import Path\n"
        "from assistant.finetuning.demo import meaning\n"
        "from assistant.finetuning.demo.held_out import HeldOut\n"
        "from assistant.finetuning.demo.recipe import load_recipe\n"
        "from assistant.finetuning.demo.trainer import Pace\n"
        "from assistant.finetuning.demo.training import train_demo_model\n"
        "from assistant.retrieval.encoders import ToyEncoder\n"
        "meaning.load_encoder = ToyEncoder\n"
        "data, recipe, out, texts = sys.argv[1:]\n"
        "held = HeldOut.of(json.loads(texts))\n"
        "tell = lambda line: print(line, flush=True)\n"
        "pace = Pace(save_every=40, log_every=1)\n"
        "train_demo_model(Path(data), held, load_recipe(Path(recipe)), Path(out), pace, tell)\n"
    )
    home = tmp_path / "killed"
    arguments = [public_sets, tmp_path / "tiny.toml", home / "out", json.dumps(held_texts)]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"SHOTWISE_HOME": str(home)},
    )
    with process:
        assert any(line.startswith("looking: step 95 ") for line in process.stdout)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
