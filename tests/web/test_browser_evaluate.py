"""The Evaluate tab as a person uses it: a real server, real evaluations, a real headless Chromium."""

import csv
import os
import re

import pytest

from tests.web.made_runs import HOSTILE, write_progress, write_run
from tests.web.test_browser import CHROMIUM, browser, open_page, send, wait_until_done  # noqa: F401

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]
RUNNING, STOPPED = '#progress [data-state="running"]', '#progress [data-state="stopped"]'
# Whatever the page says when Chat is chosen, as it is on load, is sent a second late.
LATE_CHAT = """const soon = window.fetch;
window.fetch = async (...sent) => {
  if (String(sent[1]?.body).includes('"value":"Chat"')) await new Promise(done => setTimeout(done, 1000));
  return soon(...sent);
};"""


@pytest.fixture
def made(served_home, address):
    write_run(served_home / "runs/made", 61)
    return f"{address}?run=made"


def to_form(page):
    page.get_by_role("tab", name="Evaluate", exact=True).click()
    page.wait_for_selector("#start-evaluation")


def to_made(page, made):
    page.goto(made)
    page.wait_for_selector("#ranking .sw-board")


def begin(page, samples):
    page.fill("#samples input", str(samples))
    page.wait_for_function("n => document.querySelector('#evaluation-cost').innerText.includes(n)", arg=f"{samples} sa")
    page.click("#start-evaluation")
    page.wait_for_selector("#progress [data-state], #evaluation-message .sw-error")


def test_an_evaluation_survives_reload_stop_and_go_on_and_its_samples_can_be_read(open_page):  # noqa: F811
    page = open_page()
    to_form(page)
    # Long enough to be reloaded and stopped in the middle, on a fast machine too.
    page.locator("#evaluated-reading").get_by_text("Both", exact=True).click()
    page.locator("#evaluated-strategies").get_by_text("Random few-shot").click()
    page.fill("#seeds input", "20")
    begin(page, 80)
    page.wait_for_selector(f"{RUNNING} .sw-arms", timeout=120_000)
    name = page.inner_text("#progress h2")
    page.wait_for_function("name => location.search.includes(name)", arg=name)
    page.reload()
    page.wait_for_selector(f"{RUNNING} .sw-arms")
    assert page.inner_text("#progress h2") == name
    page.click("#stop-run")
    page.wait_for_selector(STOPPED, timeout=60_000)
    assert page.locator("#stop-run").count() == 0
    page.click("#go-on")
    page.wait_for_selector("#ranking .sw-board", timeout=240_000)
    page.wait_for_selector("#progress [data-state]", state="detached")
    assert page.locator(".sw-board tbody tr").count() == 11
    page.wait_for_function("[...document.querySelectorAll('#ranking img')].every(one => one.naturalWidth > 100)")
    assert page.locator("#ranking img").count() == 3

    page.get_by_role("tab", name="Answers").click()
    cell = page.locator("#confusion .sw-cell").first
    count, said = int(cell.inner_text()), cell.get_attribute("aria-label")
    target, answer = re.fullmatch(r"\d+ samples? of (\w+), answered (\w+)", said).groups()
    cell.click()
    page.wait_for_selector('#confusion [aria-pressed="true"]')
    shown = page.locator("#samples .sw-sample")
    assert shown.count() == min(count, 20)
    assert all(answer in text for text in shown.locator(".sw-chip.final").all_inner_texts())
    assert target == answer or f"right is {target}" in shown.first.inner_text()
    shown.first.get_by_text("Exact prompt").click()
    page.wait_for_function("document.querySelector('#samples .sw-prompt').innerText.length > 50")

    with page.expect_download() as caught:
        page.get_by_role("link", name="Leaderboard (CSV)").click()
    with open(caught.value.path(), encoding="utf-8-sig") as table:
        lines = list(csv.DictReader(table))
    assert len(lines) == 11
    assert {line["name"] for line in lines} >= {"zero-shot (labels)", "majority"}
    assert page.outside == []


def test_what_is_wrong_is_one_sentence_and_loses_nothing(open_page):  # noqa: F811
    page = open_page()
    to_form(page)
    page.get_by_text("A file", exact=True).click()
    page.fill("#evaluated-path textarea, #evaluated-path input", "nowhere/rows.csv")
    page.fill("#samples input", "33")
    page.click("#start-evaluation")
    page.wait_for_selector(".sw-error:visible")
    page.wait_for_function("document.querySelector('#evaluate').innerText.includes('There is no file')")
    page.click("#new-evaluation")
    page.wait_for_selector("#start-evaluation")
    assert page.input_value("#samples input") == "33"
    assert page.input_value("#evaluated-path textarea, #evaluated-path input") == "nowhere/rows.csv"


def test_a_name_that_cannot_be_is_told_beside_the_button(open_page):  # noqa: F811
    page = open_page()
    to_form(page)
    page.get_by_text("More", exact=True).click()
    page.fill("#run-name input, #run-name textarea", "../up")
    page.click("#start-evaluation")
    page.wait_for_selector("#evaluation-message .sw-error")
    assert "cannot be the name" in page.inner_text("#evaluation-message")
    assert page.input_value("#run-name input, #run-name textarea") == "../up"


