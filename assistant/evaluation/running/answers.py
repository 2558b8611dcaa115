"""One block of work: an arm answers some samples with one seed, and every answer becomes an outcome."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from assistant.answering import Assistant, Request
from assistant.columns import STOPPED, Prepared
from assistant.errors import PromptEscape, PromptTooLong, RunProblem
from assistant.evaluation.metrics.text import score_sample
from assistant.evaluation.outcomes import Arm, Outcome, Sample
from assistant.evaluation.running.reference_scores import REFERENCED, ReferenceScores, label_lengths
from assistant.generation.chat_model import StopSignal
from assistant.prompting.tasks import Task
from assistant.records import Answer
from assistant.settings import RetrievalSettings, SamplingSettings

T = TypeVar("T")
Asked = tuple[Prepared, Answer] | str
"""What was asked and answered, or why it could not be asked."""
_BETWEEN_REPLIES = "\n\n"


def answer_samples(
    assistant: Assistant,
    task: Task,
    arm: Arm,
    samples: Sequence[Sample],
    *,
    index: str | None,
    retrieval: RetrievalSettings,
    sampling: SamplingSettings,
    seed: int,
    calibrations: Sequence[str] = (),
    label_names: Sequence[str] = (),
    wording: str = "default",
    stop: StopSignal | None = None,
    references: ReferenceScores | None = None,
) -> list[Outcome]:
    """Return one outcome per sample, in their order; fewer if `stop` was set meanwhile.

    `label_names` are other names for the task's labels, in their order; outcomes speak of the task's own.
    `references` remembers what calibrations need, from one block to the next.

    Raises:
        ShotwiseError: for whatever cannot be asked.
        RunProblem: if an answer is read and a problem at once, which no honest parser does.
    """
    if not samples:
        return []
    stop = stop or threading.Event()
    requests = requests_for(
        task, arm, samples, index=index, retrieval=retrieval, sampling=replace(sampling, seed=seed),
        label_names=label_names, wording=wording,
    )  # fmt: skip
    own = dict(zip(label_names, task.labels, strict=True)) if label_names else {label: label for label in task.labels}
    needs = _Needs(assistant, own, calibrations, references or ReferenceScores(assistant), stop)
    outcomes: list[Outcome] = []
    for sample, request, asked in zip(samples, requests, _asked(assistant, requests, stop), strict=True):
        outcome = _outcome(sample, request, asked, arm, task, needs)
        if outcome is not None:
            outcomes.append(outcome)
    return outcomes


def _outcome(sample: Sample, request: Request, asked: Asked, arm: Arm, task: Task, needs: _Needs) -> Outcome | None:
    """Return what came out for one sample, or None if that was stopped before."""
    if isinstance(asked, str):
        return _unasked(sample, arm, request.sampling.seed, task, asked)
    prepared, answer = asked
    if answer.problem == STOPPED:
        return None
    outcome = outcome_of(sample, arm, answer, task, needs.own)
    return outcome if outcome.label_scores is None else needs.added(outcome, request, prepared)


def _asked(assistant: Assistant, requests: Sequence[Request], stop: StopSignal) -> list[Asked]:
    """Return the answer to each request, or why it cannot be asked: one long text must not end a whole run."""
    reasons = [""] * len(requests)
    try:
        ready = assistant.prepare_all(requests)
    except (PromptTooLong, PromptEscape):
        reasons = [_why_not(assistant, request) for request in requests]
        if not any(reasons):
            raise
        ready = assistant.prepare_all([one for one, reason in zip(requests, reasons, strict=True) if not reason])
    askable = [request for request, reason in zip(requests, reasons, strict=True) if not reason]
    answers = assistant.answer_all(askable, stop, prepared=ready) if askable else ()
    answered = iter(zip(ready, answers, strict=True))
    return [reason or next(answered) for reason in reasons]


def _why_not(assistant: Assistant, request: Request) -> str:
    try:
        assistant.prepare(request)
    except PromptTooLong:
        return "the question does not fit into the context"
    except PromptEscape:
        return "the question would open a turn of its own"
    return ""


def _unasked(sample: Sample, arm: Arm, seed: int, task: Task, reason: str) -> Outcome:
    correct, score = score_sample(task, None, sample.targets)
    return Outcome(
        sample=sample.id,
        strategy=arm.strategy,
        reading=arm.reading,
        seed=seed,
        targets=sample.targets,
        final_answer=None,
        correct=correct,
        score=score,
        problem=reason,
        group=sample.group,
    )


@dataclass
class _Needs:
    """What calibrations need beside label scores, in the task's own labels."""

    assistant: Assistant
    own: Mapping[str, str]
    """Label in the prompt → label of the task."""
    calibrations: Sequence[str]
    references: ReferenceScores
    stop: StopSignal
    _lengths: dict[str, tuple[int, int]] = field(default_factory=dict)

    def added(self, outcome: Outcome, request: Request, prepared: Prepared) -> Outcome | None:
        """Return the outcome with the lengths of its labels and scores of content-free prompts; None after a stop."""
        if not self._lengths:
            self._lengths = self._owned(label_lengths(self.assistant, prepared))
        needed = [name for name in self.calibrations if name in REFERENCED]
        found = self.references.of(request, prepared, needed, self.stop) if needed else {}
        if len(found) < len(needed):
            return None
        return replace(
            outcome,
            label_lengths=self._lengths,
            reference_scores={name: [self._owned(one) for one in many] for name, (many, _) in found.items()},
            reference_costs={name: cost for name, (_, cost) in found.items()},
        )

    def _owned(self, by_label: Mapping[str, T]) -> dict[str, T]:
        return {self.own.get(label, label): value for label, value in by_label.items()}


