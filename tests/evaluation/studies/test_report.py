import csv
import io
import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from assistant.answering import Assistant
from assistant.errors import DataError
from assistant.evaluation.outcomes import Sample
from assistant.evaluation.statistics.intervals import Interval
from assistant.evaluation.studies.plots import ceilings
from assistant.evaluation.studies.report import (
    StudyReport,
    Table,
    check_answered,
    comma_separated,
    markdown,
    page,
    points_between,
    section,
    stopped_note,
    study_facts,
    with_interval,
)
from assistant.evaluation.studies.study import Study
from assistant.generation.chat_model import ScriptedModel
from assistant.prompting.tasks import load_task

EVIL = "<img src=x onerror=alert(1)> | a\nb &lt; p < 0.05"


def report(**changes):
    made = StudyReport(
        study="leaks",
        title=f"Leak X-ray {EVIL}",
        verdicts=[f"Nothing leaks {EVIL}"],
        tables=[
            Table("Shown", ("a", "b"), [(EVIL, "1")], note="a note"),
            Table("Folded", ("a", "b"), [("copy", EVIL)], folded=True),
            Table("Empty", ("a",), []),
        ],
        plots=[ceilings([(1.0, 0.5, 0.4, 0.6), (0.95, 0.4, 0.3, 0.5)])],
        notes=[f"note {EVIL}"],
        findings={"n": 3},
        csv="a\n",
        facts={"finished": False, "n": 2, "data": {"source": EVIL}, "index": {"rows": 1200}},
    )
    return replace(made, **changes)


class Tags(HTMLParser):
    VOID = ("meta", "br", "img", "link")

    def __init__(self, text):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_text_from_outside_is_shown_and_does_nothing():
    tags = Tags(page(report())).seen
    assert "img" not in tags
    assert "script" not in tags
    assert "svg" in tags
    assert "&lt;img src=x" in section(report())


def test_a_folded_table_opens_by_a_click_and_an_empty_one_is_left_out():
    text = page(report())
    assert "<details><summary>Folded" in text
    assert "Empty" not in text


def test_markdown_keeps_its_cells_and_names_the_length_of_a_folded_table():
    text = markdown(report())
    row = next(line for line in text.splitlines() if line.startswith("| &lt;img"))
    assert row == "| &lt;img src=x onerror=alert(1)> \\| a b &amp;lt; p < 0.05 | 1 |"
    assert "; samples 2; index 1,200 rows" in text
    assert "<img" not in text
    assert "Folded: 1; the HTML and JSON reports list them." in text
    assert "Empty" not in text


def test_the_record_holds_facts_findings_and_words():
    record = json.loads(json.dumps(report().to_json()))
    assert record["format"] == 1
    assert (record["study"], record["finished"], record["n"], record["findings"]) == ("leaks", False, 2, {"n": 3})
    assert not report().finished
    assert report(facts={}).finished


def test_csv_can_be_read_back_and_holds_no_formula():
    text = comma_separated(("name", "value"), [("=1+1", 0.123456789), ('a,"b"', 2)])
    assert list(csv.reader(io.StringIO(text))) == [["name", "value"], ["'=1+1", "0.123457"], ['a,"b"', "2"]]


def test_numbers_are_written_as_elsewhere():
    assert with_interval(0.8333, Interval(0.775, 0.879)) == "83.3 % (77.5 to 87.9)"
    assert points_between(Interval(-0.015, 0.03)) == "-1.5 to +3.0"


def test_a_study_that_was_stopped_says_so():
    samples = [Sample(str(at), {"text": "x"}, ("positive",)) for at in range(5)]
    study = Study(Assistant(ScriptedModel()), load_task("sentiment"), samples)
    assert stopped_note(study, 5) == []
    assert stopped_note(study, 2) == ["Stopped early: all figures are of the first 2 of 5 samples."]
    assert study_facts(study, 2, {"data": 1})["finished"] is False
    assert check_answered(2) == 2
    with pytest.raises(DataError, match="stopped before its first samples"):
        check_answered(0)
