"""Questions about passages: ours, SQuAD's, and the episodes made of both."""

import gzip
import json
import random
import re
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from assistant.errors import DataError
from assistant.finetuning.demo import grounded, squad
from assistant.finetuning.demo.grounded import LONGEST, NO_PASSAGE, NOT_SAID, Grounded, GroundedEpisodes
from assistant.finetuning.demo.passages import sentences, swapped
from assistant.finetuning.demo.written import written_passages
from assistant.prompting.tasks import load_task

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
TITLES = ("Warsaw", "Rhine", "Force", "Kenya")
TEST_TITLES, TRAINING_TITLES = set(TITLES[::2]), set(TITLES[1::2])


def written(seed=0, count=600):
    return list(islice(written_passages(random.Random(seed)), count))


def row(number, title, context, question, answers, **more):
    starts = [context.index(answer) for answer in answers]
    found = {"text": answers, "answer_start": starts}
    return {"id": f"q{number}", "title": title, "context": context, "question": question, "answers": found, **more}


@pytest.fixture
def folder(tmp_path):
    """Return a folder with made-up rows in the layout of both versions of SQuAD."""
    filler = " ".join(f"Filler number {n} says nothing of use to anyone who reads it." for n in range(6))
    rows = []
    for at in range(80):
        title = TITLES[at % 4]
        passage = f"{filler} Tower {at} was built in {1500 + at}. {filler}"
        rows.append(row(at, title, passage, f"When was tower {at} built?", [f"{1500 + at}", f"in {1500 + at}"]))
        rows.append(row(100 + at, title, passage, f"Who sold tower {at}?", [], is_impossible=True))
    long = "word " * 70 + "end."
    rows.append(row(900, TITLES[0], f"{filler} {long}", "What comes last?", ["end"]))
    rows.append(row(901, TITLES[1], "It is " + "very " * 12 + "long.", "How long?", ["very " * 12 + "long"]))
    (tmp_path / "squad").mkdir()
    for name in squad.FILES:
        with gzip.open(tmp_path / name, "wt", encoding="utf-8") as lines:
            lines.writelines(json.dumps(one) + "\n" for one in rows)
    return tmp_path


def test_a_text_is_cut_into_its_sentences():
    text = "Dr. Adams left. He met J. P. Morgan at 3.30 p.m. in Rome! Did he? Yes."
    assert sentences(text) == ["Dr. Adams left.", "He met J. P. Morgan at 3.30 p.m. in Rome!", "Did he?", "Yes."]


def test_a_written_answer_is_copied_from_its_passage():
    for one in written():
        assert one.answer is None or one.answer in one.passage, one


def test_a_quarter_of_the_written_questions_have_no_answer():
    assert 0.2 < sum(one.answer is None for one in written(1, 1000)) / 1000 < 0.3


def test_written_passages_are_short_finished_and_varied():
    found = written()
    assert all(3 <= len(sentences(one.passage)) <= 6 for one in found)
    assert max(len(one.passage.split()) for one in found) < 90
    assert not [one for one in found if re.search(r"[\[\]{}|]|\ba [aeiou]", one.passage + one.question)]
    assert len({one.passage for one in found}) == len(found)
    assert len({one.answer for one in found}) > 300


def test_a_written_question_names_its_subject():
    for one in written():
        assert any(name in one.question for name in one.title.split(" / ")), one


def test_where_two_subjects_are_told_of_every_sentence_names_one():
    pairs = [one for one in written(2) if " / " in one.title]
    assert len(pairs) > 50
    for one in pairs:
        names = [name.casefold() for name in one.title.split(" / ")]
        assert all(any(name in told.casefold() for name in names) for told in sentences(one.passage)), one


def test_the_same_seed_writes_the_same_passages():
    assert written(4, 30) == written(4, 30) != written(5, 30)


def test_a_swapped_passage_is_of_another_title_and_does_not_hold_the_answer():
    others = [
        Grounded("a", "It is red.", "What colour?", "red"),
        Grounded("b", "Red is nice.", "What is nice?", "Red"),
        Grounded("c", "Snow is white.", "What is white?", "Snow"),
    ]
    for seed in range(10):
        found = swapped(others[0], others, random.Random(seed))
        assert found == Grounded("a", "Snow is white.", "What colour?", None)


def test_a_question_stays_if_no_passage_can_be_swapped_in():
    one = Grounded("a", "It is red.", "What colour?", "red")
    assert swapped(one, [one], random.Random(0)) == one


def test_training_titles_and_test_titles_are_apart(folder):
    training, test = squad.read_squad(folder, random.Random(0)), squad.test_questions(folder, 40, 0)
    assert {one.title for one in training} == TRAINING_TITLES
    assert {one.title for one in test} == TEST_TITLES


def test_rows_of_both_versions_are_read_once(folder):
    questions = [one.question for one in squad.read_squad(folder)]
    assert len(questions) == len(set(questions)) == 80


def test_passages_are_whole_sentences_around_the_answer(folder):
    for one in squad.read_squad(folder, random.Random(0)):
        assert len(one.passage.split()) <= squad.LONGEST_PASSAGE
        assert one.passage.endswith(".")
        assert re.match(r"Filler|Tower", one.passage)
        assert one.answer is None or one.answer in one.passage