def requests_for(
    task: Task,
    arm: Arm,
    samples: Sequence[Sample],
    *,
    index: str | None,
    retrieval: RetrievalSettings,
    sampling: SamplingSettings,
    label_names: Sequence[str] = (),
    wording: str = "default",
) -> list[Request]:
    """Return what is asked about each sample; its id and group travel along, for the leak guard."""
    return [
        Request(
            message=message_of(task, sample),
            strategy=arm.strategy,
            task=task.name,
            index=index,
            wording=wording,
            retrieval=retrieval,
            sampling=sampling,
            reading=arm.reading,
            sample_id=sample.id,
            group=sample.group,
            label_names=tuple(label_names),
        )
        for sample in samples
    ]


def message_of(task: Task, sample: Sample) -> str:
    """Return the sample's inputs as a message that the task takes apart again, whatever they contain."""
    if len(task.fields) == 1:
        return sample.inputs[task.fields[0]]
    return json.dumps({name: sample.inputs[name] for name in task.fields}, ensure_ascii=False)


def outcome_of(sample: Sample, arm: Arm, answer: Answer, task: Task, own: Mapping[str, str]) -> Outcome:
    """Return what an answer is worth; `own` maps label names in the prompt to the task's labels.

    Raises:
        RunProblem: if the reply was read and could not be read at once, or neither.
    """
    if (answer.final_answer is None) != bool(answer.problem):
        raise RunProblem(
            f"The reply to sample '{sample.id}' was read as {answer.final_answer!r}, with the problem "
            f"'{answer.problem}'.",
            f"The parser of the task '{task.name}' contradicts itself; nothing it reads can be counted.",
        )
    final = answer.final_answer if answer.final_answer is None else own.get(answer.final_answer, answer.final_answer)
    correct, score = score_sample(task, final, sample.targets)
    scores = answer.label_scores
    seen = [hit.similarity for hit in answer.demonstrations] + [one.similarity for one in answer.excluded]
    return Outcome(
        sample=sample.id,
        strategy=arm.strategy,
        reading=arm.reading,
        seed=answer.seed,
        targets=sample.targets,
        final_answer=final,
        correct=correct,
        score=score,
        answer=_raw(answer),
        problem=answer.problem,
        prompt=answer.calls[-1].prompt,
        group=sample.group,
        label_scores=None if scores is None else {own.get(name, name): score for name, score in scores.items()},
        demonstrations=tuple((hit.demonstration.id, hit.similarity) for hit in answer.demonstrations),
        excluded=tuple((one.demonstration.id, one.reason, one.similarity) for one in answer.excluded),
        nearest_similarity=max((cosine for cosine in seen if cosine is not None), default=None),
        dropped=len(answer.dropped),  # there is no history that could have been
        cut=any(call.finish == "length" for call in answer.calls),
        prompt_tokens=answer.prompt_tokens,
        new_tokens=answer.new_tokens,
        calls=len(answer.calls),
        seconds=answer.seconds,
    )


def _raw(answer: Answer) -> str:
    """Return the reply as it came; of several samples, all of them."""
    replies = [call.reply for call in answer.calls] if answer.votes is not None else [answer.calls[-1].reply]
    return _BETWEEN_REPLIES.join(replies)
