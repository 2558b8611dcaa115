"""Selectors: how a strategy gets its demonstrations. None shows a copy of the question.

Every selector works on candidates, best first, that have passed the ban list, the task's own
check (`Pool.adapt`) and the leak guard; what did not pass is reported with the reason.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from assistant.errors import IndexNotFound, SettingError, UnknownName
from assistant.records import Demonstration, Exclusion, Hit, Query, Selection
from assistant.retrieval.encoders import Vectors
from assistant.retrieval.guard import LeakGuard
from assistant.retrieval.opened import DemonstrationIndex
from assistant.settings import ORDERS, SELECTORS, RetrievalSettings

BANNED = "banned"
_MOST_UNFIT = 1000
"""Rows that may fail before a search gives up: an index that does not fit the task fails on all."""
_SEARCHED_PER_CANDIDATE = 50
"""How far beyond `candidates` the balanced selector looks for a rare label."""


def as_it_is(demonstration: Demonstration) -> Demonstration | str:
    """Return the demonstration unchanged."""
    return demonstration


@dataclass(frozen=True)
class Pool:
    """Where demonstrations come from.

    `adapt` fits an index's row to the task, or returns the reason why it cannot be used.
    """

    index: DemonstrationIndex | None = None
    fixed: tuple[Demonstration, ...] = ()
    adapt: Callable[[Demonstration], Demonstration | str] = as_it_is


@dataclass(frozen=True)
class _Candidate:
    demonstration: Demonstration
    cosine: float | None
    row: int | None


@dataclass
class _Search:
    """One question being answered by one selector."""

    query: Query
    pool: Pool
    settings: RetrievalSettings
    seed: int
    labels: tuple[str, ...]
    banned: frozenset[str]
    excluded: list[Exclusion] = field(default_factory=list)
    shown: set[str] = field(default_factory=set)
    _embedding: Vectors | None = None

    def index(self) -> DemonstrationIndex:
        if self.pool.index is None:
            raise IndexNotFound("This selector searches an index, and none was named.", "Name one with --index.")
        return self.pool.index

    def embedding(self) -> Vectors:
        if self._embedding is None:
            self._embedding = self.index().embed(self.query.text())
        return self._embedding

    def passing(self, found: Iterator[_Candidate]) -> Iterator[_Candidate]:
        """Yield those that may be shown; the others are noted with the reason."""
        unfit = 0
        for candidate in found:
            identity = candidate.demonstration.id
            if identity in self.shown:
                continue
            if identity in self.banned:
                self.excluded.append(Exclusion(candidate.demonstration, BANNED, candidate.cosine))
                continue
            fitted = self._fitted(candidate)
            if isinstance(fitted, Exclusion):
                self.excluded.append(fitted)
                unfit += 1
                if unfit >= _MOST_UNFIT:
                    return
                continue
            self.shown.add(identity)
            yield replace(candidate, demonstration=fitted)

    def _fitted(self, candidate: _Candidate) -> Demonstration | Exclusion:
        raw, cosine = candidate.demonstration, candidate.cosine
        fitted = raw if candidate.row is None else self.pool.adapt(raw)
        if isinstance(fitted, str):
            return Exclusion(raw, fitted, cosine)
        telling = cosine if self.pool.index is None or self.pool.index.tells_copies else None
        reason = LeakGuard(self.settings.guard).check(self.query, fitted, telling)
        return Exclusion(fitted, reason, cosine) if reason else fitted

    def nearest(self) -> Iterator[_Candidate]:
        """Yield the index's rows, nearest first; more are fetched as they are asked for."""
        index = self.index()
        done, wanted = 0, max(2 * self.settings.k, self.settings.candidates)
        seen: set[int] = set()
        while done < len(index):
            cosines, rows = index.nearest(self.embedding(), wanted)
            for cosine, row in zip(cosines[0].tolist(), rows[0].tolist(), strict=True):
                # Equal rows may come in another order when more are asked for, so positions say nothing.
                if row not in seen:
                    seen.add(row)
                    yield _Candidate(index.demonstration(row), cosine, row)
            done, wanted = rows.shape[1], wanted * 2

    def row(self, row: int) -> _Candidate:
        """Return one row of the index, its cosine worked out if the guard needs it."""
        index = self.index()
        guarded = self.settings.guard.enabled
        cosine = float(index.cosines(self.embedding(), [row])[0]) if guarded else None
        return _Candidate(index.demonstration(row), cosine, row)


def select(
    name: str,
    query: Query,
    pool: Pool,
    settings: RetrievalSettings,
    *,
    seed: int = 0,
    labels: Sequence[str] = (),
    banned: Collection[str] = (),
    pinned: Collection[str] = (),
) -> Selection:
    """Return at most `settings.k` hits, best first, pinned ones before all, and what was kept out.

    Raises:
        UnknownName: if there is no such selector; IndexNotFound: if it needs an index.
        SettingError: if a pinned id does not exist, or `balanced` has no labels to go by.
    """
    if name not in _CHOOSERS:
        raise UnknownName("selector", name, SELECTORS)
    if name == "none" or settings.k == 0:
        return Selection()
    search = _Search(query, pool, settings, seed, tuple(labels), frozenset(banned))
    chosen = list(islice(search.passing(_pinned(search, pinned)), settings.k))
    if len(chosen) < settings.k:
        chosen += _CHOOSERS[name](search, settings.k - len(chosen))
    hits = (Hit(found.demonstration, rank, found.cosine) for rank, found in enumerate(chosen, start=1))
    return Selection(tuple(hits), tuple(search.excluded))


