"""Several chat models on one base network: the base alone, and with each adapter that a message asks for."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from assistant.errors import AdapterError
from assistant.generation import sharing
from assistant.generation.adapters import AdapterFolder, adapter_names, check_adapter, find_adapter
from assistant.generation.chat_model import ChatModel
from assistant.generation.loading import SCRIPTED, Base, load_base, load_chat_model
from assistant.settings import NO_ADAPTER, ModelSettings

_KEPT = 4
"""Adapters that stay attached when others are asked for; the base always does."""


@dataclass(frozen=True)
class AdapterChoice:
    """An adapter on this machine, by what a request calls it and what people call it."""

    value: str
    """A name under adapters/, the built-in one's, or a folder."""
    name: str
    problem: str = ""
    """Why it cannot be used with this model, in one sentence; empty if it can."""


class ChatModels(Protocol):
    """The chat models that a message can be answered with."""

    def get(self, adapter: str | None) -> ChatModel:
        """Return the one with that adapter: None is the default, `none` the base model alone.

        Raises:
            AdapterError: if there is no such adapter, or it does not fit.
        """
        ...

    def choices(self) -> tuple[AdapterChoice, ...]:
        """Return the adapters that lie on this machine now, with why those that do not fit do not."""
        ...


class SingleModel:
    """One chat model and no other: nothing can be attached to it or taken from it."""

    def __init__(self, model: ChatModel) -> None:
        self._model = model

    def get(self, adapter: str | None) -> ChatModel:
        """Return the model if it is what is asked for.

        Raises:
            AdapterError: if it is not.
        """
        if adapter is None or adapter == (self._model.adapter or NO_ADAPTER):
            return self._model
        own = f"with the adapter '{self._model.adapter}'" if self._model.adapter else "without an adapter"
        asked = "without one" if adapter == NO_ADAPTER else f"with '{adapter}'"
        raise AdapterError(f"The model '{self._model.name}' was loaded {own} and cannot answer {asked}.")

    def choices(self) -> tuple[AdapterChoice, ...]:
        """Return none."""
        return ()


class AdaptedModels:
    """A base model, loaded once, and its adapters, each attached to a copy that shares the base's weights.

    Nothing is ever switched: the base's own network is never handed to peft, and every adapter has a chat
    model of its own, with its own identity and its own prompt cache. So an answer of one cannot come from
    another, in whatever order or from however many threads they are asked.
    """

    def __init__(self, base: Base, default: str | None = None) -> None:
        """Attach the default adapter, if one is named.

        Raises:
            AdapterError: if it does not fit.
        """
        self._base, self._default = base, default
        self._plain = base.chat_model(base.network)
        self._adapted: OrderedDict[tuple[Path, str, str], ChatModel] = OrderedDict()
        self._lock = threading.Lock()
        self.get(None)

    def get(self, adapter: str | None) -> ChatModel:
        """Return the chat model with that adapter; a folder that was written anew is read anew.

        Raises:
            AdapterError: if there is no such adapter, or it does not fit.
        """
        wanted = adapter or self._default or NO_ADAPTER
        if wanted == NO_ADAPTER:
            return self._plain
        folder = check_adapter(find_adapter(wanted))
        key = (folder.path.resolve(), folder.sha256, json.dumps(folder.config, sort_keys=True))
        with self._lock:
            model = self._adapted.pop(key, None) or self._attached(folder)
            self._adapted[key] = model
            while len(self._adapted) > _KEPT:
                self._adapted.popitem(last=False)
        return model

    def choices(self) -> tuple[AdapterChoice, ...]:
        """Return the adapters with a name, and the one that the program was started with if it lies elsewhere."""
        names = adapter_names()
        elsewhere = [self._default] if self._default and self._default not in (*names, NO_ADAPTER) else []
        return tuple(self._choice(value) for value in (*elsewhere, *names))

    def _attached(self, folder: AdapterFolder) -> ChatModel:
        self._base.check(folder)
        network = self._base.network
        before = sharing.stamps(network)
        model = self._base.chat_model(sharing.copy_for(network, folder.config), folder)
        assert sharing.stamps(network) == before, "the base model's own weights were written to"
        return model

    def _choice(self, value: str) -> AdapterChoice:
        try:
            folder = check_adapter(find_adapter(value))
            self._base.check(folder)
        except AdapterError as error:
            return AdapterChoice(value, Path(value).name, error.sentence())
        except OSError as error:  # it is being written, or deleted, just now
            return AdapterChoice(value, Path(value).name, f"It cannot be read: {error.strerror}.")
        return AdapterChoice(value, folder.name)


def load_chat_models(settings: ModelSettings) -> ChatModels:
    """Return the model that the settings name, ready to answer with any adapter that fits it.

    Raises:
        ModelError: if the model cannot be loaded; AdapterError if the adapter of the settings is at fault.
        MissingDependency: if a quantisation is asked for without bitsandbytes.
    """
    if settings.model == SCRIPTED:
        return SingleModel(load_chat_model(settings))
    return AdaptedModels(load_base(settings), settings.adapter)
