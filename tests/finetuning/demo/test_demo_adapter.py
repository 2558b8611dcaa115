"""The demo model's adapter: trained on a tiny model, found by its name, refused by other weights."""

import gzip
import hashlib
import json
import re
import shutil

import numpy as np
import peft
import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from assistant import paths
from assistant.cli import run
from assistant.errors import AdapterError, DataError, ModelError, SettingError
from assistant.finetuning.demo import adapter as adapting
from assistant.finetuning.demo.adapter_plan import load_adapter_plan
from assistant.finetuning.demo.held_out import HeldOut
from assistant.finetuning.demo.sources import QUESTION_TYPES
from assistant.finetuning.demo.tokenizer import save_tokenizer, train_tokenizer
from assistant.generation.adapters import adapter_names
from assistant.generation.loading import load_chat_model
from assistant.prompting.tasks import load_task
from assistant.settings import ModelSettings

# peft 0.21 asks transformers for a name that 5.23 has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
STARTS = ("What does it mean,", "Why is there", "Which thing is", "Who was it that saw", "Where lies", "How many has")
TEST_QUESTION = "Who was it that saw the tower of glass number 7 ?"


def questions():
    """Return rows in TREC's layout, 20 of each type, the first of the persons one that is held out."""
    for at in range(120):
        label, start = list(QUESTION_TYPES)[at % 6], STARTS[at % 6]
        text = TEST_QUESTION if at == 3 else f"{start} {'abcdefgh'[at % 8]} or {at} ?"
        yield {"id": f"q{at}", "text": text, "label": label, "fine_label": "x"}


def save_llama(folder, seed=0):
    """Save a tiny model as the demo model is saved: bf16, own tokenizer."""
    task = load_task("question-type")
    texts = [row["text"] for row in questions()] + [words.instruction for words in task.wordings] + [*task.labels] * 5
    tokenizer = train_tokenizer(texts * 3, 500, 1024)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    network = LlamaForCausalLM(config)
    with torch.no_grad():  # the usual initialisation is so flat that no adapter could say anything through it
        for weight in network.parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.2)
    network.to(torch.bfloat16).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with `demo/model`, `data`, and the adapter trained on both in `demo/adapter`, in 75 steps."""
    root = tmp_path_factory.mktemp("made")
    save_llama(root / "demo" / "model")
    (root / "data" / "trec").mkdir(parents=True)
    with gzip.open(root / "data" / "trec" / "train.jsonl.gz", "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in questions())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "demo", lambda: root / "demo")
        patch.setenv("SHOTWISE_HOME", str(root))
        patch.setattr(adapting, "read_meanings", toy_meanings)
        train(root, root / "demo" / "adapter", steps=75)
    return root


def toy_meanings(texts, kept, tell):
    rows = np.random.default_rng(0).normal(size=(len(texts), 8)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def train(root, out, *, steps=2, seed=0, tell=lambda text: None):
    held_out = HeldOut({"trec": [TEST_QUESTION]})
    plan = load_adapter_plan(seed=seed, steps=steps)
    adapting.train_demo_adapter(root / "data", held_out, plan, root / "demo" / "model", out, tell)


@pytest.fixture
def demo(made, tmp_path, monkeypatch):
    """A copy of the trained folder, taken for the package's."""
    shutil.copytree(made, tmp_path / "made")
    monkeypatch.setattr(paths, "demo", lambda: tmp_path / "made" / "demo")
    monkeypatch.setattr(adapting, "read_meanings", toy_meanings)
    return tmp_path / "made"


def load(adapter="question-types", model="demo"):
    return load_chat_model(ModelSettings(model=str(model), adapter=adapter and str(adapter), device="cpu"))


def record(root):
    return json.loads((root / "demo" / "adapter" / "training.json").read_text(encoding="utf-8"))


def test_the_loss_falls(made):
    losses = [loss for _, loss in record(made)["loss"]]
    assert losses[-1] < 0.8 * losses[0]


def test_plain_peft_loads_every_tensor_and_it_answers_better(made):
    folder = made / "demo" / "adapter"
    base = LlamaForCausalLM.from_pretrained(made / "demo" / "model", dtype="float32")
    with torch.no_grad():
        before = base(torch.arange(20)[None]).logits
    plain = peft.PeftModel.from_pretrained(base, folder)
    stored = load_file(folder / "adapter_model.safetensors")
    there = peft.get_peft_model_state_dict(plain, save_embedding_layers=False)
    assert stored.keys() == there.keys()
    assert len(stored) == 2 * 7 * 2  # A and B of seven layers in two blocks
    assert all(tensor.dtype == torch.float16 and bool(tensor.any()) for tensor in stored.values())
    assert all(torch.equal(tensor.float(), there[name]) for name, tensor in stored.items())
    with torch.no_grad():
        assert not torch.allclose(plain(torch.arange(20)[None]).logits, before)


