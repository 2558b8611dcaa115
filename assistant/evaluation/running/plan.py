"""The plan of an evaluation: everything that decides its outcomes, frozen and hashed before anything is answered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from assistant.evaluation.outcomes import Arm, Sample
from assistant.prompting.strategies import Strategy, find_strategy
from assistant.settings import EvaluationSettings, GuardSettings, RetrievalSettings, SamplingSettings


class Block(NamedTuple):
    """The least piece of work: one arm answers samples `start` to `end` (not included) with one seed."""

    arm: Arm
    seed: int
    start: int
    end: int

    @property
    def key(self) -> str:
        """Return what names the block in a journal."""
        return f"{self.arm.strategy}/{self.arm.reading}/{self.seed}/{self.start}-{self.end}"


@dataclass(frozen=True)
class Plan:
    """What is answered, by whom, how, and with which seeds.

    `arms` are uncalibrated, baselines among them, in the order of the report; a calibration is worked
    out afterwards from what was scored. `name` alone does not decide any outcome.
    """

    name: str
    task: str
    samples: tuple[Sample, ...]
    arms: tuple[Arm, ...]
    baseline: str
    """Name of the arm that the others are compared with."""
    seeds: tuple[int, ...] = (0,)
    index: str | None = None
    wording: str = "default"
    label_names: tuple[str, ...] = ()
    calibrations: tuple[str, ...] = ("none",)
    retrieval: RetrievalSettings = field(default_factory=RetrievalSettings)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    block_size: int = EvaluationSettings.block_size
    check_size: int = EvaluationSettings.check_size
    data: Mapping[str, Any] = field(default_factory=dict)
    """Where the samples come from: source, sha256, split, note …"""
    model: Mapping[str, Any] = field(default_factory=dict)
    """Name, adapter, number format and identity of the chat model."""
    index_facts: Mapping[str, Any] = field(default_factory=dict)
    """Rows, encoder and hashes of the index; empty without one."""
    prompts_sha256: str = ""
    """Of the task's file and of every template that is used."""
    strategies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Strategy → its row (selector, order, samples …) as it was when this was planned."""
    classifiers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Saved classifier → what tells it from every other."""
    notes: tuple[str, ...] = ()
    """What was decided while planning and a reader should know."""

    def __post_init__(self) -> None:
        """Write down what the strategies are, unless that was done when it was planned."""
        if not self.strategies:
            object.__setattr__(self, "strategies", {arm.strategy: _row(arm.strategy) for arm in self.asked})

    def seeds_of(self, arm: Arm) -> tuple[int, ...]:
        """Return the seeds of an arm: all where something is drawn by chance, else the first alone."""
        if arm.is_baseline or not is_random(arm, self.retrieval, self.sampling):
            return self.seeds[:1]
        return self.seeds

    def blocks(self) -> Iterator[Block]:
        """Yield all blocks in their order: samples outside, arms and seeds inside, so that all keep pace.

        Baselines cost next to nothing and are fitted once: they answer all samples first. Saved classifiers
        take longer and come next, in portions.
        """
        for arm in self.arms:
            if arm.is_baseline:
                size = self.block_size if arm.classifier else len(self.samples)
                for start in range(0, len(self.samples), size):
                    yield Block(arm, self.seeds[0], start, min(start + size, len(self.samples)))
        for start in range(0, len(self.samples), self.block_size):
            end = min(start + self.block_size, len(self.samples))
            for arm in self.asked:
                for seed in self.seeds_of(arm):
                    yield Block(arm, seed, start, end)

    def check(self, arm: Arm) -> Block:
        """Return the few samples that an arm is asked about at the beginning and again at the end."""
        return Block(arm, self.seeds_of(arm)[-1], 0, min(self.check_size, len(self.samples)))

    @property
    def asked(self) -> tuple[Arm, ...]:
        """Return the arms that ask the language model."""
        return tuple(arm for arm in self.arms if not arm.is_baseline)

    @property
    def ids_sha256(self) -> str:
        """Return the hash of the frozen ids in their order."""
        return _sha256([sample.id for sample in self.samples])

    def settings(self) -> dict[str, Any]:
        """Return everything that decides the outcomes, as plain data; the samples as a hash.

        Where contents are known by a hash, the place where they lie is left out: it decides nothing.
        """
        record = asdict(self)
        for name in ("name", "samples", "notes", "index_facts"):
            del record[name]
        if not self.classifiers:  # plans of runs without any keep the hash that they have always had
            del record["classifiers"]
        if self.data.get("sha256"):
            record["data"].pop("source", None)
        identity = record["model"].get("identity") or {}
        if "weights" in identity or "revision" in identity:
            identity.pop("place", None)
        record["index_manifest"] = dict(self.index_facts)
        record["samples"] = {
            "n": len(self.samples),
            "ids_sha256": self.ids_sha256,
            "sha256": _sha256([asdict(sample) for sample in self.samples]),
        }
        plain: dict[str, Any] = json.loads(json.dumps(record))
        return plain

    @property
    def hash(self) -> str:
        """Return the sha256 of the settings: two plans with the same one give the same outcomes."""
        return _sha256(self.settings())

    def to_json(self) -> dict[str, Any]:
        """Return the whole plan, samples included, as plain data."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return {"format": 1, "hash": self.hash, **plain}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Plan:
        """Return the plan that `to_json` wrote."""
        values: dict[str, Any] = {name: value for name, value in record.items() if name not in ("format", "hash")}
        retrieval = dict(values.pop("retrieval"))
        retrieval["guard"] = GuardSettings(**retrieval["guard"])
        values |= {name: tuple(values[name]) for name in ("seeds", "label_names", "calibrations", "notes")}
        return cls(
            samples=tuple(
                Sample(one["id"], one["inputs"], tuple(one["targets"]), one["group"]) for one in values.pop("samples")
            ),
            arms=tuple(Arm(**one) for one in values.pop("arms")),
            retrieval=RetrievalSettings(**retrieval),
            sampling=SamplingSettings(**values.pop("sampling")),
            **values,
        )


def check_key(block: Block, when: str) -> str:
    """Return what names a check (`first` or `again`) in a journal."""
    return f"check/{when}/{block.key}"


def _row(strategy: str) -> dict[str, Any]:
    """Return what decides a strategy's outcomes: its row without what only a reader looks at."""
    row: dict[str, Any] = json.loads(json.dumps(asdict(find_strategy(strategy))))
    return {name: value for name, value in row.items() if name not in ("title", "about", "source")}


