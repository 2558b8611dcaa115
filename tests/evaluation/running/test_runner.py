import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from assistant.errors import IndexNotFound, RunProblem
from assistant.evaluation.outcomes import Arm
from assistant.evaluation.reports.report import without_timings
from assistant.evaluation.running.journal import FILE as JOURNAL
from assistant.evaluation.running.journal import locked, read_journal
from assistant.evaluation.running.progress import FILE as PROGRESS
from assistant.evaluation.running.runner import PLAN, evaluate, read_plan
from assistant.retrieval.encoders import ToyEncoder
from assistant.settings import RetrievalSettings
from tests.evaluation.runs import ARMS, SAMPLES, assistant, reader, toy_plan
from tests.toys import make_reviews

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(home):
    make_reviews(home)
    return home / "runs" / "run"


def result(record, name):
    return next(row for row in record["results"] if row["name"] == name)


def test_a_run_answers_every_sample_with_every_arm_and_seed(folder):
    record = evaluate(toy_plan(), assistant(), folder)
    assert record["finished"]
    assert [row["name"] for row in record["results"]] == [arm.name for arm in ARMS]
    answered = [(one["strategy"], one["reading"], one["seed"], one["id"]) for one in record["samples"]]
    expected = [
        (arm.strategy, arm.reading, seed, sample.id)
        for arm in ARMS
        for seed in toy_plan().seeds_of(arm)
        for sample in SAMPLES
    ]
    assert answered == expected
    assert result(record, "zero-shot (labels)")["accuracy"] == 1.0


def test_what_is_written_is_what_is_returned(folder):
    record = evaluate(toy_plan(), assistant(), folder)
    assert json.loads((folder / "run.json").read_text("utf-8")) == json.loads(json.dumps(record))
    assert read_plan(folder)[0] == toy_plan()


def test_the_same_command_again_asks_the_model_nothing(folder):
    first = evaluate(toy_plan(), assistant(), folder)
    again = assistant()
    assert evaluate(toy_plan(), again, folder) == first
    assert again.model.history == []


def test_a_stopped_run_goes_on_where_it_was_and_gives_the_same_report(folder):
    whole = evaluate(toy_plan(name="whole"), assistant(), folder.with_name("whole"))
    stop, told, asked = threading.Event(), [], []
    for blocks in range(1, 30):
        stop.clear()

        def count(progress, blocks=blocks):
            told.append(progress)
            if progress.state == "running" and progress.done >= 7 * 3 + 3 * blocks:
                stop.set()

        model = assistant()
        record = evaluate(toy_plan(name="whole"), model, folder, stop=stop, report=count)
        asked.append(len(model.model.history))
        if record["finished"]:
            break
        assert (told[-1].state, record["finished"]) == ("stopped", False)
        assert "goes on" in told[-1].sentence
    assert len(asked) > 5
    assert without_timings(record) == without_timings(whole)
    assert told[-1].state == "done"


def test_a_stop_in_the_middle_of_a_block_keeps_whole_blocks_only(folder):
    stop, asked = threading.Event(), []

    def rule(prompt, sampling):
        asked.append(prompt)
        if len(asked) == 5:
            stop.set()
        return reader(prompt, sampling)

    arms = (Arm("zero-shot", "generate"), Arm("static-few-shot", "generate"))
    plan = toy_plan(arms=arms, check_size=0, baseline=arms[0].name)
    record = evaluate(plan, assistant(rule), folder, stop=stop)
    assert not record["finished"]
    assert [(row["name"], row["n"]) for row in record["results"]] == [(arms[0].name, 3)]
    assert [len(outcomes) for outcomes in read_journal(folder).values()] == [3]
    assert any("0 of 7 samples were answered by every strategy" in note for note in record["notes"])


def test_stopped_before_anything_was_answered_there_is_still_a_record(folder):
    stop = threading.Event()
    stop.set()
    record = evaluate(toy_plan(), assistant(), folder, stop=stop)
    assert (record["finished"], record["results"], record["pairs"], record["samples"]) == (False, [], [], [])
    assert record["power"] is None


