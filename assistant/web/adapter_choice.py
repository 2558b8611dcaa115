"""Which adapter answers: the dropdowns of Chat and Compare, always of what lies on this machine now."""

from __future__ import annotations

from typing import Any

import gradio as gr

from assistant.settings import NO_ADAPTER
from assistant.web.controls import Choices
from assistant.web.service import Service

BASE = "No adapter (base)"
_QUIET: dict[str, Any] = {"show_progress": "hidden", "queue": False, "api_visibility": "private"}


def choices(service: Service) -> Choices:
    """Return (title, value) of the base model and of every adapter that fits it, the first of the program included."""
    listed = [(_title(one.name, one.value), one.value) for one in service.adapters() if not one.problem]
    first = service.first_adapter
    if first not in (NO_ADAPTER, *(value for _, value in listed)):
        listed.insert(0, (first, first))  # while the model is being loaded nothing else is known
    return [(BASE, NO_ADAPTER), *listed]


def about(service: Service) -> str:
    """Return one line about what can be chosen, and how there will be something if there is nothing."""
    found = service.adapters()
    unfit = sum(bool(one.problem) for one in found)
    others = f" {unfit} of other models not listed." if unfit else ""
    if service.status.state == "loading":
        return "The list is there once the model is loaded."
    if unfit == len(found):
        return f"None for this model yet: “shotwise adapter train” makes one.{others}"
    return f"{len(found) - unfit} for this model.{others}"


def value_of(service: Service, name: str | None) -> str:
    """Return what a request calls the adapter of an answer."""
    return next((one.value for one in service.adapters() if one.name == name), name or NO_ADAPTER)


def build_adapter(service: Service) -> Any:
    """Return the chat's dropdown, which stands above the tabs."""
    return gr.Dropdown(
        choices(service),
        value=service.first_adapter,
        label="Adapter",
        info=about(service),
        elem_id="adapter",
        scale=4,
        min_width=220,
        filterable=False,
    )


def build_adapters(service: Service) -> Any:
    """Return the comparison's dropdown, which takes the place of the chat's."""
    return gr.Dropdown(
        choices(service),
        value=[service.first_adapter],
        multiselect=True,
        label="Adapters",
        info=about(service),
        elem_id="adapters",
        scale=4,
        min_width=220,
        visible=False,
    )


def build_evaluated(service: Service) -> Any:
    """Return the dropdown of an evaluation, to be laid out in its form."""
    return gr.Dropdown(
        choices(service),
        value=service.first_adapter,
        label="Adapter",
        elem_id="evaluated-adapter",
        min_width=200,
        filterable=False,
        render=False,
    )


def listed(service: Service, *dropdowns: Any) -> dict[Any, Any]:
    """Return how the dropdowns change so that they offer what lies on this machine now."""
    told = {"info": about(service)}
    return {one: gr.update(choices=choices(service), **(told if one.info else {})) for one in dropdowns}


def wire(service: Service, *dropdowns: Any) -> None:
    """List the adapters anew whenever a list is opened: a new one is offered without a restart."""
    for dropdown in dropdowns:
        dropdown.focus(lambda own=dropdown: listed(service, own)[own], None, dropdown, **_QUIET)


def _title(name: str, value: str) -> str:
    return name if name == value else f"{name} ({value})"
