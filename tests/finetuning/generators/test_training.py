import json
import re
import threading
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from assistant.answering import Assistant, Request
from assistant.errors import MissingDependency, SettingError, TrainingError
from assistant.finetuning.generators import training
from assistant.finetuning.generators.adapter_record import TrainingData, read_record
from assistant.finetuning.generators.checkpoints import Clock, last_checkpoint, mark_whole
from assistant.finetuning.generators.memory import as_memory_error
from assistant.finetuning.generators.methods import METHODS
from assistant.finetuning.generators.progress import CURVE_FILE, STATE_FILE
from assistant.finetuning.generators.settings import GeneratorSettings
from assistant.finetuning.generators.trainers import is_exhausted, steps_of
from assistant.finetuning.generators.training import Order, run_folder, train_generator
from assistant.finetuning.marks import Marks, read_marks, write_marks
from assistant.generation.adapters import TRAINING_FILE
from assistant.generation.loading import load_chat_model
from assistant.records import Demonstration
from assistant.settings import ModelSettings
from tests.finetuning.generators.made_rows import review_rows
from tests.generation.tiny_models import save_model

# peft 0.21 asks transformers for a name that 5.23 has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Unsupported layer type .*Norm.*:UserWarning"),
]
QUESTION = "a gorgeous, witty film"
HERE = [name for name in METHODS if name not in ("full", "qlora")]


def scores(model):
    """Return the label scores of one question."""
    assistant = Assistant(model)
    answer = assistant.answer(Request(QUESTION, task="sentiment", reading="labels"))
    return answer.label_scores


@pytest.mark.parametrize("method", HERE)
@pytest.mark.parametrize("family", ["llama3", "t5"])
def test_each_method_gives_an_adapter_that_changes_what_is_said_here_as_in_plain_peft(
    method, family, train, model_folder
):
    trained = train(family=family, method=method, learning_rate=0.05)
    assert trained.finished
    assert trained.record["parameters"]["trainable"] < trained.record["parameters"]["total"] / 2
    base, adapted = (
        load_chat_model(ModelSettings(model=model_folder(family), adapter=adapter, device="cpu"))
        for adapter in (None, "mine")
    )
    assert adapted.notes == ()
    assert scores(base) != pytest.approx(scores(adapted), abs=1e-4)
    assert plain_score(model_folder(family), trained.folder, adapted, family) == pytest.approx(
        scores(adapted)["positive"], abs=1e-3
    )


def plain_score(base, folder, ours, family):
    """Return the log-likelihood of a label by peft and transformers alone."""
    auto = AutoModelForSeq2SeqLM if family == "t5" else AutoModelForCausalLM
    plain = peft.PeftModel.from_pretrained(auto.from_pretrained(base), folder).eval()
    prompt = Assistant(ours).prepare(Request(QUESTION, task="sentiment")).rendered
    ids = ours.renderer.label_ids(prompt, "positive")
    with torch.inference_mode():
        if family == "t5":
            start = plain.config.decoder_start_token_id
            logits = plain(
                input_ids=torch.tensor([prompt.token_ids]),
                attention_mask=torch.ones(1, len(prompt.token_ids)),
                decoder_input_ids=torch.tensor([[start, *ids[:-1]]]),
            ).logits[0]
        else:
            logits = plain(input_ids=torch.tensor([[*prompt.token_ids, *ids]])).logits[0, -len(ids) - 1 : -1]
    return sum(logits.log_softmax(-1)[at, token].item() for at, token in enumerate(ids))


def test_full_fine_tuning_gives_a_model_of_its_own(train, model_folder, home):
    trained = train(method="full", learning_rate=0.01)
    model = load_chat_model(ModelSettings(model=str(home / "adapters" / "mine"), device="cpu"))
    base = load_chat_model(ModelSettings(model=model_folder("llama3"), device="cpu"))
    assert model.renderer.template_hash == base.renderer.template_hash
    assert scores(model) != pytest.approx(scores(base), abs=1e-4)
    assert {"model.safetensors", "tokenizer.json", "training.json", "README.md"} <= {
        file.name for file in trained.folder.iterdir()
    }
    assert trained.record["parameters"]["trainable"] == trained.record["parameters"]["total"]


