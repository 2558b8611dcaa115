"""Strategy + model → answer, with everything that was shown, spent and decided on the way.

Chat, compare, the command line and the langchain-core views all come through here, so one
request gives one prompt wherever it is asked.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from assistant.columns import Column, Prepared, by_model, generate_columns, score_columns
from assistant.errors import IndexMismatch, IndexNotFound, PromptError, UnknownName
from assistant.generation.chat_model import ChatModel, StopSignal
from assistant.generation.chat_models import AdapterChoice, ChatModels, SingleModel
from assistant.prompting.budget import Fitted, fit_to_context
from assistant.prompting.building import build_prompt, check_reading, label_replies
from assistant.prompting.strategies import Strategy, find_strategy
from assistant.prompting.tasks import Task, load_task
from assistant.records import Answer, Demonstration, Hit, Message, Prompt, Query, RenderedPrompt, Selection
from assistant.retrieval import storage
from assistant.retrieval.opened import DemonstrationIndex, index_folder
from assistant.retrieval.selectors import Pool, arrange, select
from assistant.settings import DEFAULT_STRATEGY, DEFAULT_TASK, READINGS, RetrievalSettings, SamplingSettings

_EXTRACTION_TOKENS = 48
"""Room for the second question of zero-shot chain-of-thought."""


@dataclass(frozen=True)
class Request:
    """One message and how it is to be answered."""

    message: str
    strategy: str = DEFAULT_STRATEGY
    task: str = DEFAULT_TASK
    index: str | None = None
    """None: the task's built-in index."""
    history: tuple[Message, ...] = ()
    wording: str = "default"
    retrieval: RetrievalSettings = field(default_factory=RetrievalSettings)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    reading: str = "generate"
    """`generate` (and parse), or `labels`: the label of highest likelihood."""
    sample_id: str = ""
    group: str = ""
    pinned: tuple[str, ...] = ()
    banned: tuple[str, ...] = ()
    label_names: tuple[str, ...] = ()
    """Other names for the task's labels, in their order; empty: its own."""
    adapter: str | None = None
    """A name under adapters/ or a folder; `none`: the base model alone; None: what the assistant was made with."""

    def __post_init__(self) -> None:
        """Check the reading."""
        if self.reading not in READINGS:
            raise UnknownName("reading", self.reading, READINGS)


