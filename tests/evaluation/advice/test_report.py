import re

from assistant.answering import Assistant
from assistant.evaluation.advice.advisor import advise
from assistant.evaluation.advice.report import html_advice, markdown_advice
from assistant.evaluation.running.journal import read_journal
from assistant.generation.chat_model import ScriptedModel
from tests.evaluation.advice_runs import planned, reader, write_source


def test_the_page_needs_nothing_else_and_shows_plots(one_advice):
    _, record, _, _ = one_advice
    page = html_advice(record)
    assert page.count("<svg") == 4
    assert "<script" not in page
    assert not re.search(r"""(?:src|href)=["'](?!#)""", page)
    assert not re.search(r"""(?:url\(|@import)\s*["']?http""", page)


def test_page_and_markdown_say_what_the_record_says(one_advice):
    _, record, _, _ = one_advice
    page, text = html_advice(record), markdown_advice(record)
    sentence = record["recommendation"]["sentence"]
    assert sentence in page.replace("\u00a0%", " %")
    assert sentence in text
    for row in record["race"]["standings"]:
        assert row["name"] in page
        assert row["name"] in text
    for sentence in record["power"]["sentences"]:
        assert sentence in page.replace("\u00a0%", " %")
    assert record["settings_hash"] in page


def test_disagreements_and_worst_errors_are_real(one_advice):
    plan, record, _, folder = one_advice
    outcomes = {
        (arm, one.sample): one
        for key, block in read_journal(folder).items()
        for arm in [key.split("/")[1]]
        for one in block
        if key.startswith("test/")
    }
    found = record["disagreements"]
    differing = {
        sample.id
        for sample in plan.test
        if len({outcomes[arm, sample.id].correct for arm in record["finalists"] if (arm, sample.id) in outcomes}) > 1
    }
    assert found["count"] == len(differing) > 0
    assert {one["id"] for one in found["samples"]} <= differing
    for entry in record["worst"]:
        assert len(entry["samples"]) <= 5
        assert all(one["correct"] is False for one in entry["samples"])
        assert entry["errors"] >= len(entry["samples"])
    assert [entry["name"] for entry in record["worst"]] == [row["name"] for row in record["race"]["standings"]]


def test_text_of_samples_cannot_act_in_the_page_or_in_markdown(home):
    assistant = Assistant(ScriptedModel(reader))
    source = write_source(home, extra=" <script>alert(1)</script> | `x` **y**")
    plan = planned(source, assistant, strategies=("zero-shot", "static-few-shot"), budget=300)
    record = advise(plan, assistant, home / "runs" / "hostile")
    assert record["disagreements"]["count"]
    assert "<script" not in html_advice(record)
    assert "&lt;script&gt;" in html_advice(record)
    text = markdown_advice(record)
    assert "<script" not in text
    rows = [line for line in text.split("\n") if line.startswith("| The ")]
    assert rows
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 5 for line in rows)
