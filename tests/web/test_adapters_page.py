"""The Adapters tab: its form becomes a command line that the command takes, and what runs and is done becomes HTML."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import typer

from assistant.cli import app
from assistant.errors import DataError, ModelError, SettingError, UnknownName
from assistant.finetuning.generators.methods import METHODS
from assistant.finetuning.generators.settings import GeneratorSettings
from assistant.finetuning.generators.shelf import Entry
from assistant.finetuning.generators.training import run_folder
from assistant.settings import ModelSettings
from assistant.web import adapters_form as forms
from assistant.web import adapters_view as view
from assistant.web.adapters_form import TrainingForm, arguments
from assistant.web.adapters_page import AdaptersPage, form_of
from assistant.web.evaluate_page import EvaluatePage
from assistant.web.run_state import read_state
from assistant.web.service import Service

DEMO = ModelSettings()
RECORD = {
    "settings": GeneratorSettings().to_json(), "rows": {"learnt": 900, "validation": 100}, "seed": 0, "steps": 30,
    "parameters": {"trainable": 1_000, "total": 50_000}, "best": {"step": 20, "validation_loss": 0.5},
    "chat_template_sha256": "abcdef0123456789", "data": {"source": "reviews"}, "seconds": 30.0,
    "curve": {"train": [[10, 1.0], [20, 0.5], [30, 0.25]], "validation": [[20, 0.5]]},
    "scores": [{"source": "reviews", "tuned": 0.9, "base": 0.7, "difference": 0.2, "interval": [0.1, 0.3], "n": 200}],
}  # fmt: skip


def parsed(listed):
    """Return what the command understands of these arguments; it refuses those it does not know."""
    command = typer.main.get_command(app)
    for word in listed[:2]:
        command = command.commands[word]
    return command.make_context("train", list(listed[2:])).params


@pytest.mark.parametrize("method", METHODS)
def test_every_method_of_the_form_is_understood_by_the_command(method):
    form = TrainingForm(
        method=method, rank=3, virtual_tokens=7, rows=50, epochs=0.5, learning_rate="0.001", k=2, seed=4
    )
    params = parsed(arguments(form, "mine", DEMO))
    assert (params["source"], params["name"], params["model"], params["method"]) == ("reviews", "mine", "demo", method)
    assert (params["rows"], params["epochs"], params["learning_rate"], params["k"], params["seed"]) == (
        50,
        0.5,
        1e-3,
        2,
        4,
    )
    assert params["rank"] == (3 if "rank" in METHODS[method].settings else GeneratorSettings.rank)
    soft = METHODS[method].form == "soft prompt"
    assert params["virtual_tokens"] == (7 if soft else GeneratorSettings.virtual_tokens)
    assert params["resume"]
    assert params["compare"]
    assert not parsed(arguments(replace(form, compare=False), "mine", DEMO))["compare"]


def test_an_untouched_form_asks_for_the_defaults_of_the_settings():
    params = parsed(arguments(TrainingForm(), "mine", DEMO))
    assert all(params[name] == value for name, value in vars(GeneratorSettings()).items() if name in params)


def test_nothing_that_is_typed_becomes_an_option():
    params = parsed(arguments(TrainingForm(data_set="", path="--help", task="topic"), "mine", DEMO))
    assert (params["source"], params["task"]) == ("--help", "topic")


@pytest.mark.parametrize(
    ("changes", "model", "error"),
    [
        ({"data_set": "", "path": " "}, DEMO, DataError),
        ({"rank": 0}, DEMO, SettingError),
        ({"learning_rate": "quick"}, DEMO, SettingError),
        ({"validation": 0.9}, DEMO, SettingError),
        ({"rows": 0}, DEMO, SettingError),
        ({"method": "magic"}, DEMO, UnknownName),
        ({}, ModelSettings("scripted"), ModelError),
    ],
)
def test_what_cannot_be_trained_is_told_before_anything_begins(changes, model, error):
    with pytest.raises(error):
        arguments(TrainingForm(**changes), "mine", model)


def test_a_name_is_made_if_none_is_given_and_refused_if_it_is_taken(home):
    assert re.fullmatch(r"reviews-lora-\d{4}-\d{6}", TrainingForm().adapter_name())
    (home / "adapters" / "mine").mkdir(parents=True)
    with pytest.raises(SettingError, match="already something named 'mine'"):
        TrainingForm(name="mine").adapter_name()
    for name in ("../mine", "none"):
        with pytest.raises(SettingError):
            TrainingForm(name=name).adapter_name()


def test_an_empty_number_is_the_default():
    values = [None if name in ("rank", "learning_rate") else value for name, value in vars(TrainingForm()).items()]
    assert form_of(tuple(values)) == TrainingForm()


def test_only_settings_that_a_method_reads_are_shown():
    assert [forms.matters("lora", name) for name in ("rank", "targets", "virtual_tokens", "rows")] == [
        True, True, False, True,
    ]  # fmt: skip
    assert [forms.matters("prefix-tuning", name) for name in ("rank", "targets", "virtual_tokens")] == [
        False, False, True,
    ]  # fmt: skip


def write_run(folder, **told):
    folder.mkdir(parents=True)
    lines = [{"step": 1, "of": 4, "loss": 2.0}, {"step": 2, "of": 4, "loss": 1.0}]
    lines.append({"step": 2, "of": 4, "validation_loss": 1.5})
    (folder / "progress.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"step": 3, "lo')
    state = {"state": "stopped", "sentence": "Stopped at step 2 of 4.", "step": 2, "of": 4, "best": 1.5, "peak_mb": 900}
    (folder / "progress.json").write_text(json.dumps({**state, **told}))
    return folder


def test_how_far_a_training_is_stands_beside_its_losses(home):
    folder = write_run(home / "runs" / "adapter-mine")
    state = read_state(folder, None, None)
    assert (state.kind, state.state, state.done, state.total) == ("adapter", "stopped", 2, 4)
    text = view.training_html(state, folder)
    assert 'aria-valuenow="50"' in text
    assert "step 2 of 4" in text
    assert "best validation loss 1.500" in text
    assert "training 1.000 at last, validation 1.500 at last" in text


def test_a_training_that_ended_early_says_so_and_is_whole(home):
    folder = write_run(home / "runs" / "adapter-mine", state="done", sentence="Saved in adapters/mine.")
    text = view.training_html(read_state(folder, None, None), folder)
    assert 'aria-valuenow="100"' in text
    assert "ended early, at step 2 of 4: the validation loss got no better" in text


def test_a_training_that_is_compared_afterwards_says_so_while_it_is(home):
    folder = write_run(home / "runs" / "adapter-mine", state="done", updated=200.0)
    state = read_state(folder, None, 100.0)
    assert state.state == "running"
    assert "so does its base" in state.sentence
    assert read_state(folder, 0, 100.0).state == "done"


def test_a_torn_line_of_the_losses_is_left_out_and_no_file_is_no_curve(home):
    folder = write_run(home / "runs" / "adapter-mine")
    assert view.losses(folder / "progress.jsonl") == ([(1, 2.0), (2, 1.0)], [(2, 1.5)])
    assert view.losses(folder / "missing") == ([], [])
    assert view.curve_html([], []) == ""


def test_the_drawing_keeps_every_point_inside_and_is_short_however_long_the_run():
    drawn = view.curve_html([(step, 5.0 - step / 5_000) for step in range(20_000)], [(10, 4.0)], 30_000)
    (points,) = re.findall(r'class="train" points="([^"]*)"', drawn)
    places = [tuple(map(float, one.split(","))) for one in points.split()]
    assert len(places) <= 240
    assert all(44 <= x <= 632 and 8 <= y <= 166 for x, y in places)
    assert places == sorted(places)


def test_a_card_says_what_an_adapter_was_made_of_and_leads_to_base(tmp_path):
    entry = Entry("mine", tmp_path, "lora", "demo", "sentiment", 1_000, 0.5, 0.25)
    text = view.cards_html([(entry, RECORD)], {})
    for said in ("base demo", "task sentiment", "900 rows, 100 set apart", "1,000 of 50,000 parameters (2.00%)",
                 "validation loss 0.500", "chat template abcdef01",
                 "90.0 %, its base 70.0 %, difference +20.0 (+10.0 to +30.0) points, n = 200"):  # fmt: skip
        assert said in text
    assert "Compare with base" in text
    assert "sw-curve" in text
    also = [{"data": {"source": "trec"}, "task": {"name": "question-type"}, "weight": 0.5}]
    assert "trec (question-type), weight 0.5" in view.cards_html([(entry, {**RECORD, "also": also})], {})


def test_a_card_of_what_does_not_fit_says_why_and_leads_nowhere(tmp_path):
    entry = Entry("<b>", tmp_path, "lora", "other")
    text = view.cards_html([(entry, {})], {"<b>": "It was trained for another model."})
    assert "It was trained for another model." in text
    assert "Compare with base" not in text
    assert "<b>" not in text
    whole = view.cards_html([(Entry("big", tmp_path, "full", "demo", whole=True), RECORD)], {})
    assert "shotwise serve --model adapters/big" in whole
    assert "shotwise adapter train" in view.cards_html([], {})


class FakeJobs:
    """Jobs that begin nothing and remember what they were asked for."""

    def __init__(self, home):
        self.home, self.started = home, []

    def start(self, name, arguments, *, kind, title):
        self.started.append((name, list(arguments), kind, title))

    def state(self, name):
        return read_state(self.home / "runs" / name, None, None)

    def runs(self):
        return [self.state(folder.name) for folder in sorted((self.home / "runs").iterdir())]


@pytest.fixture
def page(home):
    service = Service(DEMO)
    service.jobs = FakeJobs(home)
    (home / "runs").mkdir()
    names = ("about_method", "about", "start", "message", "name", "was", "training", "stop", "go_on", "cards", "clock")
    return AdaptersPage(service, {}, *names)


def test_a_training_runs_in_the_folder_that_the_command_uses(page):
    page.begin(TrainingForm(name="mine"))
    ((run, listed, kind, title),) = page.service.jobs.started
    assert run == run_folder("mine").name
    assert (kind, title, parsed(listed)["name"]) == ("adapter", "mine", "mine")


def test_a_training_that_can_go_on_is_not_begun_anew(page, home):
    folder = write_run(home / "runs" / "adapter-mine")
    (folder / "job.json").write_text(json.dumps({"kind": "adapter", "arguments": ["adapter", "train"]}))
    with pytest.raises(SettingError, match="was not finished"):
        page.begin(TrainingForm(name="mine"))
    assert page.last() == "adapter-mine"
    shown = page.looked_at("adapter-mine")
    assert (shown["stop"]["visible"], shown["go_on"]["visible"]) == (False, True)
    assert page.followed("adapter-mine", "stopped", shown["training"]) == {}
    assert "cards" in page.followed("adapter-mine", "running", shown["training"])


def test_what_an_answer_that_came_late_left_in_the_browser_is_replaced(page, home):
    folder = write_run(home / "runs" / "adapter-mine")
    (folder / "job.json").write_text(json.dumps({"kind": "adapter", "arguments": ["adapter", "train"]}))
    found = page.followed("adapter-mine", "stopped", "<p>Stopping: this step is finished first …</p>")
    assert (found["stop"]["visible"], found["go_on"]["visible"]) == (False, True)
    assert found["training"] == page.looked_at("adapter-mine")["training"]


def test_trainings_are_no_evaluations(page, home):
    write_run(home / "runs" / "adapter-mine")
    other = write_run(home / "runs" / "measured")
    (other / "progress.jsonl").unlink()
    jobs = page.service.jobs
    evaluations = EvaluatePage.evaluations(SimpleNamespace(jobs=jobs))
    assert [one.name for one in evaluations] == ["measured"]
    assert page.last() == ""
