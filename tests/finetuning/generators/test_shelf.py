import json
import shutil
import threading
from pathlib import Path

import pytest
import torch

from assistant.answering import Assistant, Request
from assistant.errors import AdapterError, SettingError, TrainingError
from assistant.finetuning.generators.adapter_record import read_record
from assistant.finetuning.generators.checkpoints import mark_whole
from assistant.finetuning.generators.shelf import base_of, delete, describe, find_tuned, list_adapters, merge
from assistant.finetuning.locking import training_in
from assistant.finetuning.marks import Marks, read_marks, write_marks
from assistant.generation.loading import load_chat_model
from assistant.settings import ModelSettings

# peft 0.21 asks transformers for a name that 5.23 has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Unsupported layer type .*Norm.*:UserWarning"),
]


@pytest.fixture
def shelf(trained_once, home):
    """A function that puts an adapter, trained once, on this test's own shelf."""

    def put(method):
        shutil.copytree(trained_once(method), home / "adapters" / method)
        return find_tuned(method)

    return put


def scores(model, adapter=None):
    chat = load_chat_model(ModelSettings(model=str(model), adapter=adapter, device="cpu"))
    return Assistant(chat).answer(Request("a witty film", task="sentiment", reading="labels")).label_scores


def test_the_list_tells_adapters_and_models_of_their_own_apart(shelf, home):
    shelf("lora")
    shelf("full")
    (home / "adapters" / "classifier").mkdir()
    (home / "adapters" / "classifier" / "config.json").write_text("{}")
    found = {entry.name: entry for entry in list_adapters()}
    assert {"lora", "full"} <= set(found)
    assert "classifier" not in found
    assert (found["lora"].whole, found["full"].whole) == (False, True)
    assert found["lora"].method == "lora"
    assert found["lora"].task == "sentiment"
    assert found["lora"].trainable > 0
    assert found["lora"].problem == ""


def test_an_adapter_that_cannot_be_served_says_why(shelf):
    folder = shelf("lora").folder
    (folder / "adapter_model.safetensors").unlink()
    assert "has no adapter_model.safetensors" in find_tuned("lora").problem


def test_a_soft_prompt_is_shown_with_the_tokens_near_to_it(shelf, model_folder):
    described = describe(shelf("prompt-tuning"), model_folder("llama3"))
    assert len(described["nearest_tokens"]) == 6
    assert all(len(near) == 3 for near in described["nearest_tokens"])
    assert "parameters (" in described["parameters"]
    json.dumps(described)


def test_without_its_base_a_soft_prompt_is_shown_all_the_same(shelf):
    described = describe(shelf("prompt-tuning"), "/nowhere/at/all")
    assert "There is no folder" in described["nearest_tokens_missing"]


def test_a_base_that_was_a_folder_is_asked_for(shelf, model_folder):
    entry = shelf("lora")
    with pytest.raises(AdapterError, match="belongs to the model in a folder 'tiny-llama3'") as caught:
        base_of(entry)
    assert "--model" in caught.value.hint
    assert base_of(entry, model_folder("llama3")) == model_folder("llama3")


@pytest.mark.parametrize("method", ["lora", "ia3", "ln-tuning"])
def test_a_merged_adapter_says_what_the_unmerged_one_says(method, shelf, model_folder):
    entry = shelf(method)
    folder = merge(entry, "merged", model_folder("llama3"))
    assert scores(folder) == pytest.approx(scores(model_folder("llama3"), method), abs=1e-4)
    assert find_tuned("merged").whole
    assert read_record(folder)["merged_from"] == method
    assert not (folder / "adapter_config.json").exists()


def test_a_merged_adapter_remembers_what_it_and_its_base_have_learnt_from(shelf, model_folder, tmp_path):
    entry, base = shelf("lora"), Path(shutil.copytree(model_folder("llama3"), tmp_path / "tiny-llama3"))
    write_marks(base, Marks(frozenset({"text of the base"}), frozenset({"its group"})))
    merged = read_marks(merge(entry, "merged", str(base)))
    assert merged == read_marks(entry.folder) | read_marks(base)
    assert len(merged.texts) == 1 + len(read_marks(entry.folder).texts) > 1


