"""One column of a comparison: the calls a strategy makes, and the answer as it grows.

A chat is a comparison with one column, so there is one way to run a strategy.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from assistant.prompting.building import extraction_prompt, label_names, label_replies
from assistant.prompting.parsing import reasoning_so_far, split_reasoning
from assistant.prompting.strategies import Strategy
from assistant.prompting.tasks import Task
from assistant.records import (
    Answer,
    Call,
    Demonstration,
    Generation,
    Message,
    Prompt,
    RenderedPrompt,
    Selection,
    demonstration_origin,
)
from assistant.settings import SamplingSettings

if TYPE_CHECKING:
    from assistant.answering import Request
    from assistant.generation.chat_model import ChatModel, StopSignal

VOTING_TEMPERATURE = 0.7
"""Temperature of self-consistency when none is set. Source: Wang et al. 2022, section 3.1."""

STOPPED = "stopped before the end"
"""The problem of an answer that was given up when it was told to."""
_SEED_STRIDE = 1000
"""More samples than any strategy draws: the draws of one seed are none of another's."""
_SEEDS = 2**63

_OPENINGS = ("Let's think step by step:", "Let's think step by step.")

PlannedCall = tuple[RenderedPrompt, SamplingSettings]


@dataclass(frozen=True)
class Prepared:
    """The exact prompt of a request, and what was chosen, excluded and dropped for it."""

    task: Task
    strategy: Strategy
    prompt: Prompt
    rendered: RenderedPrompt
    selection: Selection
    dropped: tuple[str, ...] = ()
    index: str | None = None
    notes: tuple[str, ...] = ()
    history: tuple[Message, ...] = ()
    """What is left of the request's history."""
    seconds: float = field(default=0.0, compare=False)
    """What embedding the question, choosing demonstrations and rendering took."""

    @property
    def shown(self) -> tuple[Demonstration, ...]:
        """Return the demonstrations in the order in which the prompt shows them."""
        by_origin = {demonstration_origin(hit.demonstration.id): hit.demonstration for hit in self.selection.hits}
        return tuple(by_origin[origin] for origin in dict.fromkeys(self.prompt.origins) if origin in by_origin)