def is_random(arm: Arm, retrieval: RetrievalSettings, sampling: SamplingSettings) -> bool:
    """Return whether another seed may change an arm's outcomes."""
    strategy = find_strategy(arm.strategy)
    draws_tokens = sampling.temperature > 0 and (arm.reading == "generate" or strategy.reasoning == "asked")
    return strategy.samples > 1 or draws_tokens or _draws_demonstrations(strategy, retrieval)


def _draws_demonstrations(strategy: Strategy, retrieval: RetrievalSettings) -> bool:
    if not strategy.needs_index or retrieval.k == 0:
        return False
    selector = retrieval.selector if strategy.selector == "nearest" and retrieval.selector else strategy.selector
    ordered_by_chance = (strategy.order or retrieval.order) == "random"
    return selector == "random" or strategy.random_labels or ordered_by_chance


def difference(old: Mapping[str, Any], new: Mapping[str, Any], limit: int = 3) -> str:
    """Return in words which settings of two plans differ, at most `limit` of them."""
    found = [f"{where} was {_short(one)}, is {_short(other)}" for where, one, other in _differing(old, new, "")]
    more = f" and {len(found) - limit} more" if len(found) > limit else ""
    return "; ".join(found[:limit]) + more


def _differing(old: Any, new: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            yield from _differing(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))
    elif old != new:
        yield where, old, new


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _sha256(value: Sequence[Any] | Mapping[str, Any]) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
