"""The demonstrations of an answer as cards, and what was kept out of the prompt."""

from __future__ import annotations

from assistant.prompting.strategies import STRATEGIES
from assistant.prompting.tasks import load_task
from assistant.records import Answer, Demonstration, Exclusion, Hit
from assistant.web.markup import COLOURS, chip, esc, fields, fold, notes, plural

EMPTY = """<div class="sw-empty"><strong>Demonstrations</strong>
<p>Send a message with a few-shot strategy, and the solved inputs that were put into the prompt appear here,
nearest first, with their similarity to your message.</p></div>"""


def label_class(task: str, output: str | None) -> str:
    """Return the colour class of a label of the task; empty for free text."""
    labels = load_task(task).labels
    if output not in labels:
        return ""
    # Red and green say no and yes; they are kept for tasks with two labels.
    first = 0 if len(labels) == 2 else 2
    return f"label-{(labels.index(output) + first) % COLOURS + 1}"


def demonstrations_html(answer: Answer | None) -> str:
    """Return the cards, best first, then what the guard and the budget kept out."""
    if answer is None:
        return EMPTY
    cards = "".join(_card(answer.task, hit) for hit in answer.demonstrations)
    head = f'<p class="sw-lead">{_lead(answer)}</p>'
    return f'<div class="sw-cards">{head}{cards}{_kept_out(answer)}{notes(answer.notes)}</div>'


def compact_html(answer: Answer) -> str:
    """Return the demonstrations as a short folded list, for a column."""
    if not answer.demonstrations:
        strategy = STRATEGIES.get(answer.strategy)
        own = strategy is not None and strategy.template
        said = "None but those of the template." if own else "No demonstrations."
        return notes([said])
    rows = "".join(_card(answer.task, hit) for hit in answer.demonstrations)
    kept_out = f", {len(answer.excluded)} kept out" if answer.excluded else ""
    return fold(f"{plural(len(answer.demonstrations), 'demonstration')}{kept_out}", rows + _kept_out(answer))


def _lead(answer: Answer) -> str:
    if not answer.demonstrations:
        strategy = STRATEGIES.get(answer.strategy)
        if answer.dropped:
            reason = "had no room for any in the context of the model"
        else:
            reason = "shows none" if strategy is None or strategy.selector == "none" else "found none that may be shown"
            if strategy is not None and strategy.template:
                reason = "shows none but those of its template"
        return f"The strategy <em>{esc(strategy.title if strategy else answer.strategy)}</em> {reason}."
    count = plural(len(answer.demonstrations), "demonstration")
    if answer.index is None:
        return f"{count}, written for the task and the same for every message."
    return f"{count} found for this message in the index <em>{esc(answer.index)}</em>, best first."


def _card(task: str, hit: Hit) -> str:
    shown = hit.demonstration
    colour = f"demo-{(hit.rank - 1) % COLOURS + 1}"
    rationale = fold("Rationale", f'<p class="sw-text">{esc(shown.rationale)}</p>') if shown.rationale else ""
    return (
        f'<article class="sw-card {colour}" data-id="{esc(shown.id)}"><header>'
        f'<span class="sw-rank" title="rank">{hit.rank}</span>{_similarity(hit.similarity)}'
        f"<code>{esc(shown.id)}</code></header>{fields(shown.inputs)}{rationale}"
        f"<footer>{_output(task, shown)}</footer></article>"
    )


def _output(task: str, shown: Demonstration) -> str:
    kind = label_class(task, shown.output)
    return chip(shown.output, kind) if kind else f'<p class="sw-text sw-output">{esc(shown.output)}</p>'


def _similarity(similarity: float | None) -> str:
    if similarity is None:
        return ""
    width = round(100 * min(max(similarity, 0.0), 1.0))
    return (
        f'<span class="sw-similarity" title="similarity: the cosine of the two embeddings">'
        f'<i style="width:{width}%"></i></span><b>{similarity:.2f}</b>'
    )


def _kept_out(answer: Answer) -> str:
    rows = [_excluded(exclusion) for exclusion in answer.excluded]
    rows += [f"<li>{esc(dropped)}: no room in the context</li>" for dropped in answer.dropped]
    if not rows:
        return ""
    return fold(f"Kept out of the prompt ({len(rows)})", f'<ul class="sw-kept-out">{"".join(rows)}</ul>', opened=True)


def _excluded(exclusion: Exclusion) -> str:
    similarity = "" if exclusion.similarity is None else f" <b>{exclusion.similarity:.2f}</b>"
    shown = exclusion.demonstration
    return f"<li><code>{esc(shown.id)}</code>{similarity} {esc(exclusion.reason)}{fields(shown.inputs)}</li>"