class Assistant:
    """Answers requests with a chat model, or with several that differ by their adapter.

    Opened indexes are kept until they are rebuilt.
    """

    def __init__(self, model: ChatModel, models: ChatModels | None = None) -> None:
        """Answer with `model`; where a request names an adapter, with that one of `models`."""
        self.model = model
        self._models = models or SingleModel(model)
        self._indexes: dict[str, tuple[str, DemonstrationIndex]] = {}
        self._lock = threading.Lock()

    def model_for(self, request: Request) -> ChatModel:
        """Return the chat model that answers the request.

        Raises:
            AdapterError: if there is no such adapter, or it does not fit the model.
        """
        return self.model if request.adapter is None else self._models.get(request.adapter)

    def adapters(self) -> tuple[AdapterChoice, ...]:
        """Return the adapters on this machine that a request may name now, and why others do not fit."""
        return self._models.choices()

    def prepare(self, request: Request) -> Prepared:
        """Return the exact prompt of a request and what was chosen for it; runs no model.

        Raises:
            ShotwiseError: for unknown names, an index that does not fit, or a question too long.
        """
        return self._prepare(request, self.model_for(request))

    def _prepare(self, request: Request, model: ChatModel) -> Prepared:
        started = time.perf_counter()
        strategy = find_strategy(request.strategy)
        task = task_of(request)
        check_reading(request.reading, task, strategy)
        inputs = task.inputs(request.message)
        selection, index = self._selection(request, task, strategy, Query(inputs, request.sample_id, request.group))
        fitted, rendered = _fitted(model, request, task, strategy, selection.hits)
        return Prepared(
            task=task,
            strategy=strategy,
            prompt=fitted.prompt,
            rendered=rendered,
            selection=Selection(fitted.hits, selection.excluded),
            dropped=fitted.dropped,
            index=None if index is None else index.name,
            notes=_notes(model, request, index),
            history=fitted.history,
            seconds=time.perf_counter() - started,
        )

    def stream(self, request: Request, stop: StopSignal | None = None) -> Iterator[Answer]:
        """Yield the answer as it grows; the last one is `done`."""
        for (answer,) in self.compare([request], stop):
            yield answer

    def answer(self, request: Request) -> Answer:
        """Return the finished answer."""
        *_, last = self.stream(request)
        return last

    def compare(self, requests: Sequence[Request], stop: StopSignal | None = None) -> Iterator[tuple[Answer, ...]]:
        """Yield the answers to all requests as they grow, in the order asked; the last are `done`.

        The first calls of all run as one padded batch; further calls of strategies that need
        several follow as a second one. Each adapter has batches of its own, one after another, so that
        no answer waits in the time of another.
        """
        stop = stop or threading.Event()
        models = [self.model_for(request) for request in requests]
        columns = [Column(one, self._prepare(one, model), model) for one, model in zip(requests, models, strict=True)]
        yield tuple(column.answer() for column in columns)
        while any(not column.done for column in columns):
            for model, own in by_model(columns):
                score_columns(model, own, stop)
            if any(column.calls_to_make() for column in columns):
                yield from self._round(columns, stop)
            for column in columns:
                column.end_round()
            yield tuple(column.answer() for column in columns)

    def answer_all(
        self,
        requests: Sequence[Request],
        stop: StopSignal | None = None,
        *,
        batch_size: int = 32,
        prepared: Sequence[Prepared] | None = None,
    ) -> tuple[Answer, ...]:
        """Return the finished answers, in the order asked, as `answer` would give them one by one.

        All labels are scored in one call of the model; replies are generated in padded batches of
        prompts of similar length. An answer's seconds are its share of its batches, and what
        embedding its question, choosing demonstrations and rendering took. After `stop`, what was
        not reached has a problem that says so. `prepared` (see `prepare_all`) saves preparing them again.
        """
        stop = stop or threading.Event()
        ready = self.prepare_all(requests) if prepared is None else prepared
        columns = [
            Column(request, one, self.model_for(request), shares=True)
            for request, one in zip(requests, ready, strict=True)
        ]
        while any(not column.done for column in columns):
            for model, own in by_model(columns):
                score_columns(model, own, stop)
                generate_columns(model, own, stop, batch_size)
            for column in columns:
                column.end_round()
        return tuple(column.answer() for column in columns)

    def prepare_all(self, requests: Sequence[Request]) -> tuple[Prepared, ...]:
        """Return what `prepare` returns for each; the questions are embedded together, and each has its share of that.

        Raises:
            ShotwiseError: as `prepare` does, for the first that cannot be asked.
        """
        started = time.perf_counter()
        self.embed_ahead(requests)
        searching = [searches(request) for request in requests]
        share = (time.perf_counter() - started) / max(1, sum(searching))
        ready = [self.prepare(request) for request in requests]
        return tuple(
            replace(one, seconds=one.seconds + share * searched) for one, searched in zip(ready, searching, strict=True)
        )

    def open_index(self, name: str) -> DemonstrationIndex:
        """Return the opened index, the same object until it is built anew.

        Raises:
            IndexProblem: if it is missing, damaged, or of another encoder.
        """
        generation = storage.stamp(index_folder(name))
        with self._lock:
            known = self._indexes.get(name)
            if known is None or known[0] != generation:
                known = self._indexes[name] = (generation, DemonstrationIndex.open(name))
        return known[1]

    def embed_ahead(self, requests: Sequence[Request]) -> None:
        """Embed the questions of many requests in one go, each in the index that will be searched for it.

        Raises:
            ShotwiseError: for unknown names, or an index that cannot be opened.
        """
        texts: dict[DemonstrationIndex, list[str]] = {}
        for request in requests:
            if searches(request):
                task = task_of(request)
                index = self._index(request, task)
                texts.setdefault(index, []).append(Query(task.inputs(request.message)).text())
        for index, questions in texts.items():
            index.embed_ahead(questions)

    def rebuild(
        self,
        request: Request,
        prepared: Prepared,
        demonstrations: Sequence[Demonstration],
        inputs: Mapping[str, str] | None = None,
    ) -> RenderedPrompt:
        """Return the prompt of a prepared request with these demonstrations, in this order, and other inputs if given.

        `prepared.shown` are the demonstrations it has.
        """
        task = prepared.task
        asked = task.inputs(request.message) if inputs is None else inputs
        prompt = build_prompt(task, prepared.strategy, asked, demonstrations, prepared.history, request.wording)
        return self.model_for(request).renderer.render(prompt)

    def _round(self, columns: Sequence[Column], stop: StopSignal) -> Iterator[tuple[Answer, ...]]:
        for model, own in by_model([column for column in columns if column.calls_to_make()]):
            calls = [call for column in own for call in column.calls_to_make()]
            generations = model.generate([prompt for prompt, _ in calls], [sampling for _, sampling in calls], stop)
            for snapshot in generations:
                at = 0
                for column in own:
                    width = len(column.calls_to_make())
                    column.take(snapshot[at : at + width])
                    at += width
                yield tuple(column.answer() for column in columns)

    def _selection(
        self, request: Request, task: Task, strategy: Strategy, query: Query
    ) -> tuple[Selection, DemonstrationIndex | None]:
        if strategy.selector == "none":
            return Selection(), None
        index = self._index(request, task) if strategy.needs_index else None
        unfit: list[str] = []

        def adapt(demonstration: Demonstration) -> Demonstration | str:
            adapted = task.adapt(demonstration)
            if isinstance(adapted, Demonstration) and strategy.reasoning == "shown" and not adapted.rationale:
                adapted = "it has no rationale"
            if isinstance(adapted, str):
                unfit.append(adapted)
            elif strategy.random_labels:
                drawn = random.Random(f"label of {adapted.id} {request.sampling.seed}").choice(task.labels)
                adapted = replace(adapted, output=drawn)
            return adapted

        name = strategy.selector
        if name == "nearest" and request.retrieval.selector:
            name = request.retrieval.selector
        selection = select(
            name,
            query,
            Pool(index, task.demonstrations if name == "fixed" else (), adapt),
            request.retrieval,
            seed=request.sampling.seed,
            labels=task.labels,
            banned=request.banned,
            pinned=_pins(request, task, None if name == "fixed" else index),
        )
        if index is not None and not selection.hits and unfit:
            raise _unfit(index, task, strategy, unfit[0])
        return selection, index

    def _index(self, request: Request, task: Task) -> DemonstrationIndex:
        name = request.index or task.index
        if not name:
            raise IndexNotFound(
                f"The task '{task.name}' has no built-in index, and '{request.strategy}' needs one.",
                f"Build one with: shotwise index build FILE --name NAME --task {task.name}, then choose it.",
            )
        return self.open_index(name)


