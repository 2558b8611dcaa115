"""Choosing an adapter as a person does it: a real server, a real headless Chromium."""

import json
import shutil

import pytest

from tests.web.test_browser import browser, open_page, pytestmark, send, wait_until_done  # noqa: F401

DONE = '#columns [data-state="done"]'


@pytest.fixture
def place(served_home):
    """Put folders that look like adapters under adapters/ of the server that runs."""
    made = []

    def put(name):
        made.append(served_home / "adapters" / name)
        made[-1].mkdir(parents=True)
        (made[-1] / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))

    yield put
    for folder in made:
        shutil.rmtree(folder)


def pick(page, element, name, *, exact=False):
    page.click(f"#{element} input")
    page.get_by_role("option", name=name, exact=exact).click()


def test_a_new_adapter_is_offered_answers_and_is_compared_with_base_by_one_click(open_page, place):  # noqa: F811
    page = open_page()
    assert "shotwise adapter train" in page.inner_text("#adapter")
    place("mine")
    place("of-other-model")
    page.click("#adapter input")
    page.get_by_role("option", name="mine").click()
    page.wait_for_function("() => document.querySelector('#adapter').innerText.includes('1 for this model')")
    assert "1 of other models not listed" in page.inner_text("#adapter")
    send(page, "Good morning")
    wait_until_done(page, "Good morning")
    assert "mine says:" in page.inner_text("#conversation")
    assert "adapter mine 01234567" in page.inner_text("#strip")
    page.click("#compare-with-base")
    page.wait_for_selector(DONE)
    columns = page.eval_on_selector_all(
        ".sw-column", "all => all.map(one => [one.dataset.strategy, one.dataset.adapter, one.innerText])"
    )
    assert [column[:2] for column in columns] == [["zero-shot", ""], ["zero-shot", "mine"]]
    assert ["mine says:" in column[2] for column in columns] == [False, True]
    assert page.get_by_role("tab", name="Compare").get_attribute("aria-selected") == "true"
    assert page.outside == []


def test_the_base_answers_again_once_it_is_chosen(open_page, place):  # noqa: F811
    place("mine")
    page = open_page()
    pick(page, "adapter", "mine")
    send(page, "Good morning")
    wait_until_done(page, "Good morning")
    page.wait_for_selector("#compare-with-base")
    pick(page, "adapter", "No adapter")
    send(page, "Good evening")
    wait_until_done(page, "Good evening")
    assert "no adapter" in page.inner_text("#strip")
    page.wait_for_selector("#compare-with-base", state="hidden")
    assert "mine says:" not in page.locator("#conversation .bot").last.inner_text()


def test_two_adapters_leave_room_for_two_strategies(open_page, place):  # noqa: F811
    place("mine")
    page = open_page()
    page.get_by_role("tab", name="Compare").click()
    page.wait_for_selector("#adapters input")
    pick(page, "adapters", "mine")
    page.wait_for_function("() => document.querySelector('#strategies').innerText.includes('Each with 2 adapters')")
    page.fill("#compared-message textarea", "Good morning")
    page.press("#compared-message textarea", "Enter")
    page.wait_for_selector(DONE)
    assert page.locator(".sw-column").count() == 4


def test_the_adapters_tab_shows_a_stopped_training_and_refuses_in_one_sentence(open_page, served_home):  # noqa: F811
    folder = served_home / "runs" / "adapter-mine"
    folder.mkdir(parents=True)
    (folder / "progress.jsonl").write_text(json.dumps({"step": 1, "of": 4, "loss": 2.0}) + "\n")
    (folder / "progress.json").write_text(json.dumps({"state": "stopped", "step": 1, "of": 4}))
    (folder / "job.json").write_text(json.dumps({"kind": "adapter", "title": "mine", "arguments": ["adapter"]}))
    page = open_page()
    page.get_by_role("tab", name="Adapters").click()
    page.wait_for_selector("#training .sw-curve")
    assert page.is_visible("#go-on-training")
    assert "tab=adapters" in page.url
    page.click("#start-training")
    page.wait_for_selector("#training-message .sw-error")
    assert "scripted model has no weights" in page.inner_text("#training-message")
    page.reload()
    page.wait_for_selector("#training .sw-curve")
    shutil.rmtree(folder)


def test_a_learning_rate_that_nobody_typed_stays_empty_when_its_field_is_shown(open_page):  # noqa: F811
    page = open_page()
    page.get_by_role("tab", name="Adapters").click()
    page.wait_for_selector("#rank input")
    page.get_by_text("More settings").click()
    page.wait_for_selector("#learning-rate input")
    assert page.input_value("#learning-rate input") == ""


def test_an_evaluation_can_be_of_a_new_adapter(open_page, place):  # noqa: F811
    place("mine")
    page = open_page()
    page.get_by_role("tab", name="Evaluate").click()
    page.wait_for_selector("#evaluated-adapter input")
    pick(page, "evaluated-adapter", "mine")
    assert page.input_value("#evaluated-adapter input") == "mine"


def test_what_belongs_to_chat_is_out_of_the_way_on_the_adapters_tab(open_page):  # noqa: F811
    page = open_page()
    page.get_by_role("tab", name="Adapters").click()
    page.wait_for_selector("#choices", state="hidden")
    page.get_by_role("tab", name="Chat").click()
    page.wait_for_selector("#choices", state="visible")


def test_settings_follow_the_method(open_page):  # noqa: F811
    page = open_page()
    page.get_by_role("tab", name="Adapters").click()
    page.wait_for_selector("#rank input")
    pick(page, "method", "Prefix tuning")
    page.wait_for_selector("#virtual-tokens input")
    page.wait_for_selector("#rank input", state="hidden")
    assert "every layer" in page.inner_text("#about-method")


@pytest.mark.parametrize("width", [390])
def test_a_phone_never_scrolls_sideways_on_the_adapters_tab(open_page, width):  # noqa: F811
    page = open_page(width, 844)
    page.get_by_role("tab", name="Adapters").click()
    page.wait_for_selector("#rank input")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


# Whatever the server says is heard two seconds late.
SLOW = """const soon = window.fetch;
window.fetch = async (...sent) => {
  const heard = await soon(...sent);
  if (String(sent[0]?.url || sent[0]).includes('/run')) await new Promise(done => setTimeout(done, 2000));
  return heard;
};"""


def test_the_last_of_two_quick_choices_of_a_method_counts(open_page):  # noqa: F811
    page = open_page()
    page.get_by_role("tab", name="Adapters", exact=True).click()
    page.wait_for_selector("#rank input")
    page.evaluate(SLOW)
    pick(page, "method", "Prompt tuning")
    pick(page, "method", "LoRA", exact=True)
    for words in ("Lester et al.", "Hu et al."):
        page.wait_for_function(f"document.querySelector('#about-method').innerText.includes('{words}')", timeout=20_000)
    page.wait_for_selector("#virtual-tokens", state="hidden")
    page.wait_for_selector("#rank input")
    assert page.input_value("#method input") == "LoRA"
