"""The chat: a strategy, a conversation, and what was shown to the model beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any

import gradio as gr

from assistant.errors import ShotwiseError
from assistant.records import Answer
from assistant.web import cards, content, controls, prompt_view, welcome
from assistant.web.markup import BROKEN, problem
from assistant.web.service import Service, Waiting
from assistant.web.settings_panel import LAST_CHOICE, Panel, Updates, merged

if TYPE_CHECKING:
    from assistant.answering import Request

PRIVATE = "private"
Shown = list[dict[str, Any]]


@dataclass
class ChatPage:
    """The chat's components and what happens when they are used."""

    service: Service
    panel: Panel
    strategy: Any
    adapter: Any
    chatbot: Any
    strip: Any
    compare: Any
    """Button: the last message again, with the adapter and without."""
    box: Any
    chosen: Any
    """Which answer the two below belong to."""
    demonstrations: Any
    prompt: Any

    @property
    def task_outputs(self) -> list[Any]:
        """Return what changes with the task."""
        return [self.strategy, self.chatbot, self.box]

    @property
    def run_outputs(self) -> list[Any]:
        """Return what changes while a message is answered."""
        ids = [self.panel.shared["pinned"], self.panel.shared["banned"]]
        return [self.chatbot, self.strip, self.compare, self.box, *self.evidence, *ids]

    @property
    def evidence(self) -> list[Any]:
        """Return what stands beside the conversation."""
        return [self.chosen, self.demonstrations, self.prompt]

    def beside(self, session: str, turn: int, answer: Answer | None) -> Updates:
        """Return what is shown beside the conversation for one of its answers."""
        choices = content.answer_choices(self.service.answers.turns(session))
        return {
            self.chosen: gr.update(choices=choices, value=turn or None, visible=len(choices) > 1),
            self.demonstrations: cards.demonstrations_html(answer),
            self.prompt: prompt_view.prompt_html(answer),
        }

    def for_task(self, task: str, strategy: str, chosen: str) -> Updates:
        """Return how the chat changes when the task does, and the strategy from `chosen` to `strategy`."""
        update = gr.update(choices=controls.strategy_choices(task))
        if strategy != chosen:
            # Otherwise left alone: the person may be choosing another one right now.
            update |= {"value": strategy, "info": controls.strategy_about(strategy)}
        return {
            self.strategy: update,
            self.chatbot: gr.update(examples=_examples(task), placeholder=welcome.greeting(task)),
            self.box: gr.update(placeholder=controls.placeholder(task)),
        }

    def answer(
        self, session: str, shown: Shown, message: str, strategy: str, adapter: str, values: tuple[Any, ...]
    ) -> Iterator[Updates]:
        """Yield the page while a message is answered; after an error the message is back in its box."""
        key = f"{session}/chat"
        stop = self.service.begin(key)
        # What was copied from the conversation may hold what keeps markup from being markup.
        message = content.plain_text(message)
        settled = False
        try:
            request = controls.Controls(*values).request(message, strategy, content.plain_history(shown), adapter)
            yield from self._answered(session, stop, shown, request)
            settled = True
        except ShotwiseError as error:
            settled = True
            yield self.restored(shown, message, error.sentence())
        except GeneratorExit:
            # The page was left: there is nobody to show anything to.
            settled = True
            raise
        finally:
            self.service.end(key, stop)
            if not settled:
                yield self.restored(shown, message, BROKEN)

    def _answered(self, session: str, stop: Event, shown: Shown, request: Request) -> Iterator[Updates]:
        answer: Answer | None = None
        asked: Shown = [*shown, {"role": "user", "content": content.shown_text(request.message)}]
        yield {
            self.chatbot: asked,
            self.box: _busy(),
            self.strip: content.waiting_html("Preparing the prompt …"),
            self.compare: gr.update(visible=False),
        }
        for state in self.service.run([request], stop):
            if not self.service.is_current(f"{session}/chat", stop):
                return
            if isinstance(state, Waiting):
                yield {self.strip: content.waiting_html(state.sentence)}
                continue
            before, (answer,) = answer, state
            yield self._snapshot(session, asked, answer, before)
        if self.service.is_current(f"{session}/chat", stop):
            yield {self.box: _idle()} if answer else self.restored(shown, request.message)

    def _snapshot(self, session: str, asked: Shown, answer: Answer, before: Answer | None) -> Updates:
        update: Updates = {
            self.chatbot: [*asked, *content.answer_messages(answer)],
            self.strip: content.strip_html(answer),
        }
        # What stands beside the answer changes with the calls, not with the tokens: a person may be reading it.
        if before is None or answer.done or len(answer.calls) != len(before.calls):
            turn = len(content.user_turns(asked))
            self.service.answers.put(session, turn, answer)
            update |= self.beside(session, turn, answer)
            update[self.compare] = gr.update(visible=answer.done and answer.adapter is not None)
        if answer.done:
            ids = [hit.demonstration.id for hit in answer.demonstrations]
            ids += [exclusion.demonstration.id for exclusion in answer.excluded]
            for name in ("pinned", "banned"):
                update[self.panel.shared[name]] = gr.update(choices=ids)
        return update

    def restored(self, shown: Shown, message: str, sentence: str = "") -> Updates:
        """Return the page with the message back in its box, and what went wrong if something did."""
        return {
            self.chatbot: shown,
            self.box: gr.update(**{**_idle(), "value": message}),
            self.strip: problem(sentence),
        }


