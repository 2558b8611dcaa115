import random
from dataclasses import replace

import pytest

from assistant.errors import RunProblem
from assistant.evaluation.outcomes import Outcome, Sample
from assistant.evaluation.running.checks import below_chance, check_parser, different_answers, one_label, pool_overlap
from assistant.prompting import tasks
from assistant.prompting.parsing import Parsed
from assistant.prompting.strategies import STRATEGIES, strategies_for
from assistant.prompting.tasks import list_tasks, load_task
from tests.toys import make_reviews

LABELS = ("negative", "positive")


def outcome(sample, target, final, **changes):
    right = final == target
    return Outcome(str(sample), "zero-shot", "labels", 0, (target,), final, right, float(right), prompt="p", **changes)


@pytest.mark.parametrize("task", list_tasks(), ids=lambda task: task.name)
def test_the_parsers_of_all_our_tasks_find_nothing_in_nonsense(task):
    for strategy in strategies_for(task):
        check_parser(task, strategy)


@pytest.mark.parametrize(
    ("task", "parse"),
    [
        ("sentiment", lambda reply, names: Parsed("positive")),
        ("sentiment", lambda reply, names: Parsed("positive" if "positive" in reply else "negative")),
        ("sentiment", lambda reply, names: Parsed(next((n for n in names.values() if n in reply), None), "none")),
    ],
    ids=["always the same", "a default class", "the first of several"],
)
def test_a_label_parser_that_guesses_is_refused(task, parse, monkeypatch):
    monkeypatch.setattr(tasks, "parse_label", parse)
    for strategy in ("zero-shot", "static-cot"):
        with pytest.raises(RunProblem, match=f"The parser of the task '{task}' reads"):
            check_parser(load_task(task), STRATEGIES[strategy])


def test_a_number_parser_that_defaults_to_zero_is_refused(monkeypatch):
    monkeypatch.setitem(tasks._PARSERS, "number", lambda reply: Parsed("0"))
    with pytest.raises(RunProblem, match="reads '' as the answer '0'"):
        check_parser(load_task("word-problems"), STRATEGIES["zero-shot"])


def test_labels_that_are_swapped_are_below_chance():
    swapped = {"negative": "positive", "positive": "negative"}
    told = below_chance([outcome(at, LABELS[at % 2], swapped[LABELS[at % 2]]) for at in range(20)], LABELS)
    assert told.startswith("0.0% right, and guessing gives 50.0%")
    assert told.endswith("are the label names swapped?")


@pytest.mark.parametrize("right", [0.45, 0.5, 0.9])
def test_guessing_and_skill_are_not_below_chance(right):
    draw = random.Random(3)
    swapped = {"negative": "positive", "positive": "negative"}
    outcomes = [
        outcome(at, label, label if draw.random() < right else swapped[label]) for at, label in enumerate(LABELS * 100)
    ]
    assert below_chance(outcomes, LABELS) == ""


def test_an_arm_that_always_names_the_rare_label_is_not_called_swapped():
    outcomes = [outcome(at, "positive" if at < 90 else "negative", "negative") for at in range(100)]
    assert below_chance(outcomes, LABELS) == ""


def test_replies_that_cannot_be_read_are_not_called_swapped():
    assert below_chance([outcome(at, LABELS[at % 2], None) for at in range(50)], LABELS) == ""


def test_many_seeds_of_few_samples_are_no_more_certain_than_the_samples():
    wrong = [outcome(at, LABELS[at % 2], LABELS[(at + (at > 1)) % 2]) for at in range(6)]
    assert below_chance(wrong, LABELS) == ""
    assert below_chance([replace(one, seed=seed) for seed in range(10) for one in wrong], LABELS) == ""


def test_many_samples_of_few_groups_are_no_more_certain_than_the_groups():
    made = [outcome(at, LABELS[at % 2], LABELS[(at + (at >= 20)) % 2]) for at in range(60)]
    assert below_chance(made, LABELS)
    assert below_chance([replace(one, group=f"film {at // 20}") for at, one in enumerate(made)], LABELS) == ""


def test_a_derangement_of_six_labels_is_below_chance():
    labels = tuple("abcdef")
    outcomes = [outcome(at, labels[at % 6], labels[(at + 1) % 6]) for at in range(60)]
    assert "16.7%" in below_chance(outcomes, labels)


def test_an_arm_that_names_one_label_whatever_it_is_asked_is_noticed():
    stuck = [outcome(at, LABELS[at % 2], "negative") for at in range(6)]
    assert one_label(stuck, LABELS) == "negative"
    assert one_label([*stuck, outcome(9, "positive", "positive")], LABELS) == ""
    assert one_label([*stuck, outcome(9, "positive", None)], LABELS) == ""
    assert one_label([one for one in stuck if one.targets == ("negative",)], LABELS) == ""
    assert one_label([outcome(at, LABELS[at % 2], None) for at in range(6)], LABELS) == ""


@pytest.mark.parametrize(
    "change",
    [
        {"final_answer": "negative"},
        {"answer": "Positive."},
        {"prompt": "q"},
        {"problem": "none"},
        {"demonstrations": (("r2", 0.5),)},
        {"label_scores": {"negative": -1.0, "positive": -0.4}},
        {"label_scores": None},
    ],
)
def test_any_difference_of_substance_is_seen(change):
    scores = {"negative": -1.0, "positive": -0.5}
    one = outcome(1, "positive", "positive", label_scores=scores, demonstrations=(("r1", 0.5),), seconds=1.0)
    assert different_answers([one], [replace(one, **change)]) == ("1",)


def test_time_and_rounding_are_no_difference():
    one = outcome(1, "positive", "positive", label_scores={"negative": -1.0}, demonstrations=(("r1", 0.5),))
    other = replace(one, seconds=9.0, label_scores={"negative": -1.00001}, demonstrations=(("r1", 0.5000001),))
    assert different_answers([one], [other]) == ()


def test_overlap_is_counted_by_normalised_text_and_by_id(home):
    index = make_reviews(home)
    samples = [
        Sample("s1", {"text": "A DULL   film!"}, ("negative",)),
        Sample("r3", {"text": "something new"}, ("positive",)),
        Sample("s2", {"text": "a dull fil"}, ("negative",)),
        Sample("r7", {"text": "The acting is superb."}, ("positive",)),
    ]
    overlap = pool_overlap(samples, load_task("sentiment"), index)
    assert overlap.same_text == {"s1": {"r0"}, "r7": {"r7"}}
    assert overlap.same_id == {"r3": {"r3"}, "r7": {"r7"}}


def test_the_tasks_own_demonstrations_count_as_pool():
    task = load_task("sentiment")
    shown = task.demonstrations[0]
    sample = Sample("s1", dict(shown.inputs), (shown.output,))
    overlap = pool_overlap([sample], task, None)
    assert overlap.same_text == {"s1": {shown.id}}
    seen = outcome("s1", shown.output, shown.output, demonstrations=((shown.id, None),))
    assert overlap.shown([seen, replace(seen, seed=1)]) == 1
    assert overlap.shown([replace(seen, demonstrations=(("r1", 0.1),))]) == 0
