"""Recipes: the files name only what exists, the published protocol is exactly that, and runs resume."""

import gzip
import json
import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from assistant import paths
from assistant.answering import Assistant
from assistant.errors import DataError, PromptError, UnknownName
from assistant.evaluation.outcomes import Outcome
from assistant.evaluation.recipes.claims import author_part, published_lines
from assistant.evaluation.recipes.published import claim, claims
from assistant.evaluation.recipes.recipe import PUBLISHED_READINGS, load_recipe, read_as_published, recipe_names
from assistant.evaluation.recipes.report import across_part, beside_part, markdown, read_again, recipe_record
from assistant.evaluation.recipes.runs import Conditions, folder_of, in_roles, plan_recipe, run_plans
from assistant.evaluation.sets.datasets import find_data_set, load_rows
from assistant.generation.chat_model import ScriptedModel
from assistant.generation.rendering import PromptRenderer
from assistant.prompting.tasks import load_task
from tests.generation.layouts import make_tokenizer

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
NAMED = (
    *("imdb-zephyr-t1", "imdb-zephyr-t2", "imdb-zephyr-t3", "imdb-label-names", "mrpc-llama-hard", "gsm8k"),
    *("dialogsum-zero-shot", "dialogsum-few-shot", "mmlu", "bbh", "glue", "strategies-by-task"),
    *("prompt-or-tune", "lora-rank-sweep"),
)
SENTIMENT = load_task("sentiment")
TOY = Conditions(limit=6, encoder="toy")


def run_of(recipe, name):
    return next(run for run in recipe.runs if run.name == name)


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_can_be_read_and_says_where_it_is_from(name):
    recipe = load_recipe(name)
    assert all((recipe.title, recipe.about, recipe.source, recipe.runs or recipe.curve, recipe.flaws))
    assert len({run.name for run in recipe.runs}) == len(recipe.runs)
    for run in recipe.runs:
        assert run.arms(load_task(find_data_set(run.data).task))
        assert set(run.published.values()) <= set(claims())


def test_the_recipes_of_the_source_documents_are_there():
    assert set(NAMED) == set(recipe_names())


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_published_protocol_is_kept_apart_from_the_fair_one(number):
    recipe = load_recipe(f"imdb-zephyr-t{number}")
    as_published, fair = run_of(recipe, "as-published"), run_of(recipe, "fair")
    assert [row.split("/")[1] for row in as_published.ids] == ["neg"] * 10 + ["pos"] * 10
    assert as_published.max_new_tokens == {1: 3, 2: 15, 3: 15}[number]
    assert as_published.published_reading == {1: "is-class-0", 2: "has-class-0", 3: "has-class-0"}[number]
    assert (as_published.readings, as_published.roles) == (("generate",), "notebook-roles")
    assert (fair.limit, fair.seed, fair.roles, fair.published_reading, fair.ids) == (1000, 42, "", "", ())
    assert set(fair.readings) == {"labels", "generate"}


