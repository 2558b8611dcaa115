import json
import os
import re
import shlex
import signal

import pytest

from assistant import paths
from assistant.cli import run
from assistant.commands.adapter_options import LearningOptions
from assistant.commands.adapter_train import Ticker, ticker_line
from assistant.commands.evaluation_board import Board
from assistant.finetuning.generators.progress import Progress
from assistant.finetuning.generators.settings import GeneratorSettings
from tests.adapters import save_demo_adapter
from tests.generation.tiny_models import save_model

# peft 0.21 asks transformers for a name that 5.23 has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
TRAIN = ("adapter", "train", "reviews", "--name", "mine", "--rows", "12", "--steps", "2", "--batch-size", "2")


@pytest.fixture
def shotwise(capsys):
    """A function that runs a command line and returns exit code, stdout and stderr."""

    def call(*words):
        capsys.readouterr()
        code = run(list(words))
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_an_adapter_is_trained_listed_shown_compared_and_deleted(shotwise, home):
    code, out, err = shotwise(*TRAIN, "--resume")
    assert code == 0, err
    assert "No checkpoint of 'mine' is here: it begins from the start." in err
    assert "Use it: --adapter mine" in out
    assert re.search(r"LoRA: 98,304 of 8,2\d\d,\d\d\d parameters \(1\.19%\) are learnt, from 11 rows", err)
    assert "tokens/s" in err

    code, out, _ = shotwise("adapter", "list", "--json")
    assert code == 0
    assert "mine" in [entry["name"] for entry in json.loads(out)]

    code, out, _ = shotwise("adapter", "show", "mine")
    assert code == 0
    assert "98,304 of" in out
    assert "reviews: 11 learnt, 1 set apart" in out

    code, out, err = shotwise("adapter", "compare", "mine", "--limit", "4", "--json")
    assert code == 0, err
    assert json.loads(out)["n"] == 4
    assert "scores    reviews, n = 4" in shotwise("adapter", "show", "mine")[1]

    code, out, _ = shotwise("adapter", "delete", "mine", "--yes")
    assert code == 0
    assert not (home / "adapters" / "mine").exists()


def test_what_serves_an_adapter_names_its_base_unless_that_is_the_built_in_one(shotwise, tmp_path):
    model = str(save_model("llama3", tmp_path / "tiny model"))
    code, out, err = shotwise(*TRAIN, "--model", model)
    assert code == 0, err
    (line,) = (line for line in out.splitlines() if line.startswith("Use it: "))
    assert line == f"Use it: --model '{model}' --adapter mine"
    served = shlex.split(line.removeprefix("Use it: "))
    code, _, err = shotwise("ask", "a witty film", *served, "--task", "sentiment")
    assert code == 0, err
    shown = shotwise("adapter", "show", "mine", "--model", model)[1]
    assert f"use it    --model '{model}' --adapter mine" in shown.splitlines()
    shown = shotwise("adapter", "show", "mine")[1]
    assert "use it    --model FOLDER --adapter mine (FOLDER: where tiny model lies)" in shown
    assert "use it    --adapter question-types" in shotwise("adapter", "show", "question-types")[1]


def test_a_training_can_end_with_what_it_gained_and_what_it_forgot(shotwise):
    code, out, err = shotwise(*TRAIN, "--compare", "--check-forgetting", "pairs", "--json")
    assert code == 0, err
    gained, kept = json.loads(out)["compared"]
    assert (gained["source"], gained["own"]) == ("reviews", True)
    assert (kept["source"], kept["own"]) == ("pairs", False)
    assert all(
        one["n"] > 20 and one["interval"][0] <= one["difference"] <= one["interval"][1] for one in (gained, kept)
    )
    shown = shotwise("adapter", "show", "mine")[1]
    assert f"reviews, n = {gained['n']}" in shown
    assert f"pairs, n = {kept['n']}" in shown


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_comparison_after_training_that_is_stopped_says_how_to_go_on_and_none_follows(form, shotwise, monkeypatch):
    signals = [signal.SIGINT]  # a second one would break off at once
    with monkeypatch.context() as patched:
        patched.setattr(Board, "tell", lambda *_: signals and os.kill(os.getpid(), signals.pop()))
        code, out, err = shotwise(*TRAIN, "--device", "cpu", "--compare", "--check-forgetting", "pairs", *form)
    assert code == 130
    assert err.count("Stopping;") == 1
    first, second, *_ = err[err.index("Stopped; ") :].splitlines()
    own = "shotwise adapter compare mine --device cpu"
    assert first == f"Stopped; what was finished is kept. Go on with: {own}"
    assert second == "Then: shotwise adapter compare mine pairs --device cpu"
    if form:
        assert (json.loads(out)["name"], json.loads(out)["compared"]) == ("mine", [])
    else:
        assert "Compare it with its base" not in out  # that is what was begun
    code, out, err = shotwise(*own.split()[1:], "--limit", "4", "--json")
    assert code == 0, err
    assert json.loads(out)["source"] == "reviews"


