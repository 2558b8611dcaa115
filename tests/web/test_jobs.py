"""Evaluations run beside the page: one at a time, state on disk, no orphan left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assistant import paths
from assistant.errors import SettingError
from assistant.web.jobs import Jobs
from assistant.web.run_state import RunState
from tests.web.made_runs import write_progress

SLOW = Path(__file__).with_name("slow_evaluation.py")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def jobs():
    made = Jobs([sys.executable, str(SLOW)])
    yield made
    made.close()


def start(jobs, name="one", ending="done"):
    jobs.start(name, [ending, str(paths.runs() / name)], title="a title")


def wait_for(condition, patience_s=20):
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < patience_s, "it did not happen"
        time.sleep(0.02)


def lives(pid):
    """Return whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_run_is_followed_from_its_start_to_its_end(jobs):
    start(jobs)
    first = jobs.state("one")
    assert (first.state, first.ours, first.title) == ("running", True, "a title")
    wait_for(lambda: jobs.state("one").done > 2)
    assert jobs.running() == "one"
    wait_for(lambda: jobs.state("one").state == "done")
    assert jobs.running() is None
    assert not jobs.state("one").can_go_on


def test_stopping_keeps_what_is_done_and_going_on_begins_there(jobs):
    start(jobs)
    wait_for(lambda: jobs.state("one").done > 2)
    jobs.stop("one")
    assert jobs.state("one").stopping or jobs.state("one").state == "stopped"
    wait_for(lambda: jobs.state("one").state == "stopped")
    stopped = jobs.state("one")
    assert stopped.can_go_on
    assert 2 < stopped.done < 40
    jobs.go_on("one")
    wait_for(lambda: jobs.state("one").state == "running" and jobs.state("one").sentence == "Answering.")
    assert jobs.state("one").done >= stopped.done
    wait_for(lambda: jobs.state("one").state == "done")


def test_a_second_run_has_to_wait_and_says_for_what(jobs):
    start(jobs)
    with pytest.raises(SettingError, match="'one' is not done"):
        start(jobs, "two")
    assert jobs.state("two") is None
    assert not (paths.runs() / "two").exists()


def test_a_name_is_taken_once(jobs):
    start(jobs, ending="fail")
    wait_for(lambda: jobs.running() is None)
    with pytest.raises(SettingError, match="already"):
        start(jobs)


@pytest.mark.parametrize("name", ["", "../out", ".hidden", "a/b", "-rf"])
def test_a_name_that_leaves_the_folder_is_refused(jobs, name):
    with pytest.raises(SettingError):
        start(jobs, name)
    assert jobs.state(name) is None


def test_what_a_failed_process_said_last_is_told(jobs):
    start(jobs, ending="fail")
    wait_for(lambda: jobs.running() is None)
    failed = jobs.state("one")
    assert (failed.state, failed.sentence) == ("failed", "There is no strategy named 'x'.")
    assert failed.can_go_on


def test_what_a_process_says_while_it_prepares_is_shown(jobs):
    start(jobs, ending="prepare")
    wait_for(lambda: "rows/s" in jobs.state("one").sentence)
    assert jobs.state("one").sentence == "50% of 10 rows/s"
    jobs.stop("one")
    wait_for(lambda: jobs.running() is None)
    assert (jobs.state("one").state, jobs.state("one").done) == ("stopped", 0)


def test_a_process_that_was_killed_is_interrupted_and_can_go_on(jobs):
    start(jobs, ending="crash")
    wait_for(lambda: jobs.running() is None)
    broken = jobs.state("one")
    assert (broken.state, broken.can_go_on, broken.done) == ("interrupted", True, 2)


def test_another_server_sees_the_run_and_can_go_on_with_it_once_it_is_dead(jobs):
    start(jobs, ending="crash")
    wait_for(lambda: jobs.running() is None)
    other = Jobs([sys.executable, str(SLOW)])
    assert other.state("one").state == "interrupted"
    record = json.loads((paths.runs() / "one/job.json").read_text())
    record["arguments"][0] = "done"
    (paths.runs() / "one/job.json").write_text(json.dumps(record))
    other.go_on("one")
    wait_for(lambda: other.state("one").state == "done")
    other.close()


