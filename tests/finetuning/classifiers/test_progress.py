"""The curve of a training: kept line by line, thinned for the card, and cut back where a resumed training begins."""

import pytest

from assistant.finetuning.classifiers import progress
from assistant.finetuning.classifiers.progress import Progress


def line(step, **others):
    return Progress(step=step, steps=10, epoch=step / 5, seconds=1.0, seconds_left=None, **others)


def test_a_thinned_curve_has_means_of_runs_and_every_line_about_the_rows_kept_aside():
    lines = [line(step, loss=float(step)).to_json() for step in range(1, 10)]
    lines.insert(5, line(5, dev_loss=0.5).to_json())
    thin = progress.thinned(lines, most=3)
    assert [one["loss"] for one in thin if "loss" in one] == [2.0, 5.0, 8.0]
    assert [one["dev_loss"] for one in thin if "dev_loss" in one] == [0.5]
    assert progress.thinned(lines, most=9) == lines
    assert progress.thinned([]) == []


def test_lines_after_the_checkpoint_are_dropped_and_half_a_line_is_passed_over(tmp_path):
    for step in (1, 2, 3):
        progress.append(tmp_path, line(step, loss=0.5))
    with (tmp_path / progress.FILE).open("a") as stream:
        stream.write('{"step": 4, "lo')
    assert [one["step"] for one in progress.read(tmp_path)] == [1, 2, 3]
    progress.forget_after(tmp_path, 2)
    progress.append(tmp_path, line(3, loss=0.25))
    assert [(one["step"], one["loss"]) for one in progress.read(tmp_path)] == [(1, 0.5), (2, 0.5), (3, 0.25)]


def test_there_may_be_no_curve_yet(tmp_path):
    assert progress.read(tmp_path) == []
    progress.forget_after(tmp_path, -1)
    assert progress.read(tmp_path) == []


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (line(3, loss=0.5), "Step 3 of 10, loss 0.5000."),
        (line(5, dev_loss=0.4, dev_accuracy=0.75), "Epoch 1: loss 0.4000, accuracy 75.0% on the rows kept aside."),
        (Progress(1, 2, 0.0, 1.0, 30.0), "Step 1 of 2, 30 s left."),
        (Progress(1, 2, 0.0, 1.0, 600.0), "Step 1 of 2, 10 min left."),
    ],
)
def test_a_line_is_told_in_words(told, words):
    assert told.sentence == words
