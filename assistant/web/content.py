"""An answer as chat messages, and the strip of facts beneath it."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from assistant.prompting.strategies import STRATEGIES
from assistant.prompting.tasks import load_task
from assistant.records import Answer, Message
from assistant.web.cards import label_class
from assistant.web.markup import chip, esc, plural

REASONING = "Reasoning"

# Gradio's conversation reads HTML even where it reads no Markdown. Escaped text would come back escaped when a
# message is edited or retried, so an invisible word joiner keeps what looks like a tag or an entity from being one.
_JOINER = "\u2060"
_MARKUP = re.compile(r"[<&](?=[A-Za-z/!?#])")
# Our own words in the place of a reply begin with the joiner too, which tells them from a reply that says the same.
_PENDING = f"{_JOINER}…"
_NO_REPLY = f"{_JOINER}(no reply)"


def plain_history(shown: Sequence[Any]) -> tuple[Message, ...]:
    """Return the turns of a chat display as the model is to see them: no reasoning, no question without a reply."""
    turns: list[Message] = []
    for message in shown:
        if (message.get("metadata") or {}).get("title"):
            continue
        text = plain_text(message["content"])
        if text in (_PENDING, _NO_REPLY):
            # Two questions in a row are what some chat templates refuse.
            del turns[-1:]
        elif text.strip():
            turns.append({"role": message["role"], "content": text})
    return tuple(turns)


def plain_text(content: object) -> str:
    """Return the text of a message's content, which may be a string or a list of blocks."""
    if isinstance(content, str):
        return content.replace(f"<{_JOINER}", "<").replace(f"&{_JOINER}", "&")
    blocks: list[Any] = content if isinstance(content, list) else [content]
    return "".join(plain_text(block if isinstance(block, str) else str(block.get("text", ""))) for block in blocks)


def shown_text(text: str) -> str:
    """Return text that the conversation shows as it is; `plain_text` gives it back."""
    return _MARKUP.sub(rf"\g<0>{_JOINER}", text)


def user_turns(shown: Sequence[Any]) -> list[int]:
    """Return the positions of the person's messages in a chat display."""
    return [at for at, message in enumerate(shown) if message["role"] == "user"]


def answer_choices(answers: Mapping[int, Answer]) -> list[tuple[str, int]]:
    """Return (what was asked, turn) of every answer, for a list to choose from."""
    choices = []
    for turn, answer in answers.items():
        asked = textwrap.shorten(answer.message, 70, placeholder=" …")
        choices.append((f"{turn}. {asked}", turn))
    return choices


def answer_messages(answer: Answer) -> list[dict[str, Any]]:
    """Return the chat messages of an answer: its reasoning folded away, then the reply."""
    shown: list[dict[str, Any]] = []
    if answer.reasoning:
        done = bool(answer.done or answer.answer)
        shown.append(
            {
                "role": "assistant",
                "content": shown_text(answer.reasoning),
                "metadata": {"title": REASONING, "status": "done" if done else "pending"},
            }
        )
    if answer.answer or not answer.reasoning or answer.done:
        waiting = _NO_REPLY if answer.done else _PENDING
        shown.append({"role": "assistant", "content": shown_text(answer.answer) or waiting})
    return shown


def strip_html(answer: Answer) -> str:
    """Return what the answer came to and what it cost, in one line of small labels."""
    strategy = STRATEGIES.get(answer.strategy)
    facts = [f"{answer.prompt_tokens:,} prompt + {plural(answer.new_tokens, 'new token')}"]
    if answer.new_tokens and answer.seconds:
        facts.append(f"{answer.new_tokens / answer.seconds:,.0f} tokens/s")
    if answer.calls and answer.calls[0].first_token_seconds is not None:
        facts.append(f"first token {answer.calls[0].first_token_seconds:.2f} s")
    facts.append(f"{answer.seconds:.1f} s")
    state = "done" if answer.done else "running"
    title = chip(strategy.title if strategy else answer.strategy, "quiet") + adapter_chip(answer)
    cost = f'<span class="sw-facts">{esc(" · ".join(facts))}</span>'
    return f'<div class="sw-strip" data-state="{state}">{"".join(verdict(answer))}{title}{cost}</div>'


def adapter_chip(answer: Answer) -> str:
    """Return a label that says which adapter answered; the whole hash of its weights is its tip."""
    tip = f"SHA-256 of its weights: {answer.adapter_sha256}" if answer.adapter_sha256 else ""
    return chip(answer.adapter_words, "on" if answer.adapter else "quiet", tip)


def verdict(answer: Answer) -> list[str]:
    """Return labels that say what the final answer is, or why there is none, and how it was reached."""
    shown = []
    if answer.problem and answer.done:
        shown.append(chip(f"No final answer: {answer.problem}", "warn"))
    elif answer.final_answer is not None and has_verdict(answer):
        kind = label_class(answer.task, answer.final_answer) or "label-2"
        shown.append(chip(answer.final_answer, f"final {kind}", "the final answer"))
    if answer.votes:
        counted = ", ".join(f"{final} {count}" for final, count in answer.votes.items())
        shown.append(chip(f"votes: {counted}"))
    if answer.label_scores:
        shown.append(chip(_likelihoods(answer.label_scores), "", "likelihood of each label, shared out to 100 %"))
    if answer.done and not answer.problem and any(call.finish == "stopped" for call in answer.calls):
        shown.append(chip("stopped", "warn"))
    if answer.done and any(call.finish == "length" for call in answer.calls):
        shown.append(chip("cut at the token limit", "warn"))
    return shown


def has_verdict(answer: Answer) -> bool:
    """Return whether the final answer is a label or a number, which can be compared and coloured."""
    task = load_task(answer.task)
    return bool(task.labels) or task.parser == "number"


def waiting_html(sentence: str) -> str:
    """Return the strip while a run has not begun."""
    return f'<div class="sw-strip" data-state="waiting"><span class="sw-spin"></span>{esc(sentence)}</div>'


def _likelihoods(scores: Mapping[str, float]) -> str:
    best = max(scores.values())
    weights = {label: math.exp(score - best) for label, score in scores.items()}
    total = sum(weights.values())
    ranked = sorted(weights.items(), key=lambda pair: -pair[1])
    return " · ".join(f"{label} {100 * weight / total:.0f} %" for label, weight in ranked)