def test_the_base_is_left_as_it_was(made):
    recorded = record(made)["base"]
    weights = (made / "demo" / "model" / "model.safetensors").read_bytes()
    assert recorded == {
        "model": "demo",
        "weights_sha256": {"model.safetensors": hashlib.sha256(weights).hexdigest()},
    }


def test_the_folder_says_how_it_was_made_and_nothing_of_this_machine(made):
    folder, said = made / "demo" / "adapter", record(made)
    assert {one.name for one in folder.iterdir()} == {
        *("README.md", "adapter_config.json", "adapter_model.safetensors", "training.json"),
    }
    assert (folder / "adapter_model.safetensors").stat().st_mode & 0o044 == 0o044
    assert said["data"]["rows"] == 120
    assert said["data"]["rows_learnt"] == 119
    assert said["data"]["rows_left_out"] == [{"set": "trec", "why": "the same letters and digits", "rows": 1}]
    assert said["stage"]["steps"] == 75
    assert said["tokens"] > 1000
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "--adapter question-types" in card
    assert "from 119 of the 120 training questions" in card.replace("\n", " ")
    assert not re.search(r"\{\w*\}", card)
    for file in ("README.md", "adapter_config.json", "training.json"):
        assert str(made) not in (folder / file).read_text(encoding="utf-8")
    assert json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"] == "demo"


def test_it_learns_its_task_in_both_wordings_with_none_to_eight_demonstrations(made, monkeypatch):
    monkeypatch.setattr(adapting, "read_meanings", toy_meanings)
    monkeypatch.setenv("SHOTWISE_HOME", str(made))
    learnt = adapting.read_questions(made / "data", HeldOut({"trec": [TEST_QUESTION]}), lambda text: None)
    plan, task = load_adapter_plan(steps=40), load_task("question-type")
    tokenizer = adapting.load_tokenizer(made / "demo" / "model")
    batches = adapting._Replies(tokenizer, learnt.material, plan.stage, 0)
    texts = [tokenizer.decode(row) for at in range(40) for row in batches[at]["input_ids"]]
    assert all(not len(batches[at]["meaning_at"]) for at in range(40))
    assert {text.count("<|assistant|>") - 1 for text in texts} == {0, 1, 2, 4, 6, 8}  # six are the fixed ones
    for words in task.wordings:
        start = words.instruction.split("{{")[0].strip()
        assert any(start in text for text in texts)
    replies = {reply for text in texts for reply in re.findall(r"<\|assistant\|>\n(.*?)</s>", text)}
    assert replies == set(task.labels)
    assert not any(TEST_QUESTION in text for text in texts)


def test_the_demo_model_takes_it_by_its_name(demo):
    assert adapter_names() == ("question-types",)
    model = load()
    assert (model.name, model.adapter, model.notes) == ("demo", "question-types", ())
    assert load(None).adapter is None
    assert load(model=demo / "demo" / "model").adapter == "question-types"


def test_where_it_was_not_trained_yet_nothing_is_listed(demo):
    shutil.rmtree(demo / "demo" / "adapter")
    assert adapter_names() == ()
    assert load(None).name == "demo"
    with pytest.raises(AdapterError, match="There is no adapter 'question-types'"):
        load()


def test_an_adapter_of_ones_own_goes_before_it(demo, home):
    shutil.copytree(demo / "demo" / "adapter", home / "adapters" / "question-types")
    (demo / "demo" / "adapter" / "adapter_model.safetensors").write_bytes(b"torn")
    assert adapter_names() == ("question-types",)
    assert load().adapter == "question-types"


def test_other_names_are_told_when_one_is_unknown(demo):
    with pytest.raises(AdapterError) as caught:
        load("mine")
    assert "one of: question-types" in caught.value.sentence()


def test_other_weights_under_the_same_name_are_refused(demo):
    save_llama(demo / "demo" / "model", seed=1)
    with pytest.raises(
        AdapterError, match="'question-types' was trained on other weights than those of the model demo"
    ):
        load()


