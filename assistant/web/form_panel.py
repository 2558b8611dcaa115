"""The form of a new evaluation: its components, and how they follow each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from assistant.errors import ShotwiseError
from assistant.web import evaluation_form as forms
from assistant.web.evaluation_form import Form
from assistant.web.markup import notes, problem
from assistant.web.settings_panel import LAST_CHOICE, Updates

PRIVATE = "private"
_QUIET: dict[str, Any] = {"show_progress": "hidden", "queue": False, "api_visibility": PRIVATE}
_FIELDS = tuple(Form.__dataclass_fields__)


@dataclass
class FormPanel:
    """The components of the form by the name of the field they fill."""

    fields: dict[str, Any]
    about: Any
    cost: Any
    start: Any
    message: Any

    @property
    def inputs(self) -> list[Any]:
        """Return the components whose values make up a `Form`."""
        return [self.fields[name] for name in _FIELDS]

    @staticmethod
    def form(values: tuple[Any, ...]) -> Form:
        """Return what the person filled in; an empty number is the default."""
        given: dict[str, Any] = dict(zip(_FIELDS, values, strict=True))
        for name in ("strategies", "input_columns", "calibrations"):
            given[name] = tuple(given[name] or ())
        for name in ("limit", "seeds", "k", "budget"):
            given[name] = int(given[name]) if given[name] is not None else getattr(Form, name)
        filled: dict[str, Any] = {name: "" if one is None and name != "upload" else one for name, one in given.items()}
        return Form(**filled)


def build(adapter: Any) -> FormPanel:
    """Return the form, its components laid out where it is called, with the list of adapters among them."""
    first = Form()
    fields: dict[str, Any] = {}
    gr.HTML('<h2 class="sw-side">New evaluation</h2>')
    fields["goal"] = gr.Radio(forms.GOALS, value=first.goal, label="Goal", elem_id="goal")
    with gr.Group():
        _data(fields, first)
    about = gr.HTML(notes(forms.about_data(first)), elem_id="about-data")
    with gr.Row():
        fields["task"] = gr.Dropdown(
            forms.measured_tasks(), value=first.task, label="Task", elem_id="evaluated-task", filterable=False,
            interactive=False, min_width=200,
        )  # fmt: skip
        fields["index"] = gr.Dropdown(
            forms.index_choices(first.source, first.task), value="", label="Index of demonstrations",
            elem_id="evaluated-index", min_width=200, allow_custom_value=True,
        )  # fmt: skip
        fields["adapter"] = adapter.render()
    fields["strategies"] = gr.CheckboxGroup(
        forms.strategy_choices(first.task), value=list(first.strategies), label="Strategies",
        elem_id="evaluated-strategies", info="Rows without a language model are always added.",
    )  # fmt: skip
    fields["reading"] = gr.Radio(
        forms.READINGS, value=first.reading, label="Reading", elem_id="evaluated-reading",
        info="How label tasks are answered; shown reasoning is always generated.",
    )  # fmt: skip
    _numbers(fields, first)
    with gr.Row(elem_id="start-row"):
        cost = gr.HTML(_cost(first, None), elem_id="evaluation-cost")
        start = gr.Button("Evaluate", variant="primary", elem_id="start-evaluation", min_width=180, scale=0)
    return FormPanel(fields, about, cost, start, gr.HTML(elem_id="evaluation-message"))


def _data(fields: dict[str, Any], first: Form) -> None:
    fields["source"] = gr.Radio(forms.SOURCES, value=first.source, label="Data", elem_id="data-source")
    fields["built_in"] = gr.Dropdown(
        forms.built_in_sets(), value=first.built_in, label="Set", elem_id="built-in-set", filterable=False
    )
    fields["upload"] = gr.File(
        label="Upload a table", file_types=[".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".gz"],
        visible=False, height=130, elem_id="evaluated-upload",
    )  # fmt: skip
    fields["path"] = gr.Textbox(
        label="… or its path on this machine", placeholder="data/reviews.csv", visible=False, max_lines=1,
        elem_id="evaluated-path",
    )  # fmt: skip
    with gr.Row():
        fields["input_columns"] = gr.Dropdown(
            [], value=[], multiselect=True, allow_custom_value=True, label="Input columns", visible=False,
            min_width=200, elem_id="input-columns", info="Empty: guessed from their names.",
        )  # fmt: skip
        fields["output_column"] = gr.Dropdown(
            [], value="", allow_custom_value=True, label="Column of the right answer", visible=False, min_width=200,
            elem_id="output-column", info="Empty: guessed from its name.",
        )  # fmt: skip
    with gr.Row():
        fields["public"] = gr.Dropdown(
            forms.public_sets(), value=None, label="Public set", visible=False, min_width=200, elem_id="public-set"
        )
        fields["data_dir"] = gr.Textbox(
            label="Folder of public sets on this machine", placeholder="../data", visible=False, max_lines=1,
            min_width=200, elem_id="data-dir",
        )  # fmt: skip


def _numbers(fields: dict[str, Any], first: Form) -> None:
    with gr.Row():
        fields["limit"] = gr.Number(
            first.limit, precision=0, minimum=1, label="Samples", info="At most.", min_width=120, elem_id="samples"
        )
        fields["seeds"] = gr.Number(
            first.seeds, precision=0, minimum=1, maximum=100, label="Seeds", info="Of what is drawn.", min_width=120,
            elem_id="seeds",
        )  # fmt: skip
        fields["k"] = gr.Number(
            first.k, precision=0, minimum=0, maximum=64, label="Demonstrations (k)", info="Of each prompt.",
            min_width=120, elem_id="evaluated-k",
        )  # fmt: skip
        fields["budget"] = gr.Number(
            first.budget, precision=0, minimum=1, label="Budget", info="Calls of the model in all.", min_width=120,
            visible=False, elem_id="budget",
        )  # fmt: skip
    with gr.Accordion("More", open=False, elem_id="more"):
        with gr.Row():
            fields["baseline"] = gr.Dropdown(
                [("the first strategy", ""), *forms.strategy_choices(first.task)], value="", label="Compared with",
                min_width=200, elem_id="baseline", filterable=False,
            )  # fmt: skip
            fields["label_names"] = gr.Textbox(
                label="Other names for the labels", placeholder="bad, good", info="In the task's order.", max_lines=1,
                min_width=200, elem_id="label-names",
            )  # fmt: skip
            fields["name"] = gr.Textbox(
                label="Name of the run", placeholder="made of data and time", max_lines=1, min_width=200,
                elem_id="run-name",
            )  # fmt: skip
        fields["calibrations"] = gr.CheckboxGroup(
            forms.CALIBRATIONS, value=[], label="Calibrate label scores", elem_id="calibrations",
            info="Each adds a row to every strategy that scores labels.",
        )  # fmt: skip


def wire(panel: FormPanel, pace: Any) -> None:
    """Connect the form's components with each other; `pace` returns the seconds per answer of an earlier run."""
    fields = panel.fields

    def follow(*values: Any) -> Updates:
        """The data was changed: what belongs to it follows."""
        form = panel.form(values)
        known = form.source != "file" and form.location
        task = forms.task_of(form.location) if known else form.task
        about = {panel.about: notes(forms.about_data(form))}
        return {**_shown(fields, form.source), **_for_task(fields, form, task), **about}

    def follow_task(*values: Any) -> Updates:
        form = panel.form(values)
        return _for_task(fields, form, form.task)

    def follow_goal(*values: Any) -> Updates:
        return _for_goal(panel, panel.form(values).goal)

    def count(*values: Any) -> str:
        return _cost(panel.form(values), pace())

    followers = [fields[name] for name in _FIELDS]
    last = LAST_CHOICE | _QUIET
    data = [fields[name].input for name in ("source", "built_in", "public")]
    gr.on(data, follow, panel.inputs, [*followers, panel.about], **last)
    fields["task"].input(follow_task, panel.inputs, followers, **last)
    fields["goal"].input(follow_goal, panel.inputs, [*followers, panel.start], **last)
    counted = ("goal", "strategies", "reading", "limit", "seeds", "k", "budget", "task")
    # One event for all of them: of two events the answer to the earlier could arrive last, and would stay.
    gr.on([fields[name].change for name in counted], count, panel.inputs, panel.cost, **last)
    _wire_file(panel)


