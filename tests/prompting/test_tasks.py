import json

import pytest

from assistant import paths
from assistant.errors import PromptError, SettingError, UnknownName
from assistant.prompting.building import build_prompt
from assistant.prompting.strategies import STRATEGIES, strategies_for
from assistant.prompting.tasks import list_tasks, load_task, task_names
from assistant.records import Demonstration

TASKS = pytest.mark.parametrize("task", list_tasks(), ids=lambda task: task.name)
WANTED = (
    *("chat", "sentiment", "paraphrase", "word-problems", "topic"),
    *("question-type", "entailment", "summary", "grounded-qa"),
    *("multiple-choice", "similarity", "bbh"),
)


def test_the_tasks_of_the_plan_are_there_and_chat_comes_first():
    assert set(WANTED) <= set(task_names())
    assert task_names()[0] == "chat"


@TASKS
def test_a_task_has_two_wordings_and_demonstrations_it_can_parse_itself(task):
    assert len({wording.name for wording in task.wordings}) >= 2
    assert task.demonstrations
    for shown in task.demonstrations:
        assert set(shown.inputs) == set(task.fields)
        assert shown.rationale
        final, problem = task.parse(shown.output)
        assert (final, problem) == (shown.output, "")
        assert task.parse(f"{shown.rationale}\nAnswer: {shown.output}", reasoning=True)[0] == shown.output


@TASKS
def test_every_label_is_demonstrated(task):
    assert {shown.output for shown in task.demonstrations} >= set(task.labels)


@TASKS
def test_the_examples_to_click_are_messages_of_the_task(task):
    assert task.examples
    for example in task.examples:
        assert set(task.inputs(example)) == set(task.fields)


@TASKS
def test_every_wording_fills_in_every_strategy(task):
    inputs = task.demonstrations[0].inputs
    for strategy in strategies_for(task):
        for wording in task.wordings:
            prompt = build_prompt(task, strategy, inputs, task.demonstrations, wording=wording.name)
            text = "\n".join(message["content"] for message in prompt.messages)
            assert "{{" not in text
            assert all(value in text for value in inputs.values())


@TASKS
def test_a_message_and_its_fields_are_one_another(task):
    inputs = dict(task.demonstrations[0].inputs)
    assert task.inputs(task.message(inputs)) == inputs


@pytest.mark.parametrize(
    "message",
    [
        "A cat sits.\nA cat is sitting.",
        "A cat sits. ||| A cat is sitting.",
        "Sentence 1: A cat sits.\nSentence 2: A cat is sitting.",
        "sentence1: A cat sits.\n\nsentence2: A cat is sitting.\n",
        json.dumps({"sentence1": "A cat sits.", "sentence2": "A cat is sitting."}),
    ],
)
def test_a_pair_can_be_written_in_several_ways(message):
    pair = {"sentence1": "A cat sits.", "sentence2": "A cat is sitting."}
    assert load_task("paraphrase").inputs(message) == pair


def test_only_the_long_field_may_run_over_lines():
    task = load_task("grounded-qa")
    assert task.inputs("Line one.\nLine two.\nWho?") == {"passage": "Line one.\nLine two.", "question": "Who?"}
    with pytest.raises(PromptError, match="needs 2 texts: sentence1, sentence2"):
        load_task("paraphrase").inputs("a\nb\nc")


@pytest.mark.parametrize("message", ["", "  \n "])
def test_an_empty_message_is_refused(message):
    with pytest.raises(PromptError, match="empty"):
        load_task("chat").inputs(message)


@pytest.mark.parametrize(
    ("raw", "name"), [("0", "negative"), ("1", "positive"), ("True", "positive"), (" NEG ", "negative")]
)
def test_labels_of_data_sets_become_names(raw, name):
    task = load_task("sentiment")
    assert task.label(raw) == name
    assert task.adapt(Demonstration("x", {"sentence": "good"}, raw)) == Demonstration("x", {"text": "good"}, name)


def test_a_demonstration_that_does_not_fit_says_why():
    task = load_task("sentiment")
    assert "'7' is not a label of the task" in task.adapt(Demonstration("x", {"text": "good"}, "7"))
    assert "it has the fields a, b" in task.adapt(Demonstration("x", {"a": "1", "b": "2"}, "1"))


def test_extra_fields_of_a_row_are_left_out():
    adapted = load_task("sentiment").adapt(Demonstration("x", {"title": "t", "text": "good"}, "1"))
    assert adapted.inputs == {"text": "good"}


