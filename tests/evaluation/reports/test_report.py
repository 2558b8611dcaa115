import csv
import io
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from assistant.evaluation.metrics.leaderboard import pairs_of
from assistant.evaluation.reports import parts as report_parts
from assistant.evaluation.reports.report import (
    Part,
    csv_report,
    html_report,
    markdown_report,
    markdown_table,
    without_timings,
)
from assistant.prompting.tasks import load_task
from tests.evaluation.toy_runs import SENTIMENT, label_outcomes, outcome, run_record, some_outcomes

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MADE = some_outcomes()
RECORD = run_record(MADE)
PAGE = html_report(RECORD)
EVIL = "</pre><script>alert(1)</script><img src=x onerror=alert(1)> & `|*"
REPORTS = pytest.mark.parametrize("report", [html_report, markdown_report, csv_report])


class Page(HTMLParser):
    """What a browser would make of a page: open tags, kinds of elements, addresses, handlers."""

    def __init__(self, text):
        super().__init__()
        self.open, self.kinds, self.fetched, self.handlers = [], set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.kinds.add(tag)
        if tag != "meta":
            self.open.append(tag)
        self.look(attributes)

    def handle_startendtag(self, tag, attributes):
        self.kinds.add(tag)
        self.look(attributes)

    def look(self, attributes):
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "data", "action") and not value.startswith("#"):
                self.fetched.append(value)
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check_harmless(text):
    page = Page(text)
    assert page.open == []
    assert page.fetched == page.handlers == []
    assert not page.kinds & {"script", "img", "iframe", "link", "form", "object"}
    assert not re.search(r"url\((?!#)|@import", text)


def section(page, name):
    found = re.search(rf'<section id="{name}">.*?</section>', page, re.DOTALL)
    return found[0] if found else ""


def test_the_page_is_whole_and_needs_nothing_from_elsewhere():
    check_harmless(PAGE)


@REPORTS
def test_the_same_record_gives_the_same_bytes(report):
    again = report(run_record(some_outcomes()))
    assert again == (PAGE if report is html_report else report(RECORD))


def evil_record():
    evil = [
        replace(
            one,
            sample=f"{EVIL} {one.sample}",
            prompt=EVIL,
            answer=EVIL,
            final_answer=None if number % 2 else EVIL,
            correct=one.strategy == "nearest",
            problem=EVIL,
            strategy=EVIL + one.strategy,
            excluded=((EVIL, EVIL, 0.5),),
        )
        for number, one in enumerate(MADE)
        if number % 6 == 0
    ]
    record = run_record(evil)
    baseline = f"{EVIL}fixed (labels)"
    record |= {"baseline": baseline, "pairs": pairs_of(evil, SENTIMENT, baseline, draws=200)}
    record |= dict.fromkeys(("name", "settings_hash", "created"), EVIL)
    record |= {key: {EVIL: EVIL, "source": EVIL, "name": EVIL} for key in ("settings", "versions", "data", "model")}
    for row in record["results"]:
        row["per_class"][0]["label"] = EVIL
        row["confusion"]["labels"] = row["confusion"]["columns"][:2] = [EVIL, "b"]
    task = {"name": EVIL, "labels": [], "metric": EVIL}
    return record | {"notes": [EVIL], "power": {"sentences": [EVIL]}, "task": task}


def test_nothing_from_outside_becomes_markup():
    record, part = evil_record(), Part(EVIL, [EVIL], [EVIL, EVIL], [[EVIL, EVIL]])
    assert record["pairs"]
    text = html_report(record, title=EVIL, lead=[EVIL], extra=[part])
    check_harmless(text)
    assert text.count("&lt;script&gt;") > 50
    markdown = markdown_report(record, title=EVIL, lead=[EVIL], extra=[part])
    assert "<" not in markdown
    assert not re.search(r"(?<!\\)[`*]", markdown)
    for block in markdown.split("\n\n"):
        if block.startswith("|"):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
    assert "<" not in markdown_table([record])


def test_the_leaderboard_shows_every_row_with_its_interval_and_cost():
    board = section(PAGE, "leaderboard")
    for row in RECORD["results"]:
        low, high = (100 * end for end in row["accuracy_interval"])
        assert f"{100 * row['accuracy']:.1f}\u00a0% ({low:.1f}\u00a0to\u00a0{high:.1f})" in board
        assert row["name"] in board
    assert ">1 of 60<" in board
    assert ">46<" in board  # 40 tokens of the prompt and 6 new ones
    assert board.index("nearest (labels)") < board.index("fixed (labels)")


def test_comparisons_are_told_in_honest_words():
    text = section(PAGE, "comparisons")
    verdicts = [pair["verdict"] for pair in RECORD["pairs"]]
    assert "better" in verdicts
    assert any("not distinguishable with n = 60; about" in verdict for verdict in verdicts)
    assert all(f">{verdict}<" in text for verdict in verdicts)
    assert "Holm over 3 comparisons" in text
    assert all(sentence in text for sentence in RECORD["power"]["sentences"])


def test_each_row_has_its_plots_and_its_labels():
    text = section(PAGE, "labels")
    assert text.count("<details") == 4
    assert text.count("<svg") == 4 + 3 + 3  # confusion of all; ROC and calibration where labels were scored
    assert text.count('data-head="Precision"') == 8


def test_only_the_section_on_time_knows_of_clocks():
    slower = [replace(one, seconds=one.seconds * 7 + 0.001) for one in MADE]
    page = html_report(run_record(slower, created="2027-07-07 07:07"))
    assert section(page, "time") != section(PAGE, "time")
    assert "2027-07-07" in section(page, "time")
    assert page.replace(section(page, "time"), "") == PAGE.replace(section(PAGE, "time"), "")


