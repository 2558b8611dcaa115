"""Word problems from the generator: right sums, no overlap between training and test."""

import itertools
import re

import pytest

from assistant.finetuning.demo.stories import TEST_SEEDS, write_story

CALCULATION = re.compile(r"(\d+) ([*+/-]) (\d+) = (\d+)")
SUMS = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__, "/": int.__floordiv__}


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_every_calculation_is_right_and_the_last_is_the_answer(steps):
    for seed in range(300):
        story = write_story(seed, steps)
        calculations = CALCULATION.findall(story.rationale)
        assert len(calculations) == steps
        for left, sign, right, result in calculations:
            assert SUMS[sign](int(left), int(right)) == int(result)
            assert sign != "/" or int(left) % int(right) == 0
        assert int(calculations[-1][3]) == story.answer > 0


def test_each_calculation_goes_on_from_the_last_result():
    for seed in range(200):
        calculations = CALCULATION.findall(write_story(seed, 4).rationale)
        for before, after in itertools.pairwise(calculations):
            assert before[3] == after[0]


def test_the_same_seed_tells_the_same_story():
    assert write_story(7, 3) == write_story(7, 3) != write_story(8, 3)


def test_test_stories_use_names_and_things_that_training_never_saw():
    words = [set(" ".join(write_story(first + n, 2).question for n in range(300)).split()) for first in (0, TEST_SEEDS)]
    assert "apples" in words[0] - words[1]
    assert {"lemons", "Abel"} <= words[1] - words[0]
    assert not {"apples", "Ana"} & words[1]
