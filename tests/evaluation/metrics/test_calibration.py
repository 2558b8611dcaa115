"""Calibration by hand-worked numbers, and against the formulas written out sample by sample."""

import math
import random
from dataclasses import replace

import pytest

from assistant.errors import SettingError, UnknownName
from assistant.evaluation.metrics.calibration import calibrated
from assistant.evaluation.outcomes import CALIBRATIONS, Outcome

LABELS = ("negative", "positive", "neutral")


def outcome(scores, target="positive", sample="s", **changes):
    best = max(scores, key=scores.get)
    right = best == target
    return Outcome(
        sample, "few-shot", "labels", 0, (target,), best, right, float(right), label_scores=scores, **changes
    )


def logs(**shares):
    return {label: math.log(share) for label, share in shares.items()}


def shares(one):
    """What the calibrated log-scores say, as shares."""
    total = sum(math.exp(score) for score in one.label_scores.values())
    return {label: math.exp(score) / total for label, score in one.label_scores.items()}


def made_up(count, seed=0):
    """Outcomes with random scores, references and lengths."""
    draw = random.Random(seed)

    def scores():
        return {label: -9 * draw.random() for label in LABELS}

    return [
        outcome(
            scores(),
            draw.choice(LABELS),
            f"s{number}",
            reference_scores={"contextual": [scores() for _ in range(3)], "dc-pmi": [scores()]},
            label_lengths={label: (len(label), draw.randint(1, 4)) for label in LABELS},
        )
        for number in range(count)
    ]


# Worked by hand


def test_contextual_divides_by_the_mean_share_under_content_free_inputs():
    # Content-free: negative has 0.8 and 0.6, on average 0.7. 0.6 / 0.7 : 0.4 / 0.3 = 0.857 : 1.333.
    references = {"contextual": [logs(negative=0.8, positive=0.2), logs(negative=0.6, positive=0.4)]}
    (one,) = calibrated([outcome(logs(negative=0.6, positive=0.4), reference_scores=references)], "contextual")
    assert shares(one) == pytest.approx({"negative": 9 / 23, "positive": 14 / 23})
    assert sum(math.exp(score) for score in one.label_scores.values()) == pytest.approx(1)
    assert (one.final_answer, one.correct, one.score) == ("positive", True, 1.0)


def test_contextual_compares_shares_among_the_labels_however_improbable_all_of_them_are():
    references = {"contextual": [{"negative": -2000 + math.log(0.8), "positive": -2000 + math.log(0.2)}]}
    (one,) = calibrated([outcome(logs(negative=0.006, positive=0.004), reference_scores=references)], "contextual")
    assert shares(one) == pytest.approx({"negative": 3 / 11, "positive": 8 / 11})


def test_batch_divides_by_the_mean_share_in_the_batch():
    # The means are 0.75 and 0.25: 0.7 / 0.75 < 0.3 / 0.25, and 0.8 / 0.75 > 0.2 / 0.25.
    batch = [outcome(logs(negative=0.7, positive=0.3)), outcome(logs(negative=0.8, positive=0.2), "negative")]
    first, second = calibrated(batch, "batch")
    assert shares(first) == pytest.approx({"negative": 7 / 16, "positive": 9 / 16})
    assert shares(second) == pytest.approx({"negative": 4 / 7, "positive": 3 / 7})
    assert [one.correct for one in (first, second)] == [True, True]


def test_batch_depends_on_the_company_and_the_others_do_not():
    all_of_them = made_up(8)
    for calibration in set(CALIBRATIONS) - {"none"}:
        alone = [calibrated([one], calibration)[0] for one in all_of_them]
        assert (alone == calibrated(all_of_them, calibration)) == (calibration != "batch"), calibration


def test_batches_are_apart_by_seed_and_strategy():
    first = made_up(5)
    second = [replace(one, seed=1, label_scores=dict.fromkeys(LABELS, -1.0)) for one in first]
    third = [replace(one, strategy="zero-shot", label_scores=dict.fromkeys(LABELS, -2.0)) for one in first]
    mixed = [one for three in zip(first, second, third, strict=True) for one in three]
    assert calibrated(mixed, "batch")[::3] == calibrated(first, "batch")


