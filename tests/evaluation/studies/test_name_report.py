import csv
import io
import json

import pytest

from assistant.answering import Assistant
from assistant.evaluation.outcomes import Arm, Sample
from assistant.evaluation.studies.name_report import name_report
from assistant.evaluation.studies.report import markdown
from assistant.evaluation.studies.study import Study
from assistant.generation.chat_model import ScriptedModel
from assistant.prompting.tasks import load_task

TASK = load_task("sentiment")
ARM = Arm("zero-shot", "labels")


def by_meaning(prompt, sampling):
    del sampling
    return "positive" if "witty" in prompt.messages[-1]["content"] else "negative"


def as_listed(prompt, sampling):
    """Say the first listed name of a dull review and the second of a witty one, whatever they are."""
    del sampling
    said = " ".join(message["content"] for message in prompt.messages)
    listed = next(
        pair
        for pair in (("negative", "positive"), ("positive", "negative"), ("class_0", "class_1"), ("A", "B"), ("0", "1"),
                     ("neg", "pos"), ("false", "true"))
        if f"{pair[0]} or {pair[1]}" in said or f"{pair[0]}/{pair[1]}" in said
    )  # fmt: skip
    return listed["witty" in prompt.messages[-1]["content"]]


def report(rule, **options):
    samples = [Sample(f"s{at}", {"text": ("dull", "witty")[at % 2]}, (TASK.labels[at % 2],)) for at in range(40)]
    return name_report(Study(Assistant(ScriptedModel(rule)), TASK, samples), ARM, **options)


def test_names_that_keep_their_old_meaning_are_told():
    made = report(by_meaning)
    assert "What helps" not in made.verdicts[0]
    assert "keep their old meaning for the model" in made.verdicts[1]
    assert "1 of 1 permutations: re-mapping them repairs up to 100.0 %" in made.verdicts[1]
    assert made.verdicts[2].startswith("The model agrees most with these names: negative, positive (as asked) 100.0 %")


def test_a_model_that_takes_names_as_they_are_given_is_told_from_it():
    made = report(as_listed)
    assert made.verdicts[1] == "Permuted names are not measurably used in their old meaning."
    assert all(one["accuracy"]["share"] == 1 for one in made.findings["diagnoses"])


def test_the_table_is_best_first_and_its_parts_add_up():
    made = report(by_meaning, alternatives=[("bad", "good")])
    rows = list(csv.DictReader(io.StringIO(made.csv)))
    shares = [float(row["accuracy"]) for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert "bad, good" in [row["names"] for row in rows]
    for row in rows:
        parts = sum(float(row[part]) for part in ("understanding", "mapping", "leaning", "unreadable"))
        assert parts == pytest.approx(1 - float(row["accuracy"]), abs=1e-5)
    assert "| bad, good | alternative |" in markdown(made)
    assert json.loads(json.dumps(made.to_json()))["study"] == "label-names"
