import pytest

from assistant.errors import SettingError
from assistant.evaluation.studies.namings import OWN, UNEXPLAINED, namings
from assistant.prompting.strategies import find_strategy
from assistant.prompting.tasks import load_task

SENTIMENT, TREC = load_task("sentiment"), load_task("question-type")
LABELS = SENTIMENT.labels
ZERO_SHOT = find_strategy("zero-shot")


def test_own_names_come_first_with_and_without_the_explaining_wording():
    found = namings(SENTIMENT, ZERO_SHOT)
    assert [(one.title, one.names) for one in found[:2]] == [(OWN, LABELS), (UNEXPLAINED, LABELS)]
    named = {one.names: one.kind for one in found}
    assert named["positive", "negative"] == "permuted"
    assert named["class_0", "class_1"] == "arbitrary"
    assert named["A", "B"] == "arbitrary"
    assert named["neg", "pos"] == "data set"
    assert len({one.title for one in found}) == len(found)


def test_six_labels_are_shifted_not_permuted():
    permuted = [one.names for one in namings(TREC, ZERO_SHOT) if one.kind == "permuted"]
    assert len(permuted) == 5
    assert all(sorted(names) == sorted(TREC.labels) and names != TREC.labels for names in permuted)
    assert all(len({names[at] for names in permuted} | {TREC.labels[at]}) == 6 for at in range(6))


def test_alternatives_are_checked():
    assert ("bad", "good") in [one.names for one in namings(SENTIMENT, ZERO_SHOT, [("bad", "good")])]
    with pytest.raises(SettingError, match="2 different label names"):
        namings(SENTIMENT, ZERO_SHOT, [("bad", "worse", "worst")])
    with pytest.raises(SettingError, match="no labels"):
        namings(load_task("word-problems"), ZERO_SHOT)


def test_a_template_is_tried_with_its_own_names_and_with_those_of_the_task():
    found = namings(SENTIMENT, find_strategy("imdb-baseline"))
    assert (found[0].title, found[0].names) == (OWN, ("class_0", "class_1"))
    kinds = {one.names: one.kind for one in found[1:]}
    assert kinds[LABELS] == "task"
    assert kinds["class_1", "class_0"] == "permuted"
    assert UNEXPLAINED not in [one.title for one in found], "a template has one wording for all names"
