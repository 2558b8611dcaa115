"""Scripted conversations: does the model end its replies, and does it repeat itself?

Each is ten turns of a user; the model's own replies are its history, as in a chat. They are asked
greedily and with sampling, and kept turn by turn, so that a stopped table goes on.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assistant.answering import Assistant, Request
from assistant.evaluation.demo_table.figures import Figure, share_of
from assistant.evaluation.outcomes import Arm, Sample
from assistant.evaluation.running.plan import Plan
from assistant.evaluation.running.planning import prompts_sha256, with_model
from assistant.evaluation.running.progress import Report
from assistant.evaluation.studies.study import Records, Step, Study, in_blocks, memory_of, study_of
from assistant.generation.chat_model import StopSignal
from assistant.prompting.strategies import find_strategy
from assistant.prompting.tasks import load_task
from assistant.prompting.templates import checked_keys, read_toml
from assistant.records import Message
from assistant.settings import SamplingSettings

FILE = Path(__file__).with_name("conversations.toml")
TASK, STRATEGY = "chat", "zero-shot"
MAX_NEW_TOKENS = 96
TEMPERATURE, TOP_P = 0.7, 0.95
RUN_LENGTH, RUN_TIMES = 4, 4
"""A reply runs away if so many words in a row stand in it so many times."""
SAME_TIMES = 3
"""A reply that is given so often in one conversation has become a refrain."""
_BLOCK = 10
_SEPARATOR = "\n"
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Turn:
    """One reply."""

    conversation: str
    message: str
    reply: str
    ended: bool
    """Whether it ended by itself."""
    runs_away: bool


Talk = Mapping[str, Sequence[Turn]]
"""Decoding (`greedy`, `sampled`) → every reply of every conversation and seed."""


@functools.cache
def load_conversations(path: Path = FILE) -> tuple[tuple[str, ...], ...]:
    """Return the user's turns of every conversation.

    Raises:
        PromptError: if the file cannot be used.
    """
    table = read_toml(path)
    checked_keys(path, table, ("conversations",), ("conversations",))
    for one in table["conversations"]:
        checked_keys(path, one, ("turns",), ("turns",))
    return tuple(tuple(one["turns"]) for one in table["conversations"])


def plan_conversations(n: int, assistant: Assistant) -> Plan:
    """Return the plan of the first n conversations: it names them, the model and all settings."""
    samples = tuple(
        Sample(f"conversation-{at}", {"message": _SEPARATOR.join(turns)}, ())
        for at, turns in enumerate(load_conversations()[:n], start=1)
    )
    arm = Arm(STRATEGY)
    plan = Plan(
        name="demo-table-small-talk",
        task=TASK,
        samples=samples,
        arms=(arm,),
        baseline=arm.name,
        sampling=SamplingSettings(max_new_tokens=MAX_NEW_TOKENS),
        data={"source": "conversations", "temperature": TEMPERATURE, "top_p": TOP_P},
        prompts_sha256=prompts_sha256(load_task(TASK), [find_strategy(STRATEGY)]),
    )
    return with_model(plan, assistant.model)


def converse(plan: Plan, assistant: Assistant, seeds: int, stop: StopSignal, report: Report) -> Talk:
    """Return every reply, greedy and sampled; after a stop, those of the conversations that were finished."""
    study = study_of(plan, assistant, memory_of("small-talk", plan), stop, report)
    decodings = {"greedy": plan.sampling} | {
        f"sampled {seed}": replace(plan.sampling, temperature=TEMPERATURE, top_p=TOP_P, seed=seed)
        for seed in range(seeds)
    }
    found = in_blocks(study, {name: _asking(study, one) for name, one in decodings.items()}, size=_BLOCK)
    return {
        "greedy": _turns(plan, found["greedy"]),
        "sampled": [turn for name in decodings if name != "greedy" for turn in _turns(plan, found[name])],
    }


def _asking(study: Study, sampling: SamplingSettings) -> Step:
    def ask(samples: Sequence[Sample]) -> Records:
        said: list[list[dict[str, Any]]] = [[] for _ in samples]
        scripts = [sample.inputs["message"].split(_SEPARATOR) for sample in samples]
        for turn in range(max(map(len, scripts))):
            talking = [at for at, script in enumerate(scripts) if turn < len(script)]
            requests = [_request(scripts[at][turn], said[at], sampling) for at in talking]
            answers = study.assistant.answer_all(requests, study.stop)
            if study.stop.is_set():
                return []
            for at, answer in zip(talking, answers, strict=True):
                call = answer.calls[-1]
                said[at].append({"message": scripts[at][turn], "reply": call.reply, "finish": call.finish})
        return [{"turns": turns} for turns in said]

    return ask


def _request(message: str, said: Sequence[Mapping[str, Any]], sampling: SamplingSettings) -> Request:
    history: list[Message] = []
    for turn in said:
        history.append(Message(role="user", content=turn["message"]))
        # A turn cannot be empty, and a model that said nothing has said so.
        history.append(Message(role="assistant", content=turn["reply"].strip() or "…"))
    return Request(message, STRATEGY, TASK, history=tuple(history), sampling=sampling)


def _turns(plan: Plan, records: Records) -> list[Turn]:
    return [
        turn
        for sample, record in zip(plan.samples, records, strict=False)
        for turn in judged(sample.id, record["turns"])
    ]


def judged(conversation: str, turns: Sequence[Mapping[str, Any]]) -> Iterator[Turn]:
    """Yield each reply of one conversation with what is wrong with it."""
    times: Counter[str] = Counter()
    for turn in turns:
        plain = " ".join(_words(turn["reply"]))
        times[plain] += 1
        runs_away = repeats(turn["reply"]) or times[plain] >= SAME_TIMES
        yield Turn(conversation, turn["message"], turn["reply"], turn["finish"] == "end", runs_away)


def repeats(reply: str) -> bool:
    """Return whether some words in a row stand in the reply again and again."""
    words = _words(reply)
    runs = Counter(tuple(words[at : at + RUN_LENGTH]) for at in range(len(words) - RUN_LENGTH + 1))
    return any(times >= RUN_TIMES for times in runs.values())


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def ended(turns: Sequence[Turn]) -> Figure:
    """Return the share of replies that ended by themselves."""
    return share_of([turn.ended for turn in turns], [turn.conversation for turn in turns])


def ran_away(turns: Sequence[Turn]) -> Figure:
    """Return the share of replies that ran away."""
    return share_of([turn.runs_away for turn in turns], [turn.conversation for turn in turns])
