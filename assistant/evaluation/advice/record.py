"""An advice as plain data: what is recommended, on what grounds, what it cost, and how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assistant.evaluation.advice.leaks import leak_notes, leakage
from assistant.evaluation.advice.plan import AdvicePlan
from assistant.evaluation.advice.words import recommendation
from assistant.evaluation.metrics.leaderboard import sample_means, summarise
from assistant.evaluation.metrics.text import RIGHT_OR_WRONG
from assistant.evaluation.outcomes import Arm, Outcome, Sample
from assistant.evaluation.statistics.paired import Comparison, compare_arms
from assistant.evaluation.statistics.power import power_record
from assistant.evaluation.statistics.sequential import Race
from assistant.prompting.tasks import Task, load_task

FORMAT = 1
DISAGREEMENTS, WORST = 20, 5
_DEV_DRAWS = 2_000
Outcomes = Mapping[Arm, Sequence[Outcome]]


@dataclass
class Ran:
    """What was asked, and how it went; `dev` and `test` hold the outcomes of each arm."""

    race: Race
    dev: dict[Arm, list[Outcome]] = field(default_factory=dict)
    test: dict[Arm, list[Outcome]] = field(default_factory=dict)
    standings: tuple[str, ...] = ()
    """All racing arms, best first."""
    finalists: tuple[str, ...] = ()
    """The chosen one, the runner-up and the baseline, each once."""
    ended: str = ""
    """Why the race ended."""


def advice_record(plan: AdvicePlan, ran: Ran, created: str) -> dict[str, Any]:
    """Return the advice from a finished race and test."""
    task = load_task(plan.task)
    measure = "accuracy" if task.metric in RIGHT_OR_WRONG else "score"
    dev = summarise(_all(ran.dev), task, draws=_DEV_DRAWS)
    test = summarise(_all(ran.test), task)
    pairs = _pairs(ran, task)
    leaks = leakage(plan, task, ran.dev, ran.test)
    return {
        "format": FORMAT,
        "name": plan.name,
        "created": created,
        "task": {"name": task.name, "title": task.title, "labels": list(task.labels), "metric": task.metric},
        "measure": measure,
        "settings": plan.to_json(),
        "settings_hash": plan.hash,
        "data": dict(plan.data),
        "model": dict(plan.model),
        "recommendation": recommendation(
            test, pairs, ran.finalists, measure, _untested(ran), task.metric, {one.arm for one in ran.race.exits}
        ),
        "chosen": ran.standings[0],
        "baseline": plan.baseline,
        "finalists": list(ran.finalists),
        "race": _race(plan, ran, dev, measure),
        "dev": {"n": ran.race.samples, "results": [_lean(row) for row in dev]},
        "test": {
            "n": test[0]["n"],
            "results": [_lean(row) for row in test],
            "pairs": [one.to_json() for one in pairs],
        },
        "disagreements": _disagreements(plan, ran, task),
        "worst": _worst(plan, ran, task),
        "spent": _spent(ran),
        "power": _power(plan, ran, task, pairs),
        "left_out": dict(plan.left_out),
        "leakage": leaks,
        "notes": [*plan.notes, *leak_notes(leaks)],
    }


def _untested(ran: Ran) -> list[str]:
    return [name for name in ran.race.still_in if name not in ran.finalists]


def _all(outcomes: Outcomes) -> list[Outcome]:
    return [one for of_arm in outcomes.values() for one in of_arm]


def _lean(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a leaderboard row without its curves."""
    return {key: value for key, value in row.items() if key not in ("roc_curve", "calibration_curve")}


def _pairs(ran: Ran, task: Task) -> tuple[Comparison, ...]:
    """Return the chosen arm's comparison with each other on test, baselines included, corrected for all."""
    scores = {arm.name: sample_means(outcomes, task) for arm, outcomes in ran.test.items()}
    groups = {one.sample: one.group for one in _all(ran.test)}
    return compare_arms(ran.standings[0], scores, groups=groups, binary=task.metric in RIGHT_OR_WRONG)


def _race(plan: AdvicePlan, ran: Ran, dev: Sequence[Mapping[str, Any]], measure: str) -> dict[str, Any]:
    rows = {row["name"]: row for row in dev}
    exits = {one.arm: one for one in ran.race.exits}
    saved = sum((ran.race.samples - rows[name]["n"]) * rows[name]["calls"] / rows[name]["n"] for name in exits)
    return {
        "alpha": plan.alpha,
        "ended": ran.ended,
        "samples": ran.race.samples,
        "standings": [
            {
                "name": name,
                "n": rows[name]["n"],
                measure: rows[name][measure],
                f"{measure}_interval": rows[name][f"{measure}_interval"],
                "calls": rows[name]["calls"],
                "dropped": exits[name].to_json() if name in exits else None,
            }
            for name in ran.standings
        ],
        "exits": [one.sentence() for one in ran.race.exits],
        "calls_saved": round(saved),
    }


