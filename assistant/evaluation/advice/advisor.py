"""Which strategy for a task: a race on dev that drops clear losers early, then the finalists once on test.

Every block of answers is kept in the run's journal, so that a stopped advice goes on where it was.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.answering import Assistant
from assistant.errors import RunProblem, ShotwiseError
from assistant.evaluation.advice.plan import DEV_SHARE, FINALISTS, AdvicePlan, calls_per_answer, in_blocks
from assistant.evaluation.advice.record import Ran, advice_record
from assistant.evaluation.advice.report import html_advice, markdown_advice
from assistant.evaluation.metrics.leaderboard import sample_means
from assistant.evaluation.outcomes import Arm, Outcome, Sample
from assistant.evaluation.running.answers import answer_samples
from assistant.evaluation.running.baselines import baseline_outcomes
from assistant.evaluation.running.checks import check_ids, check_parser
from assistant.evaluation.running.journal import FILE as JOURNAL
from assistant.evaluation.running.journal import Journal, locked
from assistant.evaluation.running.plan import difference
from assistant.evaluation.running.progress import (
    DONE,
    FAILED,
    RUNNING,
    STOPPED,
    ArmProgress,
    Progress,
    Report,
    write_json,
)
from assistant.evaluation.running.progress import FILE as PROGRESS
from assistant.evaluation.running.runner import ADVICE_PLAN
from assistant.evaluation.running.runner import PLAN as EVALUATION_PLAN
from assistant.evaluation.statistics.sequential import Race
from assistant.generation.chat_model import StopSignal
from assistant.prompting.strategies import find_strategy
from assistant.prompting.tasks import load_task
from assistant.retrieval.opened import DemonstrationIndex

PLAN, RECORD = ADVICE_PLAN, "advice.json"
OTHER_NAME = "Choose another --name."


def advise(
    plan: AdvicePlan,
    assistant: Assistant,
    folder: Path,
    *,
    stop: StopSignal | None = None,
    report: Report | None = None,
) -> dict[str, Any] | None:
    """Return the advice, or None if `stop` was set before its end.

    It is also written, as `advice.json`, `report.html` and `report.md`.

    Blocks that the folder's journal holds are not asked again.

    Raises:
        RunProblem: if the folder belongs to another plan or process, or a parser cannot be trusted.
        ShotwiseError: for whatever cannot be asked; what was finished before is kept.
    """
    for samples in (plan.dev, plan.test):
        check_ids(samples)
    for arm in plan.arms:
        check_parser(load_task(plan.task), find_strategy(arm.strategy))
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        created = _keep_plan(plan, folder)
        run = _Run(plan, assistant, folder, stop or threading.Event(), report)
        try:
            finished = run.work()
            record = advice_record(plan, run.ran, created) if finished else None
        except BaseException as error:
            why = error.sentence() if isinstance(error, ShotwiseError) else f"It broke off: {type(error).__name__}."
            run.tell(FAILED, why)
            raise
        if record is not None:
            (folder / "report.html").write_text(html_advice(record), encoding="utf-8")
            (folder / "report.md").write_text(markdown_advice(record), encoding="utf-8")
            write_json(folder / RECORD, record)
        run.tell(DONE if finished else STOPPED, "Done." if finished else "Stopped; what is done is kept.")
        return record


def _keep_plan(plan: AdvicePlan, folder: Path) -> str:
    """Write the plan down, or compare it with the one that is there; return when it was made."""
    path = folder / PLAN
    if path.exists():
        return _same_plan(plan, folder)
    if any((folder / name).exists() for name in (EVALUATION_PLAN, JOURNAL)):
        raise RunProblem(f"The folder '{folder.name}' is that of another run, not of an advice.", OTHER_NAME)
    created = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    write_json(path, {"created": created, "hash": plan.hash, **plan.to_json()})
    return created


def _same_plan(plan: AdvicePlan, folder: Path) -> str:
    try:
        kept = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        created, planned = str(kept["created"]), str(kept["hash"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunProblem(
            f"The plan of the advice '{folder.name}' cannot be read by this version.", OTHER_NAME
        ) from error
    if planned != plan.hash:
        before = {key: value for key, value in kept.items() if key in plan.decisive()}
        raise RunProblem(
            f"The advice '{folder.name}' was planned otherwise: {difference(before, plan.decisive())}.",
            "Choose another --name, or give the same settings to go on with it.",
        )
    return created


class _Stopped(Exception):
    """`stop` was set, or is about to be obeyed."""


class _Run:
    """One process's work on a plan."""

    def __init__(
        self, plan: AdvicePlan, assistant: Assistant, folder: Path, stop: StopSignal, report: Report | None
    ) -> None:
        self.plan, self.assistant, self.folder, self.stop = plan, assistant, folder, stop
        self.task = load_task(plan.task)
        self.journal = Journal(folder)
        self.ran = Ran(Race([arm.name for arm in plan.arms], alpha=plan.alpha))
        self._report = report
        self._begun = time.perf_counter()
        self._calls = self._calls_here = 0
        self._seconds_before = sum(one.seconds for block in self.journal.blocks.values() for one in block)
        self._index = DemonstrationIndex.open(plan.index)

    def work(self) -> bool:
        """Race, choose, test; return False if it was stopped."""
        try:
            self._run_race()
            self._choose()
            self._run_test()
        except _Stopped:
            return False
        return True

    def _run_race(self) -> None:
        plan, race = self.plan, self.ran.race
        groups = {sample.id: sample.group for sample in plan.dev}
        for place, block in enumerate(in_blocks(plan.dev, plan.block_size)):
            racing = [plan.arm(name) for name in race.still_in]
            self.ran.ended = self._why_ended(racing, block)
            if self.ran.ended:
                return
            scores = {}
            for arm in racing:
                outcomes = self._answered("dev", place, arm, block)
                self.ran.dev.setdefault(arm, []).extend(outcomes)
                scores[arm.name] = sample_means(outcomes, self.task)
            race.add(scores, groups)
        self.ran.ended = "all dev samples were used"

    def _why_ended(self, racing: Sequence[Arm], block: Sequence[Sample]) -> str:
        """Return why no further block is raced, or nothing; the first block always is."""
        if not self.ran.race.samples:
            return ""
        if self.ran.race.settled:
            return "one strategy was left" if len(self.plan.arms) > 1 else "there was only one strategy"
        if self._calls + len(block) * self._cost(racing) > DEV_SHARE * self.plan.settings.budget:
            return "the budget for dev was spent"
        if self._seconds_over(DEV_SHARE):
            return "the time for dev was over"
        return ""

    def _choose(self) -> None:
        """Rank the arms by dev alone: those still in by their mean, of equals the one with fewer tokens."""
        race = self.ran.race
        tokens = {arm.name: _tokens(outcomes) for arm, outcomes in self.ran.dev.items()}
        still = sorted(race.still_in, key=lambda name: (-(race.mean(name) or 0.0), tokens[name]))
        self.ran.standings = (*still, *(one.arm for one in sorted(race.exits, key=self._exit_rank)))
        best = (*self.ran.standings[: FINALISTS - 1], self.plan.baseline)
        self.ran.finalists = tuple(dict.fromkeys(best))

    def _exit_rank(self, one: Any) -> tuple[int, float]:
        return -one.samples, -(self.ran.race.mean(one.arm) or 0.0)

    def _run_test(self) -> None:
        plan = self.plan
        arms = [plan.arm(name) for name in self.ran.finalists]
        left = plan.settings.budget - self._calls
        for place, block in enumerate(in_blocks(plan.test, plan.block_size)):
            cost = len(block) * self._cost(arms)
            begun = any(arm in self.ran.test for arm in arms)
            if cost > left or (begun and self._seconds_over(1.0)):
                break
            left -= cost
            for arm in arms:
                self.ran.test.setdefault(arm, []).extend(self._answered("test", place, arm, block))
        self._run_without_model()

    def _run_without_model(self) -> None:
        """Answer the samples of dev and of test that the strategies answered, with every baseline."""
        plan, settings = self.plan, self.plan.settings.retrieval
        for part, samples, found in (("dev", plan.dev, self.ran.dev), ("test", plan.test, self.ran.test)):
            asked = {one.sample for outcomes in found.values() for one in outcomes}
            same = [sample for sample in samples if sample.id in asked]
            for name in plan.without_model:
                key = f"{part}/{name}/{len(same)} samples"
                if key not in self.journal.blocks:
                    outcomes = baseline_outcomes(name, same, self._index, self.task, settings.k, settings.guard)
                    self.journal.append(key, outcomes)
                found[Arm(name, "none")] = list(self.journal.blocks[key])

    def _answered(self, part: str, place: int, arm: Arm, block: Sequence[Sample]) -> list[Outcome]:
        """Return the outcomes of a block, from the journal if they are there."""
        key = f"{part}/{arm.name}/{place}"
        kept = self.journal.blocks.get(key)
        if kept is None:
            kept = self._asked(arm, block)
            self.journal.append(key, kept)
            self._calls_here += sum(one.calls for one in kept)
        self._calls += sum(one.calls for one in kept)
        self.tell(RUNNING, f"{'Race' if part == 'dev' else 'Test'}: {arm.name}, block {place + 1}")
        return list(kept)

    def _asked(self, arm: Arm, block: Sequence[Sample]) -> tuple[Outcome, ...]:
        settings = self.plan.settings
        outcomes: list[Outcome] = []
        if not self.stop.is_set():
            outcomes = answer_samples(
                self.assistant,
                self.task,
                arm,
                block,
                index=self.plan.index,
                retrieval=settings.retrieval,
                sampling=settings.sampling,
                seed=settings.seed,
                wording=settings.wording,
                stop=self.stop,
            )
        if len(outcomes) < len(block):
            raise _Stopped
        return tuple(outcomes)

    def _cost(self, arms: Sequence[Arm]) -> int:
        """Return the model calls for one sample."""
        return sum(calls_per_answer(find_strategy(arm.strategy)) for arm in arms)

    def _seconds_over(self, share: float) -> bool:
        limit = self.plan.settings.seconds
        return limit is not None and self._seconds_before + time.perf_counter() - self._begun > share * limit

    def tell(self, state: str, sentence: str) -> None:
        """Report how far it is, in model calls."""
        budget, seconds = self.plan.settings.budget, time.perf_counter() - self._begun
        total = self._calls if state == DONE else budget
        left = None
        if state == RUNNING and self._calls_here:
            left = round(seconds / self._calls_here * max(0, budget - self._calls), 1)
        progress = Progress(state, sentence, self._calls, total, round(seconds, 3), left, self._arms())
        if self._report is not None:
            self._report(progress)
        write_json(self.folder / PROGRESS, progress.to_json())

    def _arms(self) -> tuple[ArmProgress, ...]:
        total = len(self.plan.dev)
        return tuple(
            ArmProgress(arm.name, len(self.ran.dev.get(arm, ())), total, self.ran.race.mean(arm.name))
            for arm in self.plan.arms
        )


def _tokens(outcomes: Sequence[Outcome]) -> float:
    """Return the tokens of an answer, prompt and reply."""
    return sum(one.prompt_tokens + one.new_tokens for one in outcomes) / max(1, len(outcomes))