def test_what_an_adapter_from_elsewhere_was_merged_into_is_on_the_shelf_too(shelf, model_folder):
    entry = shelf("lora")
    for name in ("training.json", "trained_on.json", "README.md"):
        (entry.folder / name).unlink()
    folder = merge(find_tuned("lora"), "merged", model_folder("llama3"))
    found = find_tuned("merged")
    assert (found.method, found.whole, found.problem) == ("lora, merged", True, "")
    assert found in list_adapters()
    assert scores(folder) == pytest.approx(scores(model_folder("llama3"), "lora"), abs=1e-4)
    assert delete("merged") == folder
    assert not folder.exists()


@pytest.mark.parametrize("method", ["prompt-tuning", "full"])
def test_what_has_no_place_in_the_weights_is_not_merged(method, shelf):
    with pytest.raises(AdapterError, match=r"soft prompt|whole model"):
        merge(shelf(method), "merged")


def test_nothing_is_merged_under_the_word_for_no_adapter(shelf):
    with pytest.raises(SettingError, match="stands for the base model alone"):
        merge(shelf("lora"), "none")


def test_an_adapter_is_not_merged_into_other_weights(shelf, model_folder, tmp_path):
    other = shutil.copytree(model_folder("llama3"), tmp_path / "other")
    from safetensors.torch import load_file, save_file

    tensors = load_file(other / "model.safetensors")
    save_file({name: tensor + 0.1 for name, tensor in tensors.items()}, other / "model.safetensors", {"format": "pt"})
    with pytest.raises(AdapterError, match="trained"):
        merge(shelf("lora"), "merged", str(other))
    assert not torch.equal(tensors["lm_head.weight"], load_file(other / "model.safetensors")["lm_head.weight"])


def test_a_deleted_adapter_is_gone_with_what_its_training_left(shelf, home):
    folder = shelf("lora").folder
    (home / "runs" / "adapter-lora").mkdir(parents=True)
    assert delete("lora") == folder
    assert not folder.exists()
    assert not (home / "runs" / "adapter-lora").exists()


def test_a_training_that_was_stopped_can_be_dropped_but_not_while_it_runs(train, home):
    stop = threading.Event()

    class StopsAtTwo(list):
        def append(self, told):
            if told.step >= 2:
                stop.set()

    assert not train(stop=stop, told=StopsAtTwo()).finished
    run = home / "runs" / "adapter-mine"
    with training_in(run), pytest.raises(TrainingError, match="Another process"):
        delete("mine")
    assert delete("mine") == run
    assert not run.exists()
    with pytest.raises(AdapterError, match="no adapter 'mine'"):
        delete("mine")


def test_looking_whether_a_training_can_be_dropped_leaves_the_checkpoint_that_is_being_written(home):
    run = home / "runs" / "adapter-mine"
    half = run / "checkpoint-2"
    half.mkdir(parents=True)
    with training_in(run), pytest.raises(AdapterError, match="no adapter 'mine'"):
        delete("mine")
    mark_whole(half, 1.0)
    (run / "checkpoint-4").mkdir()
    with training_in(run), pytest.raises(TrainingError, match="Another process"):
        delete("mine")
    assert sorted(folder.name for folder in run.iterdir()) == ["checkpoint-2", "checkpoint-4"]


def test_only_adapters_on_the_shelf_are_deleted(home):
    (home / "adapters" / "thesis").mkdir(parents=True)
    with pytest.raises(AdapterError, match="holds no adapter"):
        delete("thesis")
    with pytest.raises(AdapterError, match="There is no adapter"):
        delete("nothing")
    for name in ("..", "../adapters", "question-types/.."):
        with pytest.raises(SettingError):
            delete(name)
