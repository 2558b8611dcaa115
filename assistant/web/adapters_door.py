"""What connects the Adapters tab with the others: which run is shown, and one click to try an adapter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from assistant.errors import ShotwiseError
from assistant.settings import DEFAULT_STRATEGY
from assistant.web import adapter_choice, compare_page
from assistant.web.adapters_page import AdaptersPage
from assistant.web.chat_page import ChatPage
from assistant.web.compare_page import ComparePage
from assistant.web.controls import fitting_strategy
from assistant.web.markup import problem
from assistant.web.service import Service
from assistant.web.settings_panel import Panel, Updates, merged

_QUIET: dict[str, Any] = {"show_progress": "hidden", "queue": False, "api_visibility": "private"}
_ADDRESS = """() => {
  window.swLooked = true;
  const place = new URL(location.href);
  place.searchParams.delete('run');
  place.searchParams.set('tab', 'adapters');
  history.replaceState(history.state, '', place);
}"""


@dataclass
class AdaptersDoor:
    """The page with its tabs, as far as the Adapters tab has to do with them."""

    page: Any
    pages: Any
    """The row of tabs."""
    panel: Panel
    chat: ChatPage
    compare: ComparePage
    adapters: AdaptersPage

    @property
    def outputs(self) -> list[Any]:
        """Return what changes when an adapter is tried."""
        own = [self.chat.adapter, *self.chat.task_outputs, self.compare.adapters, self.compare.strategies]
        return [self.adapters.message, self.pages, *self.panel.outputs, *own, self.compare.wished]

    def tried(self, name: str, to: str, task: str) -> Updates:
        """Return the chat with that adapter, or the comparison of it with base, in the task that it was trained for."""
        from assistant.finetuning.generators.adapter_record import read_record
        from assistant.generation.adapters import find_adapter

        record = read_record(find_adapter(name))
        wanted = str(record.get("task", {}).get("name") or task)
        strategy = fitting_strategy(wanted, str(record.get("settings", {}).get("strategy") or DEFAULT_STRATEGY))
        moved = wanted != task
        tried = self._chat(name, wanted, strategy) if to == "chat" else self._compare(name, wanted, strategy, moved)
        return merged(self.panel.for_task(wanted) if moved else {}, tried)

    def _chat(self, name: str, task: str, strategy: str) -> Updates:
        listed = adapter_choice.listed(self.adapters.service, self.chat.adapter)
        return merged(
            {self.pages: gr.Tabs(selected="chat")},
            self.panel.for_strategies(task, [strategy]),
            self.chat.for_task(task, strategy, ""),
            listed,
            {self.chat.adapter: {"value": name}},
        )

    def _compare(self, name: str, task: str, strategy: str, moved: bool) -> Updates:
        update = self.compare.with_base("", task, strategy, name)
        del update[self.compare.box]
        listed = adapter_choice.listed(self.adapters.service, self.compare.adapters)
        wished = {self.compare.wished: strategy} if moved else {}
        return merged({self.pages: gr.Tabs(selected="compare")}, listed, update, wished)


def wire_adapters(door: AdaptersDoor, own: Any) -> None:
    """The address names the tab; a card's buttons lead to Chat and Compare."""
    page = door.adapters

    def arrive(request: gr.Request) -> Any:
        return gr.Tabs(selected="adapters") if request.query_params.get("tab") == "adapters" else gr.skip()

    def enter() -> Updates:
        return page.looked_at(page.last())

    def pick(data: gr.EventData, task: str) -> Any:
        picked = data._data or {}
        try:
            return door.tried(str(picked.get("adapter", "")), str(picked.get("to", "")), task)
        except ShotwiseError as error:
            return {page.message: problem(error.sentence())}

    door.page.load(arrive, None, door.pages, **_QUIET)
    own.select(enter, None, page.outputs, **_QUIET)
    own.select(None, None, None, js=_ADDRESS, **_QUIET)
    page.cards.pick(pick, door.panel.task, door.outputs, **_QUIET)


def wire_with_base(service: Service, panel: Panel, chat: ChatPage, compare: ComparePage, pages: Any) -> None:
    """One click asks the last message again, with the adapter that answered it and without."""

    def again(request: gr.Request, task: str) -> Any:
        answers = service.answers.turns(str(request.session_hash))
        if not answers:
            return gr.skip()
        last = answers[max(answers)]
        adapter = adapter_choice.value_of(service, last.adapter)
        # What was trained after the page was opened is not in the comparison's list yet, and would be refused.
        listed = adapter_choice.listed(service, compare.adapters)
        asked = compare.with_base(last.message, task, last.strategy, adapter)
        return merged({pages: gr.Tabs(selected="compare")}, listed, asked)

    chat.compare.click(
        again,
        panel.task,
        [pages, compare.strategies, compare.adapters, compare.box, *panel.outputs],
        show_progress="hidden",
        queue=False,
        api_visibility="private",
    ).then(**compare_page.sending(compare))
