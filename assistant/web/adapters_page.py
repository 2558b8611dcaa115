"""The Adapters tab: a form for a new training, the training that runs, and a card for each adapter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from assistant import paths
from assistant.errors import SettingError, ShotwiseError
from assistant.web import adapters_form as forms
from assistant.web import adapters_view as view
from assistant.web.adapters_form import TrainingForm
from assistant.web.evaluation_form import measured_tasks
from assistant.web.markup import notes, problem
from assistant.web.run_state import RunState
from assistant.web.samples_view import PICKING
from assistant.web.service import Service
from assistant.web.settings_panel import LAST_CHOICE, Updates

KIND = "adapter"
_LOOK_S = 1.5
_QUIET: dict[str, Any] = {"show_progress": "hidden", "queue": False, "api_visibility": "private"}
_FIELDS = tuple(TrainingForm.__dataclass_fields__)
_WHOLE = ("rank", "virtual_tokens", "rows", "batch_size", "k", "seed")


@dataclass
class AdaptersPage:
    """The components of the tab, and what happens when they are used."""

    service: Service
    fields: dict[str, Any]
    """By the name of the form's field that they fill."""
    about_method: Any
    about: Any
    start: Any
    message: Any
    name: Any
    """State: the run that is looked at; empty if there is none."""
    was: Any
    """State: how it was when it was last shown."""
    training: Any
    stop: Any
    go_on: Any
    cards: Any
    clock: Any

    @property
    def inputs(self) -> list[Any]:
        """Return the components whose values make up a `TrainingForm`."""
        return [self.fields[name] for name in _FIELDS]

    @property
    def outputs(self) -> list[Any]:
        """Return what changes while a training runs."""
        return [self.name, self.was, self.training, self.stop, self.go_on, self.cards]

    def begin(self, form: TrainingForm) -> Updates:
        """Start the training that the form describes.

        Raises:
            ShotwiseError: if it cannot be begun.
        """
        name = form.adapter_name()
        arguments = forms.arguments(form, name, self.service.settings)
        run = f"{forms.RUN_PREFIX}{name}"
        known = self.service.jobs.state(run)
        if known is not None and known.can_go_on:
            raise SettingError(f"A training named '{name}' was not finished.", "Go on with it, or choose another name.")
        self.service.jobs.start(run, arguments, kind=KIND, title=name)
        return self.looked_at(run)

    def looked_at(self, run: str) -> Updates:
        """Return how far a training is, and what can be done about it."""
        state = self.service.jobs.state(run) if run else None
        if state is None:
            return {self.name: "", self.was: "", self.training: "", **self._buttons(None), self.cards: self.listed()}
        return {
            self.name: run,
            self.was: state.state,
            self.training: view.training_html(state, paths.runs() / run),
            **self._buttons(state),
            self.cards: self.listed(),
        }

    def followed(self, run: str, was: str, shown: str) -> Updates:
        """Return what has changed since; the cards only when the training has ended.

        `shown` is how far it is by what the browser shows. It can be another than the last that was sent: of two
        answers the earlier may arrive last, and without this it would stay.
        """
        state = self.service.jobs.state(run) if run else None
        if state is None:
            return {}
        if state.state == was != "running" and view.training_html(state, paths.runs() / run) == shown:
            return {}
        update = self.looked_at(run)
        if state.state == was == "running":
            del update[self.cards]
        return update

    def last(self) -> str:
        """Return the training that is worth looking at: the one that runs, else the newest that can go on."""
        runs = [one for one in self.service.jobs.runs() if one.kind == KIND]
        running = next((one.name for one in runs if one.state == "running"), "")
        return running or next((one.name for one in runs if one.can_go_on), "")

    def listed(self) -> str:
        """Return the cards of all adapters."""
        from assistant.finetuning.generators.adapter_record import read_record
        from assistant.finetuning.generators.shelf import list_adapters

        unfit = {one.name: one.problem for one in self.service.adapters()}
        return view.cards_html([(entry, read_record(entry.folder)) for entry in list_adapters()], unfit)

    def _buttons(self, state: RunState | None) -> Updates:
        running = state is not None and state.state == "running" and state.ours
        return {
            self.stop: gr.update(visible=running, interactive=state is None or not state.stopping),
            self.go_on: gr.update(visible=state is not None and state.can_go_on),
        }


