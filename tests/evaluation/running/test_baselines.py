"""The rows without a language model, against numpy and scikit-learn used by hand."""

import json
import math
from collections import Counter

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from assistant.data import Fields
from assistant.errors import IndexMismatch, SettingError, UnknownName
from assistant.evaluation.outcomes import BASELINES, Sample
from assistant.evaluation.running.baselines import baseline_outcomes, baselines_for
from assistant.prompting.tasks import load_task
from assistant.retrieval.encoders import ToyEncoder
from assistant.retrieval.index import DemonstrationIndex, build_index
from assistant.settings import GuardSettings
from tests.toys import make_problems

SENTIMENT = load_task("sentiment")
OPENINGS = {"positive": ("a gorgeous", "a witty", "a superb"), "negative": ("a tedious", "a dull", "a clumsy")}
SUBJECTS = ("love", "war", "trains", "the sea", "a winter", "two brothers", "a house", "the circus", "a dog")
ROWS = [
    {"id": f"r{label[0]}{number}", "text": f"{opening} tale of {subject}", "label": label, "film": f"f{number // 3}"}
    for label, openings in OPENINGS.items()
    for number, (opening, subject) in enumerate((o, s) for o in openings for s in SUBJECTS)
]
SAMPLES = [
    Sample("s0", {"text": "a witty and superb story"}, ("positive",)),
    Sample("s1", {"text": "dull, clumsy and tedious"}, ("negative",)),
    Sample("s2", {"text": "the circus comes to a house by the sea"}, ("negative",), "g"),
    Sample("s3", {"text": "brothers and their dog at war"}, ("positive",)),
]
UNGUARDED = GuardSettings(enabled=False)


def make_index(folder, rows, name="rows"):
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    fields = Fields(("text",), "label", id="id", group="film")
    build_index(str(path), name, fields, encoder="toy", labels=SENTIMENT.label_values)
    return DemonstrationIndex.open(name)


@pytest.fixture
def index(home):
    return make_index(home, [*ROWS, *({**row, "id": f"x{row['id']}"} for row in ROWS[:2])])


def vectors(texts):
    return ToyEncoder().encode(texts).astype(np.float64)


@pytest.mark.parametrize("k", [1, 3, 4, 9])
def test_the_vote_is_that_of_the_k_nearest_by_brute_force(home, k):
    index = make_index(home, ROWS)
    cosines = vectors([sample.inputs["text"] for sample in SAMPLES]) @ vectors([row["text"] for row in ROWS]).T
    outcomes = baseline_outcomes("knn-vote", SAMPLES, index, SENTIMENT, k, UNGUARDED)
    for sample, row, outcome in zip(SAMPLES, cosines, outcomes, strict=True):
        near = np.lexsort((np.arange(len(row)), -row.round(6)))[:k]
        votes = Counter(ROWS[at]["label"] for at in near)
        most = max(votes.values())
        first = next(ROWS[at]["label"] for at in near if votes[ROWS[at]["label"]] == most)
        assert outcome.final_answer == first
        assert outcome.correct is (first in sample.targets)
        assert outcome.score == float(outcome.correct)
        assert outcome.nearest_similarity == pytest.approx(row.max(), abs=1e-5)
        assert len(outcome.demonstrations) == k
        assert math.exp(outcome.label_scores["positive"]) == pytest.approx((votes["positive"] + 0.5) / (k + 1))


def test_a_tied_vote_goes_to_the_nearest(home):
    rows = [{"id": "far", "text": "a film about trains", "label": "positive"}]
    rows.append({"id": "near", "text": "a film about the sea at night", "label": "negative"})
    index = make_index(home, [{**row, "film": ""} for row in rows])
    sample = Sample("s", {"text": "a film about the deep sea at night"}, ("negative",))
    assert baseline_outcomes("knn-vote", [sample], index, SENTIMENT, 2)[0].final_answer == "negative"


@pytest.mark.parametrize("k", [1, 4])
def test_a_leaked_row_has_no_vote(home, k):
    text = "an unforgettable journey across the frozen sea"
    planted = [{"id": f"leak{n}", "text": text.upper() + "!" * n, "label": "positive", "film": ""} for n in range(9)]
    index = make_index(home, [*ROWS, *planted])
    sample = Sample("s", {"text": text}, ("positive",))
    guarded = baseline_outcomes("knn-vote", [sample], index, SENTIMENT, k)[0]
    assert not any(identity.startswith("leak") for identity, _ in guarded.demonstrations)
    assert sum(identity.startswith("leak") for identity, _, _ in guarded.excluded) == 9
    assert guarded.nearest_similarity == pytest.approx(1.0, abs=0.1)
    open_to_all = baseline_outcomes("knn-vote", [sample], index, SENTIMENT, k, UNGUARDED)[0]
    assert all(identity.startswith("leak") for identity, _ in open_to_all.demonstrations)


def test_the_majority_is_counted_without_the_samples(home):
    lopsided = [row for row in ROWS if row["label"] == "positive"] + [
        row for row in ROWS if row["label"] == "negative"
    ][:24]
    index = make_index(home, lopsided)
    inside = [Sample(row["id"], {"text": row["text"]}, (row["label"],)) for row in lopsided[:10]]
    assert [one.final_answer for one in baseline_outcomes("majority", SAMPLES, index, SENTIMENT)] == ["positive"] * 4
    outcomes = baseline_outcomes("majority", inside, index, SENTIMENT)
    assert {one.final_answer for one in outcomes} == {"negative"}
    assert math.exp(outcomes[0].label_scores["negative"]) == pytest.approx(24.5 / 42)
    unguarded = baseline_outcomes("majority", inside, index, SENTIMENT, guard=UNGUARDED)
    assert {one.final_answer for one in unguarded} == {"positive"}


