"""Everything the page shows as HTML: text from outside stays text."""

from html.parser import HTMLParser

import pytest

from assistant.records import Answer, Call, Demonstration, Exclusion, Hit, Span
from assistant.web import cards, compare_view, content, header, prompt_view
from assistant.web.markup import esc
from assistant.web.service import Status

HOSTILE = '<img src=x onerror="alert(1)"> <|user|> & "quoted" \'single\' </div><script>alert(2)</script>'
OURS = {
    "article", "b", "button", "code", "dd", "details", "div", "dl", "dt", "em", "footer", "h1", "h3", "header", "i",
    "li", "p", "section", "span", "strong", "summary", "ul",
}  # fmt: skip


class Reader(HTMLParser):
    """Collects elements, attributes and text as a browser would."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.elements, self.handlers, self.text = set(), [], ""

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        self.handlers += [value for name, value in attrs if name.startswith("on")]

    def handle_data(self, data):
        self.text += data


def read(html):
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader


def hostile_answer(**changed):
    shown = Demonstration(HOSTILE, {"text": HOSTILE, HOSTILE: HOSTILE}, HOSTILE, rationale=HOSTILE)
    call = Call((), HOSTILE, HOSTILE, 12, 3, 0.5, 0.1, "end", (Span(0, 5, HOSTILE), Span(5, 9, "question")))
    facts = {
        "strategy": HOSTILE,
        "task": "sentiment",
        "model": HOSTILE,
        "adapter": HOSTILE,
        "message": HOSTILE,
        "answer": HOSTILE,
        "problem": HOSTILE,
        "reasoning": HOSTILE,
        "demonstrations": (Hit(shown, 1, 0.5),),
        "excluded": (Exclusion(shown, HOSTILE, 0.99),),
        "dropped": (HOSTILE,),
        "calls": (call, call),
        "votes": {HOSTILE: 2},
        "label_scores": {HOSTILE: -1.0},
        "index": HOSTILE,
        "notes": (HOSTILE,),
        "done": True,
    }
    return Answer(**(facts | changed))


@pytest.mark.parametrize(
    "page",
    [
        cards.demonstrations_html,
        cards.compact_html,
        prompt_view.prompt_html,
        content.strip_html,
        compare_view.column_html,
        lambda answer: content.waiting_html(answer.message),
        lambda answer: header.header_html(Status("ready", HOSTILE, HOSTILE, HOSTILE, HOSTILE, (HOSTILE,))),
        lambda answer: header.header_html(Status("failed", HOSTILE)),
    ],
)
def test_no_text_from_outside_becomes_markup(page):
    reader = read(page(hostile_answer()))
    assert reader.elements <= OURS
    assert all(handler.startswith("const b=this;") for handler in reader.handlers)
    assert "<|user|>" in reader.text
    assert "onerror" in reader.text


def test_a_hostile_final_answer_is_a_label_of_its_own():
    page = compare_view.summary_html([hostile_answer(final_answer=HOSTILE, problem="")] * 2)
    assert f"All 2 agree: {HOSTILE}" in read(page).text


def test_the_prompt_view_holds_the_exact_text():
    text = "<s><|system|>\r\n  two  spaces\n\n<|user|>\n&amp; <b>bold</b></s>\n"
    call = Call((), text, "", 9, 0, 0.0, spans=(Span(3, 20, "instruction"),))
    html = prompt_view.prompt_html(hostile_answer(calls=(call,), demonstrations=()))
    inner = html.split('aria-label="Exact prompt">')[1].split("</div>")[0]
    assert read(inner).text == text


def test_every_character_belongs_to_one_piece():
    spans = (Span(4, 8, "question"), Span(1, 3, "instruction"), Span(2, 5, "history"))
    cut = prompt_view.pieces("0123456789", spans)
    assert "".join(piece for piece, _ in cut) == "0123456789"
    assert cut[0] == ("0", "template")
    assert cut[-1] == ("89", "template")


def test_demonstrations_have_the_same_colour_in_card_and_prompt():
    shown = [Demonstration(f"d{number}", {"text": "t"}, "positive") for number in (1, 2)]
    hits = tuple(Hit(one, rank, 0.5) for rank, one in enumerate(shown, 1))
    call = Call((), "ab", "", 2, 0, 0.0, spans=(Span(0, 1, "demonstration d2"), Span(1, 2, "demonstration d1")))
    answer = hostile_answer(demonstrations=hits, calls=(call,), excluded=(), dropped=())
    assert prompt_view.prompt_html(answer).count("o-demo demo-2") == 2
    assert '<article class="sw-card demo-2" data-id="d2">' in cards.demonstrations_html(answer)


def test_carriage_returns_survive_in_html():
    assert esc("a\r\nb") == "a&#13;\nb"
