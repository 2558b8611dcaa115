from threading import Event, Thread

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, GenerationConfig

from assistant.errors import ModelError, PromptTooLong
from assistant.records import Prompt
from assistant.settings import SamplingSettings
from tests.generation.tiny_models import FAMILIES

QUESTIONS = (
    "a witty film",
    "Is this review positive or negative? The plot was dull and the actors were tired.",
    "What is seven times six? Let us think step by step.",
    "hello 🙂",
)
LABELS = ("positive", "negative", "no", "a much longer label")


def asked(model, question):
    turns = (
        {"role": "system", "content": "Answer with one word."},
        {"role": "user", "content": "a gorgeous film"},
        {"role": "assistant", "content": "positive"},
        {"role": "user", "content": question},
    )
    return model.renderer.render(Prompt(turns, ("instruction", "demonstration 1", "demonstration 1", "question")))


def plain(folder, family):
    """The same weights by transformers alone, with neutral generation defaults."""
    auto = AutoModelForSeq2SeqLM if family == "t5" else AutoModelForCausalLM
    network = auto.from_pretrained(folder, dtype=torch.float32).eval()
    old = network.generation_config
    network.generation_config = GenerationConfig(
        eos_token_id=old.eos_token_id, decoder_start_token_id=old.decoder_start_token_id
    )
    return network


def last(steps):
    *_, final = steps
    return final


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_replies_equal_plain_transformers(chat_model, model_folder, family):
    model, network = chat_model(family), plain(model_folder(family), family)
    for question in QUESTIONS:
        prompt = asked(model, question)
        out = network.generate(
            torch.tensor([prompt.token_ids]),
            attention_mask=torch.ones(1, len(prompt.token_ids), dtype=torch.long),
            do_sample=False,
            max_new_tokens=24,
            eos_token_id=list(model.renderer.stop_ids),
            pad_token_id=0,
        )[0].tolist()
        new = out[1:] if family == "t5" else out[len(prompt.token_ids) :]
        (row,) = last(model.generate([prompt], [SamplingSettings(max_new_tokens=24)], Event()))
        assert row.text == model.renderer.decode(new).rstrip("\ufffd")
        assert row.new_tokens == len(new)
        assert row.finish == ("end" if new[-1] in model.renderer.stop_ids else "length")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_of_four_equals_one_by_one(chat_model, family):
    model = chat_model(family)
    prompts = [asked(model, question) for question in QUESTIONS]
    samplings = [SamplingSettings(max_new_tokens=n) for n in (16, 9, 20, 12)]
    together = last(model.generate(prompts, samplings, Event()))
    for prompt, sampling, row in zip(prompts, samplings, together, strict=True):
        (alone,) = last(model.generate([prompt], [sampling], Event()))
        assert (alone.text, alone.new_tokens, alone.finish) == (row.text, row.new_tokens, row.finish)


@pytest.mark.parametrize("family", ["llama3", "t5"])
def test_a_sampled_row_depends_on_its_seed_and_not_on_its_neighbours(chat_model, family):
    model = chat_model(family)
    prompts = [asked(model, question) for question in QUESTIONS]
    hot = [SamplingSettings(temperature=1.5, top_p=0.9, seed=seed, max_new_tokens=12) for seed in (1, 2, 3)]
    mixed = [*hot, SamplingSettings(max_new_tokens=12)]
    first = [row.text for row in last(model.generate(prompts, mixed, Event()))]
    again = [row.text for row in last(model.generate(prompts[::-1], mixed[::-1], Event()))][::-1]
    assert first == again
    (alone,) = last(model.generate(prompts[1:2], mixed[1:2], Event()))
    assert alone.text == first[1]
    same = [
        last(model.generate(prompts[:1], [SamplingSettings(temperature=1.5, seed=seed, max_new_tokens=20)], Event()))[
            0
        ].text
        for seed in range(4)
    ]
    assert len(set(same)) == 4


def test_sampling_draws_from_the_softmax_within_the_nucleus():
    from assistant.generation.sampling import RowSampling

    scores = torch.tensor([[2.0, 1.0, 0.5, -1.0, -3.0]])
    for temperature, top_p in ((1.0, 1.0), (0.7, 0.8)):
        wanted = (scores[0] / temperature).softmax(-1)
        kept = [0, 1] if top_p < 1 else [0, 1, 2, 3, 4]
        wanted = torch.stack([wanted[i] if i in kept else torch.tensor(0.0) for i in range(5)])
        sampling = RowSampling([SamplingSettings(temperature=temperature, top_p=top_p, seed=4)])
        n = 5_000
        counts = torch.zeros(5)
        for _ in range(n):
            counts[sampling(None, scores.clone())[0].argmax()] += 1
        wanted = wanted / wanted.sum()
        error = 4 * (wanted * (1 - wanted) / n).sqrt()
        assert ((counts / n - wanted).abs() <= error).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_snapshots_grow_token_by_token_and_never_show_half_a_character(chat_model, family):
    model = chat_model(family)
    prompts = [asked(model, question) for question in QUESTIONS[:2]]
    samplings = [SamplingSettings(temperature=1.0, seed=s, max_new_tokens=40) for s in (1, 2)]
    snapshots = list(model.generate(prompts, samplings, Event()))
    for row in range(2):
        rows = [snapshot[row] for snapshot in snapshots]
        assert [r.new_tokens for r in rows] == [min(n, rows[-1].new_tokens) for n in range(1, len(rows) + 1)]
        assert all(not r.text.endswith("\ufffd") for r in rows)
        # Random weights write invalid bytes, and a byte-fallback decoder then takes back the valid ones before.
        assert "\ufffd" in rows[-1].text or all(rows[-1].text.startswith(r.text) for r in rows)
        assert 0 < rows[-1].first_token_seconds <= rows[-1].seconds
        assert rows[-1].finish
        assert not rows[0].finish


