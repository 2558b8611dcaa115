"""The comparison: one message, two to four strategies, one column each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from assistant.errors import SettingError, ShotwiseError
from assistant.prompting.tasks import load_task
from assistant.web import compare_view, content, controls
from assistant.web.markup import BROKEN, problem
from assistant.web.service import Service, Waiting
from assistant.web.settings_panel import Panel, Updates

PRIVATE = "private"
COLUMNS = (2, 4)


@dataclass
class ComparePage:
    """The comparison's components and what happens when they are used."""

    service: Service
    panel: Panel
    strategies: Any
    box: Any
    examples: Any
    strip: Any
    columns: Any

    @property
    def task_outputs(self) -> list[Any]:
        """Return what changes with the task."""
        return [self.strategies, self.box, self.examples]

    def for_task(self, task: str) -> Updates:
        """Return how the comparison changes when the task does."""
        return {
            self.strategies: gr.update(
                choices=controls.strategy_choices(task), value=controls.compared_strategies(task)
            ),
            self.box: gr.update(placeholder=controls.placeholder(task)),
            self.examples: gr.update(samples=_samples(task)),
        }

    def answer(self, session: str, message: str, strategies: list[str], values: tuple[Any, ...]) -> Iterator[Updates]:
        """Yield all columns while they are answered."""
        key = f"{session}/compare"
        stop = self.service.begin(key)
        settled = False
        try:
            least, most = COLUMNS
            if not least <= len(strategies) <= most:
                raise SettingError(f"Choose {least} to {most} strategies.")
            chosen = controls.Controls(*values)
            requests = [chosen.request(content.plain_text(message), strategy) for strategy in strategies]
            yield {self.box: _busy(), self.strip: content.waiting_html("Preparing the prompts …")}
            for state in self.service.run(requests, stop):
                if not self.service.is_current(key, stop):
                    settled = True
                    return
                if isinstance(state, Waiting):
                    yield {self.strip: content.waiting_html(state.sentence)}
                else:
                    yield {self.columns: compare_view.comparison_html(state), self.strip: ""}
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


def build_strategies(task: str) -> Any:
    """Return the dropdown of compared strategies, which takes the place of the chat's."""
    least, most = COLUMNS
    return gr.Dropdown(
        controls.strategy_choices(task),
        value=controls.compared_strategies(task),
        multiselect=True,
        max_choices=most,
        label="Strategies",
        info=f"Choose {least} to {most}; each becomes a column.",
        elem_id="strategies",
        scale=6,
        min_width=280,
        visible=False,
    )


def build(service: Service, panel: Panel, strategies: Any, task: str) -> ComparePage:
    """Return the comparison, its components laid out in the open tab; `strategies` is its dropdown."""
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
    columns = gr.HTML(compare_view.EMPTY, elem_id="columns")
    return ComparePage(service, panel, strategies, box, examples, strip, columns)


def wire(page: ComparePage) -> None:
    """Connect the comparison's components with what they do."""
    quiet: dict[str, Any] = {"show_progress": "hidden", "queue": False, "api_visibility": PRIVATE}

    def send(request: gr.Request, message: str, strategies: list[str], *rest: Any) -> Iterator[Updates]:
        yield from page.answer(_session(request), message, strategies, rest)

    def stop(request: gr.Request) -> None:
        page.service.stop(f"{_session(request)}/compare")

    def fill(sample: list[str]) -> str:
        return sample[0]

    page.box.submit(
        send,
        [page.box, page.strategies, *page.panel.inputs],
        [page.columns, page.strip, page.box],
        show_progress="hidden",
        concurrency_limit=None,
        api_visibility=PRIVATE,
    )
    page.box.stop(stop, None, None, **quiet)
    page.examples.click(fill, page.examples, page.box, **quiet)


def _samples(task: str) -> list[list[str]]:
    return [[example] for example in load_task(task).examples[:4]]


def _busy() -> dict[str, Any]:
    return dict(gr.update(submit_btn=False, stop_btn="Stop"))


def _idle() -> dict[str, Any]:
    return dict(gr.update(submit_btn="Compare", stop_btn=False))


def _session(request: gr.Request) -> str:
    return request.session_hash or "no-session"
