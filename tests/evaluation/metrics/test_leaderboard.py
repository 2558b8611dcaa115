import json
from dataclasses import replace

import numpy as np
import pytest
import sacrebleu
from scipy import stats
from sklearn import metrics
from statsmodels.stats.proportion import proportion_confint

from assistant.evaluation.metrics.arms import REFUSAL, arms_of, excluded, problems
from assistant.evaluation.metrics.leaderboard import pairs_of, sample_means, summarise
from assistant.evaluation.metrics.text import rouge
from assistant.evaluation.outcomes import CALIBRATIONS
from assistant.prompting.tasks import load_task
from tests.evaluation.toy_runs import label_outcomes, outcome

SENTIMENT = load_task("sentiment")
CONTRACT = {
    *("name", "strategy", "reading", "calibration", "kind", "n", "seeds", "accuracy", "accuracy_interval"),
    *("accuracy_by_seed", "macro_f1", "macro_f1_interval", "per_class", "confusion", "roc_auc", "roc_curve", "brier"),
    *("calibration_curve", "exact_match", "token_f1", "rouge1", "rouge2", "rougeL", "bleu", "number_match", "score"),
    *("score_interval", "parse_failures", "problems", "excluded", "prompt_tokens", "new_tokens", "calls", "seconds"),
    *("seconds_median", "seconds_p95"),
}


def rows_of(outcomes, task=SENTIMENT, **rest):
    return summarise(outcomes, task, draws=500, **rest)


def some_read(n=20, unread=3, **rest):
    """Return outcomes of which the last `unread` could not be read and one in four of the others is wrong."""
    made = []
    for number in range(n):
        target = SENTIMENT.labels[number % 2]
        wrong = SENTIMENT.labels[1 - number % 2]
        answer = None if number >= n - unread else (wrong if number % 4 == 0 else target)
        made.append(outcome(SENTIMENT, f"row-{number}", target, answer, **rest))
    return made


def test_a_row_has_every_key_of_the_contract():
    for task, made in (
        (SENTIMENT, some_read()),
        (load_task("summary"), [outcome(load_task("summary"), "1", "a", "b")]),
    ):
        row = rows_of(made, task)[0]
        assert set(row) >= CONTRACT
        assert json.loads(json.dumps(row, allow_nan=False)) == row


def test_accuracy_of_one_seed_has_wilsons_interval():
    row = rows_of(some_read())[0]
    assert (row["n"], row["accuracy"]) == (20, 12 / 20)
    expected = proportion_confint(12, 20, method="wilson")
    assert row["accuracy_interval"] == pytest.approx(list(expected), abs=1e-9)
    assert row["score"] == row["accuracy"]
    assert row["accuracy_by_seed"] == [0.6]


def test_unreadable_replies_have_a_column_of_their_own():
    row = rows_of(some_read(unread=3))[0]
    assert row["parse_failures"] == 3
    assert row["problems"] == {"the reply names no label": 3}
    assert sum(line[-1] for line in row["confusion"]["counts"]) == 3
    assert sum(map(sum, row["confusion"]["counts"])) == 20


def test_macro_f1_is_that_of_scikit_learn_and_lies_in_its_interval():
    made = label_outcomes(SENTIMENT)
    row = rows_of(made)[0]
    targets, answers = [one.targets[0] for one in made], [one.final_answer for one in made]
    assert row["macro_f1"] == pytest.approx(metrics.f1_score(targets, answers, average="macro"), abs=1e-9)
    assert row["macro_f1_interval"][0] < row["macro_f1"] < row["macro_f1_interval"][1]
    assert row["roc_auc"] > 0.5
    assert 0 < row["brier"] < 2


