"""Many prompts and labels at once give what one whole row per label gives."""

import math
import random
from threading import Event

import pytest
import torch
import transformers

from assistant.errors import ModelError, PromptTooLong
from assistant.generation import label_batches, prefixes
from assistant.generation.label_batches import LabelScorer
from assistant.generation.labels import LabelRow, batches, continued_sums, whole_row_sums
from tests.generation.test_local_model import LABELS, QUESTIONS, asked, plain
from tests.generation.tiny_models import FAMILIES, SHAPE

MORE = (*QUESTIONS, "x", "dull", "a gorgeous, moving and witty film that nobody should miss " * 3)
END = 2


def scored_plainly(network, prompt_ids, label_ids):
    """One whole row, nothing shared, no cache."""
    with torch.inference_mode():
        if network.config.is_encoder_decoder:
            fed = torch.tensor([[network.config.decoder_start_token_id, *label_ids[:-1]]])
            logits = network(input_ids=torch.tensor([prompt_ids]), decoder_input_ids=fed).logits[0]
        else:
            row = torch.tensor([[*prompt_ids, *label_ids]])
            logits = network(row, use_cache=False).logits[0, len(prompt_ids) - 1 : -1]
    return sum(logits.log_softmax(-1)[at, token].item() for at, token in enumerate(label_ids))