def build(service: Service) -> AdaptersPage:
    """Return the page, its components laid out in the open tab."""
    name, was = gr.State(""), gr.State("")
    with gr.Row(elem_id="adapters-row"):
        with gr.Column(scale=5, min_width=320, elem_id="training-form"):
            gr.HTML('<h2 class="sw-side">New training</h2>')
            fields, about_method = _form()
            about = gr.HTML(notes([forms.about_training(TrainingForm())]), elem_id="about-training")
            start = gr.Button("Train", variant="primary", elem_id="start-training")
            message = gr.HTML(elem_id="training-message")
        with gr.Column(scale=7, min_width=320, elem_id="adapters-main"):
            training = gr.HTML(elem_id="training")
            with gr.Row():
                stop = gr.Button("Stop", visible=False, scale=0, min_width=160, elem_id="stop-training")
                go_on = gr.Button("Go on", visible=False, scale=0, min_width=160, elem_id="go-on-training")
            cards = gr.HTML(view.NO_ADAPTERS, elem_id="adapter-cards", js_on_load=PICKING)
    clock = gr.Timer(_LOOK_S, active=False)
    parts = (about_method, about, start, message, name, was, training, stop, go_on, cards, clock)
    return AdaptersPage(service, fields, *parts)


def _form() -> tuple[dict[str, Any], Any]:
    first, fields = TrainingForm(), dict[str, Any]()
    with gr.Group():
        _data(fields, first)
    fields["method"] = gr.Dropdown(
        forms.method_choices(), value=first.method, label="Method", filterable=False, elem_id="method"
    )
    about = gr.HTML(notes([forms.method_about(first.method)]), elem_id="about-method")
    with gr.Row():
        fields["rank"] = _number(first.rank, "Rank", "More can learn more.", "rank", minimum=1)
        fields["targets"] = gr.Dropdown(
            forms.target_choices(), value=first.targets, label="Targets", info="Beside which weights.",
            filterable=False, min_width=140, elem_id="targets",
        )  # fmt: skip
        fields["virtual_tokens"] = _number(
            first.virtual_tokens, "Virtual tokens", "Length of the soft prompt.", "virtual-tokens", minimum=1,
            visible=False,
        )  # fmt: skip
    with gr.Row():
        fields["rows"] = _number(first.rows, "Rows", "At most.", "training-rows", minimum=1)
        fields["epochs"] = gr.Number(
            first.epochs, minimum=0.01, label="Epochs", info="Passes over them.", min_width=140,
            elem_id="epochs",
        )  # fmt: skip
        fields["batch_size"] = _number(first.batch_size, "Batch size", "Of one step.", "batch-size", minimum=1)
    with gr.Accordion("More settings", open=False):
        _more(fields, first)
    return {name: fields[name] for name in _FIELDS}, about


def _data(fields: dict[str, Any], first: TrainingForm) -> None:
    fields["data_set"] = gr.Dropdown(
        forms.set_choices(), value=first.data_set, label="Data", info="Only its training part is learnt from.",
        filterable=False, elem_id="training-set",
    )  # fmt: skip
    fields["path"] = gr.Textbox(
        label="Path of a table on this machine", placeholder="data/tickets.csv", visible=False, max_lines=1,
        elem_id="training-path",
    )  # fmt: skip
    fields["task"] = gr.Dropdown(
        measured_tasks(), value=first.task, label="Task", visible=False, filterable=False, elem_id="training-task"
    )
    fields["data_dir"] = gr.Textbox(
        label="Folder of public sets on this machine", placeholder="../data", visible=False, max_lines=1,
        elem_id="training-dir",
    )  # fmt: skip