def test_swapped_labels_turn_accuracy_and_area_round():
    made = label_outcomes(SENTIMENT, skill=2.0)
    names = dict(zip(SENTIMENT.labels, reversed(SENTIMENT.labels), strict=True))
    swapped = [
        outcome(
            SENTIMENT,
            one.sample,
            one.targets[0],
            names[one.final_answer],
            reading="labels",
            label_scores={names[label]: score for label, score in one.label_scores.items()},
        )
        for one in made
    ]
    straight, crossed = rows_of(made)[0], rows_of(swapped)[0]
    assert crossed["accuracy"] == pytest.approx(1 - straight["accuracy"])
    assert crossed["roc_auc"] == pytest.approx(1 - straight["roc_auc"])
    assert crossed["roc_auc"] < 0.3


def test_figures_that_need_label_scores_are_absent_without_them():
    row = rows_of(some_read())[0]
    assert [row[key] for key in ("roc_auc", "roc_curve", "brier", "calibration_curve")] == [None] * 4


def test_a_sample_counts_once_with_its_mean_over_the_seeds():
    made = [one for seed in range(5) for one in label_outcomes(SENTIMENT, seed=seed)]
    row = rows_of(made)[0]
    right = np.array([one.correct for one in made], dtype=float).reshape(5, 60)
    assert (row["n"], row["answers"], row["seeds"]) == (60, 300, [0, 1, 2, 3, 4])
    assert row["accuracy"] == pytest.approx(right.mean())
    assert row["accuracy_by_seed"] == pytest.approx(right.mean(axis=1).tolist())
    assert sample_means(made, SENTIMENT)["row-7"] == pytest.approx(right[:, 7].mean())
    drawn = [np.random.default_rng(s) for s in range(2000)]
    spread = np.std([right[one.integers(5, size=4)][:, one.integers(60, size=60)].mean() for one in drawn])
    width = row["accuracy_interval"][1] - row["accuracy_interval"][0]
    assert width == pytest.approx(2 * 1.96 * spread, rel=0.15)
    f1 = [
        metrics.f1_score(
            [o.targets[0] for o in made if o.seed == s], [o.final_answer for o in made if o.seed == s], average="macro"
        )
        for s in range(5)
    ]
    assert row["macro_f1"] == pytest.approx(np.mean(f1), abs=1e-9)


def drawn_outcomes(luck, strategy="fixed", n=200):
    """Return outcomes of several seeds; the luck of a seed's draw moves the accuracy of all its samples."""
    labels = SENTIMENT.labels
    draw = np.random.default_rng(int(1e6 * abs(luck[0])))
    return [
        outcome(SENTIMENT, f"s{at}", labels[at % 2], labels[(at + (draw.random() > 0.7 + gain)) % 2],
                strategy=strategy, reading="labels", seed=seed)
        for seed, gain in enumerate(luck)
        for at in range(n)
    ]  # fmt: skip


def test_intervals_of_several_seeds_cover_what_other_draws_would_give():
    generator, covered = np.random.default_rng(4), []
    for _ in range(40):
        luck = generator.normal(0, 0.05, 5).tolist()
        made = drawn_outcomes(luck)
        (row,) = summarise(made, SENTIMENT, draws=400)
        plain = [replace(one, strategy="plain", seed=0, correct=one.sample < "s5", score=0.0) for one in made[:200]]
        middle = np.mean([one.correct for one in plain])
        (pair,) = pairs_of([*plain, *made], SENTIMENT, "plain (labels)", draws=400)
        found = [row["accuracy_interval"], row["score_interval"], row["macro_f1_interval"], pair["interval"]]
        true = (0.7, 0.7, 0.7, 0.7 - middle)
        covered.append([low <= value <= high for (low, high), value in zip(found, true, strict=True)])
    assert np.mean(covered, axis=0).min() >= 0.87


def test_arms_that_share_their_draws_are_compared_draw_by_draw():
    luck = (0.2, -0.2, 0.1, -0.1, 0.0)
    one = drawn_outcomes(luck)
    same = [replace(other, strategy="other") for other in one]
    (pair,) = pairs_of([*one, *same], SENTIMENT, "fixed (labels)", draws=400)
    assert pair["interval"][1] < 0.05  # the luck of the draw is the same for both, and cancels


