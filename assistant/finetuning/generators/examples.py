"""Rows of a task as token ids, through the very code that serves: what is learnt is what will be asked.

A row's ids begin with exactly the ids that its question is asked with; only the reply and what ends
it are learnt. A row that is too long is left out and counted, never cut.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from assistant.answering import Assistant, Request
from assistant.columns import Prepared
from assistant.errors import DataError, PromptEscape, PromptTooLong, SettingError
from assistant.finetuning.generators.settings import GeneratorSettings
from assistant.generation.prompt_only import PromptOnlyModel
from assistant.generation.rendering import PromptRenderer
from assistant.prompting.building import demonstrated_reply, label_replies
from assistant.prompting.strategies import Strategy, find_strategy
from assistant.prompting.tasks import Task, load_task
from assistant.records import Demonstration
from assistant.settings import RetrievalSettings, SamplingSettings

IGNORED = -100
"""Label of a token that is not learnt, as torch's cross entropy has it."""
_PORTION = 256
"""Rows that are embedded and rendered together."""
Count = Callable[[int, int], None]
"""Is told how many rows are done, and of how many."""


@dataclass(frozen=True)
class Example:
    """One row as token ids, and for each 1 if it is learnt."""

    id: str
    ids: tuple[int, ...]
    learnt: tuple[int, ...]

    @property
    def start(self) -> int:
        """Return where the reply begins."""
        return self.learnt.index(1)

    def columns(self, *, encoder_decoder: bool) -> dict[str, list[int]]:
        """Return the row as a trainer takes it: `input_ids` and `labels`.

        Of a decoder both are the whole row; of an encoder-decoder the prompt, and the reply.
        """
        if encoder_decoder:
            return {"input_ids": list(self.ids[: self.start]), "labels": list(self.ids[self.start :])}
        labels = [token if learnt else IGNORED for token, learnt in zip(self.ids, self.learnt, strict=True)]
        return {"input_ids": list(self.ids), "labels": labels}


@dataclass(frozen=True)
class Encoded:
    """The examples of some rows, and how many rows were left out for what reason."""

    examples: tuple[Example, ...]
    left_out: Mapping[str, int]

    @property
    def tokens(self) -> int:
        """Return how many tokens are read in one epoch."""
        return sum(len(one.ids) for one in self.examples)


def check_strategy(name: str, task: Task) -> Strategy:
    """Return the strategy under whose prompts a task can be learnt.

    Raises:
        SettingError: if it asks twice, or has more than one reply.
        ShotwiseError: if there is none of that name, or it does not fit the task.
    """
    strategy = find_strategy(name)
    strategy.check_fits(task)
    if strategy.reasoning == "asked" or strategy.samples > 1 or strategy.random_labels:
        raise SettingError(
            f"A row has one right reply, and '{name}' asks for another kind of answer.",
            "Choose zero-shot, static-few-shot or dynamic-few-shot; see: shotwise strategy list",
        )
    return strategy


class ExampleWriter:
    """Writes examples for one model, task and way of asking.

    Of an encoder-decoder the prompt alone must fit into the longest row; of a decoder, both.
    """

    def __init__(
        self,
        renderer: PromptRenderer,
        context_tokens: int,
        settings: GeneratorSettings,
        task: str,
        index: str | None = None,
    ) -> None:
        self.task, self.settings = load_task(task), settings
        self.strategy = check_strategy(settings.strategy, self.task)
        self.task.wording(settings.wording)
        self._index = index
        self._renderer, self._longest = renderer, min(settings.max_tokens, context_tokens)
        model = PromptOnlyModel(renderer, name="the model that is trained", context_tokens=context_tokens)
        self._assistant = Assistant(model)
        self._replies = label_replies(self.task, self.strategy) if self.task.labels else {}

    def encode(self, rows: Sequence[Demonstration], tell: Count | None = None, *, needed: bool = True) -> Encoded:
        """Return the examples of the rows, in their order.

        Raises:
            DataError: if none is left and some are `needed`.
            ShotwiseError: for whatever cannot be asked, such as an index that does not fit.
        """
        examples: list[Example] = []
        left_out: Counter[str] = Counter()
        for start in range(0, len(rows), _PORTION):
            portion = rows[start : start + _PORTION]
            requests = [self.request(row) for row in portion]
            self._assistant.embed_ahead(requests)
            for row, request in zip(portion, requests, strict=True):
                made = self._example(row, request)
                if isinstance(made, Example):
                    examples.append(made)
                else:
                    left_out[made] += 1
            if tell is not None:
                tell(min(start + _PORTION, len(rows)), len(rows))
        if needed and not examples:
            why = "; ".join(f"{count} {reason}" for reason, count in left_out.items())
            raise DataError(f"None of the {len(rows)} rows can be learnt from: {why}.", "Raise --max-tokens.")
        return Encoded(tuple(examples), dict(left_out))

    def request(self, row: Demonstration) -> Request:
        """Return how the row's question is asked; it never finds itself, or its group, among its demonstrations."""
        settings = self.settings
        return Request(
            message=_message(self.task, row),
            strategy=self.strategy.name,
            task=self.task.name,
            index=self._index,
            wording=settings.wording,
            retrieval=RetrievalSettings(k=settings.k) if settings.k else RetrievalSettings(),
            sampling=SamplingSettings(seed=settings.seed),
            sample_id=row.id,
            group=row.group,
        )

    def reply(self, row: Demonstration) -> str:
        """Return the right reply to a row under the strategy."""
        return self._replies.get(row.output) or demonstrated_reply(row, self.strategy)

    def _example(self, row: Demonstration, request: Request) -> Example | str:
        """Return the row's example, or why it is left out."""
        if self.strategy.reasoning == "shown" and not row.rationale:
            return "without a rationale"
        if not row.output.strip():
            return "without a reply"
        try:
            prepared: Prepared = self._assistant.prepare(request)
            ids, learnt = self._renderer.training_ids(prepared.prompt, self.reply(row))
        except PromptTooLong:
            return "too long"
        except PromptEscape:
            return "that would open a turn of their own"
        example = Example(row.id, ids, learnt)
        whole = not self._renderer.layout.is_encoder_decoder
        parts = (len(ids),) if whole else (example.start, len(ids) - example.start)
        return example if max(parts) <= self._longest else "too long"


def _message(task: Task, row: Demonstration) -> str:
    """Return the row's inputs as a message that the task takes apart again, whatever they contain."""
    if len(task.fields) == 1:
        return row.inputs[task.fields[0]]
    return json.dumps({name: row.inputs[name] for name in task.fields}, ensure_ascii=False)
