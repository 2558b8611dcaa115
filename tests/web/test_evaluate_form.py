"""The form of an evaluation: what it offers, what it costs, and the command line it becomes."""

from pathlib import Path

import pytest

from assistant import paths
from assistant.cli import run
from assistant.errors import DataError, SettingError, ShotwiseError
from assistant.settings import ModelSettings
from assistant.web import evaluation_form as forms
from assistant.web.evaluation_form import Form
from assistant.web.form_panel import _FIELDS, FormPanel

MODEL = ModelSettings("scripted")


def options(form, name="a-run"):
    """Return the arguments of a form as (command, {option: value}, source)."""
    command, *listed, dashes, source = forms.arguments(form, name, MODEL)
    assert dashes == "--"
    return command, dict(one.removeprefix("--").split("=", 1) for one in listed), source


def test_the_default_form_is_a_small_evaluation_of_a_built_in_set():
    command, given, source = options(Form())
    assert (command, source) == ("evaluate", "reviews")
    assert given["strategies"] == "zero-shot,static-few-shot,dynamic-few-shot"
    assert (given["task"], given["limit"], given["name"], given["model"]) == ("sentiment", "60", "a-run", "scripted")
    assert "index" not in given
    assert "input" not in given


@pytest.mark.parametrize(
    ("chosen", "first", "asked"),
    [("", "started-with", "started-with"), ("mine", "started-with", "mine"), ("none", "started-with", "none")],
)
def test_the_adapter_is_the_one_chosen_or_the_one_that_the_page_was_started_with(chosen, first, asked):
    arguments = forms.arguments(Form(adapter=chosen), "n", ModelSettings("demo", adapter=first))
    assert f"--adapter={asked}" in arguments


def test_the_title_of_a_run_names_its_adapter():
    assert Form(adapter="mine").title() == "reviews, 3 strategies, mine"
    assert Form(adapter="none").title() == "reviews, 3 strategies"


def test_an_advice_has_a_budget_and_no_number_of_samples():
    command, given, _ = options(Form(goal="advise", budget=500, reading="both"))
    assert (command, given["budget"], given["reading"]) == ("advise", "500", "labels")
    assert not {"limit", "seeds", "calibration", "label-names"} & set(given)


def test_a_file_brings_its_columns_and_a_public_set_its_folder():
    _, given, source = options(Form(source="file", path=" rows.csv ", input_columns=("text",), output_column="label"))
    assert (source, given["input"], given["output"]) == ("rows.csv", "text", "label")
    assert "data" not in given
    _, given, source = options(Form(source="public", public="sst2", data_dir="../data", path="rows.csv"))
    assert (source, given["data"]) == ("sst2", "../data")
    assert "input" not in given


def test_two_input_columns_are_two_options():
    arguments = forms.arguments(Form(source="file", path="x.csv", input_columns=("a", "b")), "n", MODEL)
    assert "--input=a" in arguments
    assert "--input=b" in arguments


@pytest.mark.parametrize("path", ["--help", "-rf", "$(touch pwned)", "a;b", "--name=other"])
def test_whatever_a_file_is_called_it_is_never_an_option(path, capsys):
    arguments = forms.arguments(Form(source="file", path=path), "n", MODEL)
    assert arguments[-2:] == ["--", path]
    assert run(arguments) == 2
    assert f"'{path}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("form", "error"),
    [
        (Form(source="file"), DataError),
        (Form(source="public"), DataError),
        (Form(strategies=()), SettingError),
        (Form(limit=0), SettingError),
        (Form(seeds=101), SettingError),
        (Form(k=-1), SettingError),
        (Form(goal="advise", budget=0), SettingError),
    ],
)
def test_what_is_missing_or_cannot_be_is_refused_before_anything_starts(form, error):
    with pytest.raises(error):
        forms.arguments(form, "n", MODEL)


def test_a_task_without_labels_is_generated_whatever_was_ticked():
    _, given, _ = options(Form(built_in="word-problems", task="word-problems", calibrations=("batch",)))
    assert given["reading"] == "generate"
    assert "calibration" not in given


def test_every_option_of_the_form_is_known_to_the_command_line(capsys):
    everything = Form(
        source="file", path="none.csv", input_columns=("a",), output_column="b", index="reviews", reading="both",
        baseline="zero-shot", calibrations=("contextual",), label_names="bad,good",
    )  # fmt: skip
    model = ModelSettings("scripted", adapter="x", dtype="float32", device="cpu", load_in="8bit")
    for goal in ("evaluate", "advise"):
        filled = Form(**{**everything.__dict__, "goal": goal})
        assert run(forms.arguments(filled, "n", model)) == 2
        assert "No such option" not in capsys.readouterr().err


