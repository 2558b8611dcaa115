"""Fine-tuning an encoder: what it learns from, what comes out, and that an index takes it."""

import json
from dataclasses import replace
from threading import Event

import numpy as np
import pytest

from assistant.errors import ClassifierError, DataError, SettingError
from assistant.evaluation.outcomes import Sample
from assistant.finetuning.classifiers.progress import SPENT
from assistant.finetuning.classifiers.rows import TrainingRows
from assistant.finetuning.classifiers.training import Paused
from assistant.finetuning.encoders import training
from assistant.finetuning.encoders.losses import LOSSES
from assistant.finetuning.encoders.rows import columns, loss_for
from assistant.finetuning.encoders.settings import EncoderTraining
from assistant.finetuning.encoders.training import encoder_names, open_encoder, train_encoder
from assistant.finetuning.marks import read_marks
from assistant.retrieval.encoders import load_encoder
from tests.tiny_models import pair_rows, review_rows, save_bert


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return str(save_bert(tmp_path_factory.mktemp("bert")))


@pytest.fixture
def settings(bert):
    def made(loss=None, **others):
        values = {"max_tokens": 32, "batch_size": 8, "passes": 2, "rate": 0.003, "device": "cpu"}
        return EncoderTraining(encoder=bert, loss=loss, **(values | others))

    return made


def apart(encoder, rows):
    """Return how much nearer texts of one label are to each other than to those of the other."""
    vectors = encoder.encode([row.inputs["text"] for row in rows])
    cosines = vectors @ vectors.T
    labels = np.array([row.targets[0] for row in rows])
    same = labels[:, None] == labels[None, :]
    return float(cosines[same].mean() - cosines[~same].mean())


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains_and_what_comes_out_is_an_encoder(loss, settings, home):
    rows = review_rows() if LOSSES[loss].rows == "labels" else pair_rows()
    saved = train_encoder(rows, settings(loss), "mine")
    assert encoder_names() == ("mine",)
    encoder = load_encoder(str(saved.folder))
    assert encoder.encode(["a good film"]).shape == (1, 32)
    assert saved.record["loss"]["class"] == LOSSES[loss].kind
    assert any("dev_loss" in line for line in saved.record["curve"])
    assert not (home / "runs" / "encoders" / "mine").exists()
    assert not any(file.suffix in {".bin", ".pt", ".pkl"} for file in saved.folder.rglob("*"))


def test_texts_of_one_label_come_nearer_to_each_other(settings, bert):
    rows = review_rows(128, 16)
    saved = train_encoder(rows, settings("batch-hard", passes=6), "mine")
    before, after = load_encoder(bert), load_encoder(str(saved.folder))
    assert apart(after, rows.dev) > apart(before, rows.dev) + 0.05


def test_an_encoder_made_of_another_inherits_what_that_has_learnt_from(settings):
    first = train_encoder(review_rows(), settings(passes=1), "first")
    second = train_encoder(review_rows(8, 4), replace(settings(passes=1), encoder=str(first.folder)), "second")
    assert not second.unlearnt(review_rows().train)
    assert not read_marks(first.folder).texts - read_marks(second.folder).texts


def test_an_index_takes_it_and_knows_its_weights(settings, home):
    from assistant.data import Fields
    from assistant.retrieval.index import DemonstrationIndex, build_index
    from tests.toys import write_reviews

    saved = train_encoder(review_rows(), settings(), "mine")
    build_index(str(write_reviews(home)), "by-mine", Fields(("text",), "label", id="id"), encoder=str(saved.folder))
    index = DemonstrationIndex.open("by-mine")
    assert index.search("a good film", 2)
    assert index.manifest.encoder["sha256"]


def test_a_stopped_training_goes_on_to_the_same_weights_and_counts_all_its_seconds(settings, home):
    whole = train_encoder(review_rows(), settings(), "whole")
    stop = Event()
    paused = train_encoder(review_rows(), settings(), "parts", stop=stop, tell=lambda told: stop.set())
    assert isinstance(paused, Paused)
    kept = home / "runs" / "encoders" / "parts" / SPENT
    assert json.loads(kept.read_text()) > 0
    kept.write_text("1000.0")
    parts = train_encoder(review_rows(), settings(), "parts", resume=True)
    weights = [(one.folder / "model.safetensors").read_bytes() for one in (whole, parts)]
    assert weights[0] == weights[1]
    losses = [[line.get("loss") for line in one.record["curve"]] for one in (whole, parts)]
    assert losses[0] == losses[1]
    assert 1000 < parts.record["seconds"] < 2000


