"""What could make an evaluation lie, looked for in every run: leaks, swapped labels, eager parsers, unseeded chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from assistant.errors import RunProblem
from assistant.evaluation.outcomes import Outcome, Sample
from assistant.evaluation.statistics.intervals import Interval, bootstrap, wilson
from assistant.prompting.building import label_names
from assistant.prompting.strategies import Strategy
from assistant.prompting.tasks import Task
from assistant.records import Demonstration, Query
from assistant.retrieval.guard import normalised
from assistant.retrieval.opened import DemonstrationIndex

_NONSENSE = ("", " \n", "qzxv wvk", "…", "?!")
_SAME_SCORES = 1e-3
"""Nats by which two scorings of one label may differ: another order of summing, not another choice."""


def check_parser(task: Task, strategy: Strategy) -> None:
    """Refuse a task whose parser finds an answer in nonsense: unreadable replies would count as answers.

    Raises:
        RunProblem: with the nonsense and what it was read as.
    """
    reasons = strategy.reasoning == "shown"
    names = label_names(task, strategy) if task.labels else None
    probes = list(_NONSENSE) if task.labels or task.parser != "text" else ["", " \n"]
    if names and len(names) > 1:
        probes.append(" ".join(names))
    if reasons:
        probes += [f"Let's think step by step: well.\nAnswer: {probe}" for probe in probes]
    for probe in probes:
        final = task.parse(probe, reasoning=reasons, names=names).final_answer
        if final is not None and not (reasons and task.parser == "text" and not task.labels and probe.strip()):
            raise RunProblem(
                f"The parser of the task '{task.name}' reads '{' '.join(probe.split())}' as the answer '{final}'.",
                "A reply that cannot be read must have no answer; mend the parser first.",
            )


def check_ids(samples: Sequence[Sample]) -> None:
    """Refuse samples that cannot be told apart: figures are paired by id.

    Raises:
        RunProblem: naming an id that stands twice.
    """
    for identity, times in Counter(sample.id for sample in samples).items():
        if times > 1:
            raise RunProblem(f"The id '{identity}' stands twice among the samples.", "Give every row an id of its own.")


def different_answers(first: Sequence[Outcome], again: Sequence[Outcome]) -> tuple[str, ...]:
    """Return the ids of samples that were answered otherwise when asked again with the same seed."""
    return tuple(one.sample for one, other in zip(first, again, strict=True) if not _same(one, other))


def _same(one: Outcome, other: Outcome) -> bool:
    def told(outcome: Outcome) -> tuple[object, ...]:
        shown = [identity for identity, _ in outcome.demonstrations]
        return outcome.prompt, outcome.answer, outcome.final_answer, outcome.problem, shown

    if told(one) != told(other):
        return False
    before, after = one.label_scores or {}, other.label_scores or {}
    return before.keys() == after.keys() and all(abs(before[name] - after[name]) <= _SAME_SCORES for name in before)


def below_chance(outcomes: Sequence[Outcome], labels: Sequence[str]) -> str:
    """Return a warning if an arm is right so seldom that the labels may be swapped, else "".

    Only replies that could be read count, several seeds of a sample as their mean; an arm that always
    names the same label is never below chance, because its mean recall is exactly chance.
    """
    read = [one for one in outcomes if one.final_answer is not None and one.correct is not None]
    if len(labels) < 2 or not read:
        return ""
    chance = 1 / len(labels)
    by_sample: dict[str, list[bool]] = {}
    for one in read:
        by_sample.setdefault(one.sample, []).append(bool(one.correct))
    groups = {one.sample: one.group for one in read}
    share, interval = _share([sum(many) / len(many) for many in by_sample.values()], list(groups.values()))
    meant = Counter(one.targets[0] for one in read)
    met = Counter(one.targets[0] for one in read if one.correct)
    recall = sum(met[label] / count for label, count in meant.items()) / len(meant)
    if len(meant) < 2 or interval.high >= chance or recall >= chance:
        return ""
    return f"{share:.1%} right, and guessing gives {chance:.1%}: below chance: are the label names swapped?"


def _share(means: Sequence[float], groups: Sequence[str]) -> tuple[float, Interval]:
    """Return the mean of the samples' means and its interval: Wilson's, or that of whole groups."""
    share = sum(means) / len(means)
    return share, bootstrap(means, groups=groups) if any(groups) else wilson(share * len(means), len(means))


def one_label(outcomes: Sequence[Outcome], labels: Sequence[str]) -> str:
    """Return the label that an arm names whatever it is asked, or "" if it names several."""
    named = {one.final_answer for one in outcomes}
    several = len(labels) > 1 and len({one.targets[0] for one in outcomes}) > 1
    return named.pop() or "" if several and len(named) == 1 else ""


@dataclass(frozen=True)
class Overlap:
    """Samples that also stand among the demonstrations, and the ids of the rows they equal."""

    same_text: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Sample id → rows with the same normalised text."""
    same_id: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Sample id → the row of that id, with the same text or not."""

    def shown(self, outcomes: Sequence[Outcome]) -> int:
        """Return to how many samples a row with the very same text was shown."""
        return len(
            {
                one.sample
                for one in outcomes
                if not self.same_text.get(one.sample, frozenset()).isdisjoint(row for row, _ in one.demonstrations)
            }
        )


def pool_overlap(samples: Sequence[Sample], task: Task, index: DemonstrationIndex | None) -> Overlap:
    """Return which samples equal a row of the index, or one of the task's own demonstrations."""
    texts: dict[str, list[str]] = {}
    for sample in samples:
        texts.setdefault(normalised(Query(sample.inputs).text()), []).append(sample.id)
    ids = {sample.id for sample in samples}
    same_text: dict[str, set[str]] = {}
    same_id: dict[str, set[str]] = {}
    for row in _rows(task, index):
        for sample_id in texts.get(normalised(row.text()), ()):
            same_text.setdefault(sample_id, set()).add(row.id)
        if row.id in ids:
            same_id.setdefault(row.id, set()).add(row.id)
    return Overlap(
        {one: frozenset(rows) for one, rows in same_text.items()},
        {one: frozenset(rows) for one, rows in same_id.items()},
    )


def _rows(task: Task, index: DemonstrationIndex | None) -> Iterator[Demonstration]:
    yield from task.demonstrations
    for at in range(len(index) if index is not None else 0):
        adapted = task.adapt(index.demonstration(at)) if index is not None else ""
        if isinstance(adapted, Demonstration):
            yield adapted
