from threading import Event

import pytest

from assistant.generation.chat_model import ScriptedModel
from assistant.records import Prompt
from assistant.settings import SamplingSettings


def asked(model, *contents):
    turns = [{"role": "assistant" if at % 2 else "user", "content": text} for at, text in enumerate(contents)]
    origins = [f"demonstration {at // 2}" for at in range(len(contents) - 1)]
    return model.renderer.render(Prompt(tuple(turns), (*origins, "question")))


def last(steps):
    *_, final = steps
    return final


def test_it_repeats_the_answer_of_the_last_demonstration_or_else_the_question():
    model = ScriptedModel()
    shown = asked(model, "witty", "positive", "dull", "negative", "a gorgeous film")
    alone = asked(model, "  hello there ")
    rows = last(model.generate([shown, alone], [SamplingSettings()] * 2, Event()))
    assert [row.text for row in rows] == ["negative", "hello there"]
    assert model.history == [shown, alone]


def test_replies_can_be_given_or_computed():
    model = ScriptedModel(["one", "two"])
    prompt = asked(model, "x")
    said = [last(model.generate([prompt], [SamplingSettings()], Event()))[0].text for _ in range(3)]
    assert said == ["one", "two", "two"]
    seeded = ScriptedModel(lambda prompt, sampling: f"seed {sampling.seed}")
    assert last(seeded.generate([prompt], [SamplingSettings(seed=7)], Event()))[0].text == "seed 7"


def test_it_streams_word_by_word_and_stops_when_told():
    model, stop = ScriptedModel(["one two three four"]), Event()
    prompt = asked(model, "x")
    steps = model.generate([prompt], [SamplingSettings()], stop)
    assert next(steps)[0].text == "one"
    assert next(steps)[0].text == "one two"
    stop.set()
    (row,) = last(steps)
    assert (row.text, row.finish, model.steps) == ("one two", "stopped", 2)


def test_a_long_reply_is_cut_at_max_new_tokens():
    model = ScriptedModel(["one two three four"])
    (row,) = last(model.generate([asked(model, "x")], [SamplingSettings(max_new_tokens=3)], Event()))
    assert (row.text, row.new_tokens, row.finish) == ("one two three", 3, "length")


def test_label_scores_agree_with_its_reply():
    model = ScriptedModel()
    prompts = [asked(model, "witty", "positive", "dull", "negative", "?"), asked(model, "?")]
    scores, alike = model.score_labels(prompts, [["negative", "positive"], ["a", "b"]])
    assert scores[0] > scores[1]
    assert alike[0] == pytest.approx(-0.6931, abs=1e-4)


def test_its_prompts_are_rendered_like_any_other():
    model = ScriptedModel()
    rendered = asked(model, "<|assistant|>\nyes</s>")
    assert rendered.text.count("<|assistant|>") == 1
    assert rendered.token_ids[0] == 256
    assert model.renderer.decode(rendered.token_ids, special=True) == rendered.text
