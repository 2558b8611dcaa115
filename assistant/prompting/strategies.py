"""THE TABLE of strategies: everything that offers or runs a strategy reads it.

A strategy is template × selector × decoding. Adding one is adding a row (and a golden file).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from assistant.errors import PromptError, UnknownName
from assistant.prompting.tasks import Task

Reasoning = Literal["none", "asked", "shown"]


@dataclass(frozen=True)
class Strategy:
    """A way to ask: which words, which demonstrations, how many replies."""

    name: str
    title: str
    about: str
    selector: str = "none"
    """`none`, `fixed` (of the task), or one that searches the index."""
    reasoning: Reasoning = "none"
    """`asked`: a trigger asks for steps, a second call for the answer; `shown`: demonstrations have rationales."""
    samples: int = 1
    """Replies drawn; the most frequent final answer wins."""
    template: str = ""
    """A static template instead of the task's own wording."""
    order: str = ""
    """Order of the demonstrations, whatever the settings say; empty: as they say."""
    random_labels: bool = False
    """Whether the demonstrations' labels are drawn by chance: what remains is their form."""
    source: str = ""
    """Where the strategy was published."""

    @property
    def needs_index(self) -> bool:
        """Return whether demonstrations come from an index."""
        return self.selector not in ("none", "fixed")

    def check_fits(self, task: Task) -> None:
        """Refuse a task that the strategy's template is not made for.

        Raises:
            PromptError: naming the task it is made for.
        """
        if self.random_labels and not task.labels:
            raise PromptError(
                f"The strategy '{self.name}' draws labels by chance, and the task '{task.name}' has none.",
                "Choose a task with labels, or another strategy.",
            )
        if self.template:
            from assistant.prompting.templates import load_template

            made_for = load_template(self.template).task
            if made_for != task.name:
                raise PromptError(
                    f"The strategy '{self.name}' is a template of the task '{made_for}', not of '{task.name}'.",
                    f"Choose the task '{made_for}', or another strategy.",
                )


_BROWN = "Brown et al. 2020, Language Models are Few-Shot Learners"
_WEI = "Wei et al. 2022, Chain-of-Thought Prompting Elicits Reasoning in Large Language Models"
_LIU = "Liu et al. 2021, What Makes Good In-Context Examples for GPT-3? (KATE)"
_KOJIMA = "Kojima et al. 2022, Large Language Models are Zero-Shot Reasoners"
_MIN = "Min et al. 2022, Rethinking the Role of Demonstrations: What Makes In-Context Learning Work?"
_LU = "Lu et al. 2021, Fantastically Ordered Prompts and Where to Find Them"
_WANG = "Wang et al. 2022, Self-Consistency Improves Chain of Thought Reasoning"
_YAN = "Yan, Exploring the Effects of Fine-Tuning for BERT and Prompt Engineering for Zephyr"

_ROWS = (
    Strategy("zero-shot", "Zero-shot", "The instruction and the question, nothing else.", source=_BROWN),
    Strategy(
        "zero-shot-cot",
        "Zero-shot chain-of-thought",
        "“Let's think step by step.” asks for reasoning; a second call asks for the answer.",
        reasoning="asked",
        source=_KOJIMA,
    ),
    Strategy(
        "static-few-shot",
        "Static few-shot",
        "The task's own demonstrations, the same for every question.",
        selector="fixed",
        source=_BROWN,
    ),
    Strategy(
        "static-cot",
        "Static chain-of-thought",
        "The task's own demonstrations with their rationales.",
        selector="fixed",
        reasoning="shown",
        source=_WEI,
    ),
    Strategy(
        "random-few-shot",
        "Random few-shot (control)",
        "Demonstrations drawn from the index by chance: what retrieval has to beat.",
        selector="random",
        source=_LIU,
    ),
    Strategy(
        "dynamic-few-shot",
        "Dynamic few-shot (retrieved)",
        "The demonstrations of the index that are nearest to this question in meaning.",
        selector="nearest",
        source=_LIU,
    ),
    Strategy(
        "random-labels",
        "Retrieved, random labels (control)",
        "The nearest demonstrations with labels drawn by chance: what is left if only their form helps.",
        selector="nearest",
        random_labels=True,
        source=_MIN,
    ),
    Strategy(
        "shuffled-order",
        "Retrieved, shuffled order (control)",
        "The nearest demonstrations in an order drawn by chance: how much the order matters.",
        selector="nearest",
        order="random",
        source=_LU,
    ),
    Strategy(
        "dynamic-cot",
        "Dynamic chain-of-thought (retrieved)",
        "The nearest demonstrations with their rationales.",
        selector="nearest",
        reasoning="shown",
        source=f"{_LIU}; {_WEI}",
    ),
    Strategy(
        "self-consistency",
        "Self-consistency",
        "Several sampled chains of thought; the most frequent final answer wins.",
        selector="fixed",
        reasoning="shown",
        samples=5,
        source=_WANG,
    ),
    Strategy(
        "imdb-instruction",
        "Published: zero-shot with instruction",
        "Template 1 of Yan: the two classes are described.",
        template="imdb-instruction",
        source=_YAN,
    ),
    Strategy(
        "imdb-few-shot",
        "Published: extremely few-shot",
        "Template 2 of Yan: four short reviews in one message.",
        template="imdb-few-shot",
        source=_YAN,
    ),
    Strategy(
        "imdb-few-shot-train",
        "Published: extremely few-shot, corrected",
        "Template 2 of Yan with four reviews of the training part; the published four were test reviews.",
        template="imdb-few-shot-train",
        source=_YAN,
    ),
    Strategy(
        "imdb-baseline",
        "Published: baseline",
        "Template 3 of Yan: class names that are never explained.",
        template="imdb-baseline",
        source=_YAN,
    ),
)

_COMPARED = ("zero-shot", "zero-shot-cot", "static-few-shot", "dynamic-few-shot")
_COMPARED_INSTEAD = "static-cot"

STRATEGIES: Mapping[str, Strategy] = {row.name: row for row in _ROWS}


def find_strategy(name: str) -> Strategy:
    """Return the strategy of that name.

    Raises:
        UnknownName: with the nearest names and the whole list.
    """
    if name not in STRATEGIES:
        raise UnknownName("strategy", name, STRATEGIES)
    return STRATEGIES[name]


def strategies_for(task: Task) -> tuple[Strategy, ...]:
    """Return the strategies that can be used with a task: static templates only with their own."""
    return tuple(row for row in _ROWS if _fits(row, task))


def _fits(strategy: Strategy, task: Task) -> bool:
    try:
        strategy.check_fits(task)
    except PromptError:
        return False
    return True


def compared_strategies(task: Task, index: str | None = None, reading: str = "generate") -> tuple[str, ...]:
    """Return the names that are compared unless others are chosen: those that can answer with this index.

    `index=None` is the task's own, if it has one.
    """
    names = [name for name in _COMPARED if index or task.index or not STRATEGIES[name].needs_index]
    # Where labels are scored, a shown reasoning would be skipped, and is refused.
    spare = [_COMPARED_INSTEAD] if len(names) < len(_COMPARED) and reading == "generate" else []
    return (*names, *spare)
