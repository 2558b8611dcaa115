"""The exact text that was sent, every character of it, coloured by where it came from."""

from __future__ import annotations

from collections.abc import Mapping

from assistant.prompting.strategies import STRATEGIES
from assistant.records import Answer, Call, Span, demonstration_origin
from assistant.web.markup import COLOURS, esc, plural

EMPTY = """<div class="sw-empty"><strong>The exact prompt</strong>
<p>Whatever is sent to the model appears here, character by character, special tokens included.</p></div>"""

# The browser's own text is copied, so what is pasted is what stands there.
_COPY = (
    "const b=this;navigator.clipboard.writeText(b.closest('.sw-call').querySelector('.sw-prompt').textContent)"
    ".then(()=>{b.textContent='Copied';setTimeout(()=>{b.textContent='Copy the exact text'},1500)})"
)


def prompt_html(answer: Answer | None) -> str:
    """Return the prompts of all calls, the last one opened."""
    if answer is None:
        return EMPTY
    ranks = {demonstration_origin(hit.demonstration.id): hit.rank for hit in answer.demonstrations}
    names = _call_names(answer)
    last = len(answer.calls) - 1
    return "".join(
        f'<details class="sw-fold sw-call" name="sw-call"{" open" if number == last else ""}>'
        f"<summary>{esc(name)} · {plural(call.prompt_tokens, 'token')}</summary>{_call(call, ranks)}</details>"
        for number, (name, call) in enumerate(zip(names, answer.calls, strict=True))
    )


def pieces(text: str, spans: tuple[Span, ...]) -> list[tuple[str, str]]:
    """Return the text cut into (piece, origin); what no span covers is `template`."""
    cut: list[tuple[str, str]] = []
    at = 0
    for span in sorted(spans, key=lambda one: one.start):
        start = max(span.start, at)
        if start > at:
            cut.append((text[at:start], "template"))
        if span.end > start:
            cut.append((text[start : span.end], span.origin))
            at = span.end
    if at < len(text):
        cut.append((text[at:], "template"))
    return cut


def _call(call: Call, ranks: Mapping[str, int]) -> str:
    cut = pieces(call.prompt, call.spans)
    body = "".join(f'<span class="{_colour(origin, ranks)}">{esc(piece)}</span>' for piece, origin in cut)
    origins = dict.fromkeys(origin for _, origin in cut)
    legend = "".join(f'<li class="{_colour(origin, ranks)}">{esc(_name(origin, ranks))}</li>' for origin in origins)
    return (
        f'<div class="sw-tools"><ul class="sw-legend" aria-label="Colours">{legend}</ul>'
        f'<button type="button" class="sw-copy" onclick="{esc(_COPY)}">Copy the exact text</button></div>'
        f'<div class="sw-prompt" tabindex="0" role="region" aria-label="Exact prompt">{body}</div>'
    )


def _colour(origin: str, ranks: Mapping[str, int]) -> str:
    if origin in ranks:
        return f"o-demo demo-{(ranks[origin] - 1) % COLOURS + 1}"
    return f"o-{origin}" if origin in ("instruction", "history", "question") else "o-template"


def _name(origin: str, ranks: Mapping[str, int]) -> str:
    if origin in ranks:
        return f"demonstration {ranks[origin]}"
    return "chat template" if origin == "template" else origin


def _call_names(answer: Answer) -> list[str]:
    count = len(answer.calls)
    if count == 1:
        return ["Prompt"]
    strategy = STRATEGIES.get(answer.strategy)
    if strategy is not None and strategy.reasoning == "asked":
        return ["Call 1: asks for reasoning", "Call 2: asks for the answer"][:count]
    return [f"Reply {number} of {count}" for number in range(1, count + 1)]
