"""An advice that is made once and looked at by many tests."""

import pytest

from assistant.retrieval.opened import DemonstrationIndex
from tests.evaluation.advice_runs import advised


@pytest.fixture(scope="session")
def one_advice(tmp_path_factory):
    """A finished advice, its plan and its folder, shared by the tests that only look at it."""
    home = tmp_path_factory.mktemp("advice")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOTWISE_HOME", str(home))
        plan, record = advised(home)
        rows = DemonstrationIndex.open(plan.index)
        pool = {rows.demonstration(at).id for at in range(len(rows))}
    return plan, record, pool, home / "runs" / "advice"