def _more(fields: dict[str, Any], first: TrainingForm) -> None:
    with gr.Row():
        # A Number shows 0 where nothing was typed, and sends it.
        fields["learning_rate"] = gr.Textbox(
            label="Learning rate", info=forms.rate_about(first.method), max_lines=1, min_width=140,
            elem_id="learning-rate",
        )  # fmt: skip
        fields["validation"] = gr.Slider(
            0, 0.5, value=first.validation, step=0.05, label="Set apart", info="To choose the best.",
            min_width=140, elem_id="validation",
        )  # fmt: skip
    with gr.Row():
        fields["k"] = _number(first.k, "Demonstrations", "In each prompt.", "training-k", minimum=0)
        fields["seed"] = _number(first.seed, "Seed", "Of all that is drawn.", "training-seed", minimum=0)
    fields["name"] = gr.Textbox(
        label="Name", placeholder="made of data, method and time", max_lines=1, elem_id="adapter-name"
    )
    fields["compare"] = gr.Checkbox(
        first.compare, label="Compare with its base afterwards", info="On held-out rows; the scores stand on its card.",
        elem_id="compare-afterwards",
    )  # fmt: skip


def _number(value: int, label: str, info: str, element: str, *, minimum: int, visible: bool = True) -> Any:
    return gr.Number(
        value, precision=0, minimum=minimum, label=label, info=info, min_width=140, elem_id=element, visible=visible
    )


def form_of(values: tuple[Any, ...]) -> TrainingForm:
    """Return what the person filled in; an empty number is the default."""
    given: dict[str, Any] = dict(zip(_FIELDS, values, strict=True))
    default = TrainingForm()
    filled = {name: getattr(default, name) if one is None else one for name, one in given.items()}
    filled |= {name: int(filled[name]) for name in _WHOLE}
    return TrainingForm(**filled)


def wire(page: AdaptersPage) -> None:
    """Connect the components with what they do."""

    def start(*values: Any) -> Updates:
        try:
            return {page.message: "", **page.begin(form_of(values))}
        except ShotwiseError as error:
            return {page.message: problem(error.sentence())}

    def go_on(run: str) -> Updates:
        try:
            page.service.jobs.go_on(run)
        except ShotwiseError as error:
            return {page.message: problem(error.sentence())}
        return {page.message: "", **page.looked_at(run)}

    def stop(run: str) -> Updates:
        page.service.jobs.stop(run)
        return page.looked_at(run)

    def look(run: str, was: str, shown: str | None) -> Any:
        return page.followed(run, was, shown or "") or gr.skip()

    everything = [page.message, *page.outputs]
    page.start.click(start, page.inputs, everything, **_QUIET)
    page.go_on.click(go_on, page.name, everything, **_QUIET)
    page.stop.click(stop, page.name, page.outputs, **_QUIET)
    page.clock.tick(look, [page.name, page.was, page.training], page.outputs, **_QUIET)
    _wire_form(page)


def _wire_form(page: AdaptersPage) -> None:
    fields = page.fields

    def data(chosen: str) -> Updates:
        return {
            fields["path"]: gr.update(visible=chosen == forms.FILE),
            fields["task"]: gr.update(visible=chosen == forms.FILE),
            fields["data_dir"]: gr.update(visible=forms.is_public(chosen)),
        }

    def method(chosen: str) -> Updates:
        shown = {fields[name]: gr.update(visible=forms.matters(chosen, name)) for name in ("rank", "targets")}
        return {
            **shown,
            fields["virtual_tokens"]: gr.update(visible=forms.matters(chosen, "virtual_tokens")),
            fields["learning_rate"]: gr.update(info=forms.rate_about(chosen)),
            page.about_method: notes([forms.method_about(chosen)]),
        }

    def told(*values: Any) -> str:
        return notes([forms.about_training(form_of(values))])

    last = LAST_CHOICE | _QUIET
    fields["data_set"].input(data, fields["data_set"], [fields[one] for one in ("path", "task", "data_dir")], **last)
    fields["method"].input(
        method,
        fields["method"],
        [*(fields[one] for one in ("rank", "targets", "virtual_tokens", "learning_rate")), page.about_method],
        **last,
    )
    told_of = ("method", "rows", "epochs", "validation", "k", "compare")
    # One event for all of them: of two events the answer to the earlier could arrive last, and would stay.
    gr.on([fields[name].change for name in told_of], told, page.inputs, page.about, **last)
