import pytest
import sacrebleu
from rouge_score import rouge_scorer

from assistant.errors import UnknownName
from assistant.evaluation.metrics import text as text_metrics
from assistant.evaluation.metrics.text import METRICS, score_sample
from assistant.prompting.tasks import list_tasks, load_task

SUMMARIES = [
    ("Anna asks Ben to buy milk on his way home.", ["Anna wants Ben to buy milk.", "Ben will be buying some milk."]),
    ("They talk about the weather in Oslo", ["The meeting was moved to Friday."]),
    ("", ["Nothing was said."]),
    ("Maria cannot come to the party because she is ill.", ["Maria is ill and will not come to the party."]),
]


class WithMetric:
    """A task as far as scoring looks at it."""

    def __init__(self, metric):
        self.name, self.metric = "made up", metric


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("The Eiffel Tower!", "eiffel tower"),
        ("  an  apple,  a pear ", "apple pear"),
        ("theatre", "theatre"),
        ("The", ""),
    ],
)
def test_articles_punctuation_case_and_spaces_do_not_count(text, normalised):
    assert text_metrics.normalise(text) == normalised


@pytest.mark.parametrize(
    ("answer", "targets", "exact", "f1"),
    [
        ("the Beatles", ["Beatles"], 1.0, 1.0),
        ("in 1857 by two brothers", ["two brothers"], 0.0, 2 * (2 / 5) * 1.0 / (2 / 5 + 1.0)),
        ("two brothers", ["1857", "Two brothers."], 1.0, 1.0),
        ("the the cat cat", ["cat"], 0.0, 2 * 0.5 * 1.0 / 1.5),
        ("Paris", ["London"], 0.0, 0.0),
        ("a", ["the"], 1.0, 1.0),
        ("a", ["London"], 0.0, 0.0),
        ("anything", [], 0.0, 0.0),
    ],
)
def test_exact_match_and_token_f1_by_hand(answer, targets, exact, f1):
    assert text_metrics.exact_match(answer, targets) == exact
    assert text_metrics.token_f1(answer, targets) == pytest.approx(f1, abs=1e-9)


@pytest.mark.parametrize(("answer", "targets"), SUMMARIES)
def test_rouge_is_that_of_rouge_score_and_the_best_over_targets(answer, targets):
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    found = text_metrics.rouge(answer, targets)
    for name, value in found.items():
        best = max(scorer.score(target, answer)[name].fmeasure for target in targets)
        assert value == pytest.approx(best, abs=1e-9)


def test_rouge_1_misses_a_not():
    reference = ["the film is good and worth the money"]
    negated = text_metrics.rouge("the film is not good and not worth the money", reference)
    assert negated["rouge1"] == pytest.approx(2 * (8 / 10) * 1.0 / (8 / 10 + 1.0), abs=1e-9)  # 0.89 for the opposite
    assert negated["rouge2"] < negated["rouge1"]


def test_clipped_unigrams_miss_the_order_of_words():
    reference = ["the dog bit the man"]
    turned = text_metrics.rouge("the man bit the dog", reference)
    assert turned["rouge1"] == 1.0
    assert turned["rouge2"] == pytest.approx(3 / 4, abs=1e-9)  # all but "dog bit", which became "man bit"
    assert turned["rougeL"] == pytest.approx(3 / 5, abs=1e-9)


def test_unigrams_are_clipped():
    assert text_metrics.rouge("the the the the", ["the cat"])["rouge1"] == pytest.approx(
        2 * 0.25 * 0.5 / 0.75, abs=1e-9
    )


def test_bleu_is_that_of_sacrebleu_and_names_its_signature():
    answers = [answer for answer, _ in SUMMARIES]
    found = text_metrics.bleu(answers, [targets for _, targets in SUMMARIES])
    streams = [
        ["Anna wants Ben to buy milk.", *(targets[0] for _, targets in SUMMARIES[1:])],
        ["Ben will be buying some milk.", None, None, None],
    ]
    metric = sacrebleu.metrics.BLEU()
    assert found.score == pytest.approx(metric.corpus_score(answers, streams).score, abs=1e-9)
    assert found.score > 1
    assert found.signature == str(metric.get_signature())
    assert "tok:13a" in found.signature


