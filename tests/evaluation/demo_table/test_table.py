"""The whole table, over toy data and a scripted model: measured, shown, stopped and gone on with."""

import threading

import pytest

from assistant.evaluation.demo_table.conversations import load_conversations
from assistant.evaluation.demo_table.planning import plan_table
from assistant.evaluation.demo_table.report import Facts, markdown
from assistant.evaluation.demo_table.table import measure
from assistant.settings import EvaluationSettings
from tests.evaluation.demo_table.tables import assistant, conditions, small_parts

FACTS = Facts("2026-01-02", "shotwise demo-model table --data DIR", "demo", "CPU, float32", 2)


def measured(folder, one, *, adapter=None, stop=None, titles=None):
    parts, under = small_parts(folder), conditions(folder)
    planned = plan_table(parts, under, adapter=adapter is not None)
    titles = [] if titles is None else titles

    def report(title):
        titles.append(title)
        return lambda progress: None

    return measure(planned, under, lambda adapted: adapter if adapted else one, stop or threading.Event(), report)


@pytest.fixture
def whole(tmp_path):
    return measured(tmp_path, assistant())


def test_columns_hold_every_naming_and_talk_every_decoding(whole):
    assert {name: len(column.records) for name, column in whole.columns.items()} == {
        "natural": 1,
        "arbitrary": 3,
        "with-passage": 1,
    }
    assert whole.namings["arbitrary"][-1] == "class_0/class_1"
    assert (len(whole.talk["greedy"]), len(whole.talk["sampled"])) == (10, 20)


def test_what_is_done_is_not_asked_again(tmp_path, whole):
    again = assistant()
    assert measured(tmp_path, again).columns.keys() == whole.columns.keys()
    assert not again.model.history


def test_a_stopped_table_shows_nothing_and_goes_on(tmp_path):
    stop, done = threading.Event(), []

    def rule(prompt, sampling):
        del sampling
        done.append(prompt)
        if len(done) > 40:
            stop.set()
        return "positive"

    assert measured(tmp_path, assistant(rule), stop=stop) is None
    rest = assistant(lambda prompt, sampling: "positive")
    assert measured(tmp_path, rest) is not None
    alone = [prompt for prompt in rest.model.history if prompt.text.count("<|user|>") == 1]
    natural = [prompt for prompt in alone if "You classify film reviews" in prompt.text]
    assert len(natural) == EvaluationSettings().check_size, (
        "asked again at the end, to see whether a seed means the same"
    )


def test_the_adapter_answers_only_its_own_columns(tmp_path):
    plain, adapted = assistant(), assistant(lambda prompt, sampling: "positive")
    titles = []
    found = measured(tmp_path, plain, adapter=adapted, titles=titles)
    assert "adapted" in found.columns
    asked = {prompt.messages[-1]["content"] for prompt in adapted.model.history}
    assert len(asked) == 12
    text = markdown(small_parts(tmp_path), found, FACTS)
    assert "| with − without the adapter | 12 | -50.0 (" in text
    own = text.split("### The adapter")[1]
    assert "|  | natural names (n = 12) | with the adapter (n = 12) |" in own
    assert [line.split(" | ")[0] for line in own.splitlines() if line.startswith("| `")] == ["| `zero-shot`"]
    assert titles[0] == "1 of 6: sentiment, natural names"
    assert titles[1].startswith("2 of 6: sentiment, arbitrary names, ")
    assert titles[-1] == "small talk"


def test_the_report_has_every_part_with_figures_intervals_and_verdicts(tmp_path, whole):
    text = markdown(small_parts(tmp_path), whole, FACTS)
    assert text.startswith("Made by `shotwise demo-model table --data DIR` on 2026-01-02: the model `demo`, CPU")
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "### Sentiment",
        "### Passages",
        "### Small talk",
    ]
    assert "|  | natural names (n = 12) | arbitrary names (n = 12) |" in text
    assert "| `zero-shot` | 100.0 % (75.8 to 100.0) |" in text
    assert "| kNN vote, no language model |" in text
    assert "| `random-few-shot`, 2 seeds |" in text
    assert "| natural names, zero-shot | 12 | 100.0 % (75.8 to 100.0) | at least 70 % | reached |" in text
    assert "The arbitrary names one by one:" in text
    assert "| written replies of all tasks that cannot be read |" in text


def test_an_arm_that_names_one_label_is_marked(tmp_path):
    found = measured(tmp_path, assistant(lambda prompt, sampling: "positive"))
    text = markdown(small_parts(tmp_path), found, FACTS)
    assert "| `zero-shot` | 50.0 % (25.4 to 74.6) † |" in text
    assert "† It named the same label whatever the row." in text


def test_an_arm_that_names_several_labels_is_not_marked(tmp_path, whole):
    text = markdown(small_parts(tmp_path), whole, FACTS)
    assert "| `zero-shot` | 100.0 % (75.8 to 100.0) |" in text
    assert "| `dynamic-few-shot` | 50.0 % (25.4 to 74.6) † |" not in text


def test_a_conversation_can_be_read(tmp_path, whole):
    text = markdown(small_parts(tmp_path), whole, FACTS)
    excerpt = text.split("The first of them, greedy:\n\n")[1].split("\n\n")[0].splitlines()
    assert [line.split(" → ")[0].removeprefix("- ") for line in excerpt] == list(load_conversations()[0])
    assert all(line.endswith(" → negative") for line in excerpt)


def test_the_report_begins_with_what_was_not_reached(tmp_path, whole):
    text = markdown(small_parts(tmp_path), whole, FACTS)
    summary = text.split("\n### ")[0]
    rows = [line for line in text.splitlines() if line.startswith("|") and ("reached |" in line or "| missed" in line)]
    reached = sum(line.endswith("| reached |") for line in rows)
    assert f"**{reached} of {len(rows)} bars are reached.**" in summary
    missed = [line for line in rows if "| missed" in line]
    assert summary.count("\n- ") == len(missed)
    assert all(any(line.split(" | ")[0].strip("| ") in told for told in summary.splitlines()) for line in missed)


def test_every_row_of_a_table_has_as_many_cells_as_its_heads(tmp_path, whole):
    width = 0
    for line in markdown(small_parts(tmp_path), whole, FACTS).splitlines():
        if not line.startswith("|"):
            width = 0
        elif not width:
            width = line.count("|")
        else:
            assert line.count("|") == width
