"""The page as a whole: header, task, the tabs Chat, Compare, Evaluate and Adapters, settings, two named endpoints."""

from __future__ import annotations

import threading
from typing import Any

import gradio as gr

from assistant.errors import ShotwiseError
from assistant.web import adapter_choice, adapters_page, chat_page, compare_page, controls, evaluate_page
from assistant.web.adapters_door import AdaptersDoor, wire_adapters, wire_with_base
from assistant.web.header import header_html
from assistant.web.service import Service
from assistant.web.settings_panel import LAST_CHOICE, Panel, Updates, build_settings, build_task, merged

PRIVATE = "private"
FIRST_TASK = "chat"
FIRST_STRATEGY = "zero-shot"
ENDPOINTS = ("chat", "compare")
OPEN_TAB = "() => document.querySelector('#pages button[role=\"tab\"][aria-selected=\"true\"]')?.dataset.tabId || ''"
"""The tab that the browser shows."""
_QUIET: dict[str, Any] = {"show_progress": "hidden", "queue": False, "api_visibility": PRIVATE}


class _Page(gr.Blocks):  # type: ignore[misc]
    """The page, whose endpoints take what they took before they had a parameter for the adapter."""

    def validate_inputs(self, block_fn: Any, inputs: list[Any]) -> None:
        """Fill in the last parameter where a program gave all others by their position: Gradio would refuse that."""
        if block_fn.api_name in ENDPOINTS and len(inputs) == len(block_fn.inputs) - 1:
            inputs.append(None)
        super().validate_inputs(block_fn, inputs)


def build(service: Service) -> gr.Blocks:
    """Return the page."""
    with _Page(title="Shotwise", analytics_enabled=False, fill_width=True) as page:
        header = gr.HTML(header_html(service.status), elem_id="header")
        with gr.Row(elem_id="choices"):
            panel = build_task(FIRST_TASK)
            strategy = chat_page.build_strategy(FIRST_TASK, FIRST_STRATEGY)
            strategies = compare_page.build_strategies(FIRST_TASK)
            adapter, adapters = adapter_choice.build_adapter(service), adapter_choice.build_adapters(service)
        build_settings(panel, FIRST_TASK)
        with gr.Tabs(elem_id="pages") as pages:
            with gr.Tab("Chat", id="chat") as chat_tab:
                chat = chat_page.build(service, panel, strategy, adapter, FIRST_TASK)
            # Rendered at once: an answer that arrives while a tab is still being rendered would be lost.
            with gr.Tab("Compare", id="compare", render_children=True) as compare_tab:
                compare = compare_page.build(service, panel, strategies, adapters, FIRST_TASK)
            with gr.Tab("Evaluate", id="evaluate") as evaluate_tab:
                evaluated = adapter_choice.build_evaluated(service)
                evaluate = evaluate_page.build(service.jobs, service.run_shelf, service.settings, evaluated)
            with gr.Tab("Adapters", id="adapters") as adapters_tab:
                training = adapters_page.build(service)
        chat_page.wire(chat)
        compare_page.wire(compare)
        evaluate_page.wire(evaluate)
        adapters_page.wire(training)
        adapter_choice.wire(service, adapter, adapters, evaluated)
        tab = gr.State("chat")
        _wire_task(panel, chat, compare, tab)
        _wire_tabs(panel, chat, compare, tab, {"chat": chat_tab, "compare": compare_tab})
        wire_with_base(service, panel, chat, compare, pages)
        _wire_evaluate(page, evaluate, pages, [chat_tab, compare_tab], evaluate_tab)
        wire_adapters(AdaptersDoor(page, pages, panel, chat, compare, training), adapters_tab)
        _wire_clocks(
            [chat_tab, compare_tab, evaluate_tab, adapters_tab],
            {"evaluate": evaluate.clock, "adapters": training.clock},
            evaluate.name,
        )
        _wire_status(page, service, header, panel, chat, compare)
        _add_endpoints(service)
    return page


def _wire_task(panel: Panel, chat: chat_page.ChatPage, compare: compare_page.ComparePage, tab: Any) -> None:
    def choose(task: str, strategy: str) -> Updates:
        fitting = controls.fitting_strategy(task, strategy)
        return panel.for_task(task) | chat.for_task(task, fitting, strategy)

    def grey(task: str, strategy: str, strategies: list[str], tab: str) -> Updates:
        return panel.for_strategies(task, strategies if tab == "compare" else [strategy])

    hidden: dict[str, Any] = {"show_progress": "hidden", "api_visibility": PRIVATE}
    # Greyed out last, by what is chosen then: the person may have chosen another strategy meanwhile.
    greyed: dict[str, Any] = {
        "fn": grey,
        "inputs": [panel.task, chat.strategy, compare.strategies, tab],
        "outputs": panel.outputs,
    }
    panel.task.input(
        choose, [panel.task, chat.strategy], [*panel.outputs, *chat.task_outputs], **LAST_CHOICE, **hidden
    ).then(**greyed, **hidden)  # fmt: skip
    # A starter changes the task too, without anybody touching the dropdown.
    panel.task.change(
        compare.for_task, [panel.task, compare.adapters, compare.wished], compare.task_outputs, **hidden
    ).then(**greyed, **hidden)  # fmt: skip


