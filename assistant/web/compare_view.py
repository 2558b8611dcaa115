"""Several answers to one message as columns, and whether they agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from assistant.prompting.strategies import STRATEGIES
from assistant.records import Answer
from assistant.web.cards import compact_html, label_class
from assistant.web.content import adapter_chip, has_verdict, verdict
from assistant.web.markup import chip, esc, fold, notes, plural
from assistant.web.prompt_view import prompt_html

EMPTY = """<div class="sw-empty sw-empty-wide"><strong>One message, several strategies</strong>
<p>The same model answers your message once for each strategy and adapter you chose. The answers stand side by side,
with the demonstrations each one was shown and what it cost.</p></div>"""


def summary_html(answers: Sequence[Answer]) -> str:
    """Return what stands above the columns: whether they agree."""
    state = "done" if all(answer.done for answer in answers) else "running"
    return f'<div data-state="{state}">{agreement_html(answers)}</div>'


def agreement(answers: Sequence[Answer]) -> tuple[str, int, int] | None:
    """Return (final answer of most columns, how many have it, columns), or None if none can be compared."""
    finals = [answer.final_answer for answer in answers if answer.final_answer is not None]
    if not finals or not all(has_verdict(answer) for answer in answers):
        return None
    (most, count), *_ = Counter(finals).most_common(1)
    return most, count, len(answers)


def agreement_html(answers: Sequence[Answer]) -> str:
    """Return one sentence about agreement, once all columns are done."""
    if not all(answer.done for answer in answers):
        return '<p class="sw-agreement"><span class="sw-spin"></span>Answering …</p>'
    found = agreement(answers)
    if found is None:
        reason = "Answers in free text are not counted." if not has_verdict(answers[0]) else "No final answers."
        return f'<p class="sw-agreement">{reason}</p>'
    most, count, columns = found
    if len(answers) > 1 and count == 1:
        return '<p class="sw-agreement">No two columns agree.</p>'
    lead = f"All {columns} agree:" if count == columns else f"{count} of {columns} agree:"
    kind = label_class(answers[0].task, most) or "label-2"
    return f'<p class="sw-agreement">{lead} {chip(most, f"final {kind}")}</p>'


def column_html(answer: Answer) -> str:
    """Return one answer as a column: verdict, text, demonstrations, cost."""
    strategy = STRATEGIES.get(answer.strategy)
    title, about = (strategy.title, strategy.about) if strategy else (answer.strategy, "")
    reasoning = ""
    if answer.reasoning:
        body = f'<p class="sw-text">{esc(answer.reasoning)}</p>'
        reasoning = fold("Reasoning", body, opened=not answer.done and not answer.answer)
    reply = answer.answer or ("" if answer.done or answer.reasoning else "…")
    text = f'<p class="sw-text sw-reply" aria-live="polite">{esc(reply)}</p>' if reply else ""
    found = "".join(verdict(answer))
    labels = f'<div class="sw-verdict">{found}</div>' if found or has_verdict(answer) else ""
    cost = "".join(
        chip(fact, "quiet")
        for fact in (
            plural(answer.prompt_tokens, "prompt token"),
            f"{answer.new_tokens:,} new",
            f"{answer.seconds:.1f} s",
        )
    )
    prompt = fold("Exact prompt", prompt_html(answer).replace(' name="sw-call"', "")) if answer.done else ""
    return (
        f'<section class="sw-column" data-strategy="{esc(answer.strategy)}" data-adapter="{esc(answer.adapter or "")}"'
        f' aria-label="{esc(title)}, {esc(answer.adapter_words)}">'
        f"<h3>{esc(title)}</h3><div>{adapter_chip(answer)}</div><p class='sw-note'>{esc(about)}</p>"
        f"{labels}{reasoning}{text}"
        f'<div class="sw-column-foot">{compact_html(answer)}{prompt}<div class="sw-strip">{cost}</div>'
        f"{notes(answer.notes)}</div></section>"
    )
