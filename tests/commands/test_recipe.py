"""The command `recipe`: list, show and run, as a person types them."""

import json

import pytest

from assistant.cli import run
from assistant.evaluation.recipes.recipe import recipe_names


@pytest.fixture
def shotwise(capsys):
    """Return a function that runs a command line and returns exit code, stdout and stderr."""

    def call(*arguments):
        capsys.readouterr()
        code = run(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return call


GSM8K = ("recipe", "run", "gsm8k", "--model", "scripted", "--limit", "3")


def test_all_recipes_are_listed(shotwise):
    code, out, _ = shotwise("recipe", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == list(recipe_names())
    listed = json.loads(shotwise("recipe", "list", "--json")[1])
    assert [one["name"] for one in listed] == list(recipe_names())


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_is_shown_with_its_flaws_and_runs(shotwise, name):
    code, out, _ = shotwise("recipe", "show", name)
    assert code == 0
    shown = json.loads(shotwise("recipe", "show", name, "--json")[1])
    assert all(flaw in out for flaw in shown["flaws"])
    assert all(f"{one['name']}: {one['title']}" in out for one in shown["runs"])
    assert all(line["system"] in out for line in shown["published_claims"])


def test_what_cannot_exist_is_printed(shotwise):
    _, out, _ = shotwise("recipe", "show", "imdb-zephyr-t1")
    assert "accuracy 0.85" in out
    assert "impossible with 10 samples" in out


def test_a_run_is_printed_written_and_gone_on_with(shotwise, home):
    code, out, err = shotwise(*GSM8K, "--out", str(home / "r.json"), "--html", str(home / "r.html"))
    assert code == 0, err
    assert "| zero-shot (generate) |" in out
    assert "Published figures beside ours" in out
    record = json.loads((home / "r.json").read_text())
    assert record["recipe"] == "gsm8k"
    assert record["runs"][0]["record"]["finished"]
    page = (home / "r.html").read_text()
    assert "<h1>GSM8K: does reasoning pay?: test problems (here: Built-in word problems)</h1>" in page
    assert "text-davinci-002" in page
    (journal,) = (home / "runs").glob("gsm8k-test-*/journal.jsonl")
    before = journal.read_bytes()
    again = shotwise(*GSM8K)[1]
    assert journal.read_bytes() == before
    assert again == out


@pytest.mark.slow
def test_several_runs_have_a_page_each(shotwise, home):
    names = ("recipe", "run", "imdb-label-names", "--model", "scripted", "--limit", "2")
    code, out, err = shotwise(*names, "--html", str(home / "names.html"))
    assert code == 0, err
    assert {path.name for path in home.glob("*.html")} == {
        *("names-class-names.html", "names-meaningful.html", "names-swapped.html")
    }
    assert "| imdb-baseline (labels) |" in out


def test_json_is_the_whole_result(shotwise):
    record = json.loads(shotwise(*GSM8K, "--json")[1])
    assert {"format", "recipe", "flaws", "published", "runs", "notes"} <= set(record)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("recipe", "run", "gsm9k"), "Did you mean gsm8k"),
        (("recipe", "show", "x"), "Known: bbh"),
        ((*GSM8K[:-1], "0"), "At least 1 sample"),
        (("recipe", "run", "mmlu", "--model", "scripted"), "--data DIR"),
        (("recipe", "run", "mmlu", "--model", "scripted", "--data", "nowhere"), "There is no folder 'nowhere'"),
        ((*GSM8K, "--out", "no/such/folder/r.json"), "no/such/folder"),
        (("recipe", "run", "gsm8k", "--model", "no-such-model"), "no-such-model"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(shotwise, arguments, sentence):
    code, out, err = shotwise(*arguments)
    assert code == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert sentence in err


@pytest.mark.parametrize("option", ["--out", "--html", "--markdown"])
def test_a_place_that_cannot_be_written_is_told_before_anything_is_asked(shotwise, home, option):
    (home / "taken").mkdir()
    for file in (home / "taken", home / "missing" / "r"):
        code, _, err = shotwise(*GSM8K, option, str(file))
        assert code == 2
        assert str(file) in err
        assert not (home / "runs").exists() or not list((home / "runs").iterdir())


def test_a_recipe_is_also_written_as_markdown(shotwise, home):
    code, out, _ = shotwise(*GSM8K, "--markdown", str(home / "r.md"))
    assert code == 0
    assert (home / "r.md").read_text().strip() == out.strip()