def test_a_seed_that_was_stopped_early_leaves_the_means_as_they_are():
    made = drawn_outcomes((0.1, -0.1, 0.0))[:500]
    (row,) = summarise(made, SENTIMENT, draws=400)
    means = sample_means(made, SENTIMENT)
    assert row["accuracy"] == pytest.approx(np.mean(list(means.values())))
    assert row["accuracy_interval"][0] < row["accuracy"] < row["accuracy_interval"][1]
    assert row["macro_f1_interval"][0] < row["macro_f1"] < row["macro_f1_interval"][1]


def test_samples_of_one_group_are_drawn_together():
    made = [
        replace(one, correct=place < 30, score=float(place < 30)) for place, one in enumerate(label_outcomes(SENTIMENT))
    ]
    alone = rows_of(made)[0]
    grouped = rows_of([replace(one, group=f"film {place // 10}") for place, one in enumerate(made)])[0]
    widths = [row["accuracy_interval"][1] - row["accuracy_interval"][0] for row in (alone, grouped)]
    assert grouped["accuracy"] == alone["accuracy"] == 0.5
    assert widths[1] > 2 * widths[0]


def test_rows_stand_in_the_order_of_the_plan_each_calibration_under_its_arm():
    made = [
        *label_outcomes(SENTIMENT, strategy="nearest"),
        *some_read(strategy="zero-shot"),
        *label_outcomes(SENTIMENT, strategy="knn-vote", reading="none"),
    ]
    rows = rows_of(made, calibrations=("none", "batch"))
    assert [row["name"] for row in rows] == [
        "nearest (labels)",
        "nearest (labels, batch)",
        "zero-shot (generate)",
        "knn-vote",
    ]
    assert [row["kind"] for row in rows] == ["strategy"] * 3 + ["baseline"]
    assert [arm.name for arm in arms_of(made, CALIBRATIONS[:1])] == [
        "nearest (labels)",
        "zero-shot (generate)",
        "knn-vote",
    ]


def test_summaries_are_measured_by_rouge_and_bleu():
    task = load_task("summary")
    texts = [
        ("Anna will buy the milk today.", "Anna buys milk today."),
        ("No plan was made at all.", "They made no plan at all."),
    ]
    row = rows_of([outcome(task, str(place), target, answer) for place, (target, answer) in enumerate(texts)], task)[0]
    assert row["accuracy"] is None
    assert row["rougeL"] == pytest.approx(np.mean([rouge(answer, [target])["rougeL"] for target, answer in texts]))
    assert row["score"] == row["rougeL"]
    expected = sacrebleu.corpus_bleu([answer for _, answer in texts], [[target for target, _ in texts]]).score
    assert row["bleu"] == pytest.approx(expected, abs=1e-9)
    assert "tok:13a" in row["bleu_signature"]


def test_numbers_are_measured_by_number_match():
    task = load_task("word-problems")
    row = rows_of([outcome(task, "1", "7.0", "7"), outcome(task, "2", "7", "8"), outcome(task, "3", "7", None)], task)[
        0
    ]
    assert row["number_match"] == row["accuracy"] == pytest.approx(1 / 3)
    assert row["rouge1"] is None


def test_grades_are_measured_by_both_correlations():
    class Grades:
        name, metric, labels = "grades", "similarity", ()

    pairs = [("1.0", "1.5"), ("2.0", "1.0"), ("3.5", "4"), ("5.0", "4.8")]
    made = [outcome(Grades, str(place), target, answer) for place, (target, answer) in enumerate(pairs)]
    row = rows_of(made, Grades)[0]
    meant, given = [1.0, 2.0, 3.5, 5.0], [1.5, 1.0, 4.0, 4.8]
    assert row["pearson"] == pytest.approx(stats.pearsonr(meant, given).statistic, abs=1e-9)
    assert row["spearman"] == pytest.approx(stats.spearmanr(meant, given).statistic, abs=1e-9)
    constant = rows_of([outcome(Grades, str(place), target, "3") for place, (target, _) in enumerate(pairs)], Grades)[0]
    assert constant["pearson"] is None
    again = [replace(one, seed=1, final_answer=str(place)) for place, one in enumerate(made)]
    both = rows_of([*made, *again], Grades)[0]
    assert both["pearson"] == pytest.approx((row["pearson"] + stats.pearsonr(meant, range(4)).statistic) / 2)
    unread = rows_of([*made, outcome(Grades, "hard", "4.0", None)], Grades)[0]
    assert (unread["pearson"], unread["spearman"]) == (None, None)