def test_the_folder_holds_nothing_pickled_and_no_path_of_this_machine(train, model_folder):
    trained = train()
    assert {file.name for file in trained.folder.iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "training.json", "trained_on.json", "README.md",
    }  # fmt: skip
    for file in trained.folder.glob("*.*"):
        assert str(Path(model_folder("llama3")).parent).encode() not in file.read_bytes()
    assert not list(run_folder("mine").glob("checkpoint-*"))


@pytest.mark.parametrize("method", ["lora", "full"])
def test_what_the_base_has_learnt_from_is_inherited(method, home):
    base = save_model("llama3", home / "adapters" / "first")
    settings = {"steps": 1, "device": "cpu", "max_tokens": 512}
    write_marks(base, Marks(frozenset({"text of the base"}), frozenset({"its group"})))
    data = TrainingData("sentiment", review_rows())
    order = Order("second", str(base), data, GeneratorSettings(method=method, **settings))
    folder = train_generator(order, threading.Event(), lambda text: None).folder
    assert read_marks(folder) == read_marks(base) | Marks.of(review_rows())
    assert "text of the base" in read_marks(folder).texts


def test_the_record_says_what_it_was_made_of(train):
    trained = train()
    record = read_record(trained.folder)
    assert record == json.loads(json.dumps(trained.record))
    assert record["base"]["weights_sha256"]["model.safetensors"]
    assert record["rows"]["learnt"] + record["rows"]["validation"] == 24
    assert record["settings"]["learning_rate"] == METHODS["lora"].rate_at(32)
    assert [step for step, _ in record["curve"]["train"]] == [1, 2, 3, 4]
    assert record["best"]["validation_loss"] == min(loss for _, loss in record["curve"]["validation"])
    card = (trained.folder / "README.md").read_text()
    assert "LoRA" in card
    assert "shotwise adapter compare mine" in card


def test_the_first_loss_is_that_of_the_base_model(train):
    base = train(method="full", steps=1).record["curve"]["train"]
    for method in ("lora", "dora", "ia3", "ln-tuning"):
        curve = train(method=method, dropout=0.0, replace=True, steps=1).record["curve"]["train"]
        assert curve[0] == pytest.approx(base[0], abs=1e-5)


def test_the_same_seed_gives_the_same_weights(train, home):
    kept = []
    for _ in range(2):
        train(replace=True)
        kept.append(load_file(home / "adapters" / "mine" / "adapter_model.safetensors"))
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])


def test_the_best_checkpoint_is_kept_and_training_ends_when_it_gets_no_better(train):
    trained = train(method="full", learning_rate=1.0, steps=20, evaluate_every=1, patience=2)
    validation = trained.record["curve"]["validation"]
    assert trained.step == len(validation) < 20
    assert trained.record["best"]["step"] == trained.step - 2


def test_without_validation_the_last_weights_are_kept(train):
    trained = train(validation=0.0)
    assert trained.record["best"] is None
    assert trained.record["curve"]["validation"] == []


