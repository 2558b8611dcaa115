"""The table in the model's card."""

import pytest

from assistant.errors import DataError
from assistant.evaluation.demo_table.card import BEGIN, END, card_file, with_table, write_table

CARD = f"# Card\n\nBefore.\n\n{BEGIN}\n\nold\n\n{END}\n\nAfter.\n"


def test_only_what_stands_between_the_comments_is_replaced():
    assert with_table(CARD, "\nnew\n\n") == CARD.replace("old", "new")
    assert with_table(with_table(CARD, "new"), "old") == CARD


def test_the_table_is_written_into_the_file(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(CARD, encoding="utf-8")
    assert write_table("new", path) == path
    assert path.read_text(encoding="utf-8") == CARD.replace("old", "new")


@pytest.mark.parametrize("card", ["", BEGIN, END, f"{END}{BEGIN}", CARD + BEGIN, CARD + END])
def test_a_card_without_one_place_for_the_table_is_refused(card):
    with pytest.raises(DataError, match="table"):
        with_table(card, "new")


def test_the_shipped_card_has_a_place_for_the_table():
    card = card_file().read_text(encoding="utf-8")
    assert "new" in with_table(card, "new")