def test_the_estimate_multiplies_samples_by_what_is_asked():
    assert forms.estimate(Form()) == "60 samples × 3 = 180 answers at most."
    twice = forms.estimate(Form(reading="both"))
    assert "60 samples × 6 = 360 answers" in twice
    random = forms.estimate(Form(strategies=("random-few-shot",), seeds=5))
    assert "60 samples × 5 = 300 answers" in random
    reasoned = forms.estimate(Form(strategies=("zero-shot-cot",), reading="generate"))
    assert "60 answers at most, 120 calls of the model" in reasoned
    voted = forms.estimate(Form(strategies=("self-consistency",), reading="generate", seeds=1))
    assert "300 calls of the model" in voted


def test_the_estimate_tells_the_time_if_there_was_an_earlier_run():
    assert "about 3 minutes" in forms.estimate(Form(), pace=1.0)


def test_a_shown_reasoning_is_always_generated():
    assert forms.readings_of("static-cot", "sentiment", "labels") == ("generate",)
    assert forms.readings_of("zero-shot", "sentiment", "both") == ("generate", "labels")
    assert forms.readings_of("zero-shot", "word-problems", "both") == ("generate",)


def test_known_sets_say_where_they_are_found_and_what_may_have_been_seen():
    said = " ".join(forms.about_data(Form(source="public", public="sst2")))
    assert "https://nlp.stanford.edu/sentiment" in said
    assert "seen" in said


def test_only_measured_tasks_and_fitting_strategies_are_offered():
    assert "chat" not in {name for _, name in forms.measured_tasks()}
    assert "imdb-baseline" not in {name for _, name in forms.strategy_choices("paraphrase")}
    assert "random-labels" not in {name for _, name in forms.strategy_choices("word-problems")}


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "-x"])
def test_a_name_that_is_no_folder_name_is_refused(name):
    with pytest.raises(ShotwiseError):
        Form(name=name).run_name()


def test_a_run_is_named_after_its_data_and_the_time():
    name = Form(source="file", path="some dir/Ärger über Filme.csv").run_name()
    assert paths.checked_name(name, "evaluation") == name
    assert name.startswith("rger-ber-Filme-")


def test_an_upload_is_kept_where_a_restart_finds_it(tmp_path):
    table = tmp_path / "rows.csv"
    table.write_text("text,label\nGood,positive\n")
    kept = forms.kept_upload(str(table))
    assert kept.startswith(str(paths.runs()))
    assert kept.endswith("/rows.csv")
    table.unlink()
    assert forms.columns_of(kept, "sentiment")[0] == ("text", "label")
    assert forms.kept_upload(None) is None


def test_columns_are_read_and_guessed(tmp_path):
    table = tmp_path / "rows.csv"
    table.write_text("sentence1,sentence2,label\na,b,1\n")
    columns, guessed = forms.columns_of(str(table), "paraphrase")
    assert list(columns) == ["sentence1", "sentence2", "label"]
    assert (guessed.inputs, guessed.output) == (("sentence1", "sentence2"), "label")
    table.write_text("x,y\na,b\n")
    columns, guessed = forms.columns_of(str(table), "sentiment")
    assert (list(columns), guessed.inputs, guessed.output) == (["x", "y"], (), None)


def test_empty_numbers_and_lists_become_the_defaults():
    empty = [None] * len(_FIELDS)
    form = FormPanel.form(tuple(empty))
    assert (form.limit, form.seeds, form.k, form.budget) == (60, 3, 4, 3000)
    assert (form.strategies, form.path, form.upload) == ((), "", None)


def test_an_upload_that_is_gone_is_told_in_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"'rows\.csv' cannot be kept"):
        forms.kept_upload(str(tmp_path / "rows.csv"))


def test_a_copy_that_breaks_off_leaves_nothing_that_would_be_taken_for_the_upload(tmp_path, monkeypatch):
    table = tmp_path / "rows.csv"
    table.write_text("text,label\nfine,1\n", "utf-8")

    def half(source, target):
        Path(target).write_text("text,la", "utf-8")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(forms.shutil, "copyfile", half)
        with pytest.raises(DataError, match="No space left on device"):
            forms.kept_upload(str(table))
    assert [one for one in (paths.runs() / ".uploads").rglob("*") if one.is_file()] == []
    assert Path(forms.kept_upload(str(table))).read_text("utf-8") == table.read_text("utf-8")