def test_a_run_of_another_living_process_is_running_but_not_ours(jobs):
    write_progress(paths.runs() / "theirs", pid=os.getpid())
    theirs = jobs.state("theirs")
    assert (theirs.state, theirs.ours, theirs.can_go_on) == ("running", False, False)
    jobs.stop("theirs")  # nothing of ours: nothing happens, least of all to this test
    with pytest.raises(SettingError, match="another process"):
        jobs.go_on("theirs")


def test_a_dead_process_without_a_last_word_is_interrupted(jobs):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write_progress(paths.runs() / "gone", pid=gone.pid)
    assert jobs.state("gone").state == "interrupted"


def test_a_silent_process_number_may_be_anothers_by_now(jobs):
    folder = paths.runs() / "old"
    write_progress(folder, pid=os.getpid())
    progress = json.loads((folder / "progress.json").read_text())
    (folder / "progress.json").write_text(json.dumps(progress | {"updated": time.time() - 86_400}))
    assert jobs.state("old").state == "interrupted"


def test_torn_files_are_no_run_and_no_error(jobs):
    folder = paths.runs() / "torn"
    folder.mkdir(parents=True)
    (folder / "progress.json").write_text('{"state": "run')
    assert jobs.state("torn") is None
    assert jobs.runs() == []


def test_the_newest_run_comes_first_and_other_folders_are_none(jobs):
    (paths.runs() / "checkpoints").mkdir(parents=True)
    start(jobs, "first", "fail")
    wait_for(lambda: jobs.running() is None)
    start(jobs, "second", "fail")
    assert [run.name for run in jobs.runs()] == ["second", "first"]


def test_a_value_that_no_process_can_be_given_is_one_sentence(jobs):
    with pytest.raises(SettingError, match="cannot be passed on"):
        jobs.start("one", ["done\0"])


def test_closing_ends_the_run(jobs):
    start(jobs)
    wait_for(lambda: jobs.state("one").done > 0)
    pid = json.loads((paths.runs() / "one/progress.json").read_text())["pid"]
    jobs.close()
    assert not lives(pid)
    assert jobs.state("one").state == "stopped"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_run_outlives_its_server_however_that_ends(number, home):
    program = f"""
import sys, time
from assistant import paths
from assistant.web.jobs import Jobs
from assistant.web.run_state import RunState
jobs = Jobs([sys.executable, {str(SLOW)!r}])
jobs.start("one", ["done", str(paths.runs() / "one")])
time.sleep(60)
"""
    server = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=os.environ | {"SHOTWISE_HOME": str(home)})
    progress = paths.runs() / "one/progress.json"
    wait_for(progress.exists)
    pid = json.loads(progress.read_text())["pid"]
    server.send_signal(number)
    server.wait(10)
    wait_for(lambda: not lives(pid))
    assert json.loads(progress.read_text())["state"] == "stopped"


@pytest.mark.slow
def test_the_tether_ends_the_real_command_when_the_other_side_goes(home):
    program = [sys.executable, "-m", "assistant.web.tether"]
    source = home / "rows.csv"
    os.mkfifo(source)  # reading it waits for ever: the command is caught in the middle
    asked = ["evaluate", "--task=sentiment", "--strategies=zero-shot", "--model=scripted", "--", str(source)]
    job = subprocess.Popen([*program, *asked], stdin=subprocess.PIPE, cwd=ROOT, stderr=subprocess.DEVNULL)
    with pytest.raises(subprocess.TimeoutExpired):
        job.wait(3)
    job.stdin.close()
    job.wait(15)
    assert job.returncode != 0


@pytest.mark.parametrize(("was", "shown"), [("interrupted", "stopped"), ("failed", "failed"), ("done", "done")])
def test_only_a_run_that_broke_off_counts_as_stopped_and_a_failure_is_told(was, shown):
    state = RunState("one", "evaluate", "a title", was, "It broke off: OSError.", 0.0).being_stopped()
    assert state.state == shown
    assert (state.sentence == "It broke off: OSError.") is (shown != "stopped")
