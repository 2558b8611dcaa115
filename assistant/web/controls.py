"""What the page's controls offer, and how their values become a request."""

from __future__ import annotations

from dataclasses import dataclass

from assistant.answering import Request
from assistant.prompting import strategies
from assistant.prompting.strategies import Strategy, find_strategy, strategies_for
from assistant.prompting.tasks import Task, list_tasks, load_task
from assistant.records import Message
from assistant.settings import GuardSettings, RetrievalSettings, SamplingSettings

Choices = list[tuple[str, str]]

AS_STRATEGY = ""
FREE_SELECTORS = ("nearest", "diverse", "balanced", "bm25", "random")
READINGS: Choices = [("Generate the answer", "generate"), ("Most likely label", "labels")]
ORDERS: Choices = [("Nearest last", "nearest-last"), ("Nearest first", "nearest-first"), ("Random", "random")]


@dataclass(frozen=True)
class Controls:
    """The values of the controls that chat and compare share, in the order of the page."""

    task: str
    index: str
    k: int
    selector: str
    order: str
    guard: bool
    pinned: list[str]
    banned: list[str]
    reading: str
    wording: str
    remember: bool
    temperature: float
    top_p: float
    max_new_tokens: int
    seed: int

    def request(
        self, message: str, strategy: str, history: tuple[Message, ...] = (), adapter: str | None = None
    ) -> Request:
        """Return the request these controls describe.

        Raises:
            ShotwiseError: for a value outside its range.
        """
        return Request(
            message=message,
            strategy=strategy,
            task=self.task,
            index=self.index or None,
            history=history if self.remember else (),
            wording=self.wording,
            retrieval=RetrievalSettings(
                k=int(self.k),
                selector=None if self.selector in (AS_STRATEGY, "nearest") else self.selector,
                order=self.order,
                guard=GuardSettings(enabled=self.guard),
            ),
            sampling=SamplingSettings(
                temperature=float(self.temperature),
                top_p=float(self.top_p),
                max_new_tokens=int(self.max_new_tokens),
                seed=int(self.seed or 0),
            ),
            reading=self.reading,
            pinned=tuple(self.pinned or ()),
            banned=tuple(self.banned or ()),
            adapter=adapter or None,
        )


def task_choices() -> Choices:
    """Return (title, name) of every task."""
    return [(task.title, task.name) for task in list_tasks()]


def strategy_choices(task: str) -> Choices:
    """Return (title, name) of the strategies that fit the task."""
    return [(row.title, row.name) for row in strategies_for(load_task(task))]


def fitting_strategy(task: str, wished: str) -> str:
    """Return the wished strategy if it can answer without further choices, else the nearest that can."""
    from assistant.retrieval.builtin import BUILT_IN

    names = [name for _, name in strategy_choices(task)]
    if wished not in names:
        return names[0]
    strategy, own = find_strategy(wished), BUILT_IN.get(load_task(task).index)
    if not strategy.needs_index or (own and (strategy.reasoning != "shown" or own.fields.rationale)):
        return wished
    return "static-cot" if strategy.reasoning == "shown" else "static-few-shot"


def compared_strategies(task: str) -> list[str]:
    """Return the strategies that are compared unless others are chosen."""
    return list(strategies.compared_strategies(load_task(task)))


def index_choices(task: str) -> Choices:
    """Return (title, name) of the indexes on disk, the task's own first."""
    from assistant.retrieval.opened import index_names

    own = load_task(task).index
    first = (f"{own} (the task's own)", "") if own else ("none is built in: choose or build one", "")
    return [first, *((name, name) for name in index_names() if name != own)]


def wording_choices(task: str) -> list[str]:
    """Return the names of the task's wordings."""
    return [wording.name for wording in load_task(task).wordings]


def placeholder(task: str) -> str:
    """Return what the empty message box says."""
    fields = load_task(task).fields
    if len(fields) == 1:
        return f"Type a {fields[0]}" if task == "chat" else f"Type a {fields[0]} ({load_task(task).title.lower()})"
    return f"One text per line (Shift+Enter for a new line): {', '.join(fields)}"


def strategy_about(name: str) -> str:
    """Return what a strategy does and where it was published."""
    strategy = find_strategy(name)
    published = "; ".join(source.split(",")[0].strip() for source in strategy.source.split(";"))
    return f"{strategy.about} ({published})" if published else strategy.about


def task_about(name: str) -> str:
    """Return what a task asks, and its possible answers."""
    task = load_task(name)
    return f"{task.about} Answers: {', '.join(task.labels)}." if task.labels else task.about


def selector_matters(strategy: Strategy) -> bool:
    """Return whether another selector can take the place of the strategy's own."""
    return strategy.selector == "nearest"


def reading_matters(task: Task, strategy: Strategy) -> bool:
    """Return whether the labels can be scored instead of generated."""
    return bool(task.labels) and strategy.reasoning != "shown"
