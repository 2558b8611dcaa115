"""Stories, chains and drills from the generator: right, in one regular form, training and test apart."""

import itertools
import re

import pytest

from assistant.finetuning.demo import story_words
from assistant.finetuning.demo.stories import LARGEST, TEST_SEEDS, write_chain, write_drill, write_story

CALCULATION = re.compile(r"(\d+) ([*+/-]) (\d+) = (\d+)")
SUMS = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__, "/": int.__floordiv__}
SENTENCE = re.compile(
    r"(With (\d+) more there are \d+ \+ \2|Without (\d+) there are \d+ - \3|As many again makes \d+ \* 2"
    r"|One part is \d+ / \d+|(There are|[A-Z][a-z]+ has) \d+ \* \d+) = \d+( [a-z]+)?\."
)


@pytest.mark.parametrize("write", [write_story, write_chain])
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_every_step_is_one_short_calculation_in_a_regular_form(write, steps):
    for seed in range(200):
        made = write(seed, steps)
        sentences = re.findall(r"[^.]+\.", made.rationale)
        assert len(sentences) == steps
        assert all(SENTENCE.fullmatch(sentence.strip()) for sentence in sentences), made.rationale
        found = [(int(a), sign, int(b), int(c)) for a, sign, b, c in CALCULATION.findall(made.rationale)]
        for left, sign, right, result in found:
            assert SUMS[sign](left, right) == result
            assert sign != "/" or left % right == 0
            assert sign != "*" or result <= 144
            assert 0 < result <= LARGEST
        assert all(before[3] == after[0] for before, after in itertools.pairwise(found))
        assert made.answer == found[-1][3]


def test_numbers_of_the_calculations_stand_in_the_question():
    for seed in range(300):
        for made in (write_story(seed, 3), write_chain(seed, 3)):
            asked = {int(number) for number in re.findall(r"\d+", made.question)}
            steps = CALCULATION.findall(made.rationale)
            wanted = {int(right) for _, sign, right, _ in steps if sign in "+-" or right != "2"}
            assert wanted | ({int(steps[0][0])}) <= asked, made


def test_totals_can_be_kept_small_for_the_beginning():
    for seed in range(200):
        for made in (write_story(seed, 3, largest=40), write_chain(seed, 3, largest=40)):
            assert max(map(int, re.findall(r"\d+", made.rationale))) <= 40
    assert max(write_story(seed, 4).answer for seed in range(1000)) > 75
    for steps, largest in ((0, 100), (7, 100), (2, 10), (2, 500)):
        with pytest.raises(ValueError, match="1 to 6 steps"):
            write_story(1, steps, largest)


@pytest.mark.parametrize("write", [write_story, write_chain])
def test_no_chain_of_calculations_of_a_test_is_ever_trained_on(write):
    chains = [
        {tuple(CALCULATION.findall(write(first + n, 2).rationale)) for n in range(3000)} for first in (0, TEST_SEEDS)
    ]
    assert len(chains[1]) > 500
    assert not chains[0] & chains[1]


def test_the_sides_share_sentences_but_neither_names_nor_things():
    sides = [set(" ".join(write_story(first + n, 3).question for n in range(1500)).split()) for first in (0, 10**6)]
    bare = [{word.strip(".,?:") for word in words} for words in sides]
    for group in (story_words.NAMES, story_words.THINGS):
        assert set(group["train"]) <= bare[0]
        assert set(group["test"]) <= bare[1]
        assert not set(group["train"]) & bare[1]
        assert not set(group["test"]) & bare[0]


def test_a_pronoun_always_means_the_one_who_has_the_things():
    shown = 0
    for seed in range(600):
        words = re.findall(r"\w+", write_story(seed, 3).question)
        people = [word for word in words if word in story_words.PRONOUNS]
        owner = next(word for word in reversed(words) if word in story_words.PRONOUNS)
        for pronoun in {"she", "he"} & {word.lower() for word in words}:
            assert story_words.PRONOUNS[owner] == pronoun
            assert all(story_words.PRONOUNS[other] != pronoun for other in people if other != owner)
            shown += 1
    assert shown > 30


def test_times_of_the_day_come_in_their_order():
    shown = 0
    for seed in range(300):
        question = write_story(seed, 3).question
        places = [at for time in story_words.TIMES if (at := question.find(f"{time},")) >= 0]
        assert places == sorted(places)
        shown += len(places) > 2
    assert shown > 30


def test_no_hole_is_left_and_every_sentence_begins_with_a_capital():
    for seed in range(400):
        made = write_story(seed, 4)
        assert not set("{}") & set(made.question)
        assert all(part[0].isupper() or part[0].isdigit() for part in re.split(r"(?<=[.?]) ", made.question))
        assert made.question.endswith("?")


def test_a_drill_asks_for_its_result():
    signs = set()
    for seed in (*range(600), *range(TEST_SEEDS, TEST_SEEDS + 100)):
        question, answer = write_drill(seed)
        numbers = sorted(map(int, re.findall(r"\d+", question)))
        assert len(numbers) == 2
        low, high = numbers
        possible = {low + high: "+", high - low: "-", low * high: "*", high // low: "/"}
        assert int(answer) in possible
        signs.add(possible[int(answer)])
        for sign in re.findall(r"\d ([*+/-]) \d", question):
            a, b = map(int, re.findall(r"\d+", question))
            assert SUMS[sign](a, b) == int(answer)
    assert signs == set("+-*/")
    assert write_drill(5) == write_drill(5)


def test_small_numbers_come_more_often():
    answers = [write_story(seed, 2).answer for seed in range(1500)]
    assert sum(answer <= 40 for answer in answers) > len(answers) / 2


def test_the_same_seed_writes_the_same_on_every_machine():
    assert write_story(7, 3) == write_story(7, 3) != write_story(8, 3)
    assert write_chain(3, 2) == write_chain(3, 2) != write_chain(4, 2)
