"""Messages and prompts, from LangChain's to ours and back."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from assistant.errors import ModelError
from assistant.records import HISTORY, INSTRUCTION, QUESTION, Message, Prompt

_ROLES = {"human": "user", "ai": "assistant", "system": "system"}
_OURS = {"user": HumanMessage, "assistant": AIMessage, "system": SystemMessage}


def to_message(message: BaseMessage) -> Message:
    """Return one message as a plain role and text.

    Raises:
        ModelError: if it is of another role, or holds more than text.
    """
    kind = getattr(message, "role", message.type) if message.type == "chat" else message.type
    role = _ROLES.get(kind, kind)
    if role not in _OURS:
        raise ModelError(f"A message of the kind '{message.type}' cannot be sent.", "Send system, user and assistant.")
    blocks = [message.content] if isinstance(message.content, str) else message.content
    texts = [block if isinstance(block, str) else block.get("text") for block in blocks]
    if any(text is None for text in texts):
        raise ModelError("Only text can be sent, and a message holds something else.")
    return Message(role=role, content="".join(str(text) for text in texts))


def to_prompt(messages: Sequence[BaseMessage]) -> Prompt:
    """Return a conversation as a prompt: its last user turn is the question."""
    plain = tuple(to_message(message) for message in messages)
    users = [at for at, message in enumerate(plain) if message["role"] == "user"]
    origins = tuple(
        QUESTION if users and at == users[-1] else INSTRUCTION if message["role"] == "system" else HISTORY
        for at, message in enumerate(plain)
    )
    return Prompt(plain, origins)


def to_langchain(messages: Sequence[Message]) -> list[BaseMessage]:
    """Return our messages as LangChain's."""
    return [_OURS[message["role"]](content=message["content"]) for message in messages]