def test_dc_pmi_subtracts_the_log_likelihood_without_the_question():
    references = {"dc-pmi": [{"negative": -1.0, "positive": -5.0}]}
    (one,) = calibrated([outcome({"negative": -2.0, "positive": -4.0}, reference_scores=references)], "dc-pmi")
    assert one.label_scores == {"negative": -1.0, "positive": 1.0}
    assert one.final_answer == "positive"


def test_lengths_divide_by_characters_or_by_tokens():
    lengths = {"negative": (8, 1), "positive": (4, 3)}
    start = outcome({"negative": -4.0, "positive": -3.0}, label_lengths=lengths)
    (one,) = calibrated([start], "characters")
    assert one.label_scores == {"negative": -0.5, "positive": -0.75}
    assert (one.final_answer, one.correct, one.score) == ("negative", False, 0.0)
    assert calibrated([start], "tokens")[0].label_scores == {"negative": -4.0, "positive": -1.0}


# Written out


def plainly(outcomes, at, calibration):
    """The scores of one outcome, by the formulas of the papers, one number at a time."""
    one = outcomes[at]

    def share(scores, label):
        return math.exp(scores[label]) / sum(math.exp(scores[name]) for name in LABELS)

    def ratio(prior):
        quotients = {label: share(one.label_scores, label) / prior[label] for label in LABELS}
        return {label: math.log(quotients[label] / sum(quotients.values())) for label in LABELS}

    if calibration == "contextual":
        free = one.reference_scores["contextual"]
        return ratio({label: sum(share(scores, label) for scores in free) / len(free) for label in LABELS})
    if calibration == "batch":
        return ratio({label: sum(share(o.label_scores, label) for o in outcomes) / len(outcomes) for label in LABELS})
    if calibration == "dc-pmi":
        return {label: one.label_scores[label] - one.reference_scores["dc-pmi"][0][label] for label in LABELS}
    which = ("characters", "tokens").index(calibration)
    return {label: one.label_scores[label] / one.label_lengths[label][which] for label in LABELS}


@pytest.mark.parametrize("calibration", [name for name in CALIBRATIONS if name != "none"])
def test_scores_equal_the_formulas_written_out(calibration):
    outcomes = made_up(40)
    found = calibrated(outcomes, calibration)
    changed = 0
    for at, one in enumerate(found):
        wanted = plainly(outcomes, at, calibration)
        assert one.label_scores == pytest.approx(wanted, abs=1e-12)
        assert one.final_answer == max(wanted, key=wanted.get)
        assert one.correct == (one.final_answer in one.targets)
        assert one.score == float(one.correct)
        changed += one.final_answer != outcomes[at].final_answer
    assert changed


# Edges


def test_none_changes_nothing_and_an_outcome_without_scores_stays():
    outcomes = [*made_up(3), Outcome("x", "few-shot", "labels", 0, ("positive",), None, False, 0.0, problem="stopped")]
    assert calibrated(outcomes, "none") == outcomes
    for calibration in CALIBRATIONS:
        assert calibrated(outcomes, calibration)[-1] == outcomes[-1]
    assert calibrated([], "batch") == []


def test_all_else_of_an_outcome_is_kept():
    (start,) = made_up(1)
    (one,) = calibrated([start], "dc-pmi")
    decided = {name: getattr(start, name) for name in ("label_scores", "final_answer", "correct", "score")}
    assert replace(one, **decided) == start


def test_a_tie_goes_to_the_first_label():
    (one,) = calibrated([outcome(logs(negative=0.2, positive=0.8))], "batch")
    assert one.final_answer == "negative"


@pytest.mark.parametrize("calibration", ["contextual", "dc-pmi", "characters", "tokens"])
def test_what_a_calibration_lacks_is_told(calibration):
    with pytest.raises(SettingError, match=f"sample 's' has no .* '{calibration}' needs"):
        calibrated([outcome(logs(negative=0.5, positive=0.5))], calibration)


def test_an_unknown_calibration_is_refused():
    with pytest.raises(UnknownName, match="contextual"):
        calibrated([], "contextal")