def _wire_file(panel: FormPanel) -> None:
    columns = [panel.fields[name] for name in ("input_columns", "output_column")]

    def read_columns(*values: Any) -> Updates:
        form = panel.form(values)
        blank: Updates = {column: gr.update(choices=[]) for column in columns}
        if not form.location:
            return {**blank, panel.message: ""}
        try:
            found, guessed = forms.columns_of(form.location, form.task)
        except ShotwiseError as error:
            return {**blank, panel.message: problem(error.sentence())}
        return {
            columns[0]: gr.update(choices=list(found), value=list(guessed.inputs)),
            columns[1]: gr.update(choices=["", *found], value=guessed.output or ""),
            panel.message: "",
        }

    upload, path = panel.fields["upload"], panel.fields["path"]
    for event in (upload.upload, upload.clear, path.blur, path.submit):
        event(read_columns, panel.inputs, [*columns, panel.message], **_QUIET)


def _for_goal(panel: FormPanel, goal: str) -> Updates:
    advice = goal == "advise"
    shown = {"budget": advice, **dict.fromkeys(("limit", "seeds", "label_names", "calibrations"), not advice)}
    fields: Updates = {panel.fields[name]: gr.update(visible=visible) for name, visible in shown.items()}
    return {**fields, panel.start: gr.update(value="Advise" if advice else "Evaluate")}


def _shown(fields: dict[str, Any], source: str) -> Updates:
    of_source = {
        "built-in": ("built_in",),
        "file": ("upload", "path", "input_columns", "output_column"),
        "public": ("public", "data_dir"),
    }
    return {
        fields[name]: gr.update(visible=one == source) for one, names in of_source.items() for name in names
    }  # fmt: skip


def _for_task(fields: dict[str, Any], form: Form, task: str) -> Updates:
    from assistant.prompting.tasks import load_task

    choices = forms.strategy_choices(task)
    offered = [name for _, name in choices]
    kept = [name for name in form.strategies if name in offered] or forms.default_strategies(task)
    labels = bool(load_task(task).labels)
    same = task == form.task
    return {
        fields["task"]: gr.update(value=task, interactive=form.source == "file"),
        fields["index"]: gr.update(choices=forms.index_choices(form.source, task), value=form.index if same else ""),
        fields["strategies"]: gr.update(choices=choices, value=kept),
        fields["reading"]: gr.update(interactive=labels, value=form.reading if labels else "generate"),
        fields["baseline"]: gr.update(
            choices=[("the first strategy", ""), *choices], value=form.baseline if form.baseline in offered else ""
        ),
    }


def _cost(form: Form, pace: float | None) -> str:
    return f'<p class="sw-lead">{forms.estimate(form, pace)}</p>'