def hub_row(number):
    """Return the file number of a row of the hub's copy of IMDb: blocks of 128 files stand in reverse."""
    return 128 * (number // 128) + 127 - number % 128


def test_named_rows_are_the_first_ten_of_each_class_of_the_hub():
    run = run_of(load_recipe("imdb-zephyr-t3"), "as-published")
    assert list(run.ids) == [f"train/{side}/{hub_row(row)}" for side in ("neg", "pos") for row in range(10)]


@pytest.mark.shared
@pytest.mark.slow
def test_the_order_of_the_hub_agrees_with_the_rows_that_the_author_names():
    if not SHARED.is_dir():
        pytest.skip("the shared data sets are not there")
    # The demonstrations of template 2 are rows 12610, 14758 and 5220 of the test split, says the notebook.
    with gzip.open(SHARED / "imdb" / "test_first_half.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = {row["id"]: row["text"] for row in map(json.loads, lines)}
    template = (paths.prompts() / "templates" / "imdb-few-shot.toml").read_text(encoding="utf-8")
    for identity in (f"test/pos/{hub_row(110)}", f"test/pos/{hub_row(2258)}", f"test/neg/{hub_row(5220)}"):
        assert texts[identity] in template
    rows = load_rows("imdb", run_of(load_recipe("imdb-zephyr-t1"), "as-published").ids, "train", SHARED)
    assert len({row.group for row in rows[10:]}) == 1
    assert len({row.group for row in rows}) == 4


@pytest.mark.shared
@pytest.mark.slow
def test_the_corrected_demonstrations_are_the_shortest_reviews_of_the_training_part():
    if not SHARED.is_dir():
        pytest.skip("the shared data sets are not there")
    with gzip.open(SHARED / "imdb" / "train.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    template = (paths.prompts() / "templates" / "imdb-few-shot-train.toml").read_text(encoding="utf-8")
    for label in (0, 1):
        shortest = sorted((row for row in rows if row["label"] == label), key=lambda row: len(row["text"].split()))
        assert all(row["text"] in template for row in shortest[:2])


def replied(text, target="positive", final=None):
    problem = "" if final else "the reply names no label"
    return Outcome("s", "imdb-baseline", "generate", 0, (target,), final, final == target, 0.0, text, problem)


@pytest.mark.parametrize(
    ("rule", "reply", "final"),
    [
        ("is-class-0", "class_0", "negative"),
        ("is-class-0", "class_0.", "positive"),
        ("is-class-0", "I do not know", "positive"),
        ("has-class-0", "This review belongs to 'class_0'", "negative"),
        ("has-class-0", "class_1", "positive"),
        ("has-class-0", "", "positive"),
    ],
)
def test_the_published_parser_makes_everything_else_positive(rule, reply, final):
    (read,), _ = read_as_published([replied(reply)], rule, SENTIMENT)
    assert (read.final_answer, read.correct, read.score) == (final, final == "positive", float(final == "positive"))


def test_what_the_published_parser_made_up_is_counted_and_ours_left_alone():
    outcomes = [replied("no idea"), replied("class_1", final="positive"), replied("", "negative")]
    read, made_up = read_as_published(outcomes, "has-class-0", SENTIMENT)
    assert made_up == 2
    assert [one.correct for one in read] == [True, True, False]
    assert [one.final_answer for one in outcomes] == [None, "positive", None]
    with pytest.raises(UnknownName, match="has-class-0"):
        read_as_published(outcomes, "guess", SENTIMENT)
    assert set(PUBLISHED_READINGS) == {"is-class-0", "has-class-0"}


def test_a_figure_that_cannot_exist_is_said_so_and_gets_no_interval():
    (line,) = published_lines(["imdb-zephyr-t1"])
    assert "impossible with 10 samples" in line["checks"][0]
    assert "possible with 20 samples" in line["checks"][1]
    assert set(line["accuracy_intervals"]) == {"20"}
    assert line["accuracy_intervals"]["20"] == pytest.approx([0.640, 0.948], abs=5e-4)


def test_the_authors_own_outputs_give_the_printed_figures_and_are_tested_in_pairs():
    recipe = load_recipe("imdb-zephyr-t2")
    found = [line["recomputed"] for line in published_lines(recipe.compared)]
    assert [one["accuracy"] for one in found] == [0.85, 0.90, 0.50]
    assert [round(one["macro_f1"], 3) for one in found] == [0.847, 0.900, 0.479]
    rows = author_part(recipe).rows
    assert [row[2] for row in rows] == ["2 / 1", "3 / 10", "2 / 10"]
    assert [row[3] for row in rows] == ["1.000", "0.092", "0.039"]
    assert [float(row[4]) for row in rows] == pytest.approx([1.0, 0.185, 0.116], abs=2e-3)
    assert author_part(load_recipe("gsm8k")) is None


def small(replies):
    return Assistant(ScriptedModel(replies))


def test_a_recipe_runs_on_built_in_data_for_everybody_and_says_what_it_left_out():
    recipe = load_recipe("imdb-zephyr-t3")
    plans, left_out = plan_recipe(recipe, TOY)
    assert [run.name for run, _ in plans] == ["fair"]
    assert left_out == [sentence for sentence in left_out if "'imdb'; say --data DIR" in sentence] != []
    runs = run_plans(plans, small(["class_1"]))
    ((run, record),) = runs
    rows = {row["name"]: row for row in record["results"]}
    assert set(rows) == {
        *("majority", "knn-vote", "logistic-regression"),
        *("imdb-baseline (labels)", "imdb-baseline (generate)"),
    }
    assert rows["imdb-baseline (generate)"]["accuracy"] == 0.5
    assert any("stands in for 'imdb'" in note for note in record["notes"])
    text = markdown(recipe, runs, left_out)
    for sentence in (*recipe.flaws, *left_out, "impossible with 10 samples", "Published figures beside ours"):
        assert sentence in text
    assert "## In detail: as it should have been" in text
    assert "| Macro F1 |" in text
    assert beside_part(run, record).rows[0][-1] == "0.50"
    assert "| as it should have been (here: Built-in film reviews)" in text.replace("Strategy ", "", 1)


def test_a_recipe_that_was_run_is_not_run_again(home):
    plans, _ = plan_recipe(load_recipe("gsm8k"), TOY)
    first = small(["Answer: 4"])
    ((_, record),) = run_plans(plans, first)
    assert first.model.steps > 0
    again = small(["Answer: 4"])
    ((_, same),) = run_plans(plans, again)
    assert again.model.steps == 0
    assert [row["accuracy"] for row in same["results"]] == [row["accuracy"] for row in record["results"]]
    assert len(list((home / "runs").glob("gsm8k-test-*"))) == 1


def test_other_settings_have_a_folder_of_their_own():
    recipe = load_recipe("gsm8k")
    ((_, small_plan),), _ = plan_recipe(recipe, TOY)
    ((_, larger_plan),), _ = plan_recipe(recipe, Conditions(limit=7, encoder="toy"))
    assert folder_of(small_plan) != folder_of(larger_plan)
    assert {sample.id for sample in small_plan.samples} < {sample.id for sample in larger_plan.samples}


def test_label_names_reach_the_published_templates():
    plans, _ = plan_recipe(load_recipe("imdb-label-names"), Conditions(limit=2))
    runs = run_plans(plans, small(["positive"]))
    prompts = {run.name: record["samples"][-1]["prompt"] for run, record in runs}
    assert "class_0" in prompts["class-names"]
    assert "'negative' and 'positive'" in prompts["meaningful"]
    assert "class_0" not in prompts["meaningful"]
    assert "'class_1' and 'class_0'" in prompts["swapped"]


def test_a_strategy_is_compared_with_itself_under_other_names():
    recipe = load_recipe("imdb-label-names")
    # It says class_0 whatever that means: right on the negative half, then on no sample, then on the positive half.
    runs = run_plans(plan_recipe(recipe, Conditions(limit=20))[0], small(["class_0"]))
    part = across_part(runs)
    found = {(row[0], row[1]): row for row in part.rows}
    assert len(found) == 12
    meaningful = found["imdb-baseline (generate)", "negative and positive (here: Built-in film reviews)"]
    swapped = found[
        "imdb-baseline (generate)", "class_1 for negative, class_0 for positive (here: Built-in film reviews)"
    ]
    assert (meaningful[2][:5], meaningful[3]) == ("-50.0", "0 / 10")
    assert (swapped[2][:4], swapped[3], swapped[5][:19]) == ("+0.0", "10 / 10", "not distinguishable")
    assert across_part(runs[:1]) is None
    assert "## The same strategy under other names" in markdown(recipe, runs)


def test_the_default_of_a_published_parser_has_the_name_of_the_tasks_second_label():
    plans, _ = plan_recipe(load_recipe("mrpc-llama-hard"), Conditions(limit=4, encoder="toy"))
    ((run, record), *_) = run_plans(plans, small(["who knows"]))
    part = beside_part(replace(run, published_reading="is-class-0"), record)
    told = [row[1] for row in part.rows if "published parser" in row[1]]
    assert told
    assert all("unreadable replies made yes)" in one for one in told)


def test_scores_are_compared_as_scores_not_as_wins():
    # Five great gains and five tiny losses: wins and losses balance, the scores do not.
    before = [0.0] * 5 + [0.5] * 5
    after = [1.0] * 5 + [0.49] * 5
    run = replace(load_recipe("gsm8k").runs[0], data="set", label_names=("a", "b"))
    titled = [replace(run, title=title) for title in ("first", "second")]
    records = [
        {
            "task": {"name": "summary"},
            "data": {"ids_sha256": "same", "source": "set", "title": "Set"},
            "samples": [
                Outcome(f"s{at}", "zero-shot", "generate", 0, ("text",), "text", None, score, "text").to_json()
                for at, score in enumerate(scores)
            ],
        }
        for scores in (before, after)
    ]
    (row,) = across_part(list(zip(titled, records, strict=True))).rows
    assert row[3] == "5 / 5"
    flips = [sum(signs) for signs in product(*((gap, -gap) for gap in (1.0,) * 5 + (0.01,) * 5))]
    exact = sum(abs(one) >= 4.95 - 1e-9 for one in flips) / len(flips)
    assert float(row[4]) == pytest.approx(exact, abs=0.02)


def test_the_whole_result_is_plain_data():
    recipe = load_recipe("mrpc-llama-hard")
    plans, left_out = plan_recipe(recipe, Conditions(limit=4, encoder="toy"))
    record = recipe_record(recipe, run_plans(plans, small(["no"])), left_out)
    assert json.loads(json.dumps(record)) == record
    assert record["published"][0]["printed"]["accuracy"] == claim("mrpc-llama-hard").printed["accuracy"]
    assert record["runs"][0]["record"]["data"]["n"] == 4
    assert read_again(recipe.runs[0], record["runs"][0]["record"]) == []


def test_a_run_that_needs_its_data_says_where_they_are_found():
    with pytest.raises(DataError, match="'mmlu'") as caught:
        plan_recipe(load_recipe("mmlu"), TOY)
    assert "hendrycks" in caught.value.hint


def test_roles_are_written_as_in_the_notebook_and_only_for_a_while():
    model = ScriptedModel()
    model.renderer = PromptRenderer(make_tokenizer("zephyr"))
    assistant = Assistant(model)
    from assistant.answering import Request

    request = Request("A fine film.", "imdb-baseline", "sentiment")
    own = assistant.prepare(request).rendered.text
    with in_roles(model, "notebook-roles"):
        text = assistant.prepare(request).rendered.text
    assert re.fullmatch(
        r"(<s>)?### System: You are an AI assistant that follows instruction extremely well\.\n"
        r"### Human:\n A fine film\. Given the above review.* ### Assistant:\n",
        text,
        re.DOTALL,
    )
    assert assistant.prepare(request).rendered.text == own
    assert "### Human" not in own


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for part in ("tasks", "templates"):
        (tmp_path / part).symlink_to(paths.prompts() / part)
    (tmp_path / "recipes").mkdir()
    monkeypatch.setattr(paths, "prompts", lambda: tmp_path)
    return tmp_path / "recipes"


RUN = """title="t"
about="a"
source="s"
[[runs]]
name="r"
title="t"
data="reviews"
strategies=["zero-shot"]
readings=["labels"]
"""


@pytest.mark.parametrize(
    ("change", "error", "why"),
    [
        (('"zero-shot"', '"zero-shoot"'), UnknownName, "zero-shoot"),
        (('"reviews"', '"revews"'), UnknownName, "Did you mean reviews"),
        (("readings=", "reeding="), PromptError, "unknown key 'reeding'"),
        (('["labels"]', '["labels"]\nbaseline="x"'), UnknownName, "no arm in bad.toml named 'x'"),
        (('["labels"]', '["labels"]\ninstead="pairs"'), PromptError, "cannot stand in"),
        (('["labels"]', '["labels"]\npublished_reading="x"'), UnknownName, "published reading"),
        (('["labels"]', '["labels"]\npublished={"zero-shot (labels)"="x"}'), UnknownName, "published claim"),
    ],
)
def test_a_recipe_with_a_mistake_is_one_sentence(folder, change, error, why):
    (folder / "bad.toml").write_text(RUN.replace(*change), encoding="utf-8")
    with pytest.raises(error, match=why):
        load_recipe("bad")


def test_an_unknown_recipe_names_those_there_are():
    with pytest.raises(UnknownName, match="Did you mean gsm8k"):
        load_recipe("gsm8")