def test_another_model_is_refused_by_its_name(demo, tmp_path):
    save_llama(tmp_path / "other", seed=1)
    with pytest.raises(AdapterError, match="was trained for base model demo"):
        load(model=tmp_path / "other")


def test_a_copy_of_the_base_elsewhere_takes_it(demo, tmp_path):
    shutil.copytree(demo / "demo" / "model", tmp_path / "twin")
    assert load(model=tmp_path / "twin").adapter == "question-types"


def test_a_torn_record_of_training_is_refused(demo):
    (demo / "demo" / "adapter" / "training.json").write_text('{"base":', encoding="utf-8")
    with pytest.raises(AdapterError, match=r"training\.json of the adapter"):
        load()


def test_a_record_that_says_nothing_of_weights_changes_nothing(demo):
    for text in ("{}", '{"base": "demo"}', '{"base": {"weights_sha256": "x"}}'):
        (demo / "demo" / "adapter" / "training.json").write_text(text, encoding="utf-8")
        assert load().adapter == "question-types"


def test_one_seed_gives_one_adapter(demo, tmp_path):
    made = []
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        train(demo, tmp_path / name, seed=seed)
        made.append(load_file(tmp_path / name / "adapter_model.safetensors"))
    one, same, other = made
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_an_old_adapter_is_replaced_whole(demo):
    train(demo, demo / "demo" / "adapter")
    assert record(demo)["stage"]["steps"] == 2
    assert load().adapter == "question-types"
    assert sorted(one.name for one in (demo / "demo").iterdir()) == ["adapter", "model"]


def test_stopped_it_leaves_the_old_one_and_nothing_half(demo):
    def stop(text):
        if "step" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(demo, demo / "demo" / "adapter", steps=30, tell=stop)
    assert record(demo)["stage"]["steps"] == 75
    assert sorted(one.name for one in (demo / "demo").iterdir()) == ["adapter", "model"]


def test_a_folder_with_other_things_is_not_replaced(demo, tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("Dear Ann", encoding="utf-8")
    with pytest.raises(SettingError, match="holds something else"):
        train(demo, tmp_path / "letters")
    assert (tmp_path / "letters" / "dear.txt").is_file()


def test_what_is_missing_is_named(demo, tmp_path):
    (demo / "data" / "trec" / "train.jsonl.gz").unlink()
    with pytest.raises(DataError, match=r"lacks trec/train\.jsonl\.gz"):
        train(demo, tmp_path / "out")
    shutil.rmtree(demo / "demo" / "model")
    with pytest.raises(ModelError, match="There is no model"):
        train(demo, tmp_path / "out")


def test_an_adapter_that_is_too_large_to_ship_is_refused(demo, tmp_path, monkeypatch):
    monkeypatch.setattr(adapting, "MAX_BYTES", 1000)
    with pytest.raises(SettingError, match="of rank 8 would have"):
        train(demo, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "has no \\[\\[stages\\]\\]"),
        ('[[stages]]\nname = "a"\nsteps = 1\nmixture = {}\n' * 2, "has 2"),
        ('[[stages]]\nname = "a"\nsteps = 1\nmixture = {}\n', "no usable"),
        ('[lora]\nranks = 3\ntargets = ["q"]\n[[stages]]\nname = "a"\nsteps = 1\nmixture = {}\n', "no usable"),
    ],
)
def test_a_plan_that_is_none_is_refused(tmp_path, text, word):
    (tmp_path / "plan.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingError, match=word):
        load_adapter_plan(tmp_path / "plan.toml")


def test_the_shipped_plan_is_one_stage_of_one_kind_of_episode():
    plan = load_adapter_plan(seed=7)
    assert (plan.seed, plan.lora.rank, plan.stage.steps) == (7, 8, 600)
    assert dict(plan.stage.mixture) == {"question_type": 1.0}


def test_the_command_trains_it_and_says_where_it_is(demo, tmp_path, capsys):
    code = run(("demo-model", "adapter", "--data", str(demo / "data"), "--out", str(tmp_path / "new"), "--steps", "1"))
    out, err = capsys.readouterr()
    assert code == 0, err
    assert out == f"Saved in {tmp_path / 'new'}.\n"
    assert "of 120 questions may be learnt from." in err
    assert load(tmp_path / "new").adapter == "new"


def test_the_command_names_a_folder_that_is_missing(tmp_path, capsys):
    assert run(("demo-model", "adapter", "--data", str(tmp_path / "nothing"))) == 2
    assert "is not a folder" in capsys.readouterr().err
