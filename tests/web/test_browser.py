"""The page as a person uses it: a real server, a real headless Chromium."""

import shutil
import time

import pytest

from tests.web.served_page import HOSTILE

playwright_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DONE = '[data-state="done"]'
REVIEW = "A warm and funny film that I would gladly see again."


@pytest.fixture(scope="module")
def browser():
    with playwright_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser, address):
    contexts = []

    def open_one(width=1280, height=900):
        contexts.append(browser.new_context(viewport={"width": width, "height": height}))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        page.outside = []
        page.on("request", lambda one: one.url.startswith("http") and note_outside(page, one.url, address))
        page.goto(address)
        page.wait_for_selector('#header [data-state="ready"]', timeout=120_000)
        return page

    yield open_one
    for context in contexts:
        context.close()


def note_outside(page, url, address):
    if not url.startswith(address):
        page.outside.append(url)


def choose(page, element, title):
    page.click(f"#{element} input")
    before = page.inner_text(f"#{element}")
    page.get_by_role("option", name=title, exact=True).click()
    # The text beneath changes once the server has answered.
    page.wait_for_function("([id, text]) => document.querySelector(id).innerText !== text", arg=[f"#{element}", before])


def send(page, text):
    page.fill("#message textarea", text)
    page.press("#message textarea", "Enter")


def wait_until_done(page, text=""):
    page.wait_for_function(
        """text => { const last = [...document.querySelectorAll('#conversation .user')].pop();
        const strip = document.querySelector('#strip [data-state]');
        return strip && strip.dataset.state === 'done' && (!text || last.innerText.includes(text)) }""",
        arg=text,
    )
    page.wait_for_selector("#message .submit-button")


def shown_ids(page):
    return page.eval_on_selector_all("#demonstrations .sw-card", "cards => cards.map(card => card.dataset.id)")


def test_a_second_question_shows_other_demonstrations(open_page):
    page = open_page()
    choose(page, "task", "Sentiment of a film review")
    choose(page, "strategy", "Dynamic few-shot (retrieved)")
    send(page, REVIEW)
    wait_until_done(page, REVIEW)
    first = shown_ids(page)
    other = "The sound was so bad that I could not follow the battle scenes."
    send(page, other)
    wait_until_done(page, other)
    second = shown_ids(page)
    assert len(first) == len(second) == 4
    assert set(first) != set(second)
    assert page.inner_text("#strip .sw-chip.final") == "positive"
    page.click("#answer input")
    page.get_by_role("option", name="1.").click()
    page.wait_for_function("id => document.querySelector('#demonstrations .sw-card').dataset.id === id", arg=first[0])
    assert page.outside == []


def test_the_prompt_beside_the_answer_is_the_exact_text(open_page):
    page = open_page()
    page.get_by_text("Judge a review by retrieved demonstrations").click()
    wait_until_done(page)
    page.get_by_role("tab", name="Prompt").click()
    text = page.text_content("#prompt .sw-prompt")
    assert text.startswith("<s><|system|>\n")
    assert text.endswith("<|assistant|>\n")
    assert page.locator("#prompt .sw-prompt .o-demo").count() == 8


def test_reasoning_of_zero_shot_cot_is_folded_away(open_page):
    page = open_page()
    choose(page, "task", "Sentiment of a film review")
    choose(page, "strategy", "Zero-shot chain-of-thought")
    send(page, REVIEW)
    wait_until_done(page, REVIEW)
    assert page.get_by_text("Reasoning", exact=True).is_visible()
    assert page.locator("#strip .sw-chip.final").inner_text() == "positive"
    page.get_by_role("tab", name="Prompt").click()
    assert page.locator("#prompt .sw-call").count() == 2
    assert page.locator("#prompt .sw-call[open]").count() == 1


def test_four_strategies_are_compared_side_by_side(open_page):
    page = open_page()
    choose(page, "task", "Sentiment of a film review")
    page.get_by_role("tab", name="Compare").click()
    page.fill("#compared-message textarea", REVIEW)
    page.press("#compared-message textarea", "Enter")
    page.wait_for_selector(f"#columns {DONE}")
    columns = page.locator("#columns .sw-column")
    assert columns.count() == 4
    tops = {round(columns.nth(at).bounding_box()["y"]) for at in range(4)}
    assert len(tops) == 1
    assert "agree: positive" in " ".join(page.inner_text("#columns .sw-agreement").split())


