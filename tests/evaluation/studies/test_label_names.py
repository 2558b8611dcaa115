import json
from dataclasses import replace

import numpy as np
import pytest

from assistant.answering import Assistant
from assistant.evaluation.outcomes import Arm, Outcome, Sample
from assistant.evaluation.studies.error_split import best_assignment
from assistant.evaluation.studies.label_names import consult, diagnose, plain, verdict
from assistant.evaluation.studies.namings import OWN, UNEXPLAINED, Naming, namings
from assistant.evaluation.studies.study import Study
from assistant.generation.chat_model import ScriptedModel
from assistant.prompting.strategies import find_strategy
from assistant.prompting.tasks import load_task
from assistant.settings import RetrievalSettings

SENTIMENT = load_task("sentiment")
LABELS = SENTIMENT.labels
ARM = Arm("zero-shot", "labels")
SELF = Naming(OWN, LABELS, "own")

# What the published templates said on the same 20 reviews, ten negative, then ten positive (Yan, recounted).
DESCRIBED = "0000000000" + "0101111011"
NEVER_EXPLAINED = "0101111110" + "1011101110"
PUBLISHED_GOLD = "0" * 10 + "1" * 10


def outcomes(gold, said, labels=LABELS, groups=None):
    """Return outcomes from digits; `?` could not be read."""
    found = []
    for at, (meant, answered) in enumerate(zip(gold, said, strict=True)):
        final = None if answered == "?" else labels[int(answered)]
        target = labels[int(meant)]
        group = groups[at] if groups else ""
        found.append(
            Outcome(
                f"s{at}",
                "zero-shot",
                "labels",
                0,
                (target,),
                final,
                final == target,
                float(final == target),
                group=group,
            )
        )
    return found


def diagnosed(gold, said, labels=LABELS, groups=None, seed=0):
    naming = Naming(OWN, labels, "own")
    found = diagnose(ARM, labels, [naming], {OWN: outcomes(gold, said, labels, groups)}, seed)
    return found.diagnoses[0]


# The split


def test_swapped_labels_are_a_mapping_error_and_nothing_else():
    gold = "01" * 50
    found = diagnosed(gold, gold.translate(str.maketrans("01", "10")))
    assert (found.error.share, found.mapping.share, found.understanding.share) == (1, 1, 0)
    assert found.mapping.interval.low > 0.9
    assert found.assignments == ((1, 0), (1, 0))


def test_three_labels_said_in_a_circle_are_a_mapping_error():
    labels, gold = ("a", "b", "c"), "012" * 20
    found = diagnosed(gold, gold.translate(str.maketrans("012", "120")), labels)
    assert (found.mapping.share, found.understanding.share) == (1, 0)
    assert found.assignments[0] == (2, 0, 1), "who says b means a"


def test_a_model_that_always_says_one_label_did_not_understand():
    found = diagnosed("01" * 50, "0" * 100)
    assert (found.error.share, found.mapping.share, found.understanding.share) == (0.5, 0, 0.5)


def test_chance_is_not_flattered_by_its_own_mapping():
    draw = np.random.default_rng(7)
    gold = "".join(str(one) for one in draw.integers(0, 6, 300))
    said = "".join(str(one) for one in draw.integers(0, 6, 300))
    found = diagnosed(gold, said, tuple("abcdef"))
    everything = np.arange(300)
    meant = best_assignment(np.array([*map(int, said)]), np.array([*map(int, gold)]), everything, 6)
    optimistic = np.mean([meant[int(one)] == int(other) for one, other in zip(said, gold, strict=True)])
    assert optimistic > found.accuracy.share + 0.01
    assert found.mapping.share < optimistic - found.accuracy.share
    assert found.mapping.interval.low < 0 < found.mapping.interval.high


