"""One block of work: an arm answers some samples with one seed, and every answer becomes an outcome."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.answering import Assistant
from assistant.evaluation.outcomes import Arm, Outcome, Sample
from assistant.generation.chat_model import StopSignal
from assistant.prompting.tasks import Task
from assistant.settings import RetrievalSettings, SamplingSettings


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
) -> list[Outcome]:
    """Return one outcome per sample, in their order; fewer if `stop` was set meanwhile."""
    raise NotImplementedError
