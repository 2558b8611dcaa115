import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from assistant.cli import run
from assistant.evaluation.reports.report import without_timings
from tests.evaluation.advice_runs import write_source

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--model", "scripted", "--encoder", "toy", "--strategies", "zero-shot,static-few-shot", "--budget", "200")


@pytest.fixture
def shotwise(capsys):
    """A function that runs a command line and returns exit code, stdout and stderr."""

    def call(*arguments):
        capsys.readouterr()
        code = run(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_one_command_gives_a_sentence_and_a_report(shotwise, home):
    source = write_source(home)
    code, out, err = shotwise("advise", source, "--task", "sentiment", *QUICK)
    assert code == 0
    assert "The result, on " in out
    assert "model calls" in err
    (folder,) = (home / "runs").glob("advice-*")
    record = json.loads((folder / "advice.json").read_text("utf-8"))
    assert out.startswith(record["recommendation"]["sentence"])
    assert f"Report: {folder / 'report.html'}" in out
    assert (folder / "report.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    assert (folder / "report.md").read_text("utf-8").startswith("# Which strategy for ")


def test_json_is_the_record_and_files_are_written_where_asked(shotwise, home):
    source = write_source(home)
    places = {name: home / f"advice.{name}" for name in ("out", "html", "markdown")}
    options = [word for name, path in places.items() for word in (f"--{name}", str(path))]
    code, out, _ = shotwise("advise", source, "--task", "sentiment", *QUICK, "--name", "mine", "--json", *options)
    assert code == 0
    record = json.loads(out)
    assert record == json.loads(places["out"].read_text("utf-8"))
    assert record["name"] == "mine"
    assert "<svg" in places["html"].read_text("utf-8")
    assert places["markdown"].read_text("utf-8") == (home / "runs" / "mine" / "report.md").read_text("utf-8")
    again = json.loads(shotwise("advise", source, "--task", "sentiment", *QUICK, "--name", "mine", "--json")[1])
    assert without_timings(again) == without_timings(record)


@pytest.mark.parametrize(
    "named", [(), ("--input", "text"), ("--output", "label"), ("--input", "text", "--output", "label", "--id", "id")]
)
def test_columns_that_are_not_named_are_guessed(shotwise, home, named):
    source = write_source(home, films=20)
    command = ("advise", source, "--task", "sentiment", *QUICK, "--group", "film", *named, "--json")
    code, out, err = shotwise(*command)
    assert code == 0, err
    assert json.loads(out)["data"]["groups"] > 0


def test_a_column_that_is_not_there_is_named(shotwise, home):
    code, _, err = shotwise("advise", write_source(home), "--task", "sentiment", *QUICK, "--output", "lable")
    assert code == 2
    assert "'lable'" in err
    assert "label" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--budget", "10"), "too few"),
        (("--strategies", "zero-shoot"), "zero-shot"),
        (("--name", "../up"), "cannot be the name"),
        (("--out", "/no/such/folder/a.json"), "no folder"),
        (("--seconds", "-1"), "no time"),
    ],
)
def test_what_cannot_work_is_one_sentence(shotwise, home, options, words):
    code, out, err = shotwise("advise", write_source(home), "--task", "sentiment", *QUICK, *options)
    assert (code, out) == (2, "")
    assert words in err.splitlines()[-1]


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(home):
    command = [sys.executable, "-m", "assistant.cli", "advise", "reviews", "--encoder", "toy", "--budget", "240"]
    command += ["--strategies", "zero-shot,static-few-shot,random-few-shot", "--json", "--name"]

    def start(name):
        return subprocess.Popen([*command, name], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    whole = start("whole")
    out, err = whole.communicate(timeout=300)
    assert whole.returncode == 0, err
    stopped = start("stopped")
    for line in stopped.stderr:
        if "model calls" in line:
            break
    stopped.send_signal(signal.SIGINT)
    _, err = stopped.communicate(timeout=300)
    assert stopped.returncode == 130, err
    assert "Go on with: shotwise advise reviews" in err
    assert (home / "runs" / "stopped" / "journal.jsonl").stat().st_size > 0
    again = start("stopped")
    resumed, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    one, other = (without_timings(json.loads(text)) for text in (out, resumed))
    for record in (one, other):
        record["name"] = record["settings"]["name"] = ""
    assert one == other
