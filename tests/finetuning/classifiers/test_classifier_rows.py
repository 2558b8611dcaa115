"""Rows as what the network reads: texts, pairs, what is cut, and what must not be."""

import pytest

from assistant.errors import DataError
from assistant.evaluation.outcomes import Sample
from assistant.finetuning.classifiers.rows import TrainingRows, encode, examples, texts_of
from assistant.finetuning.marks import Marks, text_mark
from tests.tiny_models import bert_tokenizer, pair_rows, review_rows, reviews, word_tokenizer


def test_a_pair_is_encoded_as_the_tokenizer_encodes_pairs():
    tokenizer = bert_tokenizer()
    pair = {"sentence1": "the film is good", "sentence2": "a good film"}
    (encoded,) = encode(tokenizer, [pair], ("sentence1", "sentence2"), words=None, max_tokens=32)
    assert tokenizer.decode(encoded["input_ids"]) == "[CLS] the film is good [SEP] a good film [SEP]"
    assert encoded["token_type_ids"] == [0] * 6 + [1] * 4


def test_of_more_than_two_fields_all_after_the_first_are_the_second_text():
    assert texts_of({"c": "3", "a": "1", "b": "2"}, ("a", "b", "c")) == ("1", "2\n3")


def test_words_are_cut_before_anything_is_tokenised():
    assert texts_of({"text": " a\n b  c d "}, ("text",), words=3) == ("a b c",)
    assert texts_of({"text": " a\n b "}, ("text",)) == (" a\n b ",)


def test_a_long_pair_loses_tokens_of_its_longer_text():
    tokenizer = bert_tokenizer()
    pair = {"a": "good " * 30, "b": "a bad film"}
    (encoded,) = encode(tokenizer, [pair], ("a", "b"), words=None, max_tokens=16)
    assert len(encoded["input_ids"]) == 16
    assert tokenizer.decode(encoded["input_ids"]).endswith("[SEP] a bad film [SEP]")


def test_a_label_is_its_place_in_the_tasks_order():
    rows = [Sample("1", {"text": "a"}, ("yes",)), Sample("2", {"text": "a"}, ("no",))]
    encoded = examples(word_tokenizer(), rows, ("text",), ("no", "yes"), words=None, max_tokens=8)
    assert [one["labels"] for one in encoded] == [1, 0]


def test_rows_of_one_label_teach_nothing():
    good = tuple(row for row in reviews(8) if row.targets == ("positive",))
    with pytest.raises(DataError, match="nothing to tell apart"):
        TrainingRows("sentiment", ("text",), ("negative", "positive"), good, good)


def test_a_label_that_the_task_does_not_have_is_refused():
    with pytest.raises(DataError, match="'positive' is not a label"):
        TrainingRows("sentiment", ("text",), ("negative", "other"), tuple(reviews(4)), tuple(reviews(2)))


def test_a_group_may_not_be_learnt_and_kept_aside():
    train = tuple(Sample(row.id, row.inputs, row.targets, "film 1") for row in reviews(4))
    dev = (Sample("x", {"text": "a"}, ("positive",), "film 1"),)
    with pytest.raises(DataError, match="film 1"):
        TrainingRows("sentiment", ("text",), ("negative", "positive"), train, dev)


def test_no_row_kept_aside_is_refused():
    with pytest.raises(DataError, match="kept aside"):
        TrainingRows("sentiment", ("text",), ("negative", "positive"), tuple(reviews(4)), ())


def test_the_hash_of_the_rows_changes_with_any_of_them():
    assert review_rows().sha256 == review_rows().sha256
    assert review_rows().sha256 != review_rows(dev=14).sha256
    assert pair_rows().counts() == {"no": 16, "yes": 16}


def test_a_row_that_was_learnt_from_is_known_again_in_other_spelling():
    marks = Marks.of([Sample("1", {"text": "A good film!"}, ("positive",), "g")])
    assert text_mark({"text": "a  GOOD film"}) in marks.texts
    assert text_mark({"text": "a bad film"}) not in marks.texts
    assert len(marks.groups) == 1
