"""Training, saving, loading and predicting with every method, on tiny models."""

import json
import shutil
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from assistant.errors import ClassifierError, RunProblem, TrainingError
from assistant.finetuning.classifiers import trainer
from assistant.finetuning.classifiers.methods import METHODS
from assistant.finetuning.classifiers.predicting import load_classifier
from assistant.finetuning.classifiers.progress import SPENT
from assistant.finetuning.classifiers.saved import classifier_names, open_classifier
from assistant.finetuning.classifiers.training import Paused, train_classifier, work_folder
from tests.tiny_models import pair_rows, review_rows, reviews

README = Path(__file__).resolve().parents[3] / "README.md"
TEST = [row.inputs for row in reviews(20, prefix="t")]


def right(classifier, rows):
    answers = classifier.predict([row.inputs for row in rows])
    return float(np.mean([one.label == row.targets[0] for one, row in zip(answers, rows, strict=True)]))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_saves_and_answers_the_same_after_it_is_loaded(method, settings, home):
    saved = train_classifier(review_rows(), settings(method), "mine")
    assert classifier_names() == ("mine",)
    assert saved.folder == home / "adapters" / "mine"
    first, second = load_classifier("mine"), load_classifier("mine")
    logs = first.log_probabilities(TEST)
    assert logs.shape == (20, 2)
    assert np.allclose(np.exp(logs).sum(axis=1), 1)
    assert np.array_equal(logs, second.log_probabilities(TEST))
    assert not any(file.suffix in {".bin", ".pt", ".pkl"} for file in saved.folder.rglob("*"))
    assert not work_folder("mine").exists()


@pytest.mark.parametrize("method", ["full", "lora"])
def test_what_can_be_learnt_is_learnt(method, settings):
    train_classifier(
        review_rows(128, 16), settings(method, epochs=16, patience=8, learning_rate=0.005, rank=16), "mine"
    )
    assert right(load_classifier("mine"), reviews(40, prefix="t")) > 0.9


def test_a_logistic_regression_is_saved_as_the_one_file_that_the_readme_names(settings):
    from safetensors.numpy import load_file

    saved = train_classifier(review_rows(), settings("feature-based"), "mine")
    (file,) = saved.model_folder.iterdir()
    assert set(load_file(file)) == {"coefficients", "intercepts"}
    assert f"`{file.name}`" in README.read_text(encoding="utf-8")


def test_a_pair_is_learnt_and_told(settings):
    saved = train_classifier(pair_rows(), settings("full"), "pairs")
    assert saved.fields == ("sentence1", "sentence2")
    (one,) = load_classifier("pairs").predict([{"sentence2": "a good film", "sentence1": "the film is good"}])
    assert set(one.log_probabilities) == {"no", "yes"}
    with pytest.raises(ClassifierError, match="'sentence2' is missing"):
        load_classifier("pairs").predict([{"sentence1": "a"}])


def test_a_frozen_body_is_saved_as_it_was(settings, bert):
    from safetensors.numpy import load_file

    saved = train_classifier(review_rows(), settings("frozen-head"), "mine")
    before = load_file(f"{bert}/model.safetensors")
    after = load_file(saved.model_folder / "model.safetensors")
    same = {name for name, values in before.items() if np.array_equal(values, after[f"bert.{name}"])}
    assert set(before) - same == {"pooler.dense.weight", "pooler.dense.bias"}


@pytest.mark.parametrize("method", ["lora", "soft-prompt", "soft-prompt-full"])
def test_an_adapter_loads_in_plain_peft_and_says_the_same(method, settings, bert):
    import peft
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from assistant.generation.adapters import quiet_peft

    saved = train_classifier(review_rows(), settings(method), "mine")
    with quiet_peft():
        plain = peft.PeftModel.from_pretrained(
            AutoModelForSequenceClassification.from_pretrained(bert, num_labels=2), saved.model_folder
        ).eval()
    tokenizer = AutoTokenizer.from_pretrained(saved.model_folder)
    with torch.inference_mode():
        logits = plain(**tokenizer(TEST[0]["text"], return_tensors="pt")).logits
    ours = load_classifier("mine").log_probabilities(TEST[:1])
    assert np.allclose(torch.log_softmax(logits, -1).numpy(), ours, atol=1e-5)


