"""The controls that chat and compare share: what is asked, what is shown, how tokens are drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from assistant.prompting.strategies import find_strategy
from assistant.prompting.tasks import load_task
from assistant.settings import RetrievalSettings, SamplingSettings
from assistant.web import controls

Updates = dict[Any, Any]
LAST_CHOICE: dict[str, Any] = {"trigger_mode": "always_last"}
"""What is chosen while an earlier choice is still followed must not be dropped, as Gradio does by itself."""


@dataclass
class Panel:
    """The components of the shared controls; `inputs` are in the order of `Controls`."""

    task: Any
    shared: dict[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> list[Any]:
        """Return the components whose values make up `Controls`."""
        return [self.task, *self.shared.values()]

    @property
    def outputs(self) -> list[Any]:
        """Return the components that change with the task or strategy."""
        names = ("index", "selector", "order", "k", "guard", "pinned", "banned", "reading", "wording", "remember")
        return [self.task, *(self.shared[name] for name in names)]

    def for_task(self, task: str) -> Updates:
        """Return how the controls change when the task does."""
        return {
            self.task: gr.update(value=task, info=controls.task_about(task)),
            self.shared["index"]: gr.update(choices=controls.index_choices(task), value=""),
            self.shared["wording"]: gr.update(choices=controls.wording_choices(task), value=_default_wording(task)),
            self.shared["remember"]: task == "chat",
            **self.without_ids(),
        }

    def without_ids(self) -> Updates:
        """Return how no demonstration is pinned or banned: another index does not have the same ids."""
        return {self.shared[name]: gr.update(choices=[], value=[]) for name in ("pinned", "banned")}

    def for_strategies(self, task: str, strategies: list[str]) -> Updates:
        """Return which controls do something for the chosen strategies; the others are greyed out."""
        chosen = [find_strategy(name) for name in strategies]
        retrieves = any(strategy.needs_index for strategy in chosen)
        nearest = any(controls.selector_matters(strategy) for strategy in chosen)
        labels = any(controls.reading_matters(load_task(task), strategy) for strategy in chosen)
        reading = gr.update(interactive=True) if labels else gr.update(interactive=False, value="generate")
        return {
            self.shared["index"]: gr.update(interactive=retrieves),
            self.shared["k"]: gr.update(interactive=any(strategy.selector != "none" for strategy in chosen)),
            self.shared["selector"]: gr.update(interactive=nearest),
            self.shared["order"]: gr.update(interactive=retrieves),
            self.shared["guard"]: gr.update(interactive=retrieves),
            self.shared["reading"]: reading,
        }


def merged(*updates: Updates) -> Updates:
    """Return several updates as one; a component that is in two gets both."""
    together: Updates = {}
    for update in updates:
        for component, value in update.items():
            known = together.get(component)
            both = isinstance(known, dict) and isinstance(value, dict)
            together[component] = {**known, **value} if both and known is not None else value
    return together


def build_task(task: str) -> Panel:
    """Return the panel with its task dropdown, which stands above the tabs."""
    return Panel(
        gr.Dropdown(
            controls.task_choices(),
            value=task,
            label="Task",
            info=controls.task_about(task),
            elem_id="task",
            scale=4,
            min_width=280,
            filterable=False,
        )
    )


def build_settings(panel: Panel, task: str) -> None:
    """Add the sidebar's controls to the panel, in the order of `Controls`."""
    with gr.Sidebar("Settings", position="right", open=False, width=320, elem_id="settings"):
        gr.HTML('<h2 class="sw-side">Settings</h2>')
        _demonstrations(panel.shared, task)
        _reading(panel.shared, task)
        _sampling(panel.shared)
    panel.shared["index"].change(
        panel.without_ids,
        None,
        [panel.shared["pinned"], panel.shared["banned"]],
        show_progress="hidden",
        queue=False,
        api_visibility="private",
    )


def _demonstrations(shared: dict[str, Any], task: str) -> None:
    default = RetrievalSettings()
    gr.HTML('<h3 class="sw-side">Demonstrations</h3>')
    shared["index"] = gr.Dropdown(
        controls.index_choices(task), value="", label="Index", info="Where they are searched.", elem_id="index",
        allow_custom_value=True,
    )  # fmt: skip
    shared["k"] = gr.Slider(0, 16, value=default.k, step=1, label="How many (k)", elem_id="k")
    shared["selector"] = gr.Dropdown(
        [(name.upper() if name == "bm25" else name.capitalize(), name) for name in controls.FREE_SELECTORS],
        value="nearest",
        label="Selector",
        info="Of the dynamic strategies.",
        elem_id="selector",
        filterable=False,
    )
    shared["order"] = gr.Dropdown(
        controls.ORDERS, value=default.order, label="Order in the prompt", elem_id="order", filterable=False
    )
    shared["guard"] = gr.Checkbox(
        default.guard.enabled,
        label="Leak guard",
        info="Keeps copies of the message out.",
        elem_id="guard",
    )
    for name, label in (("pinned", "Always show"), ("banned", "Never show")):
        shared[name] = gr.Dropdown(
            [], value=[], multiselect=True, allow_custom_value=True, label=label, elem_id=name,
            info="Ids of demonstrations, from the next message on.",
        )  # fmt: skip


def _reading(shared: dict[str, Any], task: str) -> None:
    gr.HTML('<h3 class="sw-side">Question and answer</h3>')
    shared["reading"] = gr.Radio(
        controls.READINGS, value="generate", label="Reading", info="Of tasks with labels.", elem_id="reading"
    )
    shared["wording"] = gr.Dropdown(
        controls.wording_choices(task), value=_default_wording(task), label="Wording", elem_id="wording"
    )
    shared["remember"] = gr.Checkbox(
        task == "chat", label="Send earlier turns", info="Off: each message stands alone.", elem_id="remember"
    )


def _sampling(shared: dict[str, Any]) -> None:
    default = SamplingSettings()
    gr.HTML('<h3 class="sw-side">Sampling</h3>')
    shared["temperature"] = gr.Slider(
        0, 2, value=default.temperature, step=0.05, label="Temperature", info="0 is greedy.", elem_id="temperature"
    )
    shared["top_p"] = gr.Slider(0.05, 1, value=default.top_p, step=0.05, label="Top-p", elem_id="top-p")
    shared["max_new_tokens"] = gr.Slider(
        8, 1024, value=default.max_new_tokens, step=8, label="New tokens", info="At most.", elem_id="max-new-tokens"
    )
    shared["seed"] = gr.Number(default.seed, precision=0, minimum=0, label="Seed", elem_id="seed")


def _default_wording(task: str) -> str:
    return controls.wording_choices(task)[0]