def _disagreements(plan: AdvicePlan, ran: Ran, task: Task) -> dict[str, Any]:
    """Return test samples on which the finalists' scores differ most, first those where they differ most."""
    scores = {name: sample_means(ran.test[plan.arm(name)], task) for name in ran.finalists}
    answers = {name: {one.sample: one for one in ran.test[plan.arm(name)]} for name in ran.finalists}
    spread = {
        sample.id: max(of_arm[sample.id] for of_arm in scores.values())
        - min(of_arm[sample.id] for of_arm in scores.values())
        for sample in plan.test
        if sample.id in scores[ran.finalists[0]]
    }
    samples = {sample.id: sample for sample in plan.test}
    differing = sorted((one for one in spread if spread[one] > 0), key=lambda one: -spread[one])
    return {
        "count": len(differing),
        "n": len(spread),
        "samples": [
            {
                **_asked(samples[one]),
                "answers": {name: _given(answers[name][one]) for name in ran.finalists},
            }
            for one in differing[:DISAGREEMENTS]
        ],
    }


def _worst(plan: AdvicePlan, ran: Ran, task: Task) -> list[dict[str, Any]]:
    """Return the worst errors of every arm that raced: on test if it got there, else on dev."""
    found = []
    for name in ran.standings:
        arm = plan.arm(name)
        part = "test" if arm in ran.test else "dev"
        outcomes = ran.test.get(arm) or ran.dev[arm]
        samples = {sample.id: sample for sample in (plan.test if part == "test" else plan.dev)}
        wrong = [one for one in outcomes if (one.correct is False if task.metric in RIGHT_OR_WRONG else one.score < 1)]
        worst = sorted(wrong, key=_badness)[:WORST]
        found.append(
            {
                "name": name,
                "part": part,
                "errors": len(wrong),
                "n": len(outcomes),
                "samples": [
                    {**_asked(samples[one.sample]), **_given(one), "margin": _margin(one), "prompt": one.prompt}
                    for one in worst
                ],
            }
        )
    return found


def _badness(outcome: Outcome) -> tuple[float, float]:
    """Sort key: the lowest score first; of equal ones, the surest error."""
    return outcome.score, -(_margin(outcome) or 0.0)


def _margin(outcome: Outcome) -> float | None:
    """Return by how many nats the answered label was preferred to the right one, if labels were scored."""
    scores, answered = outcome.label_scores, outcome.final_answer
    if not scores or answered is None or answered not in scores or outcome.targets[0] not in scores:
        return None
    return scores[answered] - scores[outcome.targets[0]]


def _asked(sample: Sample) -> dict[str, Any]:
    return {"id": sample.id, "inputs": dict(sample.inputs), "targets": list(sample.targets)}


def _given(outcome: Outcome) -> dict[str, Any]:
    return {
        "final_answer": outcome.final_answer,
        "answer": outcome.answer,
        "problem": outcome.problem,
        "score": outcome.score,
        "correct": outcome.correct,
    }


def _spent(ran: Ran) -> dict[str, Any]:
    parts = {}
    for name, outcomes in (("dev", _all(ran.dev)), ("test", _all(ran.test))):
        parts[name] = {
            "answers": sum(one.reading != "none" for one in outcomes),
            "calls": sum(one.calls for one in outcomes),
            "prompt_tokens": sum(one.prompt_tokens for one in outcomes),
            "new_tokens": sum(one.new_tokens for one in outcomes),
            "seconds": round(sum(one.seconds for one in outcomes), 3),
        }
    total = {key: parts["dev"][key] + parts["test"][key] for key in parts["dev"]}
    return {**parts, "total": total}


def _power(plan: AdvicePlan, ran: Ran, task: Task, pairs: Sequence[Comparison]) -> dict[str, Any]:
    """Return what test can show between the finalists, and how much the choice on dev flatters the chosen one."""
    scores = task.metric not in RIGHT_OR_WRONG
    rivals = [one for one in pairs if one.other in ran.finalists]
    chosen = sample_means(ran.test[plan.arm(ran.standings[0])], task)
    discordant = max((_mean_square(one, ran, plan, task) for one in rivals), default=0.0)
    on_test = power_record(len(chosen), 1, sum(chosen.values()) / len(chosen), discordant, scores=scores)
    dev_mean = ran.race.mean(ran.standings[0]) or 0.0
    on_dev = power_record(ran.race.samples, len(plan.arms), dev_mean, discordant, scores=scores)
    sentences = list(on_test["sentences"] if rivals else ())
    if len(plan.arms) > 1:
        sentences += on_dev["sentences"][1:]
        sentences.append("So the choice was made on dev, and the result is that of test, which was asked once.")
    return {"test": on_test, "dev": on_dev, "sentences": sentences}


def _mean_square(pair: Comparison, ran: Ran, plan: AdvicePlan, task: Task) -> float:
    a, b = (sample_means(ran.test[plan.arm(name)], task) for name in (pair.baseline, pair.other))
    return sum((a[sample] - b[sample]) ** 2 for sample in a) / len(a)