def test_unknown_tasks_and_wordings_are_named_with_what_there_is():
    with pytest.raises(UnknownName, match="Did you mean sentiment"):
        load_task("sentimnt")
    with pytest.raises(UnknownName, match=r"Known: .*question"):
        load_task("sentiment").wording("rude")


@pytest.fixture
def prompts(tmp_path, monkeypatch):
    (tmp_path / "tasks").mkdir()
    monkeypatch.setattr(paths, "prompts", lambda: tmp_path)
    return tmp_path / "tasks"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("title = ", "bad.toml cannot be read"),
        ("title = 'x'\nfeilds = []", "unknown key 'feilds'"),
        ("title = 'x'", "lacks 'about'"),
        ("\ufffe", "cannot be read"),
    ],
)
def test_a_task_file_with_a_mistake_is_one_sentence(text, why, prompts):
    (prompts / "bad.toml").write_text(text, encoding="utf-16" if text == "\ufffe" else "utf-8")
    with pytest.raises(PromptError, match=why):
        load_task("bad")


def test_the_published_templates_belong_to_the_sentiment_task_only():
    published = {name for name, strategy in STRATEGIES.items() if strategy.template}
    assert published == {"imdb-instruction", "imdb-few-shot", "imdb-few-shot-train", "imdb-baseline"}
    assert published <= {strategy.name for strategy in strategies_for(load_task("sentiment"))}
    assert not published & {strategy.name for strategy in strategies_for(load_task("chat"))}


def test_renamed_labels_replace_the_old_names_everywhere():
    task = load_task("sentiment").renamed(("wug", "dax"))
    assert task.labels == ("wug", "dax")
    assert (task.label("0"), task.label("positive"), task.label("class_1")) == ("wug", "dax", "dax")
    assert {shown.output for shown in task.demonstrations} == {"wug", "dax"}
    assert task.adapt(Demonstration("1", {"text": "dull"}, "negative")).output == "wug"
    assert task.parse("dax") == ("dax", "")
    for wording in task.wordings:
        prompt = build_prompt(task, STRATEGIES["static-few-shot"], {"text": "so so"}, (), wording=wording.name)
        written = " ".join(message["content"] for message in prompt.messages).casefold()
        assert "negative" not in written
        assert "positive" not in written


def test_swapped_names_are_swapped_in_data_and_demonstrations():
    task, swapped = load_task("sentiment"), load_task("sentiment").renamed(("positive", "negative"))
    assert swapped.label("neg") == "positive"
    turned = {"positive": "negative", "negative": "positive"}
    assert [turned[one.output] for one in task.demonstrations] == [one.output for one in swapped.demonstrations]


@TASKS
def test_every_label_task_can_be_renamed_and_still_asks(task):
    if not task.labels:
        with pytest.raises(SettingError, match="no labels to rename"):
            task.renamed(("a", "b"))
        return
    names = [f"kind{number}" for number in range(len(task.labels))]
    renamed = task.renamed(names)
    asked = renamed.wordings[0]
    prompt = build_prompt(renamed, STRATEGIES["zero-shot"], task.demonstrations[0].inputs, wording=asked.name)
    assert all(name in " ".join(message["content"] for message in prompt.messages) for name in names)


@pytest.mark.parametrize("names", [("one",), ("one", "two", "three"), ("Same", "same")])
def test_label_names_that_cannot_tell_labels_apart_are_refused(names):
    with pytest.raises(SettingError, match="2 different label names, in the order of negative, positive"):
        load_task("sentiment").renamed(names)


@pytest.mark.parametrize(("raw", "letter"), [("0", "A"), ("3", "D"), ("b", "B"), ("4", None)])
def test_choices_are_lettered(raw, letter):
    assert load_task("multiple-choice").label(raw) == letter


@pytest.mark.parametrize(("raw", "name"), [("entailment", "yes"), ("not_entailment", "no")])
def test_rte_writes_its_labels_in_words(raw, name):
    assert load_task("entailment").label(raw) == name


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        *(("ABBR", "abbreviation"), ("DESC", "description"), ("ENTY", "entity")),
        *(("HUM", "person"), ("LOC", "location"), ("NUM", "number"), ("0", None)),
    ],
)
def test_trec_writes_its_labels_in_four_letters_and_numbers_are_refused(raw, name):
    # Two copies of TREC on the hub number the classes in two orders, so a number says nothing.
    assert load_task("question-type").label(raw) == name
