"""Rows that are made for the table and stand in no data set: stories of test seeds, questions about passages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from assistant.evaluation.outcomes import Sample
from assistant.finetuning.demo.stories import TEST_SEEDS, write_story

SILENT = "The passage does not say."
"""The reply that the task asks for where the passage has no answer."""
NO_PASSAGE = "(none)"
"""Stands where a passage would: a message has no empty parts."""
SEED = 13
STORIES, GROUNDED = "stories-", "grounded-"


class Asked(Protocol):
    """A question about a passage; an `answer` of None: the passage does not say."""

    @property
    def title(self) -> str:
        """Return the title of the article."""
        ...

    @property
    def passage(self) -> str:
        """Return what is read."""
        ...

    @property
    def question(self) -> str:
        """Return what is asked."""
        ...

    @property
    def answer(self) -> str | None:
        """Return the words of the passage that answer it."""
        ...

    @property
    def also(self) -> Sequence[str]:
        """Return other words that are accepted."""
        ...


Questions = Callable[[int], Sequence[Asked]]
"""From a number to as many questions with an answer, and as many without."""


def is_made(source: str) -> bool:
    """Return whether rows of this name are made here."""
    return source.startswith((STORIES, GROUNDED))


def task_of(source: str) -> str:
    """Return the task of rows that are made here."""
    return "word-problems" if source.startswith(STORIES) else "grounded-qa"


def made_rows(source: str, n: int, questions: Questions) -> tuple[Sample, ...]:
    """Return n rows, always the same ones.

    Raises:
        DataError: if there are not so many.
    """
    if source.startswith(STORIES):
        return stories(int(source.removeprefix(STORIES)), n)
    return grounded(source.removeprefix(GROUNDED), n, questions)


def stories(steps: int, n: int) -> tuple[Sample, ...]:
    """Return the first n stories of the test seeds with so many calculations."""
    written = [write_story(TEST_SEEDS + at, steps) for at in range(n)]
    return tuple(
        Sample(f"story-{steps}-{at}", {"question": story.question}, (str(story.answer),))
        for at, story in enumerate(written)
    )


def grounded(kind: str, n: int, questions: Questions) -> tuple[Sample, ...]:
    """Return n questions; `passage`: with it, `alone`: without it, `unanswerable`: with a passage that does not say."""
    found = [one for one in questions(n) if (one.answer is None) == (kind == "unanswerable")]
    return tuple(
        Sample(
            f"{kind}-{at}",
            {"passage": NO_PASSAGE if kind == "alone" else one.passage, "question": one.question},
            (SILENT,) if one.answer is None else (one.answer, *one.also),
            one.title,
        )
        for at, one in enumerate(found[:n])
    )


def squad_questions(folder: str | Path) -> Questions:
    """Return what reads questions from the test articles of SQuAD 2.0 in a folder of data sets."""

    def read(n: int) -> Sequence[Asked]:
        from assistant.finetuning.demo.grounded import test_questions

        # Half of them have an answer.
        return test_questions(Path(folder).expanduser(), 2 * n, SEED)

    return read
