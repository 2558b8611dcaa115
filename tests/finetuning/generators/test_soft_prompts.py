import peft
import pytest
import torch

from assistant.errors import AdapterError
from assistant.finetuning.generators.adapting import adapted, attention_layers, count_parameters
from assistant.finetuning.generators.settings import GeneratorSettings
from assistant.finetuning.generators.soft_prompts import nearest_tokens, read_soft_prompt
from assistant.generation.loading import load_base
from assistant.settings import ModelSettings

# peft 0.21 asks transformers for a name that 5.23 has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
FIRST, REST = [5, 9, 30, 41], [50, 51, 52, 60, 61]


@pytest.fixture
def soft(model_folder):
    """A function from a method to a tiny model with a soft prompt of four tokens, and its plain base."""

    def make(method, family="llama3", virtual_tokens=4):
        settings = ModelSettings(model=model_folder(family), device="cpu")
        base, plain = load_base(settings), load_base(settings)
        how = GeneratorSettings(method=method, virtual_tokens=virtual_tokens)
        model = adapted(base.network, how, encoder_decoder=base.encoder_decoder, first_ids=FIRST)
        return model.eval(), plain.network.eval(), base.renderer

    return make


def logits(model, ids):
    with torch.inference_mode():
        return model(input_ids=torch.tensor([ids])).logits[0]


@pytest.mark.parametrize("method", ["prompt-tuning", "prefix-tuning"])
@pytest.mark.parametrize("family", ["llama3", "zephyr"])
def test_a_soft_prompt_begins_as_the_tokens_it_is_made_of(method, family, soft):
    model, plain, _ = soft(method, family)
    wanted = logits(plain, [*FIRST, *REST])[-len(REST) :]
    assert torch.allclose(logits(model, REST)[-len(REST) :], wanted, atol=1e-4)


def test_too_few_tokens_are_repeated(soft):
    model, plain, _ = soft("prompt-tuning", virtual_tokens=6)
    wanted = logits(plain, [*FIRST, *FIRST[:2], *REST])[-len(REST) :]
    assert torch.allclose(logits(model, REST)[-len(REST) :], wanted, atol=1e-4)


def test_an_untrained_soft_prompt_reads_as_the_tokens_it_began_as(soft):
    model, _, _ = soft("prompt-tuning")
    near = read_soft_prompt(model, str)
    assert [one[0].text for one in near] == [str(token) for token in FIRST]
    assert all(one[0].similarity == pytest.approx(1.0) for one in near)


def test_the_nearest_tokens_are_those_of_highest_cosine_whatever_the_lengths():
    table = torch.tensor([[1.0, 0.0], [0.0, 50.0], [2.0, 2.0]])
    ((first, second),) = nearest_tokens(torch.tensor([[3.0, 1.0]]), table, "abc".__getitem__, k=2)
    assert (first.text, second.text) == ("a", "c")
    assert first.similarity == pytest.approx(3 / 10**0.5)
    assert second.similarity == pytest.approx(4 / 20**0.5)


def test_a_prefix_in_every_layer_cannot_be_read_as_tokens(soft):
    model, _, _ = soft("prefix-tuning")
    with pytest.raises(AdapterError, match="at the input"):
        read_soft_prompt(model, str)


def test_a_soft_prompt_has_as_many_parameters_as_it_has_numbers(soft):
    model, plain, _ = soft("prompt-tuning")
    width, all_of_base = 32, sum(weight.numel() for weight in plain.parameters())
    counts = count_parameters(model)
    assert (counts.trainable, counts.total) == (4 * width, 4 * width + all_of_base)
    assert counts.words().startswith("128 of ")
    prefix, _, _ = soft("prefix-tuning")
    layers, keys_and_values, heads, size = 2, 2, 2, 8
    assert count_parameters(prefix).trainable == 4 * layers * keys_and_values * heads * size


@pytest.mark.parametrize(
    ("family", "names"),
    [("llama3", ["k_proj", "o_proj", "q_proj", "v_proj"]), ("t5", ["k", "o", "q", "v"])],
)
def test_low_rank_matrices_stand_beside_attention_alone_unless_all_are_wanted(family, names, model_folder):
    network = load_base(ModelSettings(model=model_folder(family), device="cpu")).network
    assert attention_layers(network) == names
    for targets, has_mlp in (("attention", False), ("all-linear", True)):
        base = load_base(ModelSettings(model=model_folder(family), device="cpu"))
        how = GeneratorSettings(targets=targets)
        model = adapted(base.network, how, encoder_decoder=base.encoder_decoder, first_ids=FIRST)
        learnt = [name for name, weight in model.named_parameters() if weight.requires_grad]
        assert all("lora_" in name for name in learnt)
        assert any(".mlp." in name or "DenseReluDense" in name or ".wi" in name for name in learnt) == has_mlp
        assert isinstance(model, peft.PeftModel)
