"""Rows made up for the tests of fine-tuning."""

from assistant.records import Demonstration

GOOD = ("a gorgeous, witty film", "full of life and very funny", "I laughed all the way through")
BAD = ("the plot was dull", "tired actors and a stale script", "two hours that I want back")


def review_rows(count=24):
    """Rows of the task sentiment, four to a group."""
    rows = []
    for at in range(count):
        label, texts = (("positive", GOOD), ("negative", BAD))[at % 2]
        rows.append(Demonstration(f"r{at}", {"text": f"{texts[at % 3]}, number {at}"}, label, group=f"g{at // 4}"))
    return tuple(rows)
