"""The comparison: one message, two to four columns that differ in strategy, in adapter or in both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import gradio as gr

from assistant.errors import SettingError, ShotwiseError
from assistant.prompting.tasks import load_task
from assistant.records import Answer
from assistant.settings import NO_ADAPTER
from assistant.web import compare_view, content, controls
from assistant.web.markup import BROKEN, problem
from assistant.web.service import Service, Waiting
from assistant.web.settings_panel import LAST_CHOICE, Panel, Updates

PRIVATE = "private"
COLUMNS = (2, 4)


@dataclass
class ComparePage:
    """The comparison's components and what happens when they are used."""

    service: Service
    panel: Panel
    strategies: Any
    adapters: Any
    wished: Any
    """State: the strategy to be compared once the task has changed; empty: the task's usual ones."""
    box: Any
    examples: Any
    strip: Any
    summary: Any
    columns: list[Any]

    @property
    def run_outputs(self) -> list[Any]:
        """Return what changes while a message is answered."""
        return [self.strip, self.box, self.summary, *self.columns]

    @property
    def task_outputs(self) -> list[Any]:
        """Return what changes with the task."""
        return [self.strategies, self.wished, self.box, self.examples]

    def for_task(self, task: str, adapters: list[str], wished: str = "") -> Updates:
        """Return how the comparison changes when the task does."""
        compared = [wished] if wished else controls.compared_strategies(task)[: _most_strategies(adapters)]
        return {
            self.wished: "",
            self.strategies: gr.update(choices=controls.strategy_choices(task), value=compared),
            self.box: gr.update(placeholder=controls.placeholder(task)),
            self.examples: gr.update(samples=_samples(task)),
        }

    def for_adapters(self, task: str, strategies: list[str], adapters: list[str]) -> Updates:
        """Return how the strategies change with the adapters: no more than there are columns for."""
        most = _most_strategies(adapters)
        kept = strategies[:most]
        about = gr.update(value=kept, max_choices=most, info=_columns_about(len(adapters)))
        return {self.strategies: about, **self.panel.for_strategies(task, kept)}

    def with_base(self, message: str, task: str, strategy: str, adapter: str) -> Updates:
        """Return the comparison of one strategy with an adapter and without."""
        adapters = [NO_ADAPTER, adapter]
        return {
            **self.for_adapters(task, [strategy], adapters),
            self.adapters: gr.update(value=adapters),
            self.box: gr.update(value=message),
        }

    def answer(
        self, session: str, message: str, strategies: list[str], adapters: list[str], values: tuple[Any, ...]
    ) -> Iterator[Updates]:
        """Yield all columns while they are answered."""
        key = f"{session}/compare"
        stop = self.service.begin(key)
        settled = False
        try:
            _check_columns(strategies, adapters)
            chosen, text = controls.Controls(*values), content.plain_text(message)
            requests = [
                chosen.request(text, strategy, adapter=adapter) for strategy in strategies for adapter in adapters
            ]
            yield {self.box: _busy(), self.strip: content.waiting_html("Preparing the prompts …")}
            before: tuple[Answer, ...] = ()
            for state in self.service.run(requests, stop):
                if not self.service.is_current(key, stop):
                    settled = True
                    return
                if isinstance(state, Waiting):
                    yield {self.strip: content.waiting_html(state.sentence)}
                else:
                    yield {self.strip: "", **self._snapshot(state, before)}
                    before = state
            settled = True
            yield {self.box: _idle(), self.strip: ""}
        except ShotwiseError as error:
            settled = True
            yield {self.box: _idle(), self.strip: problem(error.sentence())}
        except GeneratorExit:
            # The page was left: there is nobody to show anything to.
            settled = True
            raise
        finally:
            self.service.end(key, stop)
            if not settled:
                yield {self.box: _idle(), self.strip: problem(BROKEN)}

    def _snapshot(self, answers: tuple[Answer, ...], before: tuple[Answer, ...]) -> Updates:
        update: Updates = {self.summary: compare_view.summary_html(answers)}
        if not before:
            update |= dict.fromkeys(self.columns[len(answers) :], "")
        for column, answer, known in zip_longest(self.columns[: len(answers)], answers, before):
            # A column that is done is left alone: a person may have opened its folds.
            if known is None or not known.done:
                update[column] = compare_view.column_html(answer)
        return update


