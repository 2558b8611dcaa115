"""A finished run on the page: the right samples in each list, nothing called better that is not, text stays text."""

import html
import json
import re
import time

import pytest

from assistant import paths
from assistant.errors import DataError, SettingError
from assistant.evaluation.running.progress import ArmProgress
from assistant.web import leaderboard_view, progress_view, samples_view
from assistant.web.evaluate_page import EvaluatePage
from assistant.web.jobs import Jobs
from assistant.web.opened_run import PAGE, UNREADABLE, Choice, OpenedRun, RunShelf, cut
from assistant.web.run_state import RunState
from tests.web.made_runs import ARMS, HOSTILE, write_progress, write_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("home") / "runs" / "made"
    write_run(made, 61)
    return made


@pytest.fixture
def run(folder, monkeypatch):
    monkeypatch.setenv("SHOTWISE_HOME", str(folder.parents[1]))
    return RunShelf().open("made")


def plain(text):
    return html.unescape(re.sub(r"<[^>]*>", " ", text))


def picked(text):
    return [json.loads(html.unescape(found)) for found in re.findall(r'data-pick="([^"]*)"', text)]


def test_every_confusion_cell_lists_exactly_its_samples(run):
    for number, row in enumerate(run.rows):
        confusion = row["confusion"]
        for target, counts in zip(confusion["labels"], confusion["counts"], strict=True):
            for answer, count in zip(confusion["columns"], counts, strict=True):
                assert len(run.chosen(Choice(number, target=target, answer=answer))) == count
    assert sum(run.rows[1]["confusion"]["counts"][0]) > run.rows[1]["confusion"]["counts"][0][0]


def test_cells_with_samples_are_buttons_and_empty_ones_are_not(run):
    row = run.rows[1]
    shown = samples_view.confusion_html(run, "made", Choice(1, target="negative", answer=UNREADABLE))
    filled = sum(count > 0 for counts in row["confusion"]["counts"] for count in counts)
    assert len(picked(shown)) == filled == shown.count("<button")
    assert {"target": "negative", "answer": UNREADABLE} in picked(shown)
    assert shown.count('aria-pressed="true"') == 1


@pytest.mark.parametrize("kind", ["right", "wrong", "unreadable", "kept-out", "all"])
def test_the_kinds_of_answers_are_told_apart(run, kind):
    expected = {
        "right": lambda one: one["correct"],
        "wrong": lambda one: not one["correct"],
        "unreadable": lambda one: one["final_answer"] is None,
        "kept-out": lambda one: one["excluded"],
        "all": lambda one: True,
    }[kind]
    for number in range(len(ARMS)):
        of_row = run.outcomes(number)
        assert run.chosen(Choice(number, kind)) == [one for one in of_row if expected(one)]


def test_samples_come_twenty_at_a_time_and_the_pages_hold_all(run):
    ids = []
    for page in range(4):
        shown = samples_view.samples_html(run, "made", Choice(0, page=page))
        ids += re.findall(r'data-id="(s\d+)"', shown)
        assert len(re.findall(r"data-id=", shown)) <= PAGE
    assert sorted(ids) == sorted(f"s{number}" for number in range(61))


def test_the_pages_know_their_neighbours(run):
    first = picked(samples_view.samples_html(run, "made", Choice(0)))
    assert {"page": 1} in first
    assert cut(list(range(61)), 99)[:2] == (3, 4)
    assert cut(list(range(61)), -5)[0] == 0
    assert cut([], 0) == (0, 1, [])


def test_prompts_are_not_sent_until_they_are_asked_for(run):
    shown = samples_view.samples_html(run, "made", Choice(0))
    assert "Judge." not in shown
    assert "data-prompt" in shown
    assert run.outcome(0, "s3", 0)["prompt"].startswith("<|system|>")
    assert run.outcome(0, "nobody", 0) is None