def build(service: Service, panel: Panel, strategy: Any, adapter: Any, task: str) -> ChatPage:
    """Return the chat, its components laid out in the open tab; `strategy` and `adapter` are its dropdowns."""
    with gr.Row(elem_id="chat-row"):
        with gr.Column(scale=6, min_width=320):
            chatbot = _chatbot(task)
            with gr.Row(elem_id="strip-row"):
                strip = gr.HTML(elem_id="strip", min_width=300)
                compare = gr.Button(
                    "Compare with base", size="sm", visible=False, scale=0, min_width=160, elem_id="compare-with-base"
                )
            box = gr.Textbox(
                placeholder=controls.placeholder(task),
                show_label=False,
                label="Message",
                lines=1,
                max_lines=8,
                submit_btn="Send",
                elem_id="message",
            )
        with gr.Column(scale=5, min_width=320, elem_id="evidence"):
            evidence = _evidence()
    return ChatPage(service, panel, strategy, adapter, chatbot, strip, compare, box, *evidence)


def _evidence() -> tuple[Any, Any, Any]:
    chosen = gr.Dropdown([], label="Answer", visible=False, filterable=False, elem_id="answer")
    with gr.Tabs():
        with gr.Tab("Demonstrations"):
            demonstrations = gr.HTML(cards.EMPTY, elem_id="demonstrations")
        with gr.Tab("Prompt"):
            prompt = gr.HTML(prompt_view.EMPTY, elem_id="prompt")
    return chosen, demonstrations, prompt


def build_strategy(task: str, strategy: str) -> Any:
    """Return the strategy dropdown, which stands above the tabs."""
    return gr.Dropdown(
        controls.strategy_choices(task),
        value=strategy,
        label="Strategy",
        info=controls.strategy_about(strategy),
        elem_id="strategy",
        scale=6,
        min_width=280,
        filterable=False,
    )


def _chatbot(task: str) -> Any:
    return gr.Chatbot(
        label="Conversation",
        show_label=False,
        height="max(300px, calc(100dvh - 408px))",
        editable="user",
        buttons=["copy", "copy_all"],
        # What was typed and what was replied is shown as it is: nothing in it can be markup.
        render_markdown=False,
        latex_delimiters=[],
        placeholder=welcome.greeting(task),
        examples=_examples(task),
        feedback_options=None,
        layout="bubble",
        elem_id="conversation",
    )


