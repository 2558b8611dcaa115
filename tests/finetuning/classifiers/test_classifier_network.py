"""What learns under each method, by name and by number."""

import pytest

from assistant.errors import ModelError, SettingError, UnknownName
from assistant.finetuning.classifiers.base import find_base, load_tokenizer, load_with_head
from assistant.finetuning.classifiers.methods import METHODS
from assistant.finetuning.classifiers.network import (
    head_modules,
    last_layers,
    max_tokens,
    new_network,
    parameter_counts,
)
from assistant.finetuning.classifiers.settings import ClassifierSettings
from assistant.finetuning.classifiers.training import train_classifier
from tests.generation.tiny_models import save_model
from tests.tiny_models import LAYERS, PLACES, WIDTH, review_rows, save_bert

LABELS = ("negative", "positive")


def made(folder, settings):
    base = find_base(folder)
    return new_network(base, load_tokenizer(base.folder, base.name), LABELS, settings)


def learning(network):
    return {name for name, parameter in network.named_parameters() if parameter.requires_grad}


def test_a_frozen_head_learns_the_pooler_and_the_classifier_alone(bert, settings):
    network = made(bert, settings("frozen-head"))
    assert {name.split(".")[0] + "." + name.split(".")[1] for name in learning(network)} == {
        "bert.pooler",
        "classifier.weight",
        "classifier.bias",
    }


def test_last_2_learns_two_layers_more_and_nothing_below(tmp_path, settings):
    from transformers import BertConfig, BertModel

    folder = save_bert(tmp_path / "deep")
    config = BertConfig.from_pretrained(folder, num_hidden_layers=4)
    BertModel(config).save_pretrained(folder)
    names = learning(made(str(folder), settings("last-2")))
    layers = {name.split(".")[3] for name in names if "encoder.layer" in name}
    assert layers == {"2", "3"}
    assert not any("embeddings" in name for name in names)
    assert any(name.startswith("classifier") for name in names)


def test_full_learns_everything(bert, settings):
    trained, total = parameter_counts(made(bert, settings("full")))
    assert trained == total


def test_attention_dropout_is_the_models_own_or_what_is_said(bert, llama, settings):
    def dropped(folder, **others):
        network = made(folder, settings("full", encoder=folder, **others))
        return {module.p for name, module in network.named_modules() if name.endswith("attention.self.dropout")}

    assert dropped(bert) == {0.1}
    assert dropped(bert, attention_dropout=0.0) == {0.0}
    assert made(llama, settings("lora", encoder=llama, attention_dropout=0.3)).config.attention_dropout == 0.3
    with pytest.raises(SettingError, match="from 0 to below 1"):
        settings("full", attention_dropout=1.0)


