"""What an evaluation looks like on a terminal."""

import io
import re

import pytest

from assistant.commands import evaluation_board
from assistant.commands.evaluation_board import Board, board_lines, duration, leaderboard, line
from assistant.evaluation.running.progress import ArmProgress, Progress


def progress(done, state="running", arms=3, left=None):
    shown = tuple(
        ArmProgress(f"arm {at}", done, 40, 0.5 if done else None, (0.4, 0.6) if done else None) for at in range(arms)
    )
    return Progress(state, "Working.", done * arms, 40 * arms, 1.0, left, shown)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(evaluation_board.time, "perf_counter", lambda: now[0])
    return now


def test_a_line_says_how_many_answers_there_are_and_how_long_it_takes():
    told = line(progress(20, left=75))
    assert "60 of 120 answers, 75 s left  Working." in told
    assert told.count("█") == told.count("░") == 15
    assert line(progress(40, "done")).startswith("█" * 30 + " 120 of 120 answers  ")


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (7200, "2.0 h")]
)
def test_time_is_told_as_a_person_says_it(seconds, told):
    assert duration(seconds) == told


def test_the_board_shows_the_accuracy_of_every_arm_so_far():
    first, *_, last = board_lines(progress(20), 24)
    assert re.fullmatch(r"  arm 0 +20/40 +50\.0% \(40\.0% to 60\.0%\)", first)
    assert "60 of 120" in last
    assert board_lines(progress(0), 24)[0].split() == ["arm", "0", "0/40"]


def test_a_board_is_never_higher_than_the_terminal():
    lines = board_lines(progress(20, arms=30), 10)
    assert len(lines) == 10
    assert lines[-2] == "  … and 22 more"
    assert len(board_lines(progress(20, arms=9), 10)) == 10


def test_on_a_terminal_the_board_is_written_over_itself(monkeypatch, clock):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(evaluation_board.shutil, "get_terminal_size", lambda: (60, 24))
    with Board() as board:
        board.tell(progress(0))
        board.tell(progress(1))
        clock[0] += 1
        board.tell(progress(20))
    written = terminal.getvalue()
    assert written.count("\033[4F") == 1
    assert all(len(text.removeprefix("\033[4F").removeprefix("\033[K")) < 60 for text in written.split("\n"))


def test_elsewhere_a_line_is_printed_now_and_then_and_at_the_end(monkeypatch, clock, capsys):
    with Board() as board:
        for done in range(41):
            clock[0] += 1
            board.tell(progress(done))
        board.tell(progress(40, "done"))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert "120 of 120" in lines[-1]


def test_without_answers_there_is_no_table():
    assert leaderboard({"results": []}) == "Nothing was answered yet."