def test_the_public_sets_say_where_they_are_found(open_page):  # noqa: F811
    page = open_page()
    to_form(page)
    page.get_by_text("A public set", exact=True).click()
    page.click("#public-set input")
    page.get_by_role("option", name="MRPC").click()
    page.wait_for_function("document.querySelector('#about-data').innerText.includes('Microsoft')")
    page.wait_for_function("document.querySelector('#evaluated-task input').value.includes('araphrase')")


def test_a_finished_run_is_paged_filtered_and_compared(open_page, made):  # noqa: F811
    page = open_page()
    to_made(page, made)
    page.get_by_role("tab", name="Answers").click()
    page.wait_for_selector("#samples .sw-sample")
    first = page.get_attribute("#samples .sw-sample", "data-id")
    page.locator("#samples").get_by_role("button", name="Next").first.click()
    page.wait_for_function("id => document.querySelector('#samples .sw-sample').dataset.id !== id", arg=first)
    page.get_by_text("Wrong", exact=True).click()
    page.wait_for_function("document.querySelector('#samples').innerText.includes('answered wrong')")
    assert page.locator("#samples .sw-sample.right").count() == 0
    page.get_by_role("tab", name="Disagreements").click()
    page.wait_for_selector("#flipped .sw-halves")
    halves = page.locator("#flipped .sw-sample").first.locator(".sw-half")
    assert sum("right is" not in text for text in halves.all_inner_texts()) == 1
    page.get_by_role("tab", name="Scores").click()
    page.wait_for_function(
        "[...document.querySelectorAll('#scores img')].filter(i => i.naturalWidth > 100).length === 2"
    )


def test_a_run_is_opened_and_a_cell_chosen_by_keyboard_alone(open_page, made):  # noqa: F811
    page = open_page()
    to_form(page)
    run = page.locator(".sw-run", has_text="made")
    run.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#ranking .sw-board")
    page.get_by_role("tab", name="Answers").focus()
    page.keyboard.press("Enter")
    cell = page.locator("#confusion .sw-cell.wrong").first
    cell.focus()
    assert cell.evaluate("cell => getComputedStyle(cell).outlineStyle") != "none"
    page.keyboard.press("Enter")
    page.wait_for_selector('#confusion [aria-pressed="true"]')


def test_markup_in_a_run_is_text(open_page, made):  # noqa: F811
    page = open_page()
    to_made(page, made)
    page.get_by_role("tab", name="Answers").click()
    page.locator("#samples").get_by_text("Exact prompt").first.click()
    page.wait_for_function("document.querySelector('#samples .sw-prompt').innerText.includes('Judge')")
    assert HOSTILE in page.inner_text("#samples .sw-prompt")
    assert HOSTILE in page.inner_text("#samples .sw-sample .sw-clip")
    page.get_by_role("tab", name="Disagreements").click()
    page.wait_for_selector("#flipped .sw-halves")
    assert page.locator("#samples img, #flipped img").count() == 0
    assert page.evaluate("window.pwned") is None


def test_an_interrupted_run_says_so(open_page, served_home, address):  # noqa: F811
    write_progress(served_home / "runs/gone", pid=2**22 + 1)
    page = open_page()
    page.goto(f"{address}?run=gone")
    page.wait_for_selector('#progress [data-state="interrupted"]')
    assert page.locator("#stop-run, #go-on").count() == 0  # it was not started here: its arguments are not known


def test_a_run_is_followed_even_if_the_first_tab_is_done_late(open_page, served_home, address):  # noqa: F811
    folder = served_home / "runs/elsewhere"
    write_progress(folder, done=30, pid=os.getpid())
    page = open_page()
    page.add_init_script(LATE_CHAT)
    page.goto(f"{address}?run=elsewhere")
    page.wait_for_selector(f"{RUNNING} .sw-arms")
    page.wait_for_timeout(2_500)  # until all that Chat has to say was said
    write_progress(folder, done=90, pid=os.getpid())
    page.wait_for_function("document.querySelector('#progress').innerText.includes('90 of 180')", timeout=20_000)


def test_an_address_of_no_run_leads_to_the_form(open_page, address):  # noqa: F811
    page = open_page()
    page.goto(f"{address}?run=nobody")
    page.wait_for_selector("#start-evaluation")
    assert "There is no run named 'nobody'" in page.inner_text("#run-message")


def test_a_look_at_the_evaluations_does_not_lose_the_conversation(open_page, made):  # noqa: F811
    page = open_page()
    send(page, "Hello")
    wait_until_done(page, "Hello")
    to_form(page)
    assert not page.locator("#choices").is_visible()
    page.get_by_role("tab", name="Chat").click()
    page.wait_for_selector("#conversation")
    assert "Hello" in page.inner_text("#conversation .user")
    page.wait_for_function("location.search === ''")


@pytest.mark.parametrize("tab", ["Ranking", "Answers"])
def test_a_phone_never_scrolls_sideways_over_a_run(open_page, made, tab):  # noqa: F811
    page = open_page(360, 780)
    to_made(page, made)
    page.get_by_role("tab", name=tab).click()
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")


def test_a_phone_never_scrolls_sideways_over_the_form(open_page):  # noqa: F811
    page = open_page(360, 780)
    to_form(page)
    for source in ("A file", "A public set", "Built-in set"):
        page.get_by_text(source, exact=True).click()
        page.wait_for_timeout(400)
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