class Counter:
    """Counts the forward passes of a network."""

    def __init__(self, network):
        self.passes = 0
        self.handle = network.register_forward_pre_hook(self._count)

    def _count(self, *_):
        self.passes += 1


class StopAfter(Event):
    """Set by the n-th pass itself, so that nothing races."""

    def __init__(self, counter, passes):
        super().__init__()
        self.counter, self.limit = counter, passes

    def is_set(self):
        return self.counter.passes >= self.limit


@pytest.mark.parametrize("family", ["llama3", "t5"])
def test_stop_ends_generation_within_one_token(chat_model, family):
    model = chat_model(family)
    counter = Counter(model.network)
    try:
        sampling = SamplingSettings(temperature=1.0, max_new_tokens=300)
        prompt = asked(model, QUESTIONS[0])
        rows = list(model.generate([prompt, prompt], [sampling, sampling], StopAfter(counter, 5)))
    finally:
        counter.handle.remove()
    assert counter.passes == 5
    assert {row.finish for row in rows[-1]} == {"stopped"}
    assert rows[-1][0].new_tokens == 5


def test_closing_the_iterator_ends_generation_and_its_thread(chat_model):
    import threading

    model = chat_model("llama3")
    counter = Counter(model.network)
    try:
        steps = model.generate([asked(model, "x")], [SamplingSettings(temperature=2.0, max_new_tokens=400)], Event())
        next(steps)
        before = counter.passes
        steps.close()
        after = counter.passes
    finally:
        counter.handle.remove()
    assert after - before < 100
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("generate")]


def test_a_stop_that_is_already_set_computes_nothing(chat_model):
    model, stop = chat_model("llama3"), Event()
    stop.set()
    counter = Counter(model.network)
    rows = list(model.generate([asked(model, "x")], [SamplingSettings()], stop))
    counter.handle.remove()
    assert counter.passes == 0
    assert rows[-1][0].finish == "stopped"


def test_an_error_while_generating_is_raised_where_it_is_read(chat_model, monkeypatch):
    model = chat_model("qwen2")

    def broken(**_):
        raise ZeroDivisionError

    monkeypatch.setattr(model.network, "generate", broken)
    with pytest.raises(ZeroDivisionError):
        list(model.generate([asked(model, "x")], [SamplingSettings()], Event()))
    monkeypatch.undo()
    assert last(model.generate([asked(model, "x")], [SamplingSettings(max_new_tokens=2)], Event()))[0].finish


def test_two_threads_take_turns_and_get_their_own_answers(chat_model):
    model = chat_model("mistral")
    prompts = [asked(model, question) for question in QUESTIONS]
    sampling = SamplingSettings(max_new_tokens=10)
    alone = [last(model.generate([prompt], [sampling], Event()))[0].text for prompt in prompts]
    found = {}

    def run(at):
        found[at] = last(model.generate([prompts[at]], [sampling], Event()))[0].text

    threads = [Thread(target=run, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[at] for at in range(4)] == alone


def test_a_prompt_beyond_the_context_is_refused_and_replies_are_clipped_to_it(chat_model):
    model = chat_model("llama3")
    assert model.context_tokens == 512
    with pytest.raises(PromptTooLong):
        next(model.generate([asked(model, "film " * 600)], [SamplingSettings()], Event()))
    prompt = asked(model, "film " * 60)
    room = 512 - len(prompt.token_ids)
    (row,) = last(model.generate([prompt], [SamplingSettings(temperature=3.0, max_new_tokens=8000)], Event()))
    assert row.new_tokens <= room


def test_a_full_device_is_one_sentence(chat_model, monkeypatch):
    def full(*_, **__):
        raise torch.cuda.OutOfMemoryError

    model = chat_model("llama3")
    monkeypatch.setattr(model.network, "generate", full)
    with pytest.raises(ModelError, match="ran out of memory"):
        list(model.generate([asked(model, "a witty film")], [SamplingSettings()], Event()))


@pytest.mark.parametrize(("temperature", "processors"), [(0.0, 0), (0.7, 1)])
def test_a_batch_of_greedy_rows_pays_for_no_processor(chat_model, monkeypatch, temperature, processors):
    model, seen = chat_model("llama3"), {}
    plain_generate = model.network.generate

    def watched(**settings):
        seen.update(settings, inference=torch.is_inference_mode_enabled())
        return plain_generate(**settings)

    monkeypatch.setattr(model.network, "generate", watched)
    samplings = [SamplingSettings(max_new_tokens=2), SamplingSettings(max_new_tokens=2, temperature=temperature)]
    last(model.generate([asked(model, question) for question in QUESTIONS[:2]], samplings, Event()))
    assert len(seen["logits_processor"]) == processors
    assert seen["inference"]
