import pytest

from assistant.errors import DataError
from assistant.finetuning.generators.splitting import split, weighted
from assistant.finetuning.marks import text_mark
from assistant.records import Demonstration


def rows(count, group=lambda at: "", label=lambda at: "yes" if at % 2 else "no"):
    return [Demonstration(f"r{at}", {"text": f"text {at}"}, label(at), group=group(at)) for at in range(count)]


def test_no_group_is_in_both_parts():
    parts = split(rows(100, group=lambda at: f"film {at // 5}"), 0.2, seed=3)
    assert not {row.group for row in parts.train} & {row.group for row in parts.validation}
    assert len(parts.train) + len(parts.validation) == 100
    assert 10 <= len(parts.validation) <= 20


def test_no_text_is_in_both_parts():
    copies = (Demonstration(f"c{at}", {"text": f"Text, {at}!"}, "yes" if at % 2 else "no") for at in range(60))
    parts = split([*rows(60), *copies], 0.2, seed=3)
    texts = [{text_mark(row.inputs) for row in part} for part in (parts.train, parts.validation)]
    assert not texts[0] & texts[1]
    assert len(parts.validation) == 24


@pytest.mark.parametrize("second", [lambda at: f"other {at}", lambda at: ""])
def test_a_copy_in_another_group_or_in_none_stays_with_its_text(second):
    own = [Demonstration(f"a{at}", {"text": f"text {at}"}, "yes", group=f"one {at}") for at in range(40)]
    copies = [Demonstration(f"b{at}", {"text": f"Text: {at}!"}, "yes", group=second(at)) for at in range(40)]
    parts = split([*own, *copies], 0.25, seed=3)
    texts = [{text_mark(row.inputs) for row in part} for part in (parts.train, parts.validation)]
    assert not texts[0] & texts[1]
    assert len(parts.validation) == 20
    turned = split([*copies, *own][::-1], 0.25, seed=3)
    assert {row.id for row in turned.validation} == {row.id for row in parts.validation}


def test_what_hangs_together_by_others_is_not_cut():
    chain = [Demonstration(f"c{at}", {"text": f"link {at // 2}"}, "yes", group=f"g{(at + 1) // 2}") for at in range(20)]
    parts = split([*chain, *rows(20)], 0.3, seed=0)
    assert {row.id for row in chain} <= {row.id for row in parts.train}
    assert len(parts.validation) == 12


def test_each_label_gives_its_share():
    parts = split(rows(100, label=lambda at: "rare" if at < 20 else "common"), 0.1, seed=0)
    assert sum(row.output == "rare" for row in parts.validation) == 2
    assert len(parts.validation) == 10


def test_the_same_seed_splits_alike_and_another_one_otherwise():
    first, again, other = (split(rows(60), 0.2, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.validation != other.validation


def test_the_order_of_the_file_decides_nothing():
    there = {row.id for row in split(rows(60), 0.2, seed=1).validation}
    assert {row.id for row in split(rows(60)[::-1], 0.2, seed=1).validation} == there


def test_nothing_is_set_apart_if_that_is_wished():
    parts = split(rows(5), 0.0, seed=1)
    assert (len(parts.train), len(parts.validation)) == (5, 0)


def test_few_rows_still_give_one_to_check_with():
    assert len(split(rows(4), 0.1, seed=1).validation) == 1


def test_one_group_alone_cannot_be_split():
    with pytest.raises(DataError, match="too few"):
        split(rows(4, group=lambda at: "one"), 0.1, seed=1)


@pytest.mark.parametrize(("weight", "count"), [(1, 10), (2, 20), (0.5, 5), (2.3, 23), (0.01, 0)])
def test_a_weight_says_how_often_rows_are_learnt_and_none_much_more_than_another(weight, count):
    drawn = weighted(range(10), weight, seed=1)
    assert len(drawn) == count
    assert max(map(drawn.count, range(10))) - min(map(drawn.count, range(10))) <= 1
    assert drawn == weighted(range(10), weight, seed=1)