@pytest.mark.parametrize("loss", ["batch-hard", "ranking"])
@pytest.mark.parametrize("end", [{}, {"rate": 0.5, "passes": 20, "patience": 1}])
def test_a_training_that_was_killed_between_its_last_step_and_its_saving_takes_no_further_step(
    end, loss, settings, monkeypatch
):
    rows = review_rows() if LOSSES[loss].rows == "labels" else pair_rows()
    whole = train_encoder(rows, settings(loss, **end), "whole")
    assert len([line for line in whole.record["curve"] if "dev_loss" in line]) < 20

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(training, "_publish", killed)
        with pytest.raises(KeyboardInterrupt):
            train_encoder(rows, settings(loss, **end), "parts")
    parts = train_encoder(rows, settings(loss, **end), "parts", resume=True)
    assert (parts.record["steps"], parts.record["best"]) == (whole.record["steps"], whole.record["best"])
    weights = [(one.folder / "model.safetensors").read_bytes() for one in (whole, parts)]
    assert weights[0] == weights[1]
    losses = [[(line.get("loss"), line.get("dev_loss")) for line in one.record["curve"]] for one in (whole, parts)]
    assert losses[0] == losses[1]


def test_what_is_alike_is_a_label_of_the_task():
    rows, settings = pair_rows(8, 4), EncoderTraining()
    table = columns(rows, rows.train, loss_for(rows, settings), settings)
    assert table["score"] == [0.0, 1.0] * 4
    ranking = columns(rows, rows.train, LOSSES["ranking"], settings)
    assert len(ranking["anchor"]) == 4
    swapped = columns(rows, rows.train, LOSSES["cosent"], EncoderTraining(alike="no"))
    assert swapped["score"] == [1.0, 0.0] * 4
    with pytest.raises(SettingError, match="'maybe' is not a label"):
        columns(rows, rows.train, LOSSES["cosent"], EncoderTraining(alike="maybe"))


def test_labels_that_do_not_say_what_is_alike_have_to_be_explained():
    labels = ("left", "right")
    train = tuple(Sample(str(at), {"a": "x", "b": "y"}, (labels[at % 2],)) for at in range(4))
    rows = TrainingRows("odd", ("a", "b"), labels, train, train[:1])
    with pytest.raises(SettingError, match="belong together"):
        columns(rows, rows.train, LOSSES["cosent"], EncoderTraining())
    with pytest.raises(DataError, match="No pair is 'left'"):
        columns(rows, rows.train[1::2], LOSSES["ranking"], EncoderTraining(alike="left"))


def test_pairs_drawn_from_labels_are_right_and_half_of_them_alike():
    rows = review_rows(40, 4)
    table = columns(rows, rows.train, LOSSES["contrastive"], EncoderTraining())
    label = {row.inputs["text"]: row.targets[0] for row in rows.train}
    for one, other, same in zip(table["sentence1"], table["sentence2"], table["label"], strict=True):
        assert (label[one] == label[other]) == bool(same)
    assert sum(table["label"]) / len(table["label"]) == pytest.approx(0.5, abs=0.05)


def test_a_loss_for_other_rows_is_refused():
    with pytest.raises(SettingError, match="learns from pairs"):
        loss_for(review_rows(), EncoderTraining(loss="ranking"))
    with pytest.raises(SettingError, match="learns from single texts"):
        loss_for(pair_rows(), EncoderTraining(loss="batch-hard"))


@pytest.mark.parametrize(
    ("train", "dev", "said"), [(3, 12, r"rows to train on \(3\)"), (32, 1, r"rows kept aside \(1\)")]
)
def test_too_few_rows_of_a_label_are_refused_before_anything_is_written(train, dev, said, settings, home):
    with pytest.raises(DataError, match=said) as error:
        train_encoder(review_rows(train, dev), settings("batch-hard"), "mine")
    assert "--loss contrastive" in error.value.hint
    assert not list(home.iterdir())


@pytest.mark.parametrize("size", [2, 5])
def test_a_batch_that_cannot_hold_two_rows_of_two_labels_is_refused(size):
    with pytest.raises(SettingError, match="even batch size"):
        loss_for(review_rows(), EncoderTraining(batch_size=size))
    assert loss_for(review_rows(), EncoderTraining(batch_size=size, loss="contrastive"))


def test_a_name_that_is_taken_is_refused(settings, home):
    train_encoder(review_rows(), settings(), "mine")
    with pytest.raises(ClassifierError, match="already"):
        train_encoder(review_rows(), settings(), "mine")
    (home / "adapters" / "other").mkdir()
    with pytest.raises(ClassifierError, match="something else"):
        train_encoder(review_rows(), settings(), "other", replace=True)
    with pytest.raises(ClassifierError, match="no encoder 'yours'"):
        open_encoder("yours")


@pytest.mark.parametrize(
    "values",
    [{"batch_size": 1}, {"passes": 0}, {"rate": 0.0}, {"device": "x"}, {"seed": -1}, {"encoder": "demo"}],
)
def test_settings_out_of_range_are_refused(values):
    with pytest.raises(SettingError):
        EncoderTraining(**values)