def test_flipped_samples_are_those_that_one_alone_has_right(run):
    right = [{one["id"] for one in run.outcomes(number) if one["correct"]} for number in (0, 2)]
    pairs = run.flipped(0, 2)
    assert {one["id"] for one, _ in pairs} == right[0] ^ right[1]
    assert all(one["id"] == other["id"] for one, other in pairs)
    shown = plain(samples_view.flipped_html(run, "made", (0, 2), 0, ("A", "B")))
    assert f"{len(right[0] - right[1])} only by A, {len(right[1] - right[0])} only by B" in shown
    assert "two different" in samples_view.flipped_html(run, "made", (1, 1), 0, ("A", "A"))


def test_where_nothing_is_right_or_wrong_the_worst_and_the_widest_gap_come_first():
    def outcome(strategy, number, score):
        record = {"strategy": strategy, "reading": "generate", "id": f"s{number}", "seed": 0, "targets": ["A summary."]}
        evidence = {"demonstrations": [], "excluded": [], "prompt": "", "answer": "Said.", "problem": ""}
        return {**record, **evidence, "final_answer": "Said.", "correct": None, "score": score}

    scores = {"one": (0.9, 0.1, 0.5, 0.4), "two": (0.2, 0.3, 0.5, 0.5)}
    outcomes = [outcome(name, at, score) for name, found in scores.items() for at, score in enumerate(found)]
    rows = [{"name": name, "strategy": name, "reading": "generate", "calibration": "none"} for name in scores]
    run = OpenedRun({"results": rows, "samples": outcomes}, {})
    assert [one["id"] for one in run.chosen(Choice(0))] == ["s1", "s3", "s2", "s0"]
    assert run.chosen(Choice(0, "wrong")) == run.chosen(Choice(0, "right")) == []
    assert [one["id"] for one, _ in run.flipped(0, 1)] == ["s0", "s1", "s3"]
    shown = plain(samples_view.flipped_html(run, "x", (0, 1), 0, ("one", "two")))
    assert "3 answers have different scores" in shown


def test_markup_in_samples_prompts_and_names_is_text(run):
    shown = samples_view.samples_html(run, "made", Choice(0)) + samples_view.flipped_html(
        run, "made", (0, 2), 0, (HOSTILE, HOSTILE)
    )
    assert "<img" not in shown
    assert HOSTILE in html.unescape(shown)


def test_better_is_said_only_where_the_statistics_say_it(run):
    verdicts = {pair["b"]: pair["verdict"] for pair in run.record["pairs"]}
    board = leaderboard_view.leaderboard_html(run.record)
    assert board.count(">better<") == list(verdicts.values()).count("better") == 1
    for row in re.findall(r"<tr class.*?</tr>", board)[0:]:
        name = next(name for name in (*verdicts, run.record["baseline"]) if name in row)
        assert (">better<" in row) == (verdicts.get(name) == "better")
    assert "more needed" in plain(board)


def test_no_winner_is_named_when_nothing_can_be_told_apart(home):
    record = write_run(paths.runs() / "even", 20, arms=[(name, reading, 0.6) for name, reading, _ in ARMS])
    shown = plain(leaderboard_view.verdict_html(record))
    assert "No strategy is measurably better than zero-shot (labels)." in shown
    assert ">better<" not in leaderboard_view.leaderboard_html(record)


def test_the_figures_of_the_leaderboard_are_those_of_the_record(run):
    shown = plain(leaderboard_view.leaderboard_html(run.record))
    for row in run.rows:
        low, high = row["accuracy_interval"]
        assert f"{100 * row['accuracy']:.1f} %" in shown
        assert f"{100 * low:.1f} to {100 * high:.1f}" in shown
    assert f"{run.rows[1]['parse_failures']} of 61" in shown


def test_checks_tell_unreadable_replies_and_what_was_kept_out(run):
    shown = plain(leaderboard_view.checks_html(run.record))
    assert "the reply names no label" in shown
    assert "a near copy of the question" in shown
    assert "written for this test" in shown


def test_a_guard_that_was_off_is_told(run):
    record = json.loads(json.dumps(run.record))
    record["settings"]["retrieval"]["guard"]["enabled"] = False
    assert "leak guard was off" in leaderboard_view.verdict_html(record)


