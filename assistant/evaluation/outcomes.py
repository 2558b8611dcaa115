"""What an evaluation is made of: samples to answer, arms to compare, and the outcomes of both.

Plain data, standard library only. `Outcome.to_json` is one line of a run's journal and one entry
of `samples` in `run.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

BASELINES = ("majority", "knn-vote", "logistic-regression")
CLASSIFIER = "classifier:"
"""Begins the strategy of an arm that is a saved classifier; its name follows."""
CALIBRATIONS = ("none", "contextual", "batch", "dc-pmi", "characters", "tokens")
"""How label scores are corrected before the best is taken; the last two divide by the label's length."""

Scores = Mapping[str, float]


@dataclass(frozen=True)
class Sample:
    """A labelled row to be answered; `targets` are the accepted answers (one, the label, in label tasks)."""

    id: str
    inputs: Mapping[str, str]
    targets: tuple[str, ...]
    group: str = ""


@dataclass(frozen=True)
class Arm:
    """One row of the leaderboard: a strategy (or a baseline) and how its replies are read."""

    strategy: str
    reading: str = "generate"
    """`generate` (and parse), `labels` (the label of highest likelihood), or `none` for a baseline."""
    calibration: str = "none"

    @property
    def name(self) -> str:
        """Return the name that stands in reports: the strategy, and what is special about its reading."""
        if self.reading == "none":
            return self.strategy
        calibrated = "" if self.calibration == "none" else f", {self.calibration}"
        return f"{self.strategy} ({self.reading}{calibrated})"

    @property
    def is_baseline(self) -> bool:
        """Return whether no language model is asked."""
        return self.reading == "none"

    @property
    def classifier(self) -> str:
        """Return the name of the saved classifier that answers, or nothing."""
        return self.strategy.removeprefix(CLASSIFIER) if self.strategy.startswith(CLASSIFIER) else ""


@dataclass(frozen=True)
class ReferenceCost:
    """What scoring a calibration's content-free prompts took; who shares the prompts pays once."""

    prompts: str
    """A hash that tells one set of prompts from another."""
    prompt_tokens: int = 0
    calls: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What one arm made of one sample with one seed."""

    sample: str
    strategy: str
    reading: str
    seed: int
    targets: tuple[str, ...]
    final_answer: str | None
    """None: the reply could not be read; `problem` says why."""
    correct: bool | None
    """None: the task has no right and wrong (summaries)."""
    score: float
    """The task's metric for this sample, 0…1; for right and wrong it is 1 or 0."""
    answer: str = ""
    """The raw reply."""
    problem: str = ""
    prompt: str = ""
    group: str = ""
    label_scores: Scores | None = None
    """Label → log-likelihood in nats, or a baseline's log-probability."""
    reference_scores: Mapping[str, Sequence[Scores]] = field(default_factory=dict)
    """Calibration → label scores under its content-free prompts."""
    reference_costs: Mapping[str, ReferenceCost] = field(default_factory=dict)
    """Calibration → what its content-free prompts took; no part of the costs below."""
    label_lengths: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Label → its characters and its tokens, where labels were scored."""
    demonstrations: tuple[tuple[str, float | None], ...] = ()
    """Id and similarity of each demonstration, best first."""
    excluded: tuple[tuple[str, str, float | None], ...] = ()
    """Id, reason and similarity of each row that the leak guard (or the task) kept out."""
    nearest_similarity: float | None = None
    """The highest similarity among what was shown and what was kept out, or None if nothing was searched."""
    dropped: int = 0
    """Demonstrations, retrieved or fixed, that did not fit into the context."""
    cut: bool = False
    """Whether a reply was ended by the limit of new tokens."""
    prompt_tokens: int = 0
    new_tokens: int = 0
    calls: int = 0
    seconds: float = 0.0
    """Of embedding, choosing demonstrations, rendering, and the model: shares of what was done for many at once."""

    @property
    def arm(self) -> Arm:
        """Return the arm this outcome belongs to, uncalibrated."""
        return Arm(self.strategy, self.reading)

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as plain data: a contract that other programs read."""
        return {
            "id": self.sample,
            "strategy": self.strategy,
            "reading": self.reading,
            "seed": self.seed,
            "group": self.group,
            "targets": list(self.targets),
            "prompt": self.prompt,
            "answer": self.answer,
            "final_answer": self.final_answer,
            "problem": self.problem,
            "correct": self.correct,
            "score": self.score,
            "label_scores": None if self.label_scores is None else dict(self.label_scores),
            "reference_scores": {name: [dict(one) for one in many] for name, many in self.reference_scores.items()},
            "reference_costs": {
                name: {**asdict(cost), "seconds": round(cost.seconds, 6)} for name, cost in self.reference_costs.items()
            },
            "label_lengths": {label: list(lengths) for label, lengths in self.label_lengths.items()},
            "demonstrations": [{"id": one, "similarity": cosine} for one, cosine in self.demonstrations],
            "excluded": [{"id": one, "reason": reason, "similarity": cosine} for one, reason, cosine in self.excluded],
            "nearest_similarity": self.nearest_similarity,
            "dropped": self.dropped,
            "cut": self.cut,
            "prompt_tokens": self.prompt_tokens,
            "new_tokens": self.new_tokens,
            "calls": self.calls,
            "seconds": round(self.seconds, 6),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Outcome:
        """Return the outcome that `to_json` wrote; what older versions did not know has its default."""
        values = dict(record)
        costs = values.pop("reference_costs", {})
        return cls(
            sample=values.pop("id"),
            targets=tuple(values.pop("targets")),
            demonstrations=tuple((one["id"], one["similarity"]) for one in values.pop("demonstrations")),
            excluded=tuple((one["id"], one["reason"], one["similarity"]) for one in values.pop("excluded")),
            reference_costs={name: ReferenceCost(**cost) for name, cost in costs.items()},
            **values,
        )
