"""The Evaluate tab: a form, the list of runs, and the run that is looked at, whether it runs or is done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from assistant.errors import ShotwiseError
from assistant.settings import ModelSettings
from assistant.web import evaluation_form as forms
from assistant.web import form_panel, progress_view, result_panel, run_files
from assistant.web.evaluation_form import Form
from assistant.web.form_panel import FormPanel
from assistant.web.jobs import Jobs
from assistant.web.markup import problem
from assistant.web.opened_run import RunShelf
from assistant.web.result_panel import ResultPanel, told
from assistant.web.run_state import RunState
from assistant.web.samples_view import PICKING
from assistant.web.settings_panel import Updates

PRIVATE = "private"
_LOOK_S = 1.5
_QUIET: dict[str, Any] = {"show_progress": "hidden", "queue": False, "api_visibility": PRIVATE}

# The address names the run, so that reloading the page, or sending the address on, shows it again.
_PUT = "place.searchParams.delete('run'); place.searchParams.delete('tab');"
ADDRESS = f"""name => {{
  const place = new URL(location.href);
  {_PUT}
  place.searchParams.set(name ? 'run' : 'tab', name || 'evaluate');
  history.replaceState(history.state, '', place);
}}"""
FIRST_ADDRESS = f"""name => {{
  const asked = new URL(location.href).searchParams;
  window.swLooked = true;
  if (!asked.has('run') && asked.get('tab') !== 'evaluate') ({ADDRESS})(name);
}}"""
"""Names what is looked at, unless the address already says something."""
# The first tab counts as chosen when the page is loaded. The address may not have been followed by then:
# it must not be lost before this tab was looked at.
NO_ADDRESS = f"""() => {{
  const own = document.querySelector('#pages button[data-tab-id="evaluate"]');
  if (!window.swLooked || own.ariaSelected === 'true') return;
  const place = new URL(location.href);
  {_PUT}
  history.replaceState(history.state, '', place);
}}"""
ASKED = "name => [name, new URL(location.href).searchParams.get('run') || '']"


@dataclass
class EvaluatePage:
    """The components of the tab, and what happens when they are used."""

    jobs: Jobs
    model: ModelSettings
    form: FormPanel
    result: ResultPanel
    name: Any
    """The run that is looked at, empty for the form."""
    seen: Any
    """State: what the list looked like, so that it is left alone while nothing changes."""
    was: Any
    """State: the run and how it was when it was last shown, so that a change is noticed."""
    new: Any
    runs: Any
    form_part: Any
    run_part: Any
    progress: Any
    stop: Any
    go_on: Any
    message: Any
    advice: Any
    clock: Any

    @property
    def outputs(self) -> list[Any]:
        """Return everything that changes when something else is looked at."""
        states = [self.name, self.seen, self.was]
        parts = [
            self.runs,
            self.form_part,
            self.run_part,
            self.progress,
            self.stop,
            self.go_on,
            self.message,
            self.advice,
        ]
        return [*states, *parts, *self.result.outputs]

    def blank(self) -> Updates:
        """Return the page with the form."""
        return {
            self.name: "",
            self.was: "",
            self.form_part: gr.update(visible=True),
            self.run_part: gr.update(visible=False),
            self.message: "",
            self.advice: "",
            **self.result.hidden(),
            **self.listed(""),
        }

    def opened(self, name: str) -> Updates:
        """Return the page with one run, however far it is; with the form if there is no such run."""
        state = self.jobs.state(name)
        if state is None:
            return {**self.blank(), self.message: problem(f"There is no run named '{name}'.")}
        return {
            self.name: name,
            self.was: _mark(state),
            self.form_part: gr.update(visible=False),
            self.run_part: gr.update(visible=True),
            self.message: "",
            **self.followed(state),
            **self.listed(name),
            **self.finished(state),
        }

    def followed(self, state: RunState) -> Updates:
        """Return how far a run is, and what can be done about it."""
        done = state.state == "done"
        return {
            self.progress: gr.update(value="" if done else progress_view.progress_html(state), visible=not done),
            self.stop: gr.update(visible=state.state == "running" and state.ours, interactive=not state.stopping),
            self.go_on: gr.update(visible=state.can_go_on),
        }

    def finished(self, state: RunState) -> Updates:
        """Return the result, as far as there is one."""
        if state.state == "running" or not state.has_figures:
            return {**self.result.hidden(), self.advice: ""}
        if state.kind == "advise":
            return {**self.result.hidden(), self.advice: run_files.report_html(state.name)}
        return {**self.result.shown(state.name, state.name), self.advice: ""}

    def listed(self, name: str) -> Updates:
        """Return the list of runs."""
        text = progress_view.runs_html(self.evaluations(), name)
        return {self.runs: text, self.seen: text}

    def looked(self, name: str, seen: str, was: str, shown: str) -> Updates:
        """Return what has changed since the run was last looked after; a list that did not change keeps its focus.

        `shown` is the progress that the browser shows. It can be another than the last that was sent: of two answers
        the earlier may arrive last, and without this it would stay.
        """
        update: Updates = {}
        state = self.jobs.state(name) if name else None
        if state is not None:
            followed = self.followed(state)
            if state.state == "running" or _mark(state) != was or followed[self.progress]["value"] != shown:
                update |= followed
            if _mark(state) != was:
                update |= {**self.finished(state), self.was: _mark(state)}
        listed = self.listed(name)
        return update | listed if listed[self.seen] != seen else update

    def evaluations(self) -> list[RunState]:
        """Return the runs that measure something, the newest first."""
        return [one for one in self.jobs.runs() if one.kind != "adapter"]

    def pace(self) -> float | None:
        """Return the seconds per answer of the last finished run."""
        done = (one for one in self.evaluations() if one.state == "done" and one.kind == "evaluate" and one.seconds)
        last = next(done, None)
        return last.seconds / last.done if last and last.done else None

    def start(self, form: Form) -> Updates:
        """Start the evaluation that the form describes; after an error the form is as it was."""
        form = replace(form, upload=forms.kept_upload(form.upload))
        name = form.run_name()
        arguments = forms.arguments(form, name, self.model)
        self.jobs.start(name, arguments, kind=form.goal, title=form.title())
        return self.opened(name)


def build(jobs: Jobs, shelf: RunShelf, model: ModelSettings, adapter: Any) -> EvaluatePage:
    """Return the page, its components laid out in the open tab."""
    # Not a state of the server: the browser writes it into the address.
    name = gr.Textbox(visible=False, elem_id="looked-at")
    seen, was = gr.State(""), gr.State("")
    with gr.Row(elem_id="evaluate"):
        with gr.Column(scale=3, min_width=230, elem_id="runs-column"):
            new = gr.Button("New evaluation", elem_id="new-evaluation", size="md")
            runs = gr.HTML(progress_view.NO_RUNS, elem_id="runs", js_on_load=PICKING)
        with gr.Column(scale=11, min_width=320, elem_id="evaluate-main"):
            message = gr.HTML(elem_id="run-message")
            with gr.Column(elem_id="evaluation-form") as form_part:
                form = form_panel.build(adapter)
            with gr.Column(visible=False, elem_id="evaluation-run") as run_part:
                progress = gr.HTML(elem_id="progress")
                with gr.Row(elem_id="run-buttons"):
                    stop = gr.Button("Stop", visible=False, elem_id="stop-run", min_width=120)
                    go_on = gr.Button("Go on", visible=False, variant="primary", elem_id="go-on", min_width=120)
            advice = gr.HTML(elem_id="advice")
            result = result_panel.build(shelf, name)
    clock = gr.Timer(_LOOK_S, active=False)
    states, buttons = (name, seen, was), (stop, go_on)
    return EvaluatePage(
        *(
            jobs,
            model,
            form,
            result,
            *states,
            new,
            runs,
            form_part,
            run_part,
            progress,
            *buttons,
            message,
            advice,
            clock,
        )
    )


def wire(page: EvaluatePage) -> None:
    """Connect the components with what they do."""
    form_panel.wire(page.form, page.pace)
    result_panel.wire(page.result)

    def start(*values: Any) -> Updates:
        try:
            return {page.form.message: "", **page.start(page.form.form(values))}
        except ShotwiseError as error:
            return {page.form.message: problem(error.sentence())}

    def stop(name: str) -> Updates:
        page.jobs.stop(name)
        state = page.jobs.state(name)
        return page.followed(state) if state else {}

    def go_on(name: str) -> Updates:
        page.jobs.go_on(name)
        return page.opened(name)

    def pick(data: gr.EventData) -> Updates:
        return page.opened(str((data._data or {}).get("run", "")))

    outputs = page.outputs
    address: dict[str, Any] = {"fn": None, "inputs": page.name, "outputs": None, "js": ADDRESS, **_QUIET}
    page.form.start.click(start, page.form.inputs, [page.form.message, *outputs], **_QUIET).then(**address)
    page.new.click(page.blank, None, outputs, **_QUIET).then(**address)
    page.runs.pick(pick, None, outputs, **_QUIET).then(**address)
    page.stop.click(stop, page.name, [page.progress, page.stop, page.go_on], **_QUIET)
    page.go_on.click(told(go_on), page.name, outputs, **_QUIET)
    _wire_clock(page)


def _wire_clock(page: EvaluatePage) -> None:
    def look(name: str, seen: str, was: str, shown: str | None) -> Any:
        return page.looked(name, seen, was, shown or "") or gr.skip()

    page.clock.tick(look, [page.name, page.seen, page.was, page.progress], page.outputs, **_QUIET)


def _mark(state: RunState) -> str:
    return f"{state.name} {state.state}"
