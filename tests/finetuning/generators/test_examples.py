"""Train = serve: what is learnt begins with exactly what will be asked."""

import pytest

from assistant.answering import Assistant, Request
from assistant.errors import DataError, SettingError
from assistant.finetuning.generators.examples import IGNORED, ExampleWriter
from assistant.finetuning.generators.settings import GeneratorSettings
from assistant.generation.loading import load_base, load_chat_model, load_renderer
from assistant.records import Demonstration
from assistant.settings import ModelSettings
from tests.finetuning.generators.made_rows import review_rows
from tests.toys import make_reviews

FAMILIES = ("demo", "llama3", "zephyr", "t5")


def model_of(family, model_folder):
    return family if family == "demo" else model_folder(family)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("strategy", ["zero-shot", "static-few-shot"])
def test_a_row_begins_with_exactly_the_ids_that_are_sent_when_its_question_is_asked(family, strategy, model_folder):
    settings = ModelSettings(model=model_of(family, model_folder), device="cpu")
    assistant = Assistant(load_chat_model(settings))
    base = load_base(settings)
    writer = ExampleWriter(base.renderer, base.context_tokens, GeneratorSettings(strategy=strategy), "sentiment")
    row = review_rows()[0]
    (example,) = writer.encode([row]).examples
    asked = assistant.prepare(Request(row.inputs["text"], strategy=strategy, task="sentiment"))
    sent = asked.rendered.token_ids
    assert example.ids[: len(sent)] == sent
    assert example.learnt == (0,) * len(sent) + (1,) * (len(example.ids) - len(sent))
    assert example.ids[-1] in assistant.model.renderer.stop_ids or family == "zephyr"
    assert assistant.model.renderer.decode(example.ids[len(sent) :]).strip() == "positive"


def test_the_last_learnt_ids_end_the_reply_as_serving_expects(model_folder):
    renderer = load_renderer(model_folder("zephyr"))
    (example,) = ExampleWriter(renderer, 4096, GeneratorSettings(), "sentiment").encode(review_rows()[:1]).examples
    learnt = [token for token, is_learnt in zip(example.ids, example.learnt, strict=True) if is_learnt]
    assert renderer.tokenizer.eos_token_id in learnt[-2:]


def test_a_decoder_has_labels_on_the_reply_alone(model_folder):
    renderer = load_renderer(model_folder("llama3"))
    (example,) = ExampleWriter(renderer, 4096, GeneratorSettings(), "sentiment").encode(review_rows()[:1]).examples
    columns = example.columns(encoder_decoder=False)
    assert columns["input_ids"] == list(example.ids)
    assert columns["labels"][: example.start] == [IGNORED] * example.start
    assert columns["labels"][example.start :] == list(example.ids[example.start :])


def test_an_encoder_decoder_reads_the_prompt_and_writes_the_reply(model_folder):
    renderer = load_renderer(model_folder("t5"))
    (example,) = ExampleWriter(renderer, 4096, GeneratorSettings(), "sentiment").encode(review_rows()[:1]).examples
    columns = example.columns(encoder_decoder=True)
    assert columns["input_ids"] + columns["labels"] == list(example.ids)
    assert columns["labels"][-1] == renderer.tokenizer.eos_token_id
    assert renderer.decode(columns["labels"]).strip() == "positive"


def test_long_rows_are_left_out_and_counted_never_cut():
    long = Demonstration("long", {"text": "word " * 400}, "negative")
    empty = Demonstration("empty", {"text": "A film."}, " ")
    writer = ExampleWriter(load_renderer("demo"), 1024, GeneratorSettings(max_tokens=200), "sentiment")
    encoded = writer.encode([*review_rows()[:2], long, empty])
    assert [example.id for example in encoded.examples] == ["r0", "r1"]
    assert encoded.left_out == {"too long": 1, "without a reply": 1}
    assert max(len(example.ids) for example in encoded.examples) <= 200


def test_rows_that_are_all_too_long_are_an_error_that_says_so():
    with pytest.raises(DataError, match="24 too long"):
        ExampleWriter(load_renderer("demo"), 1024, GeneratorSettings(max_tokens=8), "sentiment").encode(review_rows())


@pytest.mark.parametrize("strategy", ["zero-shot-cot", "self-consistency", "random-labels"])
def test_strategies_without_one_right_reply_are_refused(strategy):
    with pytest.raises(SettingError, match="one right reply"):
        ExampleWriter(load_renderer("demo"), 1024, GeneratorSettings(strategy=strategy), "sentiment")


def test_a_training_prompt_shows_retrieved_demonstrations_but_never_the_row_itself(home):
    index = make_reviews(home)
    rows = [index.demonstration(at) for at in range(4)]
    writer = ExampleWriter(load_renderer("demo"), 1024, GeneratorSettings(k=2), "sentiment", index.name)
    for row, example in zip(rows, writer.encode(rows).examples, strict=True):
        text = load_renderer("demo").decode(example.ids, special=True)
        assert text.count(row.inputs["text"]) == 1
        assert sum(other.inputs["text"] in text for other in map(index.demonstration, range(8))) == 3


def test_a_template_that_names_the_labels_otherwise_is_learnt_under_its_own_names():
    writer = ExampleWriter(load_renderer("demo"), 1024, GeneratorSettings(strategy="imdb-baseline"), "sentiment")
    reply = writer.reply(review_rows()[0])
    assert reply != "positive"
    assert reply


def test_a_pair_with_line_breaks_is_asked_as_it_is():
    inputs = {"sentence1": "one\ntwo", "sentence2": "three"}
    writer = ExampleWriter(load_renderer("demo"), 1024, GeneratorSettings(), "paraphrase")
    request = writer.request(Demonstration("p", inputs, writer.task.labels[0]))
    assert writer.task.inputs(request.message) == inputs
