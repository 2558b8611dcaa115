"""From parts to plans."""

import pytest

from assistant.errors import SettingError
from assistant.evaluation.demo_table.parts import load_parts
from assistant.evaluation.demo_table.planning import Conditions, plan_table
from assistant.retrieval.opened import DemonstrationIndex
from tests.evaluation.demo_table.tables import conditions, small_parts


@pytest.fixture
def planned(tmp_path):
    return plan_table(small_parts(tmp_path), conditions(tmp_path), adapter=False)


def test_each_naming_is_an_evaluation_of_its_own(planned):
    assert [one.run.name for one in planned] == ["natural", "arbitrary", "arbitrary", "arbitrary", "with-passage"]
    assert planned[0].names == ""
    assert planned[3].names == "class_0/class_1"
    assert len({one.plan.hash for one in planned}) == len({one.plan.name for one in planned}) == 5


def test_all_namings_ask_the_same_rows(planned):
    assert len({one.plan.ids_sha256 for one in planned[:4]}) == 1
    assert planned[1].plan.label_names == planned[1].asked.label_names


def test_rows_without_a_language_model_stand_beside_where_they_are_wanted(planned):
    natural, arbitrary = planned[0].plan, planned[1].plan
    assert [arm.strategy for arm in natural.arms if arm.is_baseline] == ["majority", "knn-vote", "logistic-regression"]
    assert arbitrary.arms == arbitrary.asked


def test_demonstrations_come_from_the_pool_and_never_from_the_test_rows(planned):
    index = DemonstrationIndex.open(planned[0].plan.index)
    rows = {index.demonstration(at).id for at in range(len(index))}
    assert not rows & {sample.id for sample in planned[0].plan.samples}


def test_columns_of_the_adapter_are_left_out_without_one(tmp_path, planned):
    with_it = plan_table(small_parts(tmp_path), conditions(tmp_path), adapter=True)
    assert [one.run.name for one in with_it][-1] == "adapted"
    assert len(with_it) == len(planned) + 1


def test_shorter_columns_have_fewer_rows_in_proportion():
    runs = {run.name: run for run in load_parts().runs}
    rows = {wished: [Conditions("", wished).rows_of(runs[name]) for name in ("natural", "steps-3", "steps-1")]
            for wished in (800, 400, 40, 10, 2000)}  # fmt: skip
    assert rows == {
        800: [800, 200, 100],
        400: [400, 100, 50],
        40: [40, 20, 20],
        10: [10, 10, 10],
        2000: [800, 200, 100],
    }


def test_numbers_that_make_no_table_are_refused():
    with pytest.raises(SettingError, match="At least 1 row"):
        Conditions("", 0)
    with pytest.raises(SettingError, match="seeds"):
        Conditions("", 10, 11)