@REPORTS
def test_without_timings_two_runs_of_the_same_give_the_same_report(report):
    made = MADE[:60]
    slow, quick = run_record([replace(one, seconds=9.0) for one in made], created="later"), run_record(made)
    assert report(slow) != report(quick)
    assert report(without_timings(slow)) == report(without_timings(quick))


def test_an_answer_that_changed_is_no_matter_of_time():
    other = [replace(MADE[0], correct=not MADE[0].correct, score=1 - MADE[0].score), *MADE[1:]]
    assert without_timings(run_record(other)) != without_timings(RECORD)


def test_warnings_stand_at_the_top():
    record = run_record(MADE[:60], settings={"retrieval": {"guard": {"enabled": False}}})
    page = html_report(record)
    assert page.index("The leak guard was off") < page.index("Leaderboard")
    assert "> The leak guard was off" in markdown_report(record)


def test_the_csv_holds_the_full_figures():
    lines = list(csv.DictReader(io.StringIO(csv_report(RECORD))))
    assert [line["name"] for line in lines] == [row["name"] for row in RECORD["results"]]
    for line, row in zip(lines, RECORD["results"], strict=True):
        assert float(line["accuracy"]) == row["accuracy"]
        assert [float(line["macro_f1_low"]), float(line["macro_f1_high"])] == row["macro_f1_interval"]
        assert int(line["parse_failures"]) == row["parse_failures"]
        assert (line["rouge1"], line["seeds"]) == ("", "0")


def test_a_name_that_a_spreadsheet_would_run_is_made_harmless():
    record = RECORD | {"results": [RECORD["results"][0] | {"name": "=1+1"}]}
    assert next(csv.DictReader(io.StringIO(csv_report(record))))["name"] == "'=1+1"


def test_markdown_tells_the_same_in_tables():
    text = markdown_report(RECORD)
    assert text.startswith("# first-run\n")
    board = next(line for line in text.splitlines() if line.startswith("| nearest (labels)"))
    accuracy = next(row["accuracy"] for row in RECORD["results"] if row["name"] == "nearest (labels)")
    assert f"{100 * accuracy:.1f} %" in board
    assert "not distinguishable" in text
    assert "## Time" in text


def test_several_runs_make_one_table():
    questions = load_task("question-type")
    other = run_record(some_outcomes(questions), questions, name="second-run")
    lines = markdown_table([RECORD, other]).splitlines()
    assert lines[0] == "| Strategy | first-run: accuracy, n = 60 | second-run: accuracy, n = 60 |"
    cells = {line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ")[1:] for line in lines[2:6]}
    assert list(cells) == [row["name"] for row in RECORD["results"]]
    for place, record in enumerate((RECORD, other)):
        better = {pair["b"] for pair in record["pairs"] if pair["verdict"] == "better"}
        assert {name for name, of_runs in cells.items() if of_runs[place].startswith("**")} == better
        assert "nearest (labels)" in better
    row = RECORD["results"][0]
    low, high = (100 * end for end in row["accuracy_interval"])
    assert cells[row["name"]][0] == f"{100 * row['accuracy']:.1f} ({low:.1f}–{high:.1f})"
    assert "| – |" in markdown_table([RECORD, RECORD | {"results": []}], ["one", "other"])


def test_summaries_have_a_report_of_their_own_measure():
    task = load_task("summary")
    answers = ("Anna buys milk", "Nobody came")
    made = [
        outcome(task, str(place), "Anna buys the milk", answer, strategy=name)
        for name in ("fixed", "nearest")
        for place, answer in enumerate(answers)
    ]
    record = run_record(made, task, baseline="fixed (generate)")
    page = html_report(record)
    assert "ROUGE-L (95 % interval)" in page
    assert "BLEU: nrefs:1" in page
    assert "Label by label" not in page
    assert "ROUGE-L with 95 % intervals" in page
    assert "Highest ROUGE-L: fixed (generate)" in page
    assert "ROUGE-L, n = 2" in markdown_table([record])


def test_a_run_without_any_answer_still_has_a_report():
    record = RECORD | {"results": [], "pairs": [], "samples": [], "power": {}, "finished": False}
    assert "stopped early" in html_report(record)
    assert "stopped early" in markdown_report(record)
    assert csv_report(record).count("\n") == 1


def test_a_report_can_open_with_words_and_parts_of_its_own():
    record = run_record(label_outcomes(SENTIMENT, n=20))
    part = Part("Recommendation", ["Use nearest."], ["Strategy", "Budget"], [["nearest", "40"]])
    page = html_report(record, title="Advice", lead=["No measurable difference."], extra=[part])
    assert "<h1>Advice</h1>" in page
    assert page.index("No measurable difference.") < page.index("Use nearest.") < page.index("Leaderboard")
    assert "## Recommendation\n\nUse nearest." in markdown_report(record, extra=[part])


def test_what_it_takes_to_do_it_again_is_listed():
    text = report_parts.origins(RECORD) + report_parts.notes(RECORD)
    for word in ("ab12cd", "retrieval.guard.cosine", "0.95", "beef", "reviews.csv", "The set is old and public."):
        assert word in text


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_the_page_fits_a_phone_and_complains_of_nothing(tmp_path):
    from playwright.sync_api import sync_playwright

    (tmp_path / "report.html").write_text(PAGE, encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            page = browser.new_page(viewport={"width": 360, "height": 800})
            said = []
            page.on("console", lambda message: said.append(message.text))
            page.goto((tmp_path / "report.html").as_uri())
            page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
            assert page.evaluate("document.documentElement.scrollWidth") == 360
            assert page.locator("#leaderboard svg").count() == 2
            assert page.locator("#leaderboard svg text").first.bounding_box()["height"] >= 9
            assert said == []
        finally:
            browser.close()