def build_strategies(task: str) -> Any:
    """Return the dropdown of compared strategies, which takes the place of the chat's."""
    return gr.Dropdown(
        controls.strategy_choices(task),
        value=controls.compared_strategies(task),
        multiselect=True,
        max_choices=COLUMNS[1],
        label="Strategies",
        info=_columns_about(1),
        elem_id="strategies",
        scale=6,
        min_width=280,
        visible=False,
    )


def build(service: Service, panel: Panel, strategies: Any, adapters: Any, task: str) -> ComparePage:
    """Return the comparison, its components laid out in the open tab; `strategies` and `adapters` are its dropdowns."""
    box = gr.Textbox(
        placeholder=controls.placeholder(task),
        label="Message",
        lines=1,
        max_lines=8,
        submit_btn="Compare",
        elem_id="compared-message",
    )
    examples = gr.Dataset(
        components=[box], samples=_samples(task), label="Messages to try", elem_id="compared-examples", type="values"
    )
    strip = gr.HTML(elem_id="compare-strip")
    with gr.Column(elem_id="columns"):
        summary = gr.HTML(compare_view.EMPTY)
        with gr.Row(elem_classes="sw-columns"):
            # Empty ones are hidden by the style: what Gradio hides it has to render anew, and whatever an answer
            # says meanwhile is lost.
            columns = [gr.HTML(elem_classes="sw-slot") for _ in range(COLUMNS[1])]
    return ComparePage(service, panel, strategies, adapters, gr.State(""), box, examples, strip, summary, columns)


def sending(page: ComparePage) -> dict[str, Any]:
    """Return how an event answers the message that stands in the comparison's box."""

    def send(
        request: gr.Request, message: str, strategies: list[str], adapters: list[str], *rest: Any
    ) -> Iterator[Updates]:
        yield from page.answer(_session(request), message, strategies, adapters, rest)

    return {
        "fn": send,
        "inputs": [page.box, page.strategies, page.adapters, *page.panel.inputs],
        "outputs": page.run_outputs,
        "show_progress": "hidden",
        "concurrency_limit": None,
        "api_visibility": PRIVATE,
    }


def wire(page: ComparePage) -> None:
    """Connect the comparison's components with what they do."""
    quiet: dict[str, Any] = {"show_progress": "hidden", "queue": False, "api_visibility": PRIVATE}

    def stop(request: gr.Request) -> None:
        page.service.stop(f"{_session(request)}/compare")

    def fill(sample: list[str]) -> str:
        return sample[0]

    page.box.submit(**sending(page))
    page.adapters.input(
        page.for_adapters,
        [page.panel.task, page.strategies, page.adapters],
        [page.strategies, *page.panel.outputs],
        **LAST_CHOICE,
        **quiet,
    )
    page.box.stop(stop, None, None, **quiet)
    page.examples.click(fill, page.examples, page.box, **quiet)


def _most_strategies(adapters: list[str]) -> int:
    return max(1, COLUMNS[1] // max(1, len(adapters)))


def _columns_about(adapters: int) -> str:
    least, most = COLUMNS
    if adapters < least:
        return f"Choose {least} to {most}; each becomes a column."
    return f"Each with {adapters} adapters: at most {most} columns."


def _check_columns(strategies: list[str], adapters: list[str]) -> None:
    least, most = COLUMNS
    if not adapters:
        raise SettingError("Choose at least one adapter, or “No adapter”.")
    if not least <= len(strategies) * len(adapters) <= most:
        raise SettingError(f"Choose {least} to {most} columns: each strategy with each adapter is one.")


def _samples(task: str) -> list[list[str]]:
    return [[example] for example in load_task(task).examples[:4]]


def _busy() -> dict[str, Any]:
    return dict(gr.update(submit_btn=False, stop_btn="Stop"))


def _idle() -> dict[str, Any]:
    return dict(gr.update(submit_btn="Compare", stop_btn=False))


def _session(request: gr.Request) -> str:
    return request.session_hash or "no-session"