def arrange(hits: Sequence[Hit], order: str, seed: int) -> tuple[Hit, ...]:
    """Return the hits in the order in which a prompt shows them; ranks stay.

    Raises:
        UnknownName: if there is no such order.
    """
    if order not in ORDERS:
        raise UnknownName("order", order, ORDERS)
    ranked = sorted(hits, key=lambda hit: hit.rank, reverse=order == "nearest-last")
    if order == "random":
        random.Random(f"order {seed}").shuffle(ranked)
    return tuple(ranked)


def _pinned(search: _Search, pinned: Collection[str]) -> Iterator[_Candidate]:
    for identity in pinned:
        fixed = next((shown for shown in search.pool.fixed if shown.id == identity), None)
        row = search.pool.index.row_of(identity) if search.pool.index is not None and fixed is None else None
        if fixed is not None:
            yield _Candidate(fixed, None, None)
        elif row is not None:
            yield search.row(row)
        else:
            raise SettingError(f"There is no demonstration '{identity}' to pin.", "Its id stands beside every hit.")


def _fixed(search: _Search, k: int) -> list[_Candidate]:
    return list(islice(search.passing(_Candidate(shown, None, None) for shown in search.pool.fixed), k))


def _random(search: _Search, k: int) -> list[_Candidate]:
    if search.pool.index is None:
        if not search.pool.fixed:
            search.index()
        drawn = (_Candidate(search.pool.fixed[at], None, None) for at in _permuted(len(search.pool.fixed), search.seed))
    else:
        drawn = (search.row(at) for at in _permuted(len(search.pool.index), search.seed))
    return list(islice(search.passing(drawn), k))


def _permuted(n: int, seed: int) -> Iterator[int]:
    """Yield 0…n-1 in a random order that depends on nothing but n and the seed, without listing them.

    Source: Fisher and Yates 1938, with a dictionary for the few places that were swapped.
    """
    draw = random.Random(f"demonstrations {seed}")
    moved: dict[int, int] = {}
    for at in range(n):
        other = draw.randrange(at, n)
        yield moved.get(other, other)
        moved[other] = moved.pop(at, at) if other != at else at


def _nearest(search: _Search, k: int) -> list[_Candidate]:
    return list(islice(search.passing(search.nearest()), k))


def _bm25(search: _Search, k: int) -> list[_Candidate]:
    """Return the k rows that share the question's words; rows that share none come last, in the index's order.

    Source: Robertson and Zaragoza 2009; as a selector: Rubin et al. 2021.
    """
    found = (search.row(int(row)) for row in search.index().by_words(search.query.text()))
    return list(islice(search.passing(found), k))


def _diverse(search: _Search, k: int) -> list[_Candidate]:
    """Return k of the candidates by maximal marginal relevance.

    Source: Carbonell and Goldstein 1998.
    """
    found = list(islice(search.passing(search.nearest()), max(search.settings.candidates, k)))
    if not found:
        return []
    vectors = search.index().units([one.row for one in found if one.row is not None])
    relevance = np.array([one.cosine for one in found])
    alike = vectors @ vectors.T
    weight = 1.0 - search.settings.diversity
    chosen: list[int] = []
    while len(chosen) < min(k, len(found)):
        repeated = alike[:, chosen].max(axis=1) if chosen else np.zeros(len(found))
        value = weight * relevance - (1.0 - weight) * repeated
        value[chosen] = -np.inf
        chosen.append(int(np.argmax(value)))
    return [found[at] for at in chosen]


def _balanced(search: _Search, k: int) -> list[_Candidate]:
    """Return the nearest of every label, as equal in number as k allows, nearest first."""
    if not search.labels:
        raise SettingError("The selector 'balanced' needs a task with labels.", "Choose another selector, or a task.")
    found: list[_Candidate] = []
    counts = dict.fromkeys(search.labels, 0)
    share, most = -(-k // len(search.labels)), search.settings.candidates * _SEARCHED_PER_CANDIDATE
    for candidate in islice(search.passing(search.nearest()), most):
        found.append(candidate)
        label = candidate.demonstration.output
        if label in counts:
            counts[label] += 1
            if min(counts.values()) >= share:
                break
    chosen = _by_quota(found, counts, k)
    return [found[at] for at in sorted(chosen)]


def _by_quota(found: Sequence[_Candidate], labels: Mapping[str, int], k: int) -> list[int]:
    """Return positions of k candidates: label by label in turns, then whatever is nearest."""
    queues = {label: [at for at, one in enumerate(found) if one.demonstration.output == label] for label in labels}
    chosen: list[int] = []
    while len(chosen) < k and any(queues.values()):
        turn = sorted((queue[0], label) for label, queue in queues.items() if queue)
        for at, label in turn[: k - len(chosen)]:
            chosen.append(at)
            queues[label].pop(0)
    taken = set(chosen)
    rest = (at for at in range(len(found)) if at not in taken)
    return chosen + list(islice(rest, k - len(chosen)))


_CHOOSERS: Mapping[str, Callable[[_Search, int], list[_Candidate]]] = {
    "none": lambda search, k: [],
    "fixed": _fixed,
    "random": _random,
    "nearest": _nearest,
    "diverse": _diverse,
    "balanced": _balanced,
    "bm25": _bm25,
}