def test_a_whole_model_loads_in_plain_transformers_with_its_labels(settings):
    from transformers import pipeline

    saved = train_classifier(review_rows(), settings("last-2"), "mine")
    plain = pipeline("text-classification", str(saved.model_folder), device="cpu")
    texts = [one["text"] for one in TEST]
    ours = [one.label for one in load_classifier("mine").predict(TEST)]
    assert [one["label"] for one in plain(texts)] == ours


def test_a_decoder_answers_alike_alone_and_in_a_batch(settings, llama):
    train_classifier(review_rows(), settings("full", encoder=llama), "mine")
    classifier = load_classifier("mine")
    together = classifier.log_probabilities(TEST)
    alone = np.concatenate([classifier.log_probabilities([one]) for one in TEST])
    assert np.allclose(together, alone, atol=1e-4)


def test_the_logistic_regression_says_what_scikit_learn_says():
    from sklearn.linear_model import LogisticRegression

    from assistant.finetuning.classifiers.features import fit_head

    draw = np.random.default_rng(0)
    for labels in (2, 3):
        vectors, numbers = draw.normal(size=(60, 4)), draw.integers(0, labels, 60)
        head, tried, best = fit_head(vectors, list(numbers), vectors, list(numbers), labels)
        oracle = LogisticRegression(C=tried[best]["strength"], max_iter=2000).fit(vectors, numbers)
        assert np.allclose(head.log_probabilities(vectors), oracle.predict_log_proba(vectors), atol=1e-9)


def test_a_label_without_a_training_row_is_never_likely():
    from assistant.finetuning.classifiers.features import fit_head

    vectors = np.eye(4)
    head, *_ = fit_head(vectors, [0, 0, 2, 2], vectors, [0, 0, 2, 2], 3)
    assert (head.log_probabilities(vectors)[:, 1] < -20).all()


def test_the_card_says_what_was_learnt_from_what(settings):
    saved = train_classifier(review_rows(), settings("full"), "mine")
    record = saved.record
    assert record["data"]["rows"] == 32
    assert record["data"]["labels"] == {"negative": 16, "positive": 16}
    assert record["base"]["sha256"]
    assert record["settings"]["seed"] == 0
    assert record["parameters"]["trained"] == record["parameters"]["all"]
    assert {"torch", "transformers", "peft"} <= set(record["versions"])
    assert any("dev_loss" in line for line in record["curve"])
    assert record["best"]["dev_loss"] == pytest.approx(
        min(line["dev_loss"] for line in record["curve"] if "dev_loss" in line), abs=1e-6
    )


def test_the_best_pass_is_kept_and_not_the_last(settings):
    """A learning rate that ruins the model later on leaves the earlier pass as the one that is saved."""
    saved = train_classifier(review_rows(64), settings("full", learning_rate=0.02, epochs=6, patience=6), "mine")
    passes = [line for line in saved.record["curve"] if "dev_loss" in line]
    best = min(passes, key=lambda line: line["dev_loss"])
    assert saved.record["best"]["step"] == best["step"]
    rows = reviews(12, prefix="d")
    logs = load_classifier("mine").log_probabilities([row.inputs for row in rows])
    loss = -np.mean([logs[at, saved.labels.index(row.targets[0])] for at, row in enumerate(rows)])
    assert loss == pytest.approx(best["dev_loss"], abs=1e-4)