def searches(request: Request) -> bool:
    """Return whether the request searches an index, for which its question is embedded."""
    return find_strategy(request.strategy).needs_index and bool(request.retrieval.k)


def task_of(request: Request) -> Task:
    """Return the task of a request, its labels renamed if that was asked for.

    Raises:
        UnknownName: for an unknown task or strategy; PromptError: if they do not fit each other.
        SettingError: for label names that cannot be used.
    """
    task, strategy = load_task(request.task), find_strategy(request.strategy)
    strategy.check_fits(task)
    return task.renamed(request.label_names) if request.label_names else task


def _fitted(
    model: ChatModel, request: Request, task: Task, strategy: Strategy, hits: Sequence[Hit]
) -> tuple[Fitted, RenderedPrompt]:
    """Return what fits into the context, and the prompt as it is sent."""
    inputs = task.inputs(request.message)
    rendered: RenderedPrompt | None = None
    scored = 0

    def build(hits: Sequence[Hit], history: Sequence[Message]) -> Prompt:
        order = strategy.order or request.retrieval.order
        shown = hits if strategy.selector == "fixed" else arrange(hits, order, request.sampling.seed)
        demonstrations = [hit.demonstration for hit in shown]
        return build_prompt(task, strategy, inputs, demonstrations, history, request.wording)

    def count(prompt: Prompt) -> int:
        nonlocal rendered, scored  # the last prompt that is counted is the one that fits
        first = rendered is None
        rendered = model.renderer.render(prompt)
        if first and request.reading == "labels":
            replies = label_replies(task, strategy).values()
            scored = max(len(model.renderer.label_ids(rendered, reply)) for reply in replies)
        return len(rendered.token_ids) + scored

    fitted = fit_to_context(build, hits, request.history, count, _room(model, request, strategy))
    assert rendered is not None
    return fitted, rendered


def _room(model: ChatModel, request: Request, strategy: Strategy) -> int:
    """Return how many tokens the prompt, and the label that is scored after it, may have beside what is written."""
    context, reply = model.context_tokens, request.sampling.max_new_tokens
    written = 0 if request.reading == "labels" else reply
    if strategy.reasoning == "asked":
        written += reply + _EXTRACTION_TOKENS
    # A very long allowance for the reply must not push out the question: at least half is the prompt's.
    return max(context - written, context // 2)


def _notes(model: ChatModel, request: Request, index: DemonstrationIndex | None) -> tuple[str, ...]:
    notes = [*model.notes, *(index.notes if index is not None else ())]
    if index is not None and not request.retrieval.guard.enabled:
        notes.append("The leak guard is off.")
    return tuple(notes)


def _pins(request: Request, task: Task, index: DemonstrationIndex | None) -> tuple[str, ...]:
    """Return the pinned ids that are meant for these demonstrations: the task's own (no index), or an index's.

    Compared strategies share their pins, and one of them knows only the one, another only the other.
    """
    fixed = {shown.id for shown in task.demonstrations}
    if index is None:
        return tuple(identity for identity in request.pinned if identity in fixed)
    return tuple(identity for identity in request.pinned if identity not in fixed or index.row_of(identity) is not None)


def _unfit(index: DemonstrationIndex, task: Task, strategy: Strategy, reason: str) -> PromptError | IndexMismatch:
    if strategy.reasoning == "shown" and reason == "it has no rationale":
        return IndexMismatch(
            f"The index '{index.name}' has no rationales, and '{strategy.name}' shows them.",
            "Build it with --rationale FIELD, or choose dynamic-few-shot.",
        )
    return IndexMismatch(
        f"The index '{index.name}' does not fit the task '{task.name}': {reason}.", "Choose another index or task."
    )
