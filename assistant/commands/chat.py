"""`chat`: a conversation in the terminal, or of lines piped in."""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from assistant.commands.loading import check_requests, load_adaptable
from assistant.commands.options import STRATEGY, ModelOptions, RequestOptions, Strategy, grouped
from assistant.commands.showing import say_about, stream_answer
from assistant.commands.terminal import say, show
from assistant.errors import SettingError, ShotwiseError, UnknownName
from assistant.records import Message

if TYPE_CHECKING:
    from assistant.answering import Assistant, Request
    from assistant.records import Answer

_HELP = """\
/strategy NAME   answer by another strategy       /strategies  list them
/task NAME       another task (forgets the chat)  /tasks       list them
/adapter NAME    answer with it; none: the base   /adapters    list them
/index NAME      other demonstrations; /index     the task's own
/k N             how many demonstrations          /seed N      of sampling and chance
/selector NAME   how the index is searched        /temperature X
/prompt          the exact prompt of the last answer
/undo            forget the last exchange         /clear       forget all
/quit            leave (also Ctrl-D); Ctrl-C stops an answer"""


@grouped
def chat(*, strategy: Strategy = STRATEGY, asked: RequestOptions, model: ModelOptions) -> None:
    """Talk in the terminal; lines may also be piped in."""
    check_requests([asked.request("", strategy)], model.settings())
    talk = Conversation(load_adaptable(model.settings()), asked, strategy)
    if sys.stdin.isatty():
        say(f"{talk.state()}. /help lists the commands.")
    for line in _lines():
        if not talk.take(line):
            return


class Conversation:
    """What is said so far, and how the next message is to be answered."""

    def __init__(self, assistant: Assistant, asked: RequestOptions, strategy: str) -> None:
        self._assistant, self._asked, self._strategy = assistant, asked, strategy
        self._adapter: str | None = None
        self._history: list[Message] = []
        self._last: Answer | None = None

    def state(self) -> str:
        """Return model, strategy and task in words."""
        model = self._assistant.model_for(self._request(""))
        adapter = f" with {model.adapter}" if model.adapter else ""
        return f"{model.name}{adapter}, {self._strategy}, task {self._asked.task}"

    def take(self, line: str) -> bool:
        """Answer a message or obey a command; return whether to go on. Errors are said, not raised."""
        line = line.strip()
        if line in ("/quit", "/exit", "/q"):
            return False
        try:
            if line.startswith("/"):
                self._obey(line)
            elif line:
                self._answer(line)
        except ShotwiseError as error:
            say(error.sentence())
        return True

    def _answer(self, message: str) -> None:
        request = self._request(message)
        check_requests([request])
        answer = stream_answer(_until_interrupted(self._assistant, request))
        if answer is None:
            return
        say_about(answer)
        self._last = answer
        if self._remembers():
            self._history += [Message(role="user", content=message), Message(role="assistant", content=answer.answer)]

    def _request(self, message: str) -> Request:
        asked = self._asked.request(message, self._strategy)
        return dataclasses.replace(asked, history=tuple(self._history), adapter=self._adapter)

    def _remembers(self) -> bool:
        """Return whether the task is a conversation; in the others every message stands alone."""
        from assistant.prompting.tasks import load_task

        return load_task(self._asked.task).metric == "none"

    def _obey(self, line: str) -> None:
        name, _, value = line[1:].partition(" ")
        if name not in _COMMANDS:
            raise UnknownName("command", f"/{name}", [f"/{known}" for known in _COMMANDS])
        _COMMANDS[name](self, value.strip())

    def _set(self, **changes: object) -> None:
        changed = dataclasses.replace(self._asked, **changes)  # type: ignore[arg-type]
        changed.request("check", self._strategy)
        self._asked = changed
        say(f"{self.state()}.")

    def _set_strategy(self, value: str) -> None:
        from assistant.prompting.strategies import find_strategy

        self._strategy = find_strategy(value).name
        say(f"{self.state()}.")

    def _set_adapter(self, value: str) -> None:
        request = dataclasses.replace(self._request(""), adapter=value or None)
        self._assistant.model_for(request)  # an adapter that cannot be used is refused, and the old one stays
        self._adapter = request.adapter
        say(f"{self.state()}.")

    def _set_task(self, value: str) -> None:
        from assistant.prompting.tasks import load_task

        self._history.clear()
        self._set(task=load_task(value).name, index=None, wording="default")

    def _undo(self, value: str) -> None:
        del value
        del self._history[-2:]
        say(f"{len(self._history) // 2} exchanges are remembered.")

    def _clear(self, value: str) -> None:
        del value
        self._history.clear()
        say("Forgotten.")

    def _prompt(self, value: str) -> None:
        del value
        if self._last is None:
            raise SettingError("Nothing was asked yet.")
        show(self._last.calls[-1].prompt)


def _number(kind: type[int] | type[float], value: str) -> int | float:
    try:
        return kind(value)
    except ValueError:
        raise SettingError(f"'{value}' is not a number.") from None


def _list_strategies(talk: Conversation, value: str) -> None:
    from assistant.prompting.strategies import STRATEGIES

    del talk, value
    say("\n".join(f"{row.name}: {row.about}" for row in STRATEGIES.values()))


def _list_adapters(talk: Conversation, value: str) -> None:
    del value
    choices = talk._assistant.adapters()
    told = [f"{one.value}: {one.problem}" if one.problem else one.value for one in choices]
    say("\n".join(told) or "There is none here; shotwise adapter train makes one.")


def _list_tasks(talk: Conversation, value: str) -> None:
    from assistant.prompting.tasks import list_tasks

    del talk, value
    say("\n".join(f"{task.name}: {task.about}" for task in list_tasks()))


_COMMANDS: Mapping[str, Callable[[Conversation, str], None]] = {
    "help": lambda talk, value: say(_HELP),
    "strategy": Conversation._set_strategy,
    "strategies": _list_strategies,
    "task": Conversation._set_task,
    "tasks": _list_tasks,
    "adapter": Conversation._set_adapter,
    "adapters": _list_adapters,
    "index": lambda talk, value: talk._set(index=value or None),
    "k": lambda talk, value: talk._set(k=_number(int, value)),
    "seed": lambda talk, value: talk._set(seed=_number(int, value)),
    "selector": lambda talk, value: talk._set(selector=value or None),
    "temperature": lambda talk, value: talk._set(temperature=_number(float, value)),
    "prompt": Conversation._prompt,
    "undo": Conversation._undo,
    "clear": Conversation._clear,
    "quit": lambda talk, value: None,
}


def _until_interrupted(assistant: Assistant, request: Request) -> Iterator[Answer]:
    """Yield the answer as it grows; Ctrl-C ends the answer, not the chat."""
    stop = threading.Event()
    snapshots = assistant.stream(request, stop)
    try:
        yield from snapshots
    except KeyboardInterrupt:
        say("\nStopped.")


def _lines() -> Iterator[str]:
    """Yield lines from the terminal, or from a pipe."""
    if not sys.stdin.isatty():
        yield from sys.stdin
        return
    import readline  # noqa: F401 - gives input() its editing keys

    while True:
        try:
            yield input("you> ")
        except EOFError:
            say("")
            return
