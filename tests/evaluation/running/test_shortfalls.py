"""Notes on prompts with too few demonstrations, and on replies that were cut."""

from assistant.evaluation.outcomes import Arm
from assistant.evaluation.running.shortfalls import shortfall_notes
from tests.evaluation.toy_runs import SENTIMENT, outcome

ROWS = tuple((f"r{at}", 0.5) for at in range(4))


def made(strategy, **rest):
    return outcome(SENTIMENT, "s", "positive", "positive", strategy=strategy, calls=1, **rest)


def test_each_kind_of_shortfall_is_counted_per_arm():
    dropped, cut = made("static-few-shot", demonstrations=ROWS[:3], dropped=1), made("zero-shot", cut=True)
    by_arm = {
        Arm("static-few-shot"): [dropped, made("static-few-shot", demonstrations=ROWS)],
        Arm("dynamic-few-shot"): [
            made("dynamic-few-shot", demonstrations=ROWS[:2], dropped=2),
            made("dynamic-few-shot", demonstrations=ROWS[:1]),
            made("dynamic-few-shot", demonstrations=ROWS),
        ],
        Arm("zero-shot"): [cut, cut, made("zero-shot")],
        Arm("majority", "none"): [made("majority")],
    }
    assert list(shortfall_notes(4, by_arm)) == [
        "Fewer than k = 4 demonstrations were to be had: dynamic-few-shot (generate) in 1 of 3 prompts.",
        "Not all demonstrations fitted into the context: static-few-shot (generate) in 1 of 2 prompts; "
        "dynamic-few-shot (generate) in 1 of 3 prompts.",
        "Replies were cut at the limit of new tokens: zero-shot (generate) in 2 of 3 answers.",
    ]


def test_where_nothing_fell_short_nothing_is_said():
    assert list(shortfall_notes(0, {Arm("zero-shot"): [made("zero-shot")]})) == []
