"""The parts of the table: what the shipped file holds, and what is refused in one."""

from itertools import chain

import pytest

from assistant.errors import PromptError, UnknownName
from assistant.evaluation.demo_table.parts import load_parts
from assistant.evaluation.demo_table.rows import is_made
from assistant.evaluation.sets.datasets import find_data_set
from tests.evaluation.demo_table.tables import PARTS, small_parts


def changed(folder, old, new):
    assert old in PARTS
    path = folder / "changed.toml"
    path.write_text(PARTS.replace(old, new), encoding="utf-8")
    return load_parts(path)


def test_every_source_of_the_shipped_table_is_known():
    for run in load_parts().runs:
        assert is_made(run.source) or find_data_set(run.source).name == run.source


def test_the_shipped_table_asks_what_it_promises():
    parts = load_parts()
    runs = {run.name: run for run in parts.runs}
    assert min(runs[name].rows for name in ("natural", "flipped", "arbitrary")) == 800
    assert runs["flipped"].label_names == ("positive", "negative")
    assert "self-consistency" in runs["steps-3"].strategies
    assert all("grounded" in run.source for run in parts.runs if run.part == "grounded")
    bars = {check.title: (check.least, check.certain) for check in parts.checks if check.has_bar}
    assert bars["flipped names, static − zero-shot"] == (10, False)
    assert bars["arbitrary names, dynamic − static"] == (0, True)
    assert bars["dynamic − zero-shot"] == (15, False)


def test_every_column_of_the_shipped_table_is_judged_or_shown_in_a_part():
    parts = load_parts()
    assert {run.part for run in parts.runs} == {section.name for section in parts.sections}


def test_made_up_names_are_drawn_once_each_and_always_alike(tmp_path):
    parts = small_parts(tmp_path)
    assert len(parts.namings) == 3
    assert parts.namings[-1] == ("class_0", "class_1")
    assert len(set(chain(*parts.namings))) == 6
    load_parts.cache_clear()
    assert small_parts(tmp_path).namings == parts.namings


def test_classes_are_numbered_in_both_senses():
    assert {("class_0", "class_1"), ("class_1", "class_0")} <= set(load_parts().namings)


def test_namings_draw_demonstrations_of_their_own(tmp_path):
    parts = small_parts(tmp_path)
    runs = {run.name: run for run in parts.runs}
    assert parts.expanded(runs["natural"]) == (runs["natural"],)
    several = parts.expanded(runs["arbitrary"])
    assert [run.label_names for run in several] == list(parts.namings)
    assert len({run.first_seed for run in several}) == len({run.name for run in several}) == 3


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('part = "grounded"\ntitle = "with the passage"', 'part = "other"\ntitle = "with the passage"', "part"),
        ('over = "zero-shot"', 'over = "static-few-shot"', "strategy of the run"),
        ('over_run = "natural"', 'over_run = "nature"', "run in"),
        ('reading = "generate"', 'reading = "aloud"', "reading"),
    ],
)
def test_names_that_do_not_exist_are_refused(tmp_path, old, new, named):
    with pytest.raises(UnknownName, match=named):
        changed(tmp_path, old, new)


def test_keys_that_nobody_knows_are_refused(tmp_path):
    with pytest.raises(PromptError, match="lines"):
        changed(tmp_path, "rows = 200", "lines = 200")