class Column:
    """The state of one request while it is answered, in rounds of calls.

    With `shares`, the seconds of its generations are shares of a batch's, so that they add up.
    """

    def __init__(self, request: Request, prepared: Prepared, model: ChatModel, *, shares: bool = False) -> None:
        self.done = False
        self.model = model
        self._request, self._prepared, self._shares = request, prepared, shares
        self._finished: list[Call] = []
        self._running: tuple[Generation, ...] = ()
        self._scores: dict[str, float] | None = None
        self._to_score: RenderedPrompt | None = None
        self._planned = self._first_calls()

    def calls_to_make(self) -> tuple[PlannedCall, ...]:
        """Return the calls of this round; empty if the column needs none."""
        return self._planned

    def take(self, generations: Sequence[Generation]) -> None:
        """Keep the snapshot of this round's calls."""
        self._running = tuple(generations)

    def labels_to_score(self) -> tuple[RenderedPrompt, tuple[str, ...]] | None:
        """Return prompt and replies if it is time to score them: at once, or after reasoning that was asked for."""
        strategy = self._prepared.strategy
        if self.done or self._request.reading != "labels" or len(self._finished) < int(strategy.reasoning == "asked"):
            return None
        self._to_score = self._extraction() if self._finished else self._prepared.rendered
        return self._to_score, tuple(label_replies(self._prepared.task, strategy).values())

    def take_scores(self, scores: Sequence[float], seconds: float) -> None:
        """Keep the scores of `labels_to_score`; without any, scoring was stopped before."""
        assert self._to_score is not None
        generation = Generation(seconds=seconds, finish="stopped")
        if scores:
            replies = label_replies(self._prepared.task, self._prepared.strategy)
            self._scores = dict(zip(replies, scores, strict=True))
            best = max(self._scores, key=self._scores.__getitem__)
            generation = Generation(text=replies[best], seconds=seconds, finish="end")
        self._finished.append(Call.of(self._to_score, generation))
        self.done = True

    def end_round(self) -> None:
        """Turn this round's generations into calls and plan the next round."""
        if self.done:
            return
        self._finished += [
            Call.of(prompt, generation)
            for (prompt, _), generation in zip(self._planned, self._running, strict=bool(self._running))
        ]
        self._planned, self._running = (), ()
        stopped = any(call.finish == "stopped" for call in self._finished)
        self._planned = () if stopped else self._next_calls()
        waits_for_scores = self._request.reading == "labels" and not stopped
        self.done = not self._planned and not waits_for_scores

    def answer(self) -> Answer:
        """Return the answer as it stands."""
        request, prepared = self._request, self._prepared
        running = [Call.of(prompt, one) for (prompt, _), one in zip(self._planned, self._running, strict=False)]
        calls = (*self._finished, *running)
        answer = Answer(
            strategy=request.strategy,
            task=request.task,
            model=self.model.name,
            adapter=self.model.adapter,
            adapter_sha256=self.model.adapter_sha256,
            message=request.message,
            demonstrations=prepared.selection.hits,
            excluded=prepared.selection.excluded,
            dropped=prepared.dropped,
            calls=calls or (Call.of(prepared.rendered, Generation()),),
            label_scores=self._scores,
            index=prepared.index,
            seed=request.sampling.seed,
            seconds=self._seconds(calls),
            notes=prepared.notes,
            done=self.done,
        )
        return self._read(answer, calls)

    def _first_calls(self) -> tuple[PlannedCall, ...]:
        if self._request.reading == "labels" and self._prepared.strategy.reasoning != "asked":
            return ()
        return ((self._prepared.rendered, self._sampling(0)),)

    def _next_calls(self) -> tuple[PlannedCall, ...]:
        strategy, made = self._prepared.strategy, len(self._finished)
        if strategy.samples > 1 and made == 1:
            return tuple((self._prepared.rendered, self._sampling(number)) for number in range(1, strategy.samples))
        if strategy.reasoning == "asked" and made == 1 and self._request.reading == "generate":
            return ((self._extraction(), self._request.sampling),)
        return ()

    def _sampling(self, number: int) -> SamplingSettings:
        sampling = self._request.sampling
        if self._prepared.strategy.samples == 1:
            return sampling
        seed = (sampling.seed * _SEED_STRIDE + number) % _SEEDS
        return replace(sampling, temperature=sampling.temperature or VOTING_TEMPERATURE, seed=seed)

    def _extraction(self) -> RenderedPrompt:
        return self.model.renderer.render(extraction_prompt(self._prepared.prompt, self._finished[0].reply))

    def _seconds(self, calls: Sequence[Call]) -> float:
        """Return the wall time of preparing and of the rounds: samples of one round run side by side."""
        if self._prepared.strategy.samples > 1 and len(calls) > 1 and not self._shares:
            return self._prepared.seconds + calls[0].seconds + max(call.seconds for call in calls[1:])
        return self._prepared.seconds + sum(call.seconds for call in calls)

    def _read(self, answer: Answer, calls: Sequence[Call]) -> Answer:
        """Return the answer with reply, reasoning, final answer or problem filled in."""
        if not calls:
            return answer
        if self._scores is not None:
            best = max(self._scores, key=self._scores.__getitem__)
            asked = calls[0].reply if len(calls) > 1 else ""
            return replace(answer, answer=calls[-1].reply, final_answer=best, reasoning=asked)
        if self._prepared.strategy.samples > 1:
            return self._vote(answer, calls)
        return self._read_single(answer, calls)

    def _read_single(self, answer: Answer, calls: Sequence[Call]) -> Answer:
        reasoning = self._prepared.strategy.reasoning
        if reasoning == "asked":
            answer = replace(answer, reasoning=calls[0].reply, answer=calls[1].reply if len(calls) > 1 else "")
        elif reasoning == "shown":
            split = split_reasoning(calls[0].reply) if self.done else reasoning_so_far(calls[0].reply)
            # Without a conclusion yet the whole reply is reasoning; without one in the end it is the answer.
            concluded = split.conclusion if split.conclusion is not None else (calls[0].reply if self.done else "")
            answer = replace(answer, reasoning=_without_trigger(split.reasoning), answer=concluded)
        else:
            answer = replace(answer, answer=calls[0].reply)
        if not self.done:
            return answer
        if calls[-1].finish == "stopped":
            return replace(answer, problem=STOPPED)
        parsed = self._parse(calls[-1].reply, reasoning=reasoning == "shown")
        return replace(answer, final_answer=parsed[0], problem=parsed[1])

    def _vote(self, answer: Answer, calls: Sequence[Call]) -> Answer:
        finals = [self._parse(call.reply, reasoning=True) for call in calls if call.finish in ("end", "length")]
        votes = Counter(final for final, _ in finals if final is not None)
        first = split_reasoning(calls[0].reply) if self.done else reasoning_so_far(calls[0].reply)
        answer = replace(
            answer, reasoning=_without_trigger(first.reasoning), answer=first.conclusion or "", votes=dict(votes)
        )
        if not self.done:
            return answer
        if calls[-1].finish == "stopped":
            return replace(answer, problem=STOPPED)
        if not votes:
            return replace(
                answer, answer=calls[0].reply, problem=f"none of {len(calls)} replies could be read: {finals[0][1]}"
            )
        # Ties go to the answer that was reached first: Counter keeps the order of insertion.
        winner, _ = votes.most_common(1)[0]
        return replace(answer, answer=winner, final_answer=winner)

    def _parse(self, reply: str, *, reasoning: bool) -> tuple[str | None, str]:
        task, strategy = self._prepared.task, self._prepared.strategy
        names = label_names(task, strategy) if task.labels else None
        return task.parse(reply, reasoning=reasoning, names=names)