def test_where_a_passage_is_cut_differs_with_the_seed(folder):
    assert squad.read_squad(folder, random.Random(0)) != squad.read_squad(folder, random.Random(1))
    assert squad.read_squad(folder) == squad.read_squad(folder)


def test_a_passage_without_an_answer_is_cut_around_what_is_asked_about(folder):
    for one in squad.read_squad(folder):
        number = re.search(r"\d+", one.question)[0]
        assert f"Tower {number} " in one.passage


def test_other_right_answers_are_kept(folder):
    one = next(one for one in squad.read_squad(folder) if one.answer)
    assert {one.answer, *one.also} == {one.answer, f"in {one.answer}"} or one.answer.startswith("in ")


def test_answers_too_long_to_learn_are_left_out_of_training_only(folder):
    assert "How long?" not in [one.question for one in squad.read_squad(folder)]


def test_an_answer_in_a_very_long_sentence_is_left_out(folder):
    assert "What comes last?" not in [one.question for one in squad.test_questions(folder, 200, 0)]


def test_half_of_the_test_questions_have_an_answer(folder):
    found = squad.test_questions(folder, 40, 0)
    assert Counter(one.answer is None for one in found) == {True: 20, False: 20}
    assert found == squad.test_questions(folder, 40, 0) != squad.test_questions(folder, 40, 1)


def test_more_test_questions_than_there_are_are_all_there_are(folder):
    found = squad.test_questions(folder, 10_000, 0)
    assert 40 < len(found) <= 80


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"squad/v2\.0_dev"):
        squad.read_squad(tmp_path)


def drawn(folder, kind, count=200):
    source = GroundedEpisodes(squad.read_squad(folder), random.Random(7))
    return [getattr(source, kind)() for _ in range(count)]


@pytest.mark.parametrize("kind", ["episode", "written"])
def test_episodes_are_asked_in_the_words_of_the_task(folder, kind):
    task = load_task("grounded-qa")
    instructions = {text for words in task.wordings for text in (words.instruction, words.reasoning)}
    for episode in drawn(folder, kind):
        roles = [message["role"] for message in episode]
        assert roles == ["system", *["user", "assistant"] * (len(roles) // 2)]
        assert episode[0]["content"] in instructions
        assert sum(len(message["content"].split()) for message in episode) <= LONGEST


@pytest.mark.parametrize("kind", ["episode", "written"])
def test_a_reply_stands_in_what_was_asked_or_the_passage_does_not_say(folder, kind):
    replies = Counter()
    for episode in drawn(folder, kind):
        for asked, replied in zip(episode[1::2], episode[2::2], strict=True):
            reply = replied["content"].rsplit("Answer: ", 1)[-1]
            if not asked["content"].startswith("So what is the final answer?"):
                assert reply == NOT_SAID or reply in asked["content"]
                replies[reply == NOT_SAID] += 1
    assert 0.15 < replies[True] / replies.total() < 0.4


def test_reasoning_quotes_a_sentence_of_the_passage(folder):
    quoted, fixed = 0, {shown.rationale for shown in load_task("grounded-qa").demonstrations}
    for episode in drawn(folder, "written", 400):
        for asked, reply in zip(episode[1::2], episode[2::2], strict=True):
            found = re.search(r"The passage says: (.*)\nAnswer: (.*)", reply["content"])
            if found and f"The passage says: {found[1]}" not in fixed:
                assert found[1] in asked["content"]
                assert found[2] in found[1]
                quoted += 1
    assert quoted > 30


def test_some_questions_come_without_a_passage_and_none_of_them_is_answered(folder):
    silent = 0
    for episode in drawn(folder, "episode", 600):
        for asked, reply in zip(episode[1::2], episode[2::2], strict=True):
            if NO_PASSAGE in asked["content"]:
                assert reply["content"].endswith(NOT_SAID)
                silent += 1
    assert silent > 10


def test_without_a_passage_open_conversation_refuses_and_says_no_refusal_twice(folder):
    for episode in drawn(folder, "unaided"):
        replies = [message["content"] for message in episode if message["role"] == "assistant"]
        assert 1 <= len(replies) == len(set(replies)) <= 3
        assert set(replies) <= set(grounded.REFUSALS)
    assert len({len(episode) for episode in drawn(folder, "unaided")}) > 2


def test_the_reply_without_an_answer_is_the_one_the_task_asks_for():
    task = load_task("grounded-qa")
    assert NOT_SAID in task.wording().instruction
    assert NOT_SAID in {shown.output for shown in task.demonstrations}


def test_the_same_seed_gives_the_same_episodes(folder):
    assert drawn(folder, "episode", 20) == drawn(folder, "episode", 20)


@pytest.mark.shared
@pytest.mark.skipif(not (DATA / squad.FILES[0]).is_file(), reason="needs ../shared/data")
def test_ten_of_the_48_articles_of_squad_are_for_tests():
    training, test = squad.read_squad(DATA), squad.test_questions(DATA, 400, 13)
    assert len({one.title for one in training}) == 38
    assert not {one.title for one in training} & {one.title for one in test}
    assert len(training) > 10_000
    assert Counter(one.answer is None for one in test) == {True: 200, False: 200}
    assert all(one.answer in one.passage for one in [*training, *test] if one.answer)
    assert grounded.read_squad is squad.read_squad
