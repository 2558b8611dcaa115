"""`shotwise evaluate`, as a person types it."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assistant.evaluation.reports.report import without_timings
from tests.evaluation.runs import SAMPLES
from tests.test_cli import one_sentence, shotwise
from tests.toys import make_reviews

__all__ = ["shotwise"]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def rows(home):
    make_reviews(home)
    path = home / "rows.jsonl"
    lines = [{"id": one.id, "text": one.inputs["text"], "label": one.targets[0]} for one in SAMPLES]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return str(path)


@pytest.fixture
def arguments(rows):
    return [
        *("evaluate", rows, "--task", "sentiment", "--index", "toy", "--model", "scripted"),
        *("--strategies", "zero-shot,dynamic-few-shot,random-few-shot", "--seeds", "2"),
    ]


def test_the_leaderboard_the_comparisons_and_the_files_are_shown(shotwise, arguments, home):
    code, out, err = shotwise(*arguments, "--name", "mine")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split()[:2] == ["strategy", "n"]
    assert "accuracy (95 % interval)" in lines[0]
    assert {"majority", "knn-vote", "logistic-regression"} <= {line.split("  ")[0] for line in lines}
    assert "compared with zero-shot (labels)" in out
    assert "not distinguishable with n = 7" in out
    assert "7 × 2 seeds" in out
    for file in ("report.html", "run.json"):
        path = home / "runs" / "mine" / file
        assert str(path) in out
        assert path.is_file()
    assert "Done." in err


def test_many_unreadable_replies_are_a_warning_on_the_terminal_too(shotwise, arguments):
    assert "of the replies could not be read" in shotwise(*arguments, "--reading", "generate", "--name", "g")[1]
    assert "could not be read" not in shotwise(*arguments, "--name", "l")[1]


def test_json_is_the_whole_record(shotwise, arguments, home):
    code, out, _ = shotwise(*arguments, "--name", "mine", "--json")
    assert code == 0
    assert json.loads(out) == json.loads((home / "runs" / "mine" / "run.json").read_text("utf-8"))


def test_the_report_is_written_where_it_is_wanted(shotwise, arguments, home):
    files = {option: home / f"report.{option}" for option in ("out", "html", "csv", "markdown")}
    code, *_ = shotwise(*arguments, *(part for option, path in files.items() for part in (f"--{option}", str(path))))
    assert code == 0
    record = json.loads(files["out"].read_text("utf-8"))
    assert files["html"].read_text("utf-8").startswith("<!DOCTYPE html>")
    assert "zero-shot (labels)" in files["markdown"].read_text("utf-8")
    with files["csv"].open(newline="", encoding="utf-8") as stream:
        table = list(csv.DictReader(stream))
    assert [row["name"] for row in table] == [row["name"] for row in record["results"]]
    assert [float(row["accuracy"]) for row in table] == pytest.approx([row["accuracy"] for row in record["results"]])


def test_the_same_command_again_repeats_nothing_and_says_the_same(shotwise, arguments):
    first, again = (json.loads(shotwise(*arguments, "--json")[1]) for _ in range(2))
    assert first == again


def test_a_built_in_set_needs_no_more_than_its_name(shotwise, home):
    code, out, err = shotwise("evaluate", "word-problems", "--model", "scripted", "--limit", "4", "--strategies",
                              "zero-shot,static-cot")  # fmt: skip
    assert code == 0
    assert "Building the index 'word-problems (train)' (once)." in err
    assert "static-cot (generate)" in out


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (["--strategies", "zero-shoot"], ["zero-shoot", "zero-shot"]),
        (["--strategies", " , "], ["No strategy was named"]),
        (["--reading", "label"], ["labels"]),
        (["--strategies", "static-cot"], ["No strategy is left"]),
        (["--limit", "0"], ["At least 1 sample", "--limit"]),
        (["--seeds", "0"], ["1 to 100 seeds"]),
        (["--k", "99"], ["k must be between 0 and 64"]),
        (["--label-names", "a"], ["2 different label names"]),
        (["--calibration", "magic"], ["magic", "batch"]),
        (["--index", "nowhere"], ["nowhere", "shotwise index build"]),
        (["--model", "nowhere/none"], ["nowhere/none"]),
        (["--adapter", "nowhere"], ["Leave --adapter out"]),
        (["--name", "a/b"], ["'a/b' cannot be the name"]),
        (["--name", ""], ["cannot be the name"]),
        (["--baseline", "static-few-shot"], ["static-few-shot", "zero-shot"]),
        (["--order", "backwards"], ["backwards", "nearest-last"]),
        (["--input", "txt", "--output", "label"], ["txt", "text"]),
        (["--out", "/nowhere/run.json"], ["/nowhere/run.json", "no folder"]),
        (["--html", "."], ["is a folder"]),
        (["--task", "paraphrase"], ["sentence1, sentence2"]),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_begun(shotwise, arguments, home, changed, words):
    one_sentence(shotwise(*arguments, *changed), *words)
    assert not (home / "runs").exists() or not [path for path in (home / "runs").iterdir() if path.name != ".locks"]


def test_a_missing_file_is_one_sentence(shotwise, home):
    one_sentence(shotwise("evaluate", "nowhere.jsonl", "--task", "sentiment", "--model", "scripted"), "nowhere.jsonl")


def test_a_public_set_without_its_folder_says_where_it_is_found(shotwise):
    one_sentence(shotwise("evaluate", "sst2", "--model", "scripted"), "--data DIR", "https://")


def test_a_file_without_a_task_is_told_what_to_say(shotwise, rows):
    one_sentence(shotwise("evaluate", rows, "--model", "scripted"), "--task", "sst2")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_place_that_cannot_be_written_is_told_before_the_run(shotwise, arguments, home):
    locked = home / "locked"
    locked.mkdir(mode=0o500)
    one_sentence(shotwise(*arguments, "--out", str(locked / "run.json")), "cannot be written")


def test_a_changed_plan_under_the_same_name_says_what_differs(shotwise, arguments, home):
    assert shotwise(*arguments, "--name", "mine")[0] == 0
    kept = (home / "runs" / "mine" / "run.json").read_bytes()
    one_sentence(shotwise(*arguments, "--name", "mine", "--k", "2"), "retrieval.k was 4, is 2", "--name")
    assert (home / "runs" / "mine" / "run.json").read_bytes() == kept


SLOW_MODEL = """
import sys, time
from assistant import cli
from assistant.generation import loading
from assistant.generation.chat_model import ScriptedModel
from tests.evaluation.runs import reader

