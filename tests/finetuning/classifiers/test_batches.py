"""Batches of like length, and the precision in which a network reads."""

import numpy as np
import pytest

from assistant.errors import SettingError
from assistant.finetuning.classifiers.batches import trainer_of_like_lengths, uses_bfloat16
from assistant.finetuning.classifiers.predicting import load_classifier
from assistant.finetuning.classifiers.saved import open_classifier
from assistant.finetuning.classifiers.training import train_classifier
from tests.tiny_models import review_rows, reviews

BATCH = 8
LENGTHS = [3 + (7 * at) % 29 for at in range(101)]
ROWS = [{"input_ids": [1] * length} for length in LENGTHS]


def order(seed=0, passes=(0,)):
    """Return the rows' order in the last of the passes that a Trainer begins."""
    from torch import nn
    from transformers import TrainingArguments

    arguments = TrainingArguments("unused", per_device_train_batch_size=BATCH, seed=seed, use_cpu=True, report_to=[])
    loader = trainer_of_like_lengths()(nn.Linear(1, 1), arguments, lambda rows: rows, ROWS)._get_train_sampler()
    for number in passes:
        loader.set_epoch(number)
        found = list(loader)
    return found


def filling(rows):
    """Return the places that hold no text when rows are batched in this order."""
    batches = [[LENGTHS[at] for at in rows[start : start + BATCH]] for start in range(0, len(rows), BATCH)]
    return sum(max(batch) * len(batch) - sum(batch) for batch in batches)


def test_every_row_comes_once_in_a_pass_and_in_another_order_in_the_next():
    first, second = order(), order(passes=(1,))
    assert sorted(first) == sorted(second) == list(range(101))
    assert first != second
    assert first != order(seed=5)


def test_a_pass_has_the_same_order_whatever_was_drawn_before_it():
    assert order(passes=(0, 1, 2)) == order(passes=(2,))


def test_rows_of_like_length_stand_together_and_batches_are_mixed():
    rows = order()
    assert filling(rows) < filling(range(101)) / 2
    longest = [max(LENGTHS[at] for at in rows[start : start + BATCH]) for start in range(0, 96, BATCH)]
    assert longest != sorted(longest, reverse=True)


def test_bfloat16_is_used_where_it_is_asked_for_and_remembered(settings):
    rows = [row.inputs for row in reviews(20, prefix="t")]
    train_classifier(review_rows(), settings("full", dtype="bfloat16"), "mine")
    assert open_classifier("mine").settings.dtype == "bfloat16"
    rough = load_classifier("mine").log_probabilities(rows)
    train_classifier(review_rows(), settings("full", dtype="float32"), "exact")
    exact = load_classifier("exact").log_probabilities(rows)
    assert not np.array_equal(rough, exact)
    assert np.allclose(np.exp(rough), np.exp(exact), atol=0.2)


def test_bfloat16_is_refused_where_it_is_not_and_auto_does_without():
    assert uses_bfloat16("bfloat16", "cpu")
    assert not uses_bfloat16("auto", "cpu")
    assert not uses_bfloat16("auto", "mps")
    with pytest.raises(SettingError, match="has no bfloat16"):
        uses_bfloat16("bfloat16", "mps")


def test_a_dtype_that_is_none_is_refused(settings):
    with pytest.raises(SettingError, match="There is no dtype 'half'"):
        settings("full", dtype="half")