def test_a_changed_plan_under_the_same_name_is_refused_and_nothing_is_lost(folder):
    evaluate(toy_plan(), assistant(), folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(RunProblem, match=r"'run' was planned otherwise: .*retrieval\.k was 4, is 2") as caught:
        evaluate(toy_plan(retrieval=RetrievalSettings(k=2)), assistant(), folder)
    assert "--name" in caught.value.hint
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_other_notes_are_no_other_plan(folder):
    evaluate(toy_plan(), assistant(), folder)
    assert evaluate(toy_plan(notes=("Something new.",)), assistant(), folder)["finished"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"created": "x"}', '{"created": "x", "format": 1, "surprise": 1}'])
def test_a_plan_that_cannot_be_read_is_an_error(folder, text):
    folder.mkdir(parents=True)
    (folder / PLAN).write_text(text)
    with pytest.raises(RunProblem, match="The plan of the run 'run' cannot be read"):
        evaluate(toy_plan(), assistant(), folder)


def test_the_folder_of_an_advice_is_refused_and_left_as_it_is(folder):
    folder.mkdir(parents=True)
    (folder / "advice-plan.json").write_text("{}")
    with pytest.raises(RunProblem, match="is that of an advice"):
        evaluate(toy_plan(), assistant(), folder)
    assert [one.name for one in folder.iterdir()] == ["advice-plan.json"]


def test_a_journal_without_its_plan_is_refused(folder):
    evaluate(toy_plan(), assistant(), folder)
    (folder / PLAN).unlink()
    with pytest.raises(RunProblem, match="a journal and no plan"):
        evaluate(toy_plan(), assistant(), folder)


def test_two_at_once_on_one_run_are_refused(folder):
    with locked(folder), pytest.raises(RunProblem, match="another process"):
        evaluate(toy_plan(), assistant(), folder)
    assert evaluate(toy_plan(), assistant(), folder)["finished"]


def test_an_error_in_the_middle_is_told_and_what_was_finished_is_kept(folder):
    plan = toy_plan(arms=(Arm("zero-shot", "labels"), Arm("dynamic-few-shot", "labels")), index="nowhere")
    told = []
    with pytest.raises(IndexNotFound):
        evaluate(plan, assistant(), folder, report=told.append)
    assert told[-1].state == "failed"
    assert "nowhere" in told[-1].sentence
    assert json.loads((folder / PROGRESS).read_text("utf-8"))["state"] == "failed"


def test_progress_counts_up_to_the_total_and_knows_the_accuracy_so_far(folder):
    told = []
    record = evaluate(toy_plan(), assistant(), folder, report=told.append)
    assert [one.done for one in told] == sorted(one.done for one in told)
    assert (told[0].done, told[-1].done, told[-1].total) == (0, told[-1].total, len(record["samples"]))
    by_name = {arm.name: arm for arm in told[-1].arms}
    for row in record["results"]:
        arm = by_name[row["name"]]
        assert (arm.done, arm.total) == (row["answers"], row["answers"])
        assert arm.accuracy == pytest.approx(row["accuracy"])
        if len(row["seeds"]) == 1:
            assert list(arm.interval) == pytest.approx(row["accuracy_interval"])
        else:
            assert arm.interval is None
    kept = json.loads((folder / PROGRESS).read_text("utf-8"))
    assert kept["state"] == "done"
    assert set(kept) == {
        *("state", "sentence", "done", "total", "seconds", "seconds_left", "arms", "pid", "updated"),
    }
    assert set(kept["arms"][0]) == {"name", "done", "total", "accuracy", "interval"}


def test_progress_is_written_at_most_twice_a_second(folder, monkeypatch):
    written = []

    def note(path, value):
        written.append((time.perf_counter(), value["state"]))

    monkeypatch.setattr("assistant.evaluation.running.progress.write_json", note)
    told = []
    evaluate(toy_plan(), assistant(), folder, report=told.append)
    running = [at for at, state in written if state == "running"]
    assert all(after - before >= 0.49 for before, after in itertools.pairwise(running))
    assert len(running) < len(told)
    assert written[-1][1] == "done"


def test_the_log_tells_every_block_with_its_time(folder):
    told = []
    evaluate(toy_plan(), assistant(), folder, report=told.append)
    lines = (folder / "log.txt").read_text("utf-8").splitlines()
    assert [line.split(": ", 1)[1] for line in lines] == [one.sentence for one in told]
    assert lines[-1].endswith("Done.")


def test_a_finished_run_told_again_is_done_at_once(folder):
    evaluate(toy_plan(), assistant(), folder)
    told = []
    evaluate(toy_plan(), assistant(), folder, report=told.append)
    assert [(one.state, one.done == one.total) for one in told] == [("running", True), ("done", True)]


def test_questions_are_embedded_once_and_in_the_same_company_however_often_a_run_is_killed(folder, monkeypatch):
    def embedded(target):
        seen = []
        before = ToyEncoder.encode
        with monkeypatch.context() as patch:
            patch.setattr(ToyEncoder, "encode", lambda self, texts: seen.append(tuple(texts)) or before(self, texts))
            evaluate(toy_plan(), assistant(), target)
        return seen

    texts = [sample.inputs["text"] for sample in SAMPLES]
    stretches = [tuple(texts[at : at + 3]) for at in (0, 3, 6)]
    assert embedded(folder) == stretches
    lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
    for kept in (1, 3, 9):
        resumed = folder.with_name(f"resumed-{kept}")
        resumed.mkdir()
        (resumed / PLAN).write_bytes((folder / PLAN).read_bytes())
        (resumed / JOURNAL).write_bytes(b"".join(lines[:kept]))
        assert set(embedded(resumed)) <= set(stretches)


WORKER = """
import sys, time
from pathlib import Path
from assistant.evaluation.running.runner import evaluate
from tests.evaluation.runs import assistant, reader, toy_plan

def slowly(prompt, sampling):
    time.sleep(0.004)
    return reader(prompt, sampling)

plan = toy_plan(name="killed", block_size=1)
evaluate(plan, assistant(slowly), Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_killed_twenty_times_and_resumed_a_run_gives_the_same_report_but_for_its_timings(folder):
    plan = toy_plan(name="killed", block_size=1)
    whole = evaluate(plan, assistant(), folder.with_name("whole"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    draw, kills = random.Random(7), 0
    while kills < 20:
        worker = subprocess.Popen([sys.executable, "-c", WORKER, str(folder)], env=environment, cwd=ROOT)
        _wait_until_it_grows(folder / JOURNAL, worker)
        time.sleep(draw.random() * 0.02)
        if worker.poll() is not None:
            break
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        kills += 1
    assert kills == 20
    assert without_timings(evaluate(plan, assistant(), folder)) == without_timings(whole)


def _wait_until_it_grows(journal, worker):
    before, end = _size(journal), time.monotonic() + 60
    while _size(journal) == before and worker.poll() is None:
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.001)


def _size(path):
    return path.stat().st_size if path.exists() else 0


def test_a_run_is_done_only_after_its_reports_are_written(folder):
    told, states = [], []

    def publish(record):
        states.append((json.loads((folder / PROGRESS).read_text("utf-8"))["state"], told[-1].state, record["finished"]))

    evaluate(toy_plan(), assistant(), folder, report=told.append, publish=publish)
    assert states == [("running", "running", True)]
    assert told[-1].state == "done"


def test_a_report_that_cannot_be_written_leaves_the_run_failed_and_it_can_go_on(folder):
    def publish(record):
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        evaluate(toy_plan(), assistant(), folder, publish=publish)
    assert json.loads((folder / PROGRESS).read_text("utf-8"))["state"] == "failed"
    again = assistant()
    assert evaluate(toy_plan(), again, folder)["finished"]
    assert again.model.history == []


def test_whoever_searches_pays_a_share_of_the_embedding(folder, monkeypatch):
    encode = ToyEncoder.encode

    def slow(encoder, texts, *rest, **more):
        time.sleep(0.1 * len(texts))
        return encode(encoder, texts, *rest, **more)

    monkeypatch.setattr(ToyEncoder, "encode", slow)
    arms = (Arm("zero-shot", "labels"), Arm("dynamic-few-shot", "labels"), Arm("knn-vote", "none"))
    record = evaluate(toy_plan(arms=arms, baseline=arms[0].name), assistant(), folder)
    for one in record["samples"]:
        assert (one["seconds"] >= 0.1) is (one["strategy"] != "zero-shot")