def test_bleu_of_equal_texts_is_one_hundred():
    text = "the quick brown fox jumps over the lazy dog"
    assert text_metrics.bleu([text], [[text]]).score == pytest.approx(100.0)


def test_bleu_passes_over_samples_without_a_target():
    text = "the quick brown fox jumps over the lazy dog"
    assert text_metrics.bleu([text, "x"], [[text], [""]]).score == pytest.approx(100.0)
    assert text_metrics.bleu(["x"], [[]]).score == 0.0


@pytest.mark.parametrize(
    ("answer", "target", "same"),
    [
        ("7", "7.0", True),
        ("1,200", "1200", True),
        ("$18", "18", True),
        ("-3", "−3", True),
        ("-$5", "-5", True),
        (".5", "0.50", True),
        ("25%", "25", True),
        ("07", "7", True),
        ("7", "-7", False),
        ("7", "70", False),
        ("seven", "7", False),
        ("seven", "seven", False),
        ("3 or 4", "3", False),
    ],
)
def test_numbers_match_however_they_are_written(answer, target, same):
    assert text_metrics.number_match(answer, [target]) == float(same)


def test_one_of_several_targets_is_enough():
    assert text_metrics.number_match("4", ["3", "4.00"]) == 1.0
    assert score_sample(WithMetric("accuracy"), "b", ("a", "b")) == (True, 1.0)


@pytest.mark.parametrize(
    ("metric", "answer", "targets", "expected"),
    [
        ("accuracy", "positive", ("positive",), (True, 1.0)),
        ("accuracy", "Positive", ("positive",), (False, 0.0)),
        ("number", "7", ("7.0",), (True, 1.0)),
        ("exact", "The Beatles.", ("Beatles",), (True, 1.0)),
        ("exact", "some Beatles", ("Beatles",), (False, 0.0)),
        ("squad", "The Beatles.", ("Beatles",), (True, 1.0)),
        ("squad", "in 1857", ("1857",), (False, 2 / 3)),
        ("similarity", "4.0", ("2.5",), (None, 0.7)),
        ("similarity", "9", ("1",), (None, 0.0)),
        ("similarity", "alike", ("2.5",), (None, 0.0)),
        ("none", "hello", ("hello",), (None, 0.0)),
    ],
)
def test_the_metric_of_the_task_decides(metric, answer, targets, expected):
    correct, score = score_sample(WithMetric(metric), answer, targets)
    assert correct is expected[0]
    assert score == pytest.approx(expected[1], abs=1e-9)


def test_a_summary_is_scored_by_rouge_l_and_is_neither_right_nor_wrong():
    answer, targets = SUMMARIES[3]
    found = score_sample(load_task("summary"), answer, targets)
    assert found == (None, text_metrics.rouge(answer, targets)["rougeL"])


@pytest.mark.parametrize("metric", METRICS)
def test_an_unreadable_reply_never_scores(metric):
    correct, score = score_sample(WithMetric(metric), None, ("7",))
    assert score == 0.0
    assert correct is (False if metric in text_metrics.RIGHT_OR_WRONG else None)


def test_every_task_has_a_metric_that_is_known():
    assert {task.metric for task in list_tasks()} <= set(METRICS)


def test_an_unknown_metric_is_refused_with_the_known_ones():
    with pytest.raises(UnknownName, match="rouge"):
        score_sample(WithMetric("rogue"), "x", ("x",))


@pytest.mark.parametrize(
    ("answer", "target", "same"),
    [
        ("(A)", "(A)", 1.0),
        ("a", "(A)", 1.0),
        ("B.", "(B)", 1.0),
        ("(A)", "(B)", 0.0),
        ("true", "True", 1.0),
        ("> }", "> }", 1.0),
        ("> }", "} >", 0.0),
        ("", "> }", 0.0),
        ("apple  pear", "apple pear", 1.0),
        (".", "", 0.0),
        ("The answer is (A)", "(A)", 0.0),
    ],
)
def test_answers_of_puzzles_keep_their_punctuation(answer, target, same):
    assert text_metrics.same_text(answer, [target]) == same
