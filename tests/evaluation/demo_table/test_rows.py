"""Rows that are made for the table."""

from pathlib import Path

import pytest

from assistant.evaluation.demo_table.parts import load_parts
from assistant.evaluation.demo_table.rows import NO_PASSAGE, SILENT, is_made, made_rows, squad_questions, task_of
from assistant.finetuning.demo.stories import TEST_SEEDS, write_story
from assistant.prompting.tasks import load_task
from tests.evaluation.demo_table.tables import QUESTIONS

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"


def questions(n):
    return QUESTIONS[: 3 * n]


def test_stories_are_those_of_the_test_seeds():
    rows = made_rows("stories-3", 5, questions)
    told = [write_story(TEST_SEEDS + at, 3) for at in range(5)]
    assert [row.inputs["question"] for row in rows] == [story.question for story in told]
    assert [row.targets for row in rows] == [(str(story.answer),) for story in told]
    assert made_rows("stories-3", 3, questions) == rows[:3]


@pytest.mark.parametrize("kind", ["passage", "alone", "unanswerable"])
def test_questions_are_asked_with_the_passage_without_it_or_in_vain(kind):
    rows = made_rows(f"grounded-{kind}", 10, questions)
    assert len(rows) == len({row.id for row in rows}) == 10
    assert all((row.targets == (SILENT,)) == (kind == "unanswerable") for row in rows)
    assert all((row.inputs["passage"] == NO_PASSAGE) == (kind == "alone") for row in rows)
    assert all(row.group.startswith("Town") for row in rows)


def test_the_same_questions_are_asked_with_and_without_their_passage():
    with_it, without = (made_rows(f"grounded-{kind}", 10, questions) for kind in ("passage", "alone"))
    assert [row.inputs["question"] for row in with_it] == [row.inputs["question"] for row in without]
    assert [row.targets for row in with_it] == [row.targets for row in without]


def test_every_accepted_answer_is_a_target():
    (row,) = made_rows("grounded-passage", 1, questions)
    assert row.targets == (QUESTIONS[1].answer, *QUESTIONS[1].also)


@pytest.mark.shared
def test_there_are_enough_questions_on_articles_kept_out_of_training():
    if not SHARED.is_dir():
        pytest.skip("the shared data sets are not there")
    n = max(run.rows for run in load_parts().runs if run.source.startswith("grounded-"))
    for kind in ("passage", "alone", "unanswerable"):
        assert len(made_rows(f"grounded-{kind}", n, squad_questions(SHARED))) == n


def test_what_the_task_asks_for_in_vain_is_what_is_counted():
    assert SILENT in load_task("grounded-qa").wording().instruction


def test_made_rows_are_told_from_data_sets():
    assert is_made("stories-2")
    assert not is_made("sst2")
    assert (task_of("stories-2"), task_of("grounded-alone")) == ("word-problems", "grounded-qa")