def test_problems_and_exclusions_are_counted_by_reason_without_particulars():
    made = [
        outcome(SENTIMENT, "1", "negative", None, problem="the reply names several labels: negative, positive"),
        outcome(SENTIMENT, "2", "negative", None, problem="the reply names several labels: positive, negative"),
        outcome(SENTIMENT, "3", "negative", None, answer="I'm sorry, but I can't judge this."),
        outcome(
            SENTIMENT,
            "4",
            "negative",
            "negative",
            answer="Sorry that I cannot say more than negative",
            excluded=(
                ("7", "the same group as the question ('film (1): the end')", 0.4),
                ("8", "a near copy of the question: cosine 0.97", 0.97),
            ),
        ),
    ]
    assert problems(made) == {"the reply names several labels": 2, REFUSAL: 1}
    assert excluded(made) == {"a near copy of the question": 1, "the same group as the question": 1}
    assert rows_of(made)[0]["longer_than_a_label"] == 1


@pytest.mark.parametrize(
    ("reason", "counted"),
    [
        ("the reasoning does not end with 'Answer:'", "the reasoning does not end with 'Answer:'"),
        ("the reply names several labels: no, yes", "the reply names several labels"),
        ("its output '(x): y' is not a label of the task (no, yes)", "its output is not a label of the task"),
        ("it has the fields a, b; the task needs c", "it has the fields a, b"),
        ("a near copy of the question's premise: 91% of its letter groups", "a near copy of the question's premise"),
        ("", "no reason is known"),
    ],
)
def test_a_reason_is_counted_without_its_particulars(reason, counted):
    assert problems([outcome(SENTIMENT, "1", "negative", None, problem=reason)]) == {counted: 1}


def test_costs_are_totals_over_samples_and_seeds():
    made = [one for seed in range(2) for one in label_outcomes(SENTIMENT, seed=seed, n=10)]
    row = rows_of(made)[0]
    assert (row["prompt_tokens"], row["calls"]) == (800, 20)
    assert row["seconds"] == pytest.approx(0.6)
    assert row["seconds_median"] == pytest.approx(0.03)
    assert row["seconds_p95"] == pytest.approx(np.percentile([0.01, 0.02, 0.03, 0.04, 0.05] * 4, 95))


def test_the_same_outcomes_give_the_same_rows():
    made = label_outcomes(SENTIMENT)
    assert rows_of(made) == rows_of(made)


def test_every_arm_is_compared_with_the_baseline_sample_by_sample():
    good, poor = (
        label_outcomes(SENTIMENT, strategy="nearest", skill=4.0),
        label_outcomes(SENTIMENT, strategy="fixed", skill=0.0),
    )
    pairs = pairs_of([*poor, *good], SENTIMENT, "fixed (labels)")
    wins = sum(bool(g.correct) and not p.correct for g, p in zip(good, poor, strict=True))
    losses = sum(bool(p.correct) and not g.correct for g, p in zip(good, poor, strict=True))
    assert [(pair["a"], pair["b"]) for pair in pairs] == [("fixed (labels)", "nearest (labels)")]
    assert (pairs[0]["n"], pairs[0]["wins"], pairs[0]["losses"]) == (60, wins, losses)
    assert pairs[0]["p_value"] == pytest.approx(stats.binomtest(wins, wins + losses).pvalue, abs=1e-9)
    assert pairs[0]["verdict"].startswith("better")
    assert json.dumps(pairs, allow_nan=False)


def test_nothing_is_compared_with_a_baseline_that_did_not_run():
    assert pairs_of(label_outcomes(SENTIMENT), SENTIMENT, "majority") == []
    assert summarise([], SENTIMENT) == []