def test_a_running_answer_can_be_stopped(open_page):
    page = open_page()
    send(page, "a slow one, please")
    page.wait_for_selector("#message .stop-button")
    page.wait_for_function("document.querySelector('#conversation').innerText.includes('word word word')")
    page.click("#message .stop-button")
    page.wait_for_selector("#strip >> text=stopped", timeout=5000)
    wait_until_done(page)
    words = page.inner_text("#conversation").count("word")
    page.wait_for_timeout(500)
    assert page.inner_text("#conversation").count("word") == words < 1000


def test_a_comparison_can_be_stopped(open_page):
    page = open_page()
    page.get_by_role("tab", name="Compare").click()
    page.fill("#compared-message textarea", "a slow one, please")
    page.press("#compared-message textarea", "Enter")
    page.wait_for_function("document.querySelector('#columns').innerText.includes('word word word')")
    page.click("#compared-message .stop-button")
    page.wait_for_selector(f"#columns {DONE}", timeout=5000)


def test_closing_the_page_ends_its_answer(open_page):
    page = open_page()
    send(page, "a slow one, please")
    page.wait_for_function("document.querySelector('#conversation').innerText.includes('word word word')")
    page.close()
    other = open_page()
    send(other, "Hello")
    began = time.monotonic()
    wait_until_done(other, "Hello")
    assert time.monotonic() - began < 20


def test_retry_edit_undo_and_clear(open_page):
    page = open_page()
    send(page, "Hello")
    wait_until_done(page, "Hello")
    page.get_by_role("button", name="Retry").click()
    page.wait_for_timeout(300)
    wait_until_done(page, "Hello")
    page.get_by_role("button", name="Edit").first.click()
    page.locator("#conversation textarea").fill("Good morning")
    page.locator("#conversation").get_by_role("button", name="Submit").click()
    wait_until_done(page, "Good morning")
    assert "Hello\n" not in page.inner_text("#conversation .user")
    page.get_by_role("button", name="Undo").click()
    page.wait_for_function("document.querySelector('#message textarea').value === 'Good morning'")
    send(page, "Good evening")
    wait_until_done(page, "Good evening")
    page.get_by_role("button", name="Clear").click()
    page.wait_for_selector("text=What would you like to try?")


def test_markup_in_messages_and_replies_is_text(open_page):
    page = open_page()
    message = f"hostile {HOSTILE}"
    choose(page, "strategy", "Zero-shot chain-of-thought")
    send(page, message)
    wait_until_done(page, "hostile")
    page.get_by_text("Reasoning", exact=True).click()
    page.wait_for_timeout(500)
    shown = page.inner_text("#conversation").replace("\u2060", "")
    assert shown.count(HOSTILE) >= 2
    page.get_by_role("tab", name="Prompt").click()
    assert 'onerror="window.pwned=1"' in page.text_content("#prompt .sw-prompt")
    page.get_by_role("tab", name="Compare").click()
    page.fill("#compared-message textarea", message)
    page.press("#compared-message textarea", "Enter")
    page.wait_for_selector(f"#columns {DONE}")
    # On a busy machine the summary is drawn before the columns are.
    page.wait_for_function("text => document.querySelector('#columns').innerText.includes(text)", arg=HOSTILE)
    assert page.evaluate("window.pwned") is None
    assert page.locator("#conversation .message img, #columns img, #prompt img, #demonstrations img").count() == 0


def test_an_error_is_one_sentence_and_keeps_the_message(open_page):
    page = open_page()
    choose(page, "task", "Topic of a news text")
    choose(page, "strategy", "Dynamic few-shot (retrieved)")
    send(page, "Shares closed higher on Thursday.")
    page.wait_for_selector("#strip .sw-error")
    assert "shotwise index build" in page.inner_text("#strip .sw-error")
    assert page.input_value("#message textarea") == "Shares closed higher on Thursday."
    assert page.locator("#message .submit-button").is_visible()


@pytest.mark.parametrize("tab", ["Chat", "Compare"])
def test_a_phone_never_scrolls_sideways(open_page, tab):
    page = open_page(360, 780)
    choose(page, "task", "Sentiment of a film review")
    page.get_by_role("tab", name=tab).click()
    box = "#message" if tab == "Chat" else "#compared-message"
    page.fill(f"{box} textarea", REVIEW)
    page.press(f"{box} textarea", "Enter")
    page.wait_for_selector(f"{'#strip' if tab == 'Chat' else '#columns'} {DONE}")
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