def rows_of(count, vocabulary, *, shared=12, seed=0):
    """Random prompts that begin alike, with labels of one to four tokens."""
    draw = random.Random(seed)

    def some(low, high):
        return tuple(draw.randrange(3, vocabulary) for _ in range(draw.randint(low, high)))

    beginning = (*some(shared, shared)[: shared // 2], END, *some(shared, shared)[shared // 2 + 1 :])
    return [
        LabelRow((*beginning, *some(1, 25)), tuple(some(1, 4) for _ in range(draw.randint(1, 5)))) for _ in range(count)
    ]


def run(scorer, rows):
    found = [()] * len(rows)
    for numbers, score in scorer.passes(rows):
        for number, sums in zip(numbers, score(), strict=True):
            found[number] = sums
    return found


def network_of(name, **changes):
    """A random network of an architecture that the shared families lack."""
    config = getattr(transformers, f"{name}TextConfig" if name == "Llama4" else f"{name}Config")
    config = config(vocab_size=97, bos_token_id=1, eos_token_id=END, **changes)
    torch.manual_seed(1)
    network = getattr(transformers, f"{name}ForCausalLM", None) or getattr(transformers, f"{name}LMHeadModel")
    network = network(config).eval()
    with torch.no_grad():
        for weight in network.parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.25)
    return network


class Counter:
    """Counts the passes of a network and the tokens they read."""

    def __init__(self, network):
        self.passes = self.tokens = 0
        self.handle = network.register_forward_pre_hook(self, with_kwargs=True)

    def __call__(self, _, args, kwargs):
        self.passes += 1
        self.tokens += (args[0] if args else kwargs["input_ids"]).numel()


@pytest.fixture
def counted():
    """A function from a network to its counter."""
    counters = []

    def count(network):
        counters.append(Counter(network))
        return counters[-1]

    yield count
    for counter in counters:
        counter.handle.remove()


# Exactness


@pytest.mark.parametrize("family", FAMILIES)
def test_all_at_once_equals_one_whole_row_per_label(chat_model, model_folder, family):
    model, network = chat_model(family), plain(model_folder(family), family)
    prompts = [asked(model, question) for question in MORE]
    found = model.score_labels(prompts, [LABELS] * len(MORE))
    for prompt, scores in zip(prompts, found, strict=True):
        for label, score in zip(LABELS, scores, strict=True):
            ids = model.renderer.label_ids(prompt, label)
            assert score == pytest.approx(scored_plainly(network, prompt.token_ids, ids), abs=1e-4)


OTHERS = {
    "GPT2": {"n_embd": 32, "n_layer": 2, "n_head": 4},
    "GPTNeoX": {**SHAPE, "rotary_pct": 0.5},
    "OPT": {
        "hidden_size": 32,
        "ffn_dim": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "word_embed_proj_dim": 32,
    },
    "Bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "Mpt": {"d_model": 32, "n_layers": 2, "n_heads": 4},
    "Falcon": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "alibi": True},
    "Phi": SHAPE,
    "Cohere2": {**SHAPE, "sliding_window": 8},
    "Gemma": SHAPE,
    "Mixtral": SHAPE,
    "Mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
    "Qwen3Next": {
        **SHAPE,
        "pad_token_id": 0,
        "linear_num_value_heads": 4,
        "linear_num_key_heads": 2,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16,
    },
    "Llama4": {
        **SHAPE,
        "pad_token_id": 0,
        "attention_chunk_size": 8,
        "num_local_experts": 2,
        "intermediate_size_mlp": 48,
    },
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_architectures_are_exact_by_branches_or_by_whole_rows(name):
    network, rows = network_of(name, **OTHERS[name]), rows_of(6, 97)
    for row, scores in zip(rows, run(LabelScorer(network, [END]), rows), strict=True):
        for label, score in zip(row.labels, scores, strict=True):
            assert score == pytest.approx(scored_plainly(network, row.prompt, label), abs=1e-4)


def test_where_an_attention_mask_is_not_all_there_is_rows_are_read_whole():
    for name in ("Bloom", "Mpt", "Falcon", "Mamba", "Qwen3Next", "Llama4"):
        assert label_batches._longest_branched(network_of(name, **OTHERS[name])) == 0, name
    assert label_batches._longest_branched(network_of("Cohere2", **OTHERS["Cohere2"])) == 8
    assert label_batches._longest_branched(network_of("GPT2", **OTHERS["GPT2"])) > 10**6


@pytest.mark.parametrize(("dtype", "far"), [("float32", 1e-4), ("bfloat16", 0.5)])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_branches_equal_whole_rows_under_every_attention_and_number_format(attention, dtype, far):
    network = network_of("Llama", **SHAPE, attn_implementation=attention).to(getattr(torch, dtype))
    assert network.config._attn_implementation == attention
    rows = rows_of(12, 97)
    with torch.inference_mode():
        found, wanted = run(LabelScorer(network, [END]), rows), whole_row_sums(network, rows)
        continued = continued_sums(network, rows)
    for scores, others, whole in zip(found, continued, wanted, strict=True):
        assert scores == pytest.approx(whole, abs=far)
        assert others == pytest.approx(whole, abs=far)


def test_a_score_does_not_depend_on_the_company(chat_model):
    model = chat_model("qwen3")
    prompts = [asked(model, question) for question in MORE]
    together = model.score_labels(prompts, [LABELS] * len(MORE))
    for at, prompt in enumerate(prompts):
        (alone,) = model.score_labels([prompt], [LABELS])
        (pair, _) = model.score_labels([prompt, prompts[at - 1]], [LABELS, LABELS[:1]])
        assert alone == pytest.approx(together[at], abs=1e-5)
        assert pair == pytest.approx(together[at], abs=1e-5)


def test_prompts_that_are_equal_or_begin_one_another_are_scored(chat_model):
    network = chat_model("llama3").network
    long = tuple(range(20, 60))
    rows = [LabelRow(long, ((5, 6),)), LabelRow(long, ((5, 6), (7,))), LabelRow(long[:-7], ((5, 6),))]
    first, second, third = run(LabelScorer(network, [END]), rows)
    assert first[0] == pytest.approx(second[0], abs=1e-6)
    assert third[0] == pytest.approx(scored_plainly(network, long[:-7], (5, 6)), abs=1e-4)


def test_nothing_asked_is_nothing_scored(chat_model):
    assert chat_model("llama3").score_labels([], []) == ()


# What is read


def test_labels_of_one_token_need_one_pass(chat_model, counted):
    model = chat_model("llama3")
    prompt = asked(model, "x")
    labels = [text for text in "abcdef" if len(model.renderer.label_ids(prompt, text)) == 1]
    assert len(labels) > 1
    counter = counted(model.network)
    (scores,) = model.score_labels([prompt], [labels])
    assert (counter.passes, counter.tokens) == (1, len(prompt.token_ids))
    assert math.fsum(math.exp(score) for score in scores) < 1


def test_a_prompt_wider_than_a_window_is_read_once_for_all_its_labels(chat_model, counted, monkeypatch):
    model = chat_model("mistral")
    prompts = [asked(model, question) for question in QUESTIONS]
    assert min(len(prompt.token_ids) for prompt in prompts) > model.network.config.sliding_window
    monkeypatch.setattr(model._scorer, "_most", 10**6)
    counter = counted(model.network)
    model.score_labels(prompts, [LABELS] * len(prompts))
    longest = max(len(model.renderer.label_ids(prompts[0], label)) for label in LABELS)
    widest = max(len(prompt.token_ids) for prompt in prompts)
    assert (counter.passes, counter.tokens) == (2, len(prompts) * (widest + len(LABELS) * (longest - 1)))


def test_labels_of_one_token_share_a_whole_row(counted):
    network = network_of("Bloom", **OTHERS["Bloom"])
    counter, prompt = counted(network), tuple(range(10, 30))
    ((*scores,),) = run(LabelScorer(network, [END]), [LabelRow(prompt, ((4,), (5,), (6, 7)))])
    assert counter.tokens == 2 * (len(prompt) + 1)
    assert scores == pytest.approx([scored_plainly(network, prompt, label) for label in ((4,), (5,), (6, 7))], abs=1e-4)


def test_a_common_beginning_is_read_once_and_a_static_one_once_for_all_calls(counted):
    network = network_of("Llama", **SHAPE)
    scorer, counter = LabelScorer(network, [END]), counted(network)
    static, chance = (*range(10, 30), END), (40, 41)
    calls = [[LabelRow((*static, *chance, 50 + n, 60 + m), ((7, 8), (9,))) for m in range(5)] for n in range(2)]
    read = []
    for rows in calls:
        before = counter.tokens
        run(scorer, rows)
        read.append(counter.tokens - before)
    # What differs is the last token; the second to last is common to one call only. One token of a label is read.
    own = 5 * (1 + 1)
    assert read == [len(static) + len(chance) + 1 + own, len(chance) + 1 + own]


def test_what_was_scored_before_changes_nothing_not_even_the_last_digit():
    network = network_of("Llama", **SHAPE)
    seasoned, rows = LabelScorer(network, [END]), rows_of(7, 97)
    for seed in range(3):
        run(seasoned, rows_of(5, 97, seed=seed))
    run(seasoned, rows[:3])
    assert run(seasoned, rows) == run(LabelScorer(network, [END]), rows)


def test_few_prefixes_are_kept_and_not_too_large_ones(monkeypatch):
    network = network_of("Llama", **SHAPE)
    shelf = prefixes.PrefixShelf(network, [END])
    with torch.inference_mode():
        for first in range(10, 20):
            assert shelf.read((first, 5, END)).length == 3
        assert len(shelf._kept) == prefixes._KEPT
        monkeypatch.setattr(prefixes, "_KEPT_BYTES", shelf.read((10, 5, END)).bytes + 1)
        shelf.read((30, END))
        assert len(shelf._kept) == 1
        shelf.read(tuple(range(10, 60)))
    assert not shelf._kept


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_another_adapter_does_not_get_the_states_of_the_one_before():
    import peft

    network = peft.get_peft_model(network_of("Llama", **SHAPE), peft.LoraConfig(target_modules=["q_proj", "v_proj"]))
    network.add_adapter("other", peft.LoraConfig(target_modules=["q_proj", "v_proj"]))
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "lora_B.other" in name:
                weight.normal_(0, 0.5)
    network.eval()
    scorer, rows = LabelScorer(network, [END]), rows_of(4, 97)
    one = run(scorer, rows)
    network.set_adapter("other")
    other = run(scorer, rows)
    assert other != one
    assert other == run(LabelScorer(network, [END]), rows)


# Batches


def test_small_batches_give_the_same_scores_in_more_passes(counted, monkeypatch):
    network, rows = network_of("Llama", **SHAPE), rows_of(20, 97)
    counter = counted(network)
    large = run(LabelScorer(network, [END]), rows)
    passes = counter.passes
    monkeypatch.setattr(label_batches, "_CPU_TOKENS", 40)
    small = run(LabelScorer(network, [END]), rows)
    assert counter.passes - passes > passes + 5
    for scores, same in zip(small, large, strict=True):
        assert scores == pytest.approx(same, abs=1e-5)


def test_batches_hold_every_row_once_similar_sizes_together_within_the_limit():
    draw = random.Random(3)
    sizes = [draw.randint(1, 90) for _ in range(200)]
    found = list(batches(sizes, 200))
    assert sorted(number for batch in found for number in batch) == list(range(200))
    assert all(len(batch) == 1 or len(batch) * max(sizes[n] for n in batch) <= 200 for batch in found)
    assert [sizes[n] for batch in found for n in batch] == sorted(sizes, reverse=True)
    assert list(batches([500], 200)) == [[0]]


def test_stop_ends_it_between_batches_and_leaves_the_rest_without_scores(chat_model, monkeypatch):
    model, stop = chat_model("llama3"), Event()
    prompts = [asked(model, question) for question in MORE]
    monkeypatch.setattr(model._scorer, "_most", 1)
    handle = model.network.register_forward_hook(lambda *_: stop.set() if len(seen.append(1) or seen) == 3 else None)
    seen = []
    scores = model.score_labels(prompts, [LABELS] * len(MORE), stop)
    handle.remove()
    assert 1 <= sum(map(bool, scores)) <= 2
    assert scores.count(()) == len(MORE) - sum(map(bool, scores))


def test_a_prompt_that_leaves_no_room_for_a_label_is_refused(chat_model):
    model = chat_model("llama3")
    with pytest.raises(PromptTooLong):
        model.score_labels([asked(model, "x"), asked(model, "film " * 600)], [LABELS] * 2)


def test_where_memory_is_short_a_batch_is_halved(monkeypatch):
    network, rows = network_of("Llama", **SHAPE), rows_of(9, 97)
    whole, sizes = run(LabelScorer(network, [END]), rows), []
    plainly = label_batches.branched_sums

    def narrow(network, rows, prefix):
        sizes.append(len(rows))
        if len(rows) > 3:
            raise torch.cuda.OutOfMemoryError
        return plainly(network, rows, prefix)

    monkeypatch.setattr(label_batches, "branched_sums", narrow)
    for scores, same in zip(run(LabelScorer(network, [END]), rows), whole, strict=True):
        assert scores == pytest.approx(same, abs=1e-5)
    assert sizes == [9, 4, 2, 2, 5, 2, 3]


def test_a_full_device_is_one_sentence(chat_model, monkeypatch):
    def full(*_, **__):
        raise torch.cuda.OutOfMemoryError

    model = chat_model("llama3")
    monkeypatch.setattr(label_batches, "branched_sums", full)
    with pytest.raises(ModelError, match="ran out of memory"):
        model.score_labels([asked(model, "a witty film")], [LABELS])
