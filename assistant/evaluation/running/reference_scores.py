"""What calibration needs to know of a model: its label scores when nothing is asked, and how long labels are.

A prompt is scored once, however many samples share it: under static demonstrations the content-free
prompts of all samples are the same three.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import NamedTuple

from assistant.answering import Assistant, Request
from assistant.columns import Prepared
from assistant.errors import SettingError
from assistant.evaluation.outcomes import ReferenceCost, Scores
from assistant.generation.chat_model import StopSignal
from assistant.prompting.building import label_replies
from assistant.prompting.strategies import Strategy
from assistant.records import RenderedPrompt

CONTENT_FREE = ("N/A", "[MASK]", "")
"""Inputs that say nothing. Source: Zhao et al. 2021, section 5."""
REFERENCED = ("contextual", "dc-pmi")
"""Calibrations that need scores of content-free prompts."""
_KEPT = 4096


class Referenced(NamedTuple):
    """Label scores under each of a calibration's content-free prompts, and what they took when they were scored."""

    scores: tuple[Scores, ...]
    cost: ReferenceCost


def check_calibration(strategy: Strategy, calibration: str) -> None:
    """Refuse a calibration for which the strategy has no content-free prompt.

    Raises:
        SettingError: if labels are scored after reasoning, which nobody does about nothing.
    """
    if calibration in REFERENCED and strategy.reasoning == "asked":
        raise SettingError(
            f"'{strategy.name}' scores labels after reasoning, and a content-free question has none: the calibration "
            f"'{calibration}' does not apply.",
            "Choose 'batch', or leave the strategy out.",
        )


def reference_prompts(
    assistant: Assistant, request: Request, prepared: Prepared, calibration: str
) -> tuple[RenderedPrompt, ...]:
    """Return the content-free prompts of a prepared request.

    contextual: the same demonstrations in the same order, and inputs that say nothing, in every
    field. dc-pmi: no demonstrations and empty inputs, which leaves the instruction and the frame of
    the question as the description of the domain. Others need none.

    Raises:
        SettingError: if the strategy has no such prompt.
    """
    check_calibration(prepared.strategy, calibration)
    if calibration == "contextual":
        fillers: Sequence[str] = CONTENT_FREE
        shown = prepared.shown
    elif calibration == "dc-pmi":
        fillers, shown = ("",), ()
    else:
        return ()
    fields = prepared.task.fields
    return tuple(assistant.rebuild(request, prepared, shown, dict.fromkeys(fields, filler)) for filler in fillers)


class ReferenceScores:
    """Label scores of content-free prompts under one assistant's model; each prompt is scored once."""

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant
        self._known: dict[tuple[object, ...], Referenced] = {}

    def of(
        self, request: Request, prepared: Prepared, calibrations: Sequence[str], stop: StopSignal | None = None
    ) -> dict[str, Referenced]:
        """Return calibration → label scores under each of its content-free prompts, and their cost.

        A calibration that needs none, or that was not reached before `stop`, is left out.

        Raises:
            SettingError: if the strategy has no content-free prompt.
        """
        found: dict[str, Referenced] = {}
        for calibration in calibrations:
            if calibration in REFERENCED:
                prompts = reference_prompts(self._assistant, request, prepared, calibration)
                referenced = self._scored(prompts, prepared, stop)
                found |= {calibration: referenced} if referenced is not None else {}
        return found

    def _scored(
        self, prompts: Sequence[RenderedPrompt], prepared: Prepared, stop: StopSignal | None
    ) -> Referenced | None:
        """Return the scores of prompts that begin alike; always asked for together, so that company changes nothing."""
        replies = label_replies(prepared.task, prepared.strategy)
        model = self._assistant.model
        key = (model.name, model.adapter, *(prompt.token_ids for prompt in prompts), *replies.items())
        if key not in self._known:
            started = time.perf_counter()
            scores = model.score_labels(prompts, [tuple(replies.values())] * len(prompts), stop)
            if not all(scores):
                return None
            cost = ReferenceCost(
                prompts=hashlib.sha256(repr(key).encode("utf-8", "surrogatepass")).hexdigest()[:16],
                prompt_tokens=sum(len(prompt.token_ids) for prompt in prompts),
                calls=len(prompts),
                seconds=time.perf_counter() - started,
            )
            self._known[key] = Referenced(tuple(dict(zip(replies, own, strict=True)) for own in scores), cost)
            while len(self._known) > _KEPT:
                del self._known[next(iter(self._known))]
        return self._known[key]


def label_lengths(assistant: Assistant, prepared: Prepared) -> dict[str, tuple[int, int]]:
    """Return label → characters and tokens of the reply that is scored for it."""
    replies = label_replies(prepared.task, prepared.strategy)
    label_ids = assistant.model.renderer.label_ids
    return {label: (len(reply), len(label_ids(prepared.rendered, reply))) for label, reply in replies.items()}