def test_unreadable_replies_are_a_part_of_their_own():
    found = diagnosed("01" * 10, "01" * 5 + "??" * 5)
    assert (found.accuracy.share, found.unreadable.share, found.mapping.share, found.understanding.share) == (
        0.5, 0.5, 0, 0,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_the_parts_of_an_error_add_up_to_it(seed):
    draw = np.random.default_rng(seed)
    gold = "".join(draw.choice([*"0123"], 80))
    said = "".join(draw.choice([*"0123?"], 80))
    found = diagnosed(gold, said, tuple("abcd"), seed=seed)
    parts = found.mapping.share + found.leaning.share + found.understanding.share + found.unreadable.share
    assert parts == pytest.approx(found.error.share)
    assert found.error.share == pytest.approx(1 - found.accuracy.share)


def scored(gold, scores, labels=LABELS):
    """Return outcomes of label scoring: per sample a list of log-likelihoods."""
    said = "".join(str(int(np.argmax(row))) for row in scores)
    named = [dict(zip(labels, map(float, row), strict=True)) for row in scores]
    return [replace(one, label_scores=row) for one, row in zip(outcomes(gold, said, labels), named, strict=True)]


def split(answered, labels=LABELS):
    return diagnose(ARM, labels, [Naming(OWN, labels, "own")], {OWN: answered}).diagnoses[0]


def test_a_model_that_knows_but_leans_to_one_label_is_not_said_to_misunderstand():
    gold = "01" * 100
    draw = np.random.default_rng(0)
    # Whatever is right has one nat more, but the first label always has three nats more.
    scores = [[3 + (one == "0") + draw.normal(0, 0.1), float(one == "1")] for one in gold]
    found = split(scored(gold, scores))
    assert (found.accuracy.share, found.mapping.share) == (0.5, 0)
    assert found.leaning.share > 0.48
    assert found.leaning.interval.low > 0.4
    assert found.understanding.share < 0.02
    assert found.understanding.share + found.leaning.share == pytest.approx(0.5)


def test_a_leaning_model_that_also_swaps_the_names_has_both_errors():
    gold = "01" * 100
    scores = [[1.5 * (at % 4 == 0) + (one == "1"), 0.9 * (one == "0")] for at, one in enumerate(gold)]
    found = split(scored(gold, scores))
    assert found.mapping.share > 0.4
    assert found.mapping.share + found.leaning.share + found.understanding.share == pytest.approx(found.error.share)


def test_constant_scores_are_not_understanding():
    found = split(scored("01" * 50, [[1.0, 0.0]] * 100))
    assert (found.leaning.share, found.understanding.share) == (
        pytest.approx(0, abs=0.011),
        pytest.approx(0.5, abs=0.011),
    )


def test_rare_labels_may_stay_rare():
    # Nine in ten are the first label and the model knows it: evening out must not make the labels equally frequent.
    gold = ("0" * 9 + "1") * 20
    draw = np.random.default_rng(1)
    scores = [[2.0 + (one == "0") + draw.normal(0, 0.5), 0.5 + 2.5 * (one == "1")] for one in gold]
    found = split(scored(gold, scores))
    assert found.leaning.share > -0.03


def test_without_label_scores_nothing_is_said_to_lean():
    found = diagnosed("01" * 20, "0" * 40)
    assert (found.leaning.share, found.understanding.share) == (0, 0.5)


def test_one_sample_is_enough_to_ask_and_too_few_to_say():
    found = split(scored("0", [[0.0, 1.0]]))
    assert (found.n, found.error.share) == (1, 1)


def test_a_group_is_never_cut_in_two_halves():
    gold, groups = "01" * 20, [f"film {at // 8}" for at in range(40)]
    # Group 0 says everything the wrong way round; fitted on the others, that cannot be seen.
    said = "".join(("1" if one == "0" else "0") if at < 8 else one for at, one in enumerate(gold))
    assert diagnosed(gold, said, groups=groups).mapping.share == 0


def test_the_same_seed_gives_the_same_diagnosis():
    gold, said = "01" * 20, "0110" * 10
    assert diagnosed(gold, said, seed=3) == diagnosed(gold, said, seed=3)


# The published case


def test_the_seven_wrong_negatives_were_a_matter_of_names():
    described, bare = Naming("described", LABELS, "alternative"), SELF
    found = diagnose(
        ARM,
        LABELS,
        [bare, described],
        {OWN: outcomes(PUBLISHED_GOLD, NEVER_EXPLAINED), "described": outcomes(PUBLISHED_GOLD, DESCRIBED)},
    )
    best, own = found.diagnoses
    assert (best.naming, own.naming) == (described, bare)
    assert (best.accuracy.share, own.accuracy.share) == (0.85, 0.5)
    wrong = [at for at in range(10) if NEVER_EXPLAINED[at] == "1"]
    assert len(wrong) == 7
    assert all(DESCRIBED[at] == "0" for at in wrong), "all seven were understood once the classes were described"
    assert own.mapping.share <= 0, "no re-mapping helps: both classes are called class_1 seven times in ten"
    assert own.renaming.share == pytest.approx(0.35)
    assert own.renaming.interval.low == 0, "20 reviews are too few to settle it: 10 to 3, p = 0.09"
    assert best.renaming.share == 0
    (comparison,) = found.comparisons
    assert (comparison.wins, comparison.losses, comparison.p_value) == (10, 3, pytest.approx(0.0923, abs=1e-4))
    told = "Nothing that was tried with the names helps measurably (other names: +35.0 points, +0.0 to +65.0)"
    assert told in verdict(found)


def test_ten_times_as_many_such_reviews_would_have_settled_it():
    gold, said = PUBLISHED_GOLD * 10, {OWN: NEVER_EXPLAINED * 10, "described": DESCRIBED * 10}
    answered = {title: outcomes(gold, digits) for title, digits in said.items()}
    found = diagnose(ARM, LABELS, [SELF, Naming("described", LABELS, "alternative")], answered)
    assert "What helps measurably: asking under other names (other names: +35.0 points" in verdict(found)


# A model that can be seen through


def by_meaning(prompt, sampling):
    """Say the first of the listed words that fits the review, else the first word of the list."""
    del sampling
    text = prompt.messages[-1]["content"]
    good = "witty" in text
    said = " ".join(message["content"] for message in prompt.messages)
    for name in ("positive", "pos", "true") if good else ("negative", "neg", "false"):
        if name in said:
            return name
    return "class_0" if "class_0" in said else "A"


def test_a_model_that_goes_by_the_meaning_of_names_is_seen_through():
    samples = [
        Sample(f"s{at}", {"text": f"{'witty' if at % 2 else 'dull'} film {at}"}, (LABELS[at % 2],)) for at in range(24)
    ]
    study = Study(Assistant(ScriptedModel(by_meaning)), SENTIMENT, samples, retrieval=RetrievalSettings(k=0))
    tried = namings(SENTIMENT, find_strategy(ARM.strategy))
    found = diagnose(ARM, LABELS, tried, consult(study, ARM, tried))
    by_title = {one.naming.title: one for one in found.diagnoses}
    assert by_title[OWN].accuracy.share == by_title[UNEXPLAINED].accuracy.share == 1
    swapped = by_title["permuted: positive, negative"]
    assert (swapped.accuracy.share, swapped.mapping.share, swapped.understanding.share) == (0, 1, 0)
    blank = by_title["class_0, class_1"]
    assert (blank.accuracy.share, blank.mapping.share, blank.understanding.share) == (0.5, 0, 0.5)
    assert blank.renaming.share == 0.5
    assert found.diagnoses[0].naming.title == OWN, "the best comes first, of equals the task's own"
    assert {one.baseline for one in found.comparisons} == {UNEXPLAINED}
    assert json.loads(json.dumps(plain(found)))["diagnoses"][0]["naming"]["title"] == OWN


def test_the_published_template_can_be_asked_under_better_names():
    samples = [Sample(f"s{at}", {"text": ("witty", "dull")[at % 2]}, (LABELS[1 - at % 2],)) for at in range(20)]
    study = Study(Assistant(ScriptedModel(by_meaning)), SENTIMENT, samples)
    arm, strategy = Arm("imdb-baseline", "labels"), find_strategy("imdb-baseline")
    tried = namings(SENTIMENT, strategy)
    found = diagnose(arm, LABELS, tried, consult(study, arm, tried))
    by_names = {one.naming.names: one for one in found.diagnoses}
    assert by_names["class_0", "class_1"].accuracy.share == 0.5
    assert by_names[LABELS].accuracy.share == 1
    assert "asking under other names (other names: +50.0 points" in verdict(found)