def wire(page: ChatPage) -> None:
    """Connect the chat's components with what they do."""
    values = [page.strategy, page.adapter, *page.panel.inputs]
    running: dict[str, Any] = {
        "outputs": page.run_outputs,
        "show_progress": "hidden",
        "concurrency_limit": None,
        "api_visibility": PRIVATE,
    }

    # `way`: the strategy and the adapter, then the values of the panel.
    def send(request: gr.Request, shown: Shown, message: str, *way: Any) -> Iterator[Updates]:
        yield from page.answer(_session(request), shown, message, way[0], way[1], way[2:])

    def retry(request: gr.Request, data: gr.RetryData, shown: Shown, *way: Any) -> Iterator[Updates]:
        at = _position(data.index)
        yield from send(request, shown[:at], content.plain_text(shown[at]["content"]), *way)

    def edit(request: gr.Request, data: gr.EditData, shown: Shown, *way: Any) -> Iterator[Updates]:
        yield from send(request, shown[: _position(data.index)], content.plain_text(data.value), *way)

    page.box.submit(send, [page.chatbot, page.box, *values], **running)
    page.chatbot.retry(retry, [page.chatbot, *values], **running)
    page.chatbot.edit(edit, [page.chatbot, *values], **running)
    _wire_starters(page, send, values, running)
    _wire_rest(page)


def _wire_starters(page: ChatPage, send: Any, values: list[Any], running: dict[str, Any]) -> None:
    def choose(data: gr.SelectData, strategy: str, task: str) -> Updates:
        starter = welcome.starters(task)[data.index]
        wished = controls.fitting_strategy(starter.task, starter.strategy or strategy)
        return merged(
            page.panel.for_task(starter.task) if starter.task != task else {},
            page.panel.for_strategies(starter.task, [wished]),
            page.for_task(starter.task, wished, strategy),
            {page.box: gr.update(value=starter.message, placeholder=controls.placeholder(starter.task))},
        )

    page.chatbot.example_select(
        choose,
        [page.strategy, page.panel.task],
        [*page.panel.outputs, *page.task_outputs],
        show_progress="hidden",
        api_visibility=PRIVATE,
    ).then(send, [page.chatbot, page.box, *values], **running)


def _wire_rest(page: ChatPage) -> None:
    quiet: dict[str, Any] = {"show_progress": "hidden", "queue": False, "api_visibility": PRIVATE}

    def undo(request: gr.Request, data: gr.UndoData, shown: Shown) -> Updates:
        session, at = _session(request), _position(data.index)
        page.service.discard(f"{session}/chat")
        turn = len(content.user_turns(shown[:at]))
        page.service.answers.forget(session, after=turn)
        update = page.restored(shown[:at], content.plain_text(shown[at]["content"]))
        hidden = {page.compare: gr.update(visible=False)}
        return update | hidden | page.beside(session, turn, page.service.answers.get(session, turn))

    def clear(request: gr.Request) -> Updates:
        session = _session(request)
        page.service.discard(f"{session}/chat")
        page.service.answers.forget(session)
        hidden = {page.compare: gr.update(visible=False)}
        return {page.strip: "", page.box: _idle(), **hidden, **page.beside(session, 0, None)}

    def look(request: gr.Request, turn: int | None) -> Updates:
        session = _session(request)
        update = page.beside(session, turn or 0, page.service.answers.get(session, turn or 0))
        return {component: update[component] for component in (page.demonstrations, page.prompt)}

    def stop(request: gr.Request) -> None:
        page.service.stop(f"{_session(request)}/chat")

    def choose(strategy: str, task: str) -> Updates:
        about = {page.strategy: gr.update(info=controls.strategy_about(strategy))}
        return about | page.panel.for_strategies(task, [strategy])

    page.chatbot.undo(undo, page.chatbot, [page.chatbot, page.box, page.strip, page.compare, *page.evidence], **quiet)
    page.chatbot.clear(clear, None, [page.strip, page.compare, page.box, *page.evidence], **quiet)
    page.chosen.input(look, page.chosen, [page.demonstrations, page.prompt], **LAST_CHOICE, **quiet)
    page.box.stop(stop, None, None, **quiet)
    chosen = [page.strategy, page.panel.task]
    page.strategy.input(choose, chosen, [page.strategy, *page.panel.outputs], **LAST_CHOICE, **quiet)


def _examples(task: str) -> list[dict[str, str]]:
    return [{"text": starter.message, "display_text": starter.title} for starter in welcome.starters(task)]


def _busy() -> dict[str, Any]:
    return dict(gr.update(value="", submit_btn=False, stop_btn="Stop"))


def _idle() -> dict[str, Any]:
    return dict(gr.update(submit_btn="Send", stop_btn=False))


def _position(index: Any) -> int:
    return int(index[0] if isinstance(index, tuple | list) else index)


def _session(request: gr.Request) -> str:
    return request.session_hash or "no-session"