def slowly(prompt, sampling):
    time.sleep(0.05)
    return reader(prompt, sampling)

loading.load_chat_model = lambda settings: ScriptedModel(slowly)
sys.exit(cli.run(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal_it_keeps_what_is_done_and_goes_on(shotwise, arguments, home, number):
    command = [sys.executable, "-c", SLOW_MODEL, *arguments, "--name", "mine", "--reading", "both"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    journal, end = home / "runs" / "mine" / "journal.jsonl", time.monotonic() + 60
    while not journal.exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    (go_on,) = [line for line in err.splitlines() if "Go on with: shotwise evaluate" in line]
    assert go_on.endswith("--name mine --reading both")
    stopped = json.loads((home / "runs" / "mine" / "run.json").read_text("utf-8"))
    assert stopped["finished"] is False
    assert "Report:" in out
    assert json.loads((home / "runs" / "mine" / "progress.json").read_text("utf-8"))["state"] == "stopped"
    subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=True)
    resumed = json.loads((home / "runs" / "mine" / "run.json").read_text("utf-8"))
    assert resumed["finished"] is True
    subprocess.run([*command[:-4], "--name", "whole", "--reading", "both"], env=environment, cwd=ROOT, check=True,
                   capture_output=True)  # fmt: skip
    whole = json.loads((home / "runs" / "whole" / "run.json").read_text("utf-8"))
    assert without_timings({**resumed, "name": ""}) == without_timings({**whole, "name": ""})


@pytest.mark.slow
def test_killed_again_and_again_with_the_built_in_model_the_report_is_the_same_but_for_its_timings(home):
    command = [sys.executable, "-m", "assistant.cli", "evaluate", "reviews", "--limit", "70", "--seeds", "3"]
    command += ["--strategies", "zero-shot,dynamic-few-shot,random-few-shot", "--reading", "both"]
    command += ["--max-new-tokens", "4", "--calibration", "contextual", "--name"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def started(name):
        return subprocess.Popen(
            [*command, name], env=environment, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    journal, kills = home / "runs" / "killed" / "journal.jsonl", 0
    while kills < 3:
        before, process, end = _size(journal), started("killed"), time.monotonic() + 300
        while _size(journal) == before and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        assert process.poll() is None, "it was done before it could be killed"
        process.kill()
        process.wait()
        kills += 1
    records = []
    for name in ("killed", "whole"):
        assert started(name).wait(timeout=600) == 0
        record = json.loads((home / "runs" / name / "run.json").read_text("utf-8"))
        records.append(without_timings({**record, "name": ""}))
    assert records[0] == records[1]
    assert len(records[0]["samples"]) == 70 * (2 * (1 + 1 + 3) + 3)


def _size(path):
    return path.stat().st_size if path.exists() else 0


@pytest.mark.parametrize(
    "typed", [("--calibration", "batch,tokens"), ("--calibration", "batch", "--calibration", "tokens")]
)
def test_calibrations_are_named_with_commas_or_one_by_one(shotwise, arguments, home, typed):
    code, out, _ = shotwise(*arguments, "--name", "calibrated", *typed, "--json")
    assert code == 0
    assert json.loads(out)["settings"]["calibrations"] == ["none", "batch", "tokens"]