def _wire_tabs(
    panel: Panel,
    chat: chat_page.ChatPage,
    compare: compare_page.ComparePage,
    tab: Any,
    tabs: dict[str, Any],
) -> None:
    quiet: dict[str, Any] = {"show_progress": "hidden", "queue": False, "api_visibility": PRIVATE}
    own, others = [chat.strategy, chat.adapter], [compare.strategies, compare.adapters]

    def to_chat(task: str, strategy: str) -> Updates:
        return panel.for_strategies(task, [strategy]) | _shown(own, others) | {tab: "chat"}

    def to_compare(task: str, strategies: list[str]) -> Updates:
        return panel.for_strategies(task, strategies) | _shown(others, own) | {tab: "compare"}

    outputs = [*panel.outputs, *own, *others, tab]
    tabs["chat"].select(to_chat, [panel.task, chat.strategy], outputs, **quiet)
    tabs["compare"].select(to_compare, [panel.task, compare.strategies], outputs, **quiet)
    compare.strategies.input(
        panel.for_strategies, [panel.task, compare.strategies], panel.outputs, **LAST_CHOICE, **quiet
    )


def _wire_evaluate(
    page: gr.Blocks, evaluate: evaluate_page.EvaluatePage, pages: Any, others: list[Any], own: Any
) -> None:
    """The address names the run that is looked at."""
    quiet: dict[str, Any] = {"show_progress": "hidden", "queue": False, "api_visibility": PRIVATE}
    address: dict[str, Any] = {"fn": None, "outputs": None, **quiet}

    def arrive(request: gr.Request) -> Any:
        asked = dict(request.query_params)
        if not {"run", "tab"} & set(asked) or asked.get("tab") == "adapters":
            return gr.skip()
        shown = evaluate.opened(asked["run"]) if "run" in asked else evaluate.blank()
        return {pages: gr.Tabs(selected="evaluate"), **shown}

    def enter(name: str, asked: str) -> Any:
        if name:
            return evaluate.listed(name)
        if asked:
            # The tab was opened by the address, which is being followed already.
            return gr.skip()
        running = next((one.name for one in evaluate.evaluations() if one.state == "running" and one.ours), "")
        return evaluate.opened(running) if running else evaluate.listed("")

    page.load(arrive, None, [pages, *evaluate.outputs], **quiet)
    own.select(enter, [evaluate.name, evaluate.name], evaluate.outputs, js=evaluate_page.ASKED, **quiet).then(
        inputs=evaluate.name, js=evaluate_page.FIRST_ADDRESS, **address
    )
    for other in others:
        other.select(js=evaluate_page.NO_ADDRESS, **address)


def _wire_clocks(tabs: list[Any], clocks: dict[str, Any], carrier: Any) -> None:
    """A clock runs only while somebody looks at its tab; `carrier` is whatever carries the browser's word."""

    def look(opened: str, chosen: gr.SelectData) -> Updates:
        # The first tab counts as chosen when the page is loaded, and that can come late, when the address has led to
        # another one: what is open then is open. What was chosen is looked at even if the browser has not drawn it yet.
        looked = {opened, tabs[chosen.index].id}
        return {clock: gr.Timer(active=tab in looked) for tab, clock in clocks.items()}

    gr.on(
        [tab.select for tab in tabs],
        look,
        carrier,
        list(clocks.values()),
        js=OPEN_TAB,
        **LAST_CHOICE,
        **_QUIET,
    )


def _shown(some: list[Any], others: list[Any]) -> Updates:
    shown = {one: gr.update(visible=True) for one in some}
    return shown | {one: gr.update(visible=False) for one in others}


def _wire_status(
    page: gr.Blocks,
    service: Service,
    header: Any,
    panel: Panel,
    chat: chat_page.ChatPage,
    compare: compare_page.ComparePage,
) -> None:
    adapters = [chat.adapter, compare.adapters]

    def look() -> Updates:
        loading = service.status.state == "loading"
        # Only once the model is there is it known which adapters fit it.
        known = {} if loading else adapter_choice.listed(service, *adapters)
        return {header: header_html(service.status), clock: gr.Timer(active=loading), **known}

    def arrive(task: str, strategy: str) -> Updates:
        return merged(
            {panel.shared["index"]: gr.update(choices=controls.index_choices(task))},
            panel.for_strategies(task, [strategy]),
        )

    def leave(request: gr.Request) -> None:
        for name in ("chat", "compare"):
            service.discard(f"{request.session_hash}/{name}")
        service.answers.forget(str(request.session_hash))

    quiet: dict[str, Any] = {"show_progress": "hidden", "queue": False, "api_visibility": PRIVATE}
    clock = gr.Timer(1.0)
    clock.tick(look, None, [header, clock, *adapters], **quiet)
    page.load(look, None, [header, clock, *adapters], **quiet)
    page.load(arrive, [panel.task, chat.strategy], panel.outputs, **quiet)
    page.unload(leave)


def _add_endpoints(service: Service) -> None:
    def chat(
        message: str, strategy: str = "zero-shot", task: str = "chat", index: str = "", adapter: str | None = None
    ) -> dict[str, Any]:
        """Return the answer to one message with everything shown, spent and decided."""
        return _answers(service, message, [strategy], task, index, [adapter or ""])[0]

    def compare(
        message: str,
        strategies: list[str],
        task: str = "chat",
        index: str = "",
        adapters: list[str] | None = None,
    ) -> list[dict[str, Any]]:
        """Return the answers of several strategies to one message, each with every adapter."""
        return _answers(service, message, strategies, task, index, adapters or [""])

    gr.api(chat, api_name="chat", concurrency_limit=None)
    gr.api(compare, api_name="compare", concurrency_limit=None)


def _answers(
    service: Service, message: str, strategies: list[str], task: str, index: str, adapters: list[str]
) -> list[dict[str, Any]]:
    from assistant.answering import Request

    requests = [
        Request(message, strategy, task, index or None, adapter=adapter or None)
        for strategy in strategies
        for adapter in adapters
    ]
    try:
        *_, last = service.run(requests, threading.Event())
    except ShotwiseError as error:
        raise gr.Error(error.sentence(), print_exception=False) from error
    return [answer.to_json() for answer in last]  # type: ignore[union-attr]