def test_going_on_with_what_is_finished_says_that_it_is(shotwise):
    assert shotwise(*TRAIN)[0] == 0
    code, out, err = shotwise(*TRAIN, "--resume")
    assert (code, out) == (2, "")
    assert "'mine' is finished: there is nothing to go on with." in err
    assert "it begins from the start" not in err


def test_what_is_no_adapter_is_not_shown_as_one(shotwise, home):
    (home / "adapters/judge").mkdir(parents=True)
    code, out, err = shotwise("adapter", "show", "judge")
    assert (code, out) == (2, "")
    assert "is not an adapter" in err
    assert "shotwise classifier list" in err


@pytest.mark.slow
def test_an_encoder_decoder_learns_to_summarise_and_is_compared_by_rouge(shotwise, home, tmp_path):
    model = str(save_model("t5", tmp_path / "tiny-t5"))
    summary = "They will meet."
    file = tmp_path / "talk.jsonl"
    lines = ({"dialogue": f"Ben: Train {at}?\nEva: Yes, track {at}.", "summary": summary} for at in range(40))
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    code, out, err = shotwise(
        "adapter", "train", str(file), "--name", "talk", "--model", model, "--task", "summary", "--input", "dialogue",
        "--output", "summary", "--method", "full", "--steps", "90", "--learning-rate", "0.02", "--batch-size", "4",
        "--evaluate-every", "45",
    )  # fmt: skip
    assert code == 0, err
    assert out.endswith(f"Compare it with its base: shotwise adapter compare talk {file} --model {model}\n")
    code, out, err = shotwise(
        "adapter", "compare", "talk", str(file), "--model", model, "--max-new-tokens", "24", "--json"
    )
    assert code == 0, err
    gain = json.loads(out)
    assert (gain["metric"], gain["reading"], gain["n"]) == ("rouge", "generate", 10)
    assert gain["tuned"] > 0.6
    assert gain["base"] < 0.2
    assert gain["verdict"] == "better"


def test_an_adapter_that_was_made_otherwise_is_shown_with_where_its_card_is(shotwise):
    code, out, _ = shotwise("adapter", "show", "question-types")
    assert code == 0
    assert "question-types: lora for demo\n" in out
    assert f"see {paths.demo() / 'adapter' / 'README.md'}" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--name", "none"), "'none' stands for the base model alone."),
        (("--method", "lore"), "There is no method of fine-tuning named 'lore'. Did you mean lora"),
        (("--rank", "0"), "The rank must be from 1 to 512, not 0."),
        (("--model", "scripted"), "The scripted model has no weights to adapt."),
        (("--model", "/nowhere"), "There is no folder '/nowhere'"),
        (("--name", "../x"), "cannot be the name"),
        (("--check-forgetting", "pears"), "There is no data set named 'pears'. Did you mean pairs"),
        (("--strategy", "zero-shot-cot"), "A row has one right reply"),
        (("--wording", "nope"), "There is no wording of task 'sentiment' named 'nope'."),
    ],
)
def test_what_cannot_be_trained_is_one_sentence_and_code_2(words, said, shotwise):
    code, out, err = shotwise(*TRAIN, *words)
    assert (code, out) == (2, "")
    assert said in err.splitlines()[-1]
    assert err.count(said) == 1


def test_what_is_not_there_cannot_be_shown_merged_or_compared(shotwise):
    for words in (("show", "no"), ("merge", "no", "--to", "new"), ("compare", "no"), ("delete", "no", "--yes")):
        code, _, err = shotwise("adapter", *words)
        assert code == 2
        assert "There is no adapter 'no'" in err


def test_an_unknown_reading_is_told_once_and_before_anything_is_loaded(shotwise, home):
    save_demo_adapter(home, "mine")
    code, out, err = shotwise("adapter", "compare", "mine", "reviews", "--reading", "nope")
    assert (code, out) == (2, "")
    assert err == "There is no reading named 'nope'. Known: generate, labels.\n"


def test_a_failure_clears_the_live_line_and_is_left_to_the_last_sentence(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    Ticker().tell(Progress("failed", "There is no wording named 'nope'."))
    assert capsys.readouterr().err == "\r\033[K"


def test_the_options_are_the_settings_with_their_defaults():
    assert LearningOptions().settings() == GeneratorSettings()
    assert set(LearningOptions.__dataclass_fields__) == set(GeneratorSettings.__dataclass_fields__)


def test_the_line_of_progress_has_speed_time_and_memory():
    line = ticker_line(
        Progress(
            "running", "Step 3 of 9: loss 1.200.", 3, 9, 1.2, tokens_per_second=1234.5, seconds_left=42, peak_mb=812
        )
    )
    assert line == "Step 3 of 9: loss 1.200, 1,234 tokens/s, 42 s left, 812 MB"
    assert ticker_line(Progress("done", "Saved in x.", peak_mb=812)) == "Saved in x."