def test_an_even_majority_is_the_tasks_first_label(home):
    assert baseline_outcomes("majority", SAMPLES, make_index(home, ROWS), SENTIMENT)[0].final_answer == "negative"


def test_logistic_regression_is_scikit_learns_on_the_same_vectors(home):
    index = make_index(home, ROWS)
    model = LogisticRegression(max_iter=2000).fit(vectors([r["text"] for r in ROWS]), [r["label"] for r in ROWS])
    probabilities = model.predict_proba(vectors([sample.inputs["text"] for sample in SAMPLES]))
    outcomes = baseline_outcomes("logistic-regression", SAMPLES, index, SENTIMENT)
    for outcome, expected in zip(outcomes, probabilities, strict=True):
        found = [math.exp(outcome.label_scores[label]) for label in model.classes_]
        assert found == pytest.approx(expected, abs=1e-4)
        assert outcome.final_answer == model.classes_[expected.argmax()]


@pytest.mark.parametrize("mark", ["id", "group", "text"])
def test_logistic_regression_never_trains_on_a_sample(home, mark):
    text = "the answer to this riddle lies in the moon"
    leak = {"id": "leak", "text": "moon", "label": "positive", "film": "m9"}
    sample = {"id": "s", "text": "quite another thing", "group": ""}
    leak, sample = {
        "id": (leak, {**sample, "id": "leak"}),
        "group": (leak, {**sample, "group": "m9"}),
        "text": ({**leak, "text": text.upper()}, {**sample, "text": text}),
    }[mark]
    asked = [Sample(sample["id"], {"text": sample["text"]}, ("positive",), sample["group"])]
    clean = baseline_outcomes("logistic-regression", asked, make_index(home, ROWS, "clean"), SENTIMENT)
    dirty = baseline_outcomes("logistic-regression", asked, make_index(home, [*ROWS, leak], "dirty"), SENTIMENT)
    assert dirty[0].label_scores == pytest.approx(clean[0].label_scores, abs=1e-4)
    trusting = baseline_outcomes(
        "logistic-regression", asked, make_index(home, [*ROWS, leak], "dirty"), SENTIMENT, guard=UNGUARDED
    )
    assert trusting[0].label_scores != pytest.approx(clean[0].label_scores, abs=1e-4)


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_tells_all_that_a_report_needs(index, name):
    outcomes = baseline_outcomes(name, SAMPLES, index, SENTIMENT)
    assert [one.sample for one in outcomes] == ["s0", "s1", "s2", "s3"]
    assert [one.group for one in outcomes] == ["", "", "g", ""]
    for one in outcomes:
        assert (one.strategy, one.reading, one.calls, one.prompt_tokens) == (name, "none", 0, 0)
        assert set(one.label_scores) == set(SENTIMENT.labels)
        assert sum(map(math.exp, one.label_scores.values())) == pytest.approx(1.0)
        assert one.final_answer == one.answer != ""
    assert [json.dumps(one.to_json()) for one in outcomes]
    again = baseline_outcomes(name, SAMPLES, index, SENTIMENT)
    assert [one.final_answer for one in again] == [one.final_answer for one in outcomes]


def test_one_known_label_is_no_problem(home):
    index = make_index(home, [row for row in ROWS if row["label"] == "positive"])
    for name in BASELINES:
        assert {one.final_answer for one in baseline_outcomes(name, SAMPLES, index, SENTIMENT)} == {"positive"}


def test_numbers_are_copied_from_the_nearest_problem(home):
    task, index = load_task("word-problems"), make_problems(home)
    sample = Sample("q", {"question": "Cleo reads 6 pages a day. How many pages in a week?"}, ("42",))
    outcome = baseline_outcomes("knn-vote", [sample], index, task, 1)[0]
    assert (outcome.final_answer, outcome.correct, outcome.label_scores) == ("15", False, None)
    assert baseline_outcomes("majority", [sample], index, task)[0].final_answer == "7"


def test_grades_are_averaged_not_voted_on(home):
    rows = [("cats sleep", "cats nap", "1"), ("cats sleep a lot", "cats nap", "4"), ("stocks fell", "rain", "0")]
    keys = ("sentence1", "sentence2", "score")
    path = home / "grades.jsonl"
    path.write_text("".join(json.dumps(dict(zip(keys, row, strict=True))) + "\n" for row in rows))
    build_index(str(path), "grades", Fields(("sentence1", "sentence2"), "score"), encoder="toy")
    sample = Sample("s", {"sentence1": "cats sleep often", "sentence2": "cats doze"}, ("3",))
    task = load_task("similarity")
    (outcome,) = baseline_outcomes("knn-vote", [sample], DemonstrationIndex.open("grades"), task, 2, UNGUARDED)
    assert (outcome.final_answer, outcome.score) == ("2.50", pytest.approx(0.9))


def test_each_task_has_the_baselines_that_can_answer_it():
    assert baselines_for(SENTIMENT) == BASELINES
    assert baselines_for(load_task("word-problems")) == ("majority", "knn-vote")
    assert baselines_for(load_task("summary")) == ("knn-vote",)


def test_what_cannot_be_answered_is_said(index):
    with pytest.raises(UnknownName, match="knn-vote"):
        baseline_outcomes("knn", SAMPLES, index, SENTIMENT)
    with pytest.raises(SettingError, match="cannot answer the task 'word-problems'"):
        baseline_outcomes("logistic-regression", SAMPLES, index, load_task("word-problems"))
    with pytest.raises(IndexMismatch, match="No row of the index 'rows'"):
        baseline_outcomes("majority", SAMPLES, index, load_task("question-type"))
    assert baseline_outcomes("majority", [], index, SENTIMENT) == []