def test_an_unfinished_run_says_so(home):
    record = write_run(paths.runs() / "half", 10, finished=False)
    assert "not finished" in leaderboard_view.facts_html(record, "half")


def test_a_calibrated_row_lists_its_own_answers(home):
    folder = paths.runs() / "calibrated"
    record = write_run(folder, 40, calibrations=("none", "characters", "batch"))
    run = RunShelf().open("calibrated")
    for number, row in enumerate(record["results"]):
        for target, counts in zip(row["confusion"]["labels"], row["confusion"]["counts"], strict=True):
            for answer, count in zip(row["confusion"]["columns"], counts, strict=True):
                assert len(run.chosen(Choice(number, target=target, answer=answer))) == count
    assert any(row["calibration"] == "batch" for row in record["results"])


def test_a_run_is_read_again_when_it_has_changed_and_only_then(home):
    folder = paths.runs() / "one"
    write_run(folder, 10)
    shelf = RunShelf()
    first = shelf.open("one")
    assert shelf.open("one") is first
    time.sleep(0.02)
    write_run(folder, 12)
    assert len(shelf.open("one").outcomes(0)) == 12


def test_a_run_without_figures_and_a_bad_record_are_one_sentence(home):
    (paths.runs() / "empty").mkdir(parents=True)
    with pytest.raises(DataError, match="no figures"):
        RunShelf().open("empty")
    (paths.runs() / "empty/run.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        RunShelf().open("empty")
    with pytest.raises(SettingError):
        RunShelf().open("../etc")


def test_a_run_that_answered_nothing_is_no_error():
    run = OpenedRun({"results": [], "samples": []}, {})
    assert samples_view.confusion_html(run, "x", Choice()) == samples_view.NO_LABELS


def test_progress_tells_share_time_left_and_running_accuracy():
    state = RunState(
        "a-run", "evaluate", "", "running", "Answering.", 0.0, 30, 120, 12.0, 90.0,
        (ArmProgress("zero-shot (labels)", 30, 40, 0.5, (0.33, 0.67)),),
    )  # fmt: skip
    shown = progress_view.progress_html(state)
    assert 'aria-valuenow="25"' in shown
    assert "30 of 120 answers · about 2 minutes left" in plain(shown)
    assert "50.0 % 33 to 67" in " ".join(plain(shown).split())


def test_a_failure_is_announced():
    state = RunState("a", "evaluate", "", "failed", HOSTILE, 0.0)
    shown = progress_view.progress_html(state)
    assert 'role="alert"' in shown
    assert "<img" not in shown


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 second"), (40, "40 seconds"), (200, "about 3 minutes"), (7300, "about 2 hours"), (None, "")],
)
def test_a_time_is_told_in_words(seconds, words):
    assert progress_view.duration(seconds) == words


def test_the_list_of_runs_marks_the_one_that_is_looked_at():
    runs = [RunState(name, "evaluate", "", "done", "", 0.0) for name in ("one", "two")]
    shown = progress_view.runs_html(runs, "two")
    assert picked(shown) == [{"run": "one"}, {"run": "two"}]
    assert shown.count('aria-current="true"') == 1
    assert "appears here" in progress_view.runs_html([])


def test_what_an_answer_that_came_late_left_in_the_browser_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOTWISE_HOME", str(tmp_path))
    write_progress(tmp_path / "runs/told", "stopped")
    # Every component stands for itself by its name.
    page = EvaluatePage(Jobs(), *list(EvaluatePage.__dataclass_fields__)[1:])
    state = page.jobs.state("told")
    seen, now = page.listed("told")["seen"], progress_view.progress_html(state)
    assert page.looked("told", seen, f"told {state.state}", now) == {}
    late = page.looked("told", seen, f"told {state.state}", "<p>Stopping: what is being answered is finished first</p>")
    assert late["progress"]["value"] == now
    assert late["stop"]["visible"] is False