def test_a_model_without_attention_dropout_is_refused_in_words(tmp_path, settings):
    import json

    folder = save_bert(tmp_path / "other")
    config = json.loads((folder / "config.json").read_text())
    del config["attention_probs_dropout_prob"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(SettingError, match="says nothing of attention dropout"):
        made(str(folder), settings("full", attention_dropout=0.0))


def test_a_soft_prompt_learns_its_vectors_and_the_head(bert, settings):
    network = made(bert, settings("soft-prompt", virtual_tokens=5))
    trained, _ = parameter_counts(network)
    head = (WIDTH * WIDTH + WIDTH) + (WIDTH * 2 + 2)
    assert trained == 5 * WIDTH + head


def test_a_soft_prompt_of_which_the_encoder_learns_too_leaves_its_embeddings_alone(bert, settings):
    network = made(bert, settings("soft-prompt-full", virtual_tokens=5))
    names = learning(network)
    assert len({name.split(".layer.")[1].split(".")[0] for name in names if ".layer." in name}) == LAYERS
    assert not any("word_embeddings" in name for name in names)
    full = sum(parameter.numel() for name, parameter in network.named_parameters() if name in names)
    body = parameter_counts(made(bert, settings("full")))[0]
    embeddings = parameter_counts(network.get_base_model().get_submodule("bert.embeddings"))[1]
    assert full == 5 * WIDTH + body - embeddings


def test_a_soft_prompt_begins_as_words_that_the_model_knows(bert, settings):
    import torch

    network = made(bert, settings("soft-prompt", virtual_tokens=5))
    known = network.get_base_model().get_input_embeddings().weight
    for vector in network.prompt_encoder["default"].embedding.weight:
        assert torch.isclose(known, vector).all(dim=1).any()


def test_lora_learns_two_narrow_matrices_for_each_of_its_targets_and_the_head(bert, settings):
    trained, _ = parameter_counts(made(bert, settings("lora", rank=4)))
    head = (WIDTH * WIDTH + WIDTH) + (WIDTH * 2 + 2)
    assert trained == LAYERS * 2 * (WIDTH * 4 + 4 * WIDTH) + head


def test_a_decoder_gets_a_head_and_its_last_norm_counts_as_part_of_it(llama, settings):
    network = made(llama, settings("frozen-head", encoder=llama))
    assert learning(network) == {"model.norm.weight", "score.weight"}
    assert network.config.pad_token_id == 1


def test_a_soft_prompt_before_a_decoder_is_refused_in_one_sentence(llama, settings):
    with pytest.raises(ModelError, match="decoder-only"):
        made(llama, settings("soft-prompt", encoder=llama))


def test_lora_on_a_decoder_trains_no_norm_inside_its_layers(llama, settings):
    names = learning(made(llama, settings("lora", encoder=llama)))
    assert not any("layernorm" in name for name in names)
    assert any("score" in name for name in names)


def test_all_layers_learn_where_there_are_no_more_than_two(bert, settings):
    network = load_with_head(find_base(bert).folder, bert, LABELS, 0)
    assert {name.split(".")[3] for name in last_layers(network, 2)} == {"0", "1"}
    assert head_modules(network) == ["bert.pooler"]


def test_a_text_has_as_many_places_as_the_soft_prompt_leaves(bert, settings):
    network = made(bert, settings("full"))
    tokenizer = load_tokenizer(find_base(bert).folder, bert)
    long = settings("full", max_tokens=512)
    assert max_tokens(network, tokenizer, long) == PLACES
    assert max_tokens(network, tokenizer, settings("soft-prompt", max_tokens=512, virtual_tokens=20)) == PLACES - 20
    with pytest.raises(SettingError, match="4 places are left"):
        max_tokens(network, tokenizer, settings("soft-prompt", virtual_tokens=60))


def test_a_base_of_other_labels_gets_a_new_head(tmp_path, bert, settings):
    network = load_with_head(find_base(bert).folder, bert, ("a", "b", "c"), 0)
    network.save_pretrained(tmp_path)
    load_tokenizer(find_base(bert).folder, bert).save_pretrained(tmp_path)
    again = made(str(tmp_path), settings("full"))
    assert again.classifier.out_features == 2
    assert again.config.id2label == {0: "negative", 1: "positive"}


def test_a_model_of_two_parts_is_refused(tmp_path):
    from transformers import BartConfig, BartModel

    shape = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "vocab_size": 20}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    BartModel(BartConfig(**shape, **heads)).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="'bart' is an encoder-decoder model"):
        load_with_head(tmp_path, "bart", LABELS, 1)


def test_a_frozen_body_of_two_parts_is_refused_in_the_same_sentence(tmp_path, settings):
    t5 = str(save_model("t5", tmp_path / "t5"))
    for method in ("full", "feature-based"):
        with pytest.raises(ModelError, match=r"'.*t5' is an encoder-decoder model") as error:
            train_classifier(review_rows(), settings(method, encoder=t5), method)
        assert error.value.hint == "Choose an encoder or a decoder-only model."


def test_a_pickled_model_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match="no safetensors"):
        find_base(str(tmp_path))


def test_every_method_says_what_is_trained_and_where_it_is_from():
    for name, method in METHODS.items():
        assert method.name == name
        assert method.trained
        assert "ource document" in method.source
        assert (method.learning_rate is None) == (name == "feature-based")
    assert METHODS["frozen-head"].learning_rate > METHODS["last-2"].learning_rate > METHODS["full"].learning_rate


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"method": "bert"}, UnknownName),
        ({"max_tokens": 3}, SettingError),
        ({"words": 0}, SettingError),
        ({"learning_rate": 0.0}, SettingError),
        ({"epochs": 0}, SettingError),
        ({"batch_size": 0}, SettingError),
        ({"device": "abacus"}, SettingError),
        ({"warmup": 1.0}, SettingError),
        ({"weight_decay": -0.1}, SettingError),
        ({"rank": 0}, SettingError),
    ],
)
def test_settings_out_of_range_are_refused(values, error):
    with pytest.raises(error):
        ClassifierSettings(**values)


def test_settings_take_what_is_not_said_from_the_table_and_come_back_from_json():
    settings = ClassifierSettings(method="last-2")
    assert (settings.rate, settings.passes) == (METHODS["last-2"].learning_rate, METHODS["last-2"].epochs)
    again = ClassifierSettings.from_json(settings.to_json())
    assert again.to_json() == settings.to_json()
    with pytest.raises(SettingError, match="no setting 'rat'"):
        ClassifierSettings.from_json({"rat": 1})
