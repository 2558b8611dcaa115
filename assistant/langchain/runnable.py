"""The assistant as a LangChain Runnable: a question in, a message with everything about it out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import get_config_list

from assistant.answering import Assistant, Request
from assistant.errors import SettingError
from assistant.langchain.messages import to_message
from assistant.langchain.selector import GROUP, ROW_ID
from assistant.prompting.strategies import find_strategy
from assistant.prompting.tasks import load_task
from assistant.records import Answer

Question = str | Mapping[str, Any]
SHOTWISE = "shotwise"


def as_runnable(assistant: Assistant, request: Request | None = None) -> AssistantRunnable:
    """Return the assistant as a Runnable; `request` says how questions are answered.

    A question is a text, or a dict with `message` or the task's fields, and optionally `history`
    (LangChain messages), `row_id`, `group`, `strategy`, `task`, `index` and `adapter`; other keys
    are left alone. The reply is an `AIMessage`, because that is what LangChain's parsers and histories
    read; its `response_metadata["shotwise"]` holds the answer as `--json` prints it.
    """
    return AssistantRunnable(assistant, request or Request(message=""))


class AssistantRunnable(Runnable[Question, AIMessage]):
    """The assistant behind LangChain's verbs; a batch runs as one padded batch."""

    def __init__(self, assistant: Assistant, request: Request) -> None:
        self._assistant, self._request = assistant, request

    def invoke(self, input: Question, config: RunnableConfig | None = None, **kwargs: Any) -> AIMessage:  # noqa: A002
        """Return the answer to one question."""
        return self._call_with_config(self._answer, input, config, run_type="chain", **kwargs)

    def batch(
        self,
        inputs: Sequence[Question],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Return the answers to all questions; their first calls are one padded batch."""
        if not inputs:
            return []
        configs = get_config_list(config, len(inputs))
        return self._batch_with_config(  # type: ignore[no-any-return]
            self._answers, list(inputs), configs, return_exceptions=return_exceptions, **kwargs
        )

    def stream(
        self,
        input: Question,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Yield the answer in pieces; strategies that reason or vote give it in one piece."""
        yield from self._transform_stream_with_config(iter([input]), self._pieces, config, **kwargs)

    def _pieces(self, inputs: Iterator[Question]) -> Iterator[AIMessageChunk]:
        for question in inputs:
            request = self._asked(question)
            strategy = find_strategy(request.strategy)
            live = strategy.reasoning == "none" and strategy.samples == 1 and request.reading == "generate"
            shown, last = "", None
            for last in self._assistant.stream(request):
                text = last.answer.rstrip("\ufffd") if live else ""
                if text.startswith(shown) and text != shown:
                    yield AIMessageChunk(content=text[len(shown) :])
                    shown = text
            if last is not None:
                rest = last.answer[len(shown) :] if last.answer.startswith(shown) else last.answer
                yield AIMessageChunk(content=rest, usage_metadata=_usage(last), response_metadata=_metadata(last))

    def _answer(self, question: Question) -> AIMessage:
        return _message(self._assistant.answer(self._asked(question)))

    def _answers(self, questions: list[Question]) -> list[AIMessage]:
        *_, answers = self._assistant.compare([self._asked(question) for question in questions])
        return [_message(answer) for answer in answers]

    def _asked(self, question: Question) -> Request:
        """Return the request for a question.

        Raises:
            SettingError: if it has neither a message nor the task's fields.
        """
        if isinstance(question, str):
            return replace(self._request, message=question)
        task = load_task(str(question.get("task") or self._request.task))
        if "message" in question:
            message = str(question["message"])
        elif all(field in question for field in task.fields):
            message = task.message({field: str(question[field]) for field in task.fields})
        else:
            raise SettingError(f"The question needs 'message' or: {', '.join(task.fields)}.")
        return replace(
            self._request,
            message=message,
            history=tuple(to_message(turn) for turn in question.get("history") or ()) or self._request.history,
            sample_id=str(question.get(ROW_ID) or self._request.sample_id),
            group=str(question.get(GROUP) or self._request.group),
            strategy=str(question.get("strategy") or self._request.strategy),
            task=task.name,
            index=str(question["index"]) if question.get("index") else self._request.index,
            adapter=str(question["adapter"]) if question.get("adapter") else self._request.adapter,
        )


def _message(answer: Answer) -> AIMessage:
    return AIMessage(content=answer.answer, usage_metadata=_usage(answer), response_metadata=_metadata(answer))


def _metadata(answer: Answer) -> dict[str, Any]:
    return {"model_name": answer.model, SHOTWISE: answer.to_json()}


def _usage(answer: Answer) -> UsageMetadata:
    read, written = answer.prompt_tokens, answer.new_tokens
    return UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)
