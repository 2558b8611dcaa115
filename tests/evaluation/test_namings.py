import pytest

from assistant.errors import SettingError
from assistant.evaluation.namings import OWN, UNEXPLAINED, namings
from assistant.prompting.tasks import load_task

SENTIMENT, TREC = load_task("sentiment"), load_task("question-type")
LABELS = SENTIMENT.labels


def test_own_names_come_first_with_and_without_the_explaining_wording():
    found = namings(SENTIMENT)
    assert [(one.title, one.names) for one in found[:2]] == [(OWN, LABELS), (UNEXPLAINED, LABELS)]
    named = {one.names: one.kind for one in found}
    assert named["positive", "negative"] == "permuted"
    assert named["class_0", "class_1"] == "arbitrary"
    assert named["A", "B"] == "arbitrary"
    assert named["neg", "pos"] == "data set"
    assert len({one.title for one in found}) == len(found)


def test_six_labels_are_shifted_not_permuted():
    permuted = [one.names for one in namings(TREC) if one.kind == "permuted"]
    assert len(permuted) == 5
    assert all(sorted(names) == sorted(TREC.labels) and names != TREC.labels for names in permuted)
    assert all(len({names[at] for names in permuted} | {TREC.labels[at]}) == 6 for at in range(6))


def test_alternatives_are_checked():
    assert ("bad", "good") in [one.names for one in namings(SENTIMENT, [("bad", "good")])]
    with pytest.raises(SettingError, match="2 different label names"):
        namings(SENTIMENT, [("bad", "worse", "worst")])
    with pytest.raises(SettingError, match="no labels"):
        namings(load_task("word-problems"))