def by_model(columns: Sequence[Column]) -> tuple[tuple[ChatModel, list[Column]], ...]:
    """Return the columns of each model, in the order in which they first come."""
    groups: dict[int, list[Column]] = {}
    for column in columns:
        groups.setdefault(id(column.model), []).append(column)
    return tuple((own[0].model, own) for own in groups.values())


def score_columns(model: ChatModel, columns: Sequence[Column], stop: StopSignal) -> None:
    """Score the labels of all columns that wait for it, in one call."""
    waiting = [(column, wanted) for column in columns if (wanted := column.labels_to_score()) is not None]
    if not waiting:
        return
    started = time.perf_counter()
    prompts, labels = zip(*(wanted for _, wanted in waiting), strict=True)
    scores = model.score_labels(prompts, labels, stop)
    share = (time.perf_counter() - started) / len(waiting)
    for (column, _), own in zip(waiting, scores, strict=True):
        column.take_scores(own, share)


def generate_columns(model: ChatModel, columns: Sequence[Column], stop: StopSignal, batch_size: int) -> None:
    """Generate the calls of all columns, longest prompts first, and hand them out when all are there."""
    calls = [call for column in columns for call in column.calls_to_make()]
    order = sorted(range(len(calls)), key=lambda number: -len(calls[number][0].token_ids))
    done: dict[int, Generation] = {}
    for first in range(0, len(order), batch_size):
        batch = order[first : first + batch_size]
        started = time.perf_counter()
        *_, last = model.generate([calls[n][0] for n in batch], [calls[n][1] for n in batch], stop)
        share = (time.perf_counter() - started) / len(batch)
        done |= {number: replace(one, seconds=share) for number, one in zip(batch, last, strict=True)}
    finished = iter([done[number] for number in range(len(calls))])
    for column in columns:
        column.take([next(finished) for _ in column.calls_to_make()])


def _without_trigger(reasoning: str) -> str:
    for opening in _OPENINGS:
        # While the opening is being written it is hidden too, or it would be shown and taken back.
        reasoning = "" if opening.startswith(reasoning) else reasoning.removeprefix(opening)
    return reasoning.strip()