def test_progress_is_told_and_written_down_for_others_to_read(train):
    told = []
    train(told=told)
    lines = [json.loads(line) for line in (run_folder("mine") / CURVE_FILE).read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == [1, 2, 3, 4]
    assert all(line["tokens_per_second"] > 0 and line["peak_mb"] > 0 for line in steps)
    assert any("validation_loss" in line for line in lines)
    state = json.loads((run_folder("mine") / STATE_FILE).read_text())
    assert (state["state"], state["step"], state["of"]) == ("done", 4, 4)
    assert [one.state for one in told][-1] == "done"
    assert told[-2].seconds_left == 0


def test_a_stopped_training_goes_on_with_the_same_curve_to_the_same_weights(train, home):
    whole = train(name="whole", dropout=0.2, steps=8)
    stop = threading.Event()

    class StopsAtFive(list):
        def append(self, progress):
            if progress.step == 5:
                stop.set()

    stopped = train(dropout=0.2, steps=8, stop=stop, told=StopsAtFive())
    assert not stopped.finished
    assert 5 <= stopped.step < 8
    with pytest.raises(TrainingError, match="was not finished") as caught:
        train(dropout=0.2, steps=8)
    assert "--resume" in caught.value.hint
    with pytest.raises(TrainingError, match="other settings"):
        train(dropout=0.1, steps=8, resume=True)
    resumed = train(dropout=0.2, steps=8, resume=True)
    assert resumed.record["curve"] == whole.record["curve"]
    weights = [load_file(home / "adapters" / name / "adapter_model.safetensors") for name in ("whole", "mine")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    steps = [json.loads(line)["step"] for line in (run_folder("mine") / CURVE_FILE).read_text().splitlines()
             if '"loss"' in line]  # fmt: skip
    assert steps == list(range(1, 9))


ENDS = {
    "all steps are taken": {"steps": 7},
    "without validation": {"steps": 7, "validation": 0.0},
    "patience is exhausted": {"steps": 20, "evaluate_every": 1, "patience": 3, "learning_rate": 1.0},
    "a whole model": {"steps": 7, "method": "full", "dropout": 0.0},
    "a soft prompt": {"steps": 7, "method": "prompt-tuning"},
    "an encoder-decoder": {"steps": 7, "family": "t5"},
}


@pytest.mark.parametrize("end", ENDS)
def test_a_training_that_was_killed_between_its_last_step_and_its_saving_takes_no_further_step(
    end, train, home, monkeypatch
):
    settings = {"dropout": 0.2, **ENDS[end]}
    whole = train(name="whole", **settings)
    assert whole.step % 5  # not where the rows are through
    with monkeypatch.context() as patched:
        patched.setattr(training, "_save", killed)
        with pytest.raises(KeyboardInterrupt):
            train(**settings)
    told = []
    resumed = train(**settings, resume=True, told=told)
    assert resumed.step == whole.step
    kept = [{**one.record, "name": "", "seconds": 0, "peak_mb": 0} for one in (whole, resumed)]
    assert kept[0] == kept[1]
    files = [
        {file.name: file.read_bytes() for file in one.folder.iterdir() if file.name not in ("README.md", TRAINING_FILE)}
        for one in (whole, resumed)
    ]
    assert files[0] == files[1]
    assert [one.sentence for one in told[:-1]] == [f"Going on from step {whole.step} of {settings['steps']}."]


def killed(*_):
    raise KeyboardInterrupt


def test_the_seconds_of_a_training_that_was_gone_on_with_are_those_of_all_its_processes(train):
    stop = threading.Event()

    class StopsAtOnce(list):
        def append(self, progress):
            stop.set()

    train(stop=stop, told=StopsAtOnce())
    checkpoint = last_checkpoint(run_folder("mine"))
    assert 0 < Clock(checkpoint).seconds < 100
    mark_whole(checkpoint, 1000.0)
    resumed = train(resume=True)
    assert 1000 < resumed.record["seconds"] < 1100
    assert re.search(r" tokens read, 1,0\d\d s ", (resumed.folder / "README.md").read_text())


def test_a_checkpoint_that_a_kill_has_torn_is_removed_and_the_one_before_it_gone_on_from(train):
    stop = threading.Event()

    class StopsAtTwo(list):
        def append(self, progress):
            if progress.step == 2:
                stop.set()

    train(stop=stop, told=StopsAtTwo())
    torn = run_folder("mine") / "checkpoint-99"
    torn.mkdir()
    assert last_checkpoint(run_folder("mine")).name == "checkpoint-3"
    assert torn.is_dir()
    told = []
    assert train(resume=True, told=told).step == 4
    assert told[0].sentence == "Going on from step 3 of 4."
    assert not torn.exists()


def test_several_tasks_are_learnt_together_by_their_weights(model_folder):
    problems = tuple(Demonstration(f"p{at}", {"question": f"What is {at} plus 2?"}, str(at + 2)) for at in range(10))
    order = Order(
        name="both",
        model=model_folder("llama3"),
        data=TrainingData("sentiment", review_rows(20), {"source": "made up"}),
        settings=GeneratorSettings(epochs=1, batch_size=4, device="cpu", max_tokens=512, validation=0.2),
        also=(TrainingData("word-problems", problems, {"source": "sums"}, weight=0.5),),
    )
    trained = train_generator(order, threading.Event(), lambda text: None)
    # 16 reviews, and half of 8 problems.
    assert trained.record["rows"] == {**trained.record["rows"], "learnt": 24, "validation": 6}
    assert trained.step == 5
    assert [part["task"]["name"] for part in trained.record["also"]] == ["word-problems"]
    assert "sums (weight 0.5, task word-problems)" in (trained.folder / "README.md").read_text()


def test_a_taken_name_is_refused_before_anything_is_loaded(train, home):
    (home / "adapters" / "mine").mkdir(parents=True)
    with pytest.raises(TrainingError, match="already something named 'mine'"):
        train()
    assert train(replace=True).finished


def test_what_is_no_adapter_is_never_replaced(train, home):
    (home / "adapters" / "mine").mkdir(parents=True)
    (home / "adapters" / "mine" / "classifier.json").write_text("{}")
    with pytest.raises(TrainingError, match="something else named 'mine'"):
        train(replace=True)
    assert (home / "adapters" / "mine" / "classifier.json").is_file()


def test_a_name_that_leads_elsewhere_is_refused(train):
    with pytest.raises(SettingError, match="cannot be the name"):
        train(name="../out")


def test_the_word_for_no_adapter_is_no_name_of_one(train):
    with pytest.raises(SettingError, match="stands for the base model alone"):
        train(name="none")


def test_qlora_without_bitsandbytes_is_refused_with_what_to_type(train, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None)
    with pytest.raises(MissingDependency, match="needs bitsandbytes"):
        train(method="qlora")


def test_packed_rows_are_learnt_as_if_each_stood_alone(train):
    # One step over all rows: in one batch, or packed into lines; the loss is the mean over the same tokens.
    rows = review_rows(10)
    apart = train(rows=rows, steps=1, batch_size=16, dropout=0.0, validation=0.0)
    packed = train(rows=rows, steps=1, batch_size=16, dropout=0.0, validation=0.0, packing=True, replace=True)
    assert packed.record["curve"]["train"][0][1] == pytest.approx(apart.record["curve"]["train"][0][1], abs=1e-4)


def test_rows_are_not_packed_for_an_encoder_decoder(train, home):
    with pytest.raises(SettingError, match="this base is an encoder-decoder") as caught:
        train(family="t5", packing=True)
    assert caught.value.hint == "Leave out --packing."
    assert not (home / "adapters" / "mine").exists()


@pytest.mark.parametrize(("method", "family"), [("lora", "llama3"), ("prompt-tuning", "llama3"), ("lora", "t5")])
def test_gradient_checkpointing_changes_no_loss(method, family, train):
    plain = train(family=family, method=method, dropout=0.0, steps=2)
    thrifty = train(family=family, method=method, dropout=0.0, steps=2, gradient_checkpointing=True, replace=True)
    for one, other in zip(plain.record["curve"]["train"], thrifty.record["curve"]["train"], strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_lack_of_memory_is_one_sentence_with_three_remedies():
    error = as_memory_error(torch.cuda.OutOfMemoryError("CUDA out of memory"), GeneratorSettings(batch_size=8))
    assert "--batch-size 4 --accumulation 2" in error.hint
    assert "--gradient-checkpointing" in error.hint
    assert error.hint.count("(") == 3
    full = as_memory_error(MemoryError(), GeneratorSettings(method="full", batch_size=1, gradient_checkpointing=True))
    assert "--method lora" in full.hint
    assert as_memory_error(RuntimeError("shapes do not match"), GeneratorSettings()) is None


def test_steps_follow_from_epochs_rows_and_accumulation():
    assert steps_of(GeneratorSettings(epochs=3, batch_size=8), 24) == 9
    assert steps_of(GeneratorSettings(epochs=2, batch_size=8, accumulation=2), 40) == 6
    assert steps_of(GeneratorSettings(steps=7), 40) == 7


def test_patience_counts_the_validations_since_the_best():
    history = [{"eval_loss": loss} for loss in (3.0, 2.0, 2.5, 2.1)]
    assert is_exhausted(history, 2)
    assert not is_exhausted(history, 3)
    assert not is_exhausted(history, 0)
    assert not is_exhausted([], 1)