def test_training_ends_when_the_rows_kept_aside_get_no_better(settings):
    saved = train_classifier(
        review_rows(16, 4), settings("full", learning_rate=0.5, epochs=40, patience=1, warmup=0.0), "mine"
    )
    assert saved.record["steps"] < 40 * 2


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(settings):
    hashes = [
        train_classifier(review_rows(), settings("full", seed=seed), f"s{at}").record["files"]["model.safetensors"]
        for at, seed in enumerate((1, 1, 2))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def stop_at(step):
    """Return a signal, and what sets it when that step is told."""
    stop = Event()

    def tell(progress):
        if progress.step >= step:
            stop.set()

    return stop, tell


@pytest.mark.parametrize("method", ["full", "lora", "soft-prompt"])
@pytest.mark.parametrize("step", [1, 5])
def test_a_stopped_training_goes_on_to_the_same_weights_with_the_same_curve(method, step, settings):
    whole = train_classifier(review_rows(), settings(method), "whole")
    stop, tell = stop_at(step)
    paused = train_classifier(review_rows(), settings(method), "parts", stop=stop, tell=tell)
    assert isinstance(paused, Paused)
    assert step <= paused.step < paused.steps
    parts = train_classifier(review_rows(), settings(method), "parts", resume=True)
    weights = "model.safetensors" if method == "full" else "adapter_model.safetensors"
    assert parts.record["files"][weights] == whole.record["files"][weights]
    assert len(curve(whole)) == 12 + 3
    assert curve(whole) == curve(parts)


def test_a_stopped_reading_of_texts_ends_as_a_pause_and_begins_anew(settings):
    stop, tell = stop_at(1)
    paused = train_classifier(review_rows(), settings("feature-based"), "mine", stop=stop, tell=tell)
    assert paused == Paused(0, 32 + 12)
    assert not classifier_names()
    whole = train_classifier(review_rows(), settings("feature-based"), "whole")
    saved = train_classifier(review_rows(), settings("feature-based"), "mine", resume=True)
    assert saved.record["files"] == whole.record["files"]


def curve(saved):
    told = ("step", "loss", "dev_loss", "dev_accuracy", "rate")
    return [{name: line.get(name) for name in told} for line in saved.record["curve"]]


@pytest.fixture
def three_steps_a_line(monkeypatch):
    """Fifteen steps in passes of five, with at most five lines: passes end between two of them."""
    monkeypatch.setattr(trainer, "_MOST_LINES", 5)
    return review_rows(40)


@pytest.mark.parametrize(("step", "end"), [(3, 5), (5, 6), (6, 9)])
def test_a_curve_of_several_steps_a_line_goes_on_as_it_would_have(step, end, settings, three_steps_a_line):
    whole = train_classifier(three_steps_a_line, settings("full"), "whole")
    assert [line["step"] for line in whole.record["curve"] if "loss" in line] == [3, 5, 6, 9, 10, 12, 15]
    stop, tell = stop_at(step)
    paused = train_classifier(three_steps_a_line, settings("full"), "parts", stop=stop, tell=tell)
    assert paused.step == end
    assert curve(train_classifier(three_steps_a_line, settings("full"), "parts", resume=True)) == curve(whole)


@pytest.mark.parametrize("step", [6, 9, 12])
def test_a_checkpoint_in_time_stands_at_a_line_too(step, settings, three_steps_a_line, monkeypatch):
    whole = train_classifier(three_steps_a_line, settings("full"), "whole")

    def killed(progress):
        if progress.step == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "SAVE_EVERY_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train_classifier(three_steps_a_line, settings("full"), "parts", tell=killed)
    assert curve(train_classifier(three_steps_a_line, settings("full"), "parts", resume=True)) == curve(whole)


def test_the_seconds_of_a_training_that_was_gone_on_with_are_those_of_all_its_processes(settings):
    stop, tell = stop_at(5)
    train_classifier(review_rows(), settings("full"), "mine", stop=stop, tell=tell)
    kept = work_folder("mine") / SPENT
    assert json.loads(kept.read_text()) > 0
    kept.write_text("1000.0")
    saved = train_classifier(review_rows(), settings("full"), "mine", resume=True)
    assert 1000 < saved.record["seconds"] < 2000


ENDS = {
    "all steps are taken": {},
    "patience is exhausted": {"learning_rate": 0.5, "epochs": 40, "patience": 1, "warmup": 0.0},
}


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("end", ENDS)
def test_a_training_that_was_killed_between_its_last_step_and_its_saving_takes_no_further_step(
    end, method, settings, monkeypatch
):
    from assistant.finetuning.classifiers import training

    chosen = settings(method, **ENDS[end])
    whole = train_classifier(review_rows(16, 4), chosen, "whole")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(training, "_save", killed)
        with pytest.raises(KeyboardInterrupt):
            train_classifier(review_rows(16, 4), chosen, "parts")
    parts = train_classifier(review_rows(16, 4), chosen, "parts", resume=True)
    assert parts.record["steps"] == whole.record["steps"]
    assert parts.record["best"] == whole.record["best"]
    weights = "model.safetensors" if method == "full" else "adapter_model.safetensors"
    assert parts.record["files"][weights] == whole.record["files"][weights]
    losses = [[(line.get("loss"), line.get("dev_loss")) for line in one.record["curve"]] for one in (whole, parts)]
    assert losses[0] == losses[1]


def test_a_torn_checkpoint_is_passed_over(settings):
    stop, tell = stop_at(5)
    train_classifier(review_rows(), settings("full"), "mine", stop=stop, tell=tell)
    torn = work_folder("mine") / "checkpoint-99"
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half")
    saved = train_classifier(review_rows(), settings("full"), "mine", resume=True)
    assert saved.record["steps"] == 12


def test_what_to_do_with_a_stopped_training_has_to_be_said(settings):
    stop, tell = stop_at(2)
    train_classifier(review_rows(), settings("full"), "mine", stop=stop, tell=tell)
    with pytest.raises(RunProblem, match="stopped before its end"):
        train_classifier(review_rows(), settings("full"), "mine")
    with pytest.raises(RunProblem, match="other rows, another model or other settings"):
        train_classifier(review_rows(), settings("full", seed=3), "mine", resume=True)
    with pytest.raises(RunProblem, match="no stopped training 'other'"):
        train_classifier(review_rows(), settings("full"), "other", resume=True)
    assert train_classifier(review_rows(), settings("full"), "mine", replace=True).record["steps"] == 12


def test_a_replacement_that_was_stopped_goes_on(settings):
    first = train_classifier(review_rows(), settings("feature-based"), "mine")
    stop, tell = stop_at(2)
    train_classifier(review_rows(), settings("full"), "mine", replace=True, stop=stop, tell=tell)
    assert open_classifier("mine").record == first.record
    assert train_classifier(review_rows(), settings("full"), "mine", resume=True).record["steps"] == 12


def test_a_second_training_of_the_same_name_is_refused_while_the_first_runs(settings):
    refused = []

    def tell(progress):
        if not refused:
            with pytest.raises(TrainingError, match="Another process is training") as error:
                train_classifier(review_rows(), settings("full"), "mine", replace=True)
            refused.append(error)

    assert train_classifier(review_rows(), settings("full"), "mine", tell=tell).record["steps"] == 12
    assert refused


def test_a_classifier_is_replaced_only_when_that_is_asked_for(settings, home):
    first = train_classifier(review_rows(), settings("feature-based"), "mine")
    with pytest.raises(ClassifierError, match="already"):
        train_classifier(review_rows(), settings("feature-based"), "mine")
    again = train_classifier(review_rows(40), settings("feature-based"), "mine", replace=True)
    assert first.record["data"]["rows"] != again.record["data"]["rows"]
    (home / "adapters" / "lora").mkdir()
    with pytest.raises(ClassifierError, match="something else"):
        train_classifier(review_rows(), settings("feature-based"), "lora", replace=True)
    assert [one.name for one in (home / "adapters").iterdir() if one.name.startswith(".")] == []


@pytest.mark.parametrize(("place", "name"), [("work", "./dm"), ("work", "../work/dm"), ("work/dm", ".")])
def test_a_base_that_was_given_by_a_relative_path_is_found_from_everywhere(
    place, name, settings, home, bert, monkeypatch
):
    shutil.copytree(bert, home / "work" / "dm")
    monkeypatch.chdir(home / place)
    saved = train_classifier(review_rows(), settings("lora", encoder=name, epochs=1), "mine")
    assert saved.record["base"]["public_name"] == "dm"
    assert json.loads((saved.model_folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "dm"
    monkeypatch.chdir(home)
    assert load_classifier("mine").predict(TEST)


def test_where_the_base_model_lies_is_not_written_into_the_adapter(settings, bert):
    saved = train_classifier(review_rows(), settings("lora"), "mine")
    config = json.loads((saved.model_folder / "adapter_config.json").read_text())
    assert "/" not in config["base_model_name_or_path"]
    assert open_classifier("mine").record["base"]["name"] == bert
