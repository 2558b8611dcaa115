from pathlib import Path

import pytest

from assistant.errors import SettingError, UnknownName
from assistant.finetuning.generators.methods import METHODS, find_method, low_rank_parameters
from assistant.finetuning.generators.settings import GeneratorSettings
from assistant.settings import RetrievalSettings


def test_the_86_percent_example_of_lora_is_right():
    # Source document 003, section 2.2.1: weights of 512 × 64 against rank 8.
    full, low_rank = 512 * 64, low_rank_parameters(512, 64, 8)
    assert (full, low_rank) == (32_768, 4_608)
    assert round(100 * (1 - low_rank / full)) == 86


def test_peft_learns_as_many_parameters_as_the_example_says():
    import peft
    import torch

    class One(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(64, 512, bias=False)

    model = peft.get_peft_model(One(), peft.LoraConfig(r=8, target_modules=["layer"]))
    assert model.get_nb_trainable_parameters()[0] == low_rank_parameters(512, 64, 8)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rank": 0}, "rank must be from 1"),
        ({"rank": 100_000}, "rank must be from 1 to 512"),
        ({"virtual_tokens": 0}, "virtual tokens must be"),
        ({"dropout": 1.0}, "dropout"),
        ({"validation": 0.9}, "validation share"),
        ({"epochs": 0}, "epochs"),
        ({"steps": 0}, "steps must be from 1"),
        ({"learning_rate": 0.0}, "learning rate"),
        ({"batch_size": 0}, "batch size"),
        ({"k": 65}, "k must be"),
        ({"seed": -1}, "seed"),
        ({"warmup": 2}, "warmup"),
        ({"packing": True, "method": "prompt-tuning"}, "soft prompt"),
        ({"gradient_checkpointing": True, "method": "prefix-tuning"}, "cache"),
    ],
)
def test_a_wrong_setting_is_one_sentence(wrong, said):
    with pytest.raises(SettingError, match=said) as caught:
        GeneratorSettings(**wrong)
    assert "\n" not in caught.value.sentence()


@pytest.mark.parametrize("wrong", [{"method": "lore"}, {"targets": "attentoin"}, {"dtype": "float8"}])
def test_an_unknown_name_comes_with_the_known_ones(wrong):
    with pytest.raises(UnknownName, match="Known:"):
        GeneratorSettings(**wrong)


def test_each_method_has_a_learning_rate_of_its_own_unless_one_is_given():
    assert GeneratorSettings(method="full").highest_rate == find_method("full").learning_rate
    assert GeneratorSettings(method="full", learning_rate=0.1).highest_rate == 0.1
    assert GeneratorSettings(rank=4).to_json()["alpha"] == 8


@pytest.mark.parametrize(("width", "share"), [(2048, 1), (4096, 0.5), (256, 8), (32, 8), (10**6, 0.25), (None, 1)])
def test_the_narrower_the_network_the_higher_the_rate_of_a_method(width, share):
    own = find_method("lora").learning_rate
    assert GeneratorSettings().at_width(width).highest_rate == pytest.approx(own * share)
    assert GeneratorSettings(learning_rate=0.1).at_width(width).highest_rate == 0.1


def test_demonstrations_in_the_prompt_mean_the_strategy_that_retrieves_them():
    assert GeneratorSettings(k=4).strategy == "dynamic-few-shot"
    assert GeneratorSettings().strategy == "zero-shot"
    assert GeneratorSettings(strategy="random-few-shot", k=2).k == 2
    assert GeneratorSettings(strategy="dynamic-few-shot").k == RetrievalSettings.k
    with pytest.raises(SettingError, match="'static-few-shot' retrieves no demonstrations"):
        GeneratorSettings(strategy="static-few-shot", k=4)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_says_what_it_learns_and_where_it_is_from(name):
    method = find_method(name)
    assert method.about.endswith(".")
    assert any(year in method.source for year in ("2018", "2021", "2022", "2023", "2024"))
    assert method.mergeable == (method.form == "weights")
    assert set(method.settings) <= {"rank", "alpha", "dropout", "targets", "virtual_tokens"}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_stands_in_the_readme(name):
    readme = Path(__file__).resolve().parents[3] / "README.md"
    assert f"| `{name}` |" in readme.read_text(encoding="utf-8")


def test_a_run_is_validated_ten_times_unless_told_otherwise():
    assert GeneratorSettings().distance(200) == 20
    assert GeneratorSettings().distance(3) == 1
    assert GeneratorSettings(evaluate_every=50).distance(200) == 50
    assert GeneratorSettings(evaluate_every=500).distance(200) == 200
