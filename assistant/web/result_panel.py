"""A finished run on the page: ranking, answers, scores, disagreements and checks, each in a tab."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from assistant.errors import ShotwiseError
from assistant.web import leaderboard_view as board
from assistant.web import samples_view
from assistant.web.markup import problem
from assistant.web.opened_run import Choice, OpenedRun, RunShelf
from assistant.web.run_files import downloads_html
from assistant.web.run_plots import plots_html
from assistant.web.settings_panel import LAST_CHOICE, Updates

PRIVATE = "private"
KINDS = [
    ("All", "all"),
    ("Right", "right"),
    ("Wrong", "wrong"),
    ("Unreadable", "unreadable"),
    ("With rows kept out", "kept-out"),
]
NO_SCORES = "These answers were generated: there are no label scores to draw. Evaluate with the most likely label."
_QUIET: dict[str, Any] = {"show_progress": "hidden", "queue": False, "api_visibility": PRIVATE}


@dataclass
class ResultPanel:
    """The components that show a finished run; `name` is the state that says which."""

    shelf: RunShelf
    name: Any
    part: Any
    head: Any
    ranking: Any
    row: Any
    kind: Any
    choice: Any
    confusion: Any
    samples: Any
    scored: Any
    scores: Any
    one: Any
    other: Any
    at: Any
    flipped: Any
    checks: Any

    @property
    def outputs(self) -> list[Any]:
        """Return everything that changes when another run is shown."""
        return [
            *(self.part, self.head, self.ranking, self.row, self.kind, self.choice, self.confusion, self.samples),
            *(self.scored, self.scores, self.one, self.other, self.at, self.flipped, self.checks),
        ]

    def hidden(self) -> Updates:
        """Return how no result is shown."""
        return {self.part: gr.update(visible=False)}

    def shown(self, name: str, title: str) -> Updates:
        """Return the result of a run, or why it cannot be shown."""
        try:
            run = self.shelf.open(name)
        except ShotwiseError as error:
            return {self.part: gr.update(visible=True), self.head: problem(error.sentence())}
        if not run.rows:
            return self.hidden()
        rows = [(row["name"], number) for number, row in enumerate(run.rows)]
        scored = [(text, number) for text, number in rows if run.rows[number].get("roc_curve")]
        first, second = _first_pair(run)
        choice = Choice(first)
        head = board.facts_html(run.record, title) + downloads_html(name)
        return {
            self.part: gr.update(visible=True),
            self.head: head,
            self.ranking: board.verdict_html(run.record)
            + board.leaderboard_html(run.record)
            + plots_html(run, name, ("forest", "tokens", "seconds")),
            self.row: gr.update(choices=rows, value=choice.row),
            self.kind: "all",
            self.choice: {},
            **self.answers(run, name, choice),
            self.scored: gr.update(choices=scored, value=scored[0][1] if scored else None, visible=bool(scored)),
            self.scores: self.score_plots(run, name, scored[0][1] if scored else None),
            self.one: gr.update(choices=rows, value=first),
            self.other: gr.update(choices=rows, value=second),
            self.at: 0,
            self.flipped: self.differing(run, name, first, second, 0),
            self.checks: board.checks_html(run.record),
        }

    def answers(self, run: OpenedRun, name: str, choice: Choice) -> Updates:
        """Return the confusion matrix and the samples that are listed under it."""
        return {
            self.confusion: samples_view.confusion_html(run, name, choice),
            self.samples: samples_view.samples_html(run, name, choice),
        }

    @staticmethod
    def score_plots(run: OpenedRun, name: str, number: int | None) -> str:
        """Return ROC and calibration of one row."""
        wanted = () if number is None else (f"roc-{number}", f"calibration-{number}")
        return plots_html(run, name, wanted, NO_SCORES)

    @staticmethod
    def differing(run: OpenedRun, name: str, one: int, other: int, page: int) -> str:
        """Return the samples that only one of two rows has right."""
        names = (run.row(one)["name"], run.row(other)["name"])
        return samples_view.flipped_html(run, name, (one, other), page, names)

    def prompt_of(self, key: str) -> str:
        """Return the prompt behind an answer, for the browser: the key names run, row, sample and seed."""
        try:
            name, number, sample, seed = json.loads(key)
            found = self.shelf.open(str(name)).outcome(int(number), str(sample), int(seed))
        except (ShotwiseError, ValueError, TypeError):
            found = None
        return str(found["prompt"]) if found else "This prompt is not known any more."


def build(shelf: RunShelf, name: Any) -> ResultPanel:
    """Return the panel, its components laid out where it is called, hidden until a run is shown."""
    panel = ResultPanel(shelf, name, *[None] * 15)
    with gr.Column(visible=False, elem_id="result") as panel.part:
        panel.head = gr.HTML(elem_id="result-head")
        with gr.Tabs(elem_id="result-tabs"):
            with gr.Tab("Ranking"):
                panel.ranking = gr.HTML(elem_id="ranking")
            with gr.Tab("Answers"):
                _answers(panel)
            with gr.Tab("Scores"):
                panel.scored = gr.Dropdown([], label="Strategy", filterable=False, elem_id="scored-row")
                panel.scores = gr.HTML(elem_id="scores")
            with gr.Tab("Disagreements"):
                with gr.Row():
                    panel.one = gr.Dropdown([], label="One strategy", filterable=False, elem_id="flipped-one")
                    panel.other = gr.Dropdown([], label="Another", filterable=False, elem_id="flipped-other")
                panel.at = gr.State(0)
                panel.flipped = _picking(panel, "flipped")
            with gr.Tab("Checks"):
                panel.checks = gr.HTML(elem_id="checks")
    return panel


def _answers(panel: ResultPanel) -> None:
    panel.choice = gr.State({})
    with gr.Row():
        panel.row = gr.Dropdown([], label="Strategy", filterable=False, elem_id="answers-row", scale=2, min_width=240)
        panel.kind = gr.Radio(KINDS, value="all", label="Show", elem_id="answers-kind", scale=3, min_width=280)
    panel.confusion = _picking(panel, "confusion")
    panel.samples = _picking(panel, "samples")


def _picking(panel: ResultPanel, elem_id: str) -> Any:
    # Gradio marks the function, which a method does not allow.
    def prompt_of(key: str) -> str:
        return panel.prompt_of(key)

    return gr.HTML(elem_id=elem_id, js_on_load=samples_view.PICKING, server_functions=[prompt_of])


def wire(panel: ResultPanel) -> None:
    """Connect the panel's components with what they do."""
    answers = [panel.choice, panel.confusion, panel.samples]

    def list_answers(name: str, row: int, kind: str, choice: dict[str, Any]) -> Updates:
        run = panel.shelf.open(name)
        return {panel.choice: choice, **panel.answers(run, name, replace(Choice(**choice), row=row, kind=kind))}

    def choose_row(name: str, row: int, kind: str) -> Updates:
        return list_answers(name, row, kind, {})

    def pick(name: str, row: int, kind: str, choice: dict[str, Any], data: gr.EventData) -> Updates:
        picked = {key: value for key, value in (data._data or {}).items() if key in ("target", "answer", "page")}
        before = choice if "page" in picked else {}
        return list_answers(name, row, kind, {**before, **picked})

    def scores(name: str, row: int | None) -> str:
        return panel.score_plots(panel.shelf.open(name), name, row)

    def differ(name: str, one: int, other: int) -> Updates:
        return {panel.at: 0, panel.flipped: panel.differing(panel.shelf.open(name), name, one, other, 0)}

    def turn(name: str, one: int, other: int, data: gr.EventData) -> Updates:
        page = int((data._data or {}).get("page", 0))
        return {panel.at: page, panel.flipped: panel.differing(panel.shelf.open(name), name, one, other, page)}

    inputs = [panel.name, panel.row, panel.kind]
    last = LAST_CHOICE | _QUIET
    gr.on([panel.row.input, panel.kind.input], told(choose_row), inputs, answers, **last)
    for source in (panel.confusion, panel.samples):
        source.pick(told(pick), [*inputs, panel.choice], answers, **_QUIET)
    panel.scored.input(told(scores), [panel.name, panel.scored], panel.scores, **last)
    two = [panel.name, panel.one, panel.other]
    gr.on([panel.one.input, panel.other.input], told(differ), two, [panel.at, panel.flipped], **last)
    panel.flipped.pick(told(turn), [panel.name, panel.one, panel.other], [panel.at, panel.flipped], **_QUIET)


def told(function: Any) -> Any:
    """Return the handler with our errors as a sentence on the page."""
    import functools

    @functools.wraps(function)
    def handler(*values: Any) -> Any:
        try:
            return function(*values)
        except ShotwiseError as error:
            raise gr.Error(error.sentence(), print_exception=False) from error

    return handler


def _first_pair(run: OpenedRun) -> tuple[int, int]:
    """Return the row the others are compared with, and the strategy that is furthest from it."""
    names = [row["name"] for row in run.rows]
    baseline = run.record.get("baseline")
    first = names.index(baseline) if baseline in names else 0
    pairs = [one for one in run.record.get("pairs") or () if one["b"] in names]
    strategies = [one for one in pairs if run.rows[names.index(one["b"])].get("kind") != "baseline"]
    furthest = max(strategies or pairs, key=lambda one: abs(one["difference"]), default=None)
    return first, names.index(furthest["b"]) if furthest else min(1, len(names) - 1)
