"""`recipe run prompt-or-tune` and `lora-rank-sweep`, as a person types them."""

import json

import pytest

from assistant.cli import run
from assistant.evaluation.curves import answers

SMALL = ("--rows-list", "0,8", "--seeds", "1", "--test", "4", "--model", "scripted")
PROMPTING = ("recipe", "run", "prompt-or-tune", "--methods", "knn-vote,dynamic-few-shot", *SMALL)


@pytest.fixture
def shotwise(capsys):
    """Return a function that runs a command line and returns exit code, stdout and stderr."""

    def call(*arguments):
        capsys.readouterr()
        code = run(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_a_curve_is_shown_and_written_with_its_chart(shotwise, home):
    code, out, err = shotwise(*PROMPTING, "--out", str(home / "r.json"), "--html", str(home / "r.html"))
    assert code == 0, err
    assert out.startswith("# Prompt or tune: reviews, n = 4")
    assert "| knn-vote | – |" in out
    assert "stands in for 'ag_news'" in out
    (folder,) = (home / "runs" / "curves").glob("prompt-or-tune-*")
    assert (folder / "report.md").read_text() == out
    assert (folder / "chart.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (folder / "chart.svg").read_text()
    assert str(folder) in err
    record = json.loads((home / "r.json").read_text())
    assert record == json.loads((folder / "record.json").read_text())
    assert (record["study"], record["finished"], record["cells"]) == ("prompt-or-tune", True, {"done": 3, "of": 3})
    page = (home / "r.html").read_text()
    assert "<svg" in page
    assert "<script" not in page


def test_the_same_command_goes_on_and_repeats_nothing(shotwise, monkeypatch):
    first = shotwise(*PROMPTING)[1]

    def refused(self, cell):
        raise AssertionError(f"{cell.words} was done again")

    monkeypatch.setattr(answers.Worker, "done", refused)
    assert shotwise(*PROMPTING)[1] == first
    assert json.loads(shotwise(*PROMPTING, "--json")[1])["finished"]


def test_a_file_of_ones_own_takes_a_task_and_columns(shotwise, home):
    lines = [f"{word} film number {at},{word == 'good'}" for at in range(30) for word in ("good", "bad")]
    rows = home / "films.csv"
    rows.write_text("what,label\n" + "\n".join(lines).replace("True", "1").replace("False", "0"))
    code, out, err = shotwise(
        *PROMPTING, "--source", str(rows), "--task", "sentiment", "--input", "what", "--output", "label"
    )
    assert code == 0, err
    assert "films.csv" in out
    assert "stands in" not in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("prompt-or-tune", *SMALL), "The scripted model has no weights to adapt."),
        (("prompt-or-tune", "--adapter", "question-types"), "This recipe trains adapters of its own"),
        (("prompt-or-tune", "--rows-list", "many"), "'many' is not a list of numbers."),
        (("prompt-or-tune", "--rows-list", "0,3"), "3 rows are too few to learn from"),
        (("lora-rank-sweep", "--ranks", ""), "No number is named after --ranks."),
        (("prompt-or-tune", "--methods", "magic"), "There is no way to use labelled rows named 'magic'"),
        (("prompt-or-tune", "--seeds", "0"), "The number of seeds must be at least 1, not 0."),
        (("prompt-or-tune", "--source", "word-problems"), "'classifier:feature-based' cannot be measured"),
        (("lora-rank-sweep", "--methods", "dynamic-few-shot"), "'dynamic-few-shot' has no rank to sweep."),
        (("lora-rank-sweep", "--rows-list", "16,64"), "All ranks are learnt from one number of rows; 2 were named."),
        (("gsm8k", "--rows-list", "16"), "no learning curve, and --rows-list is an option of those."),
        (("gsm8k", "--input", "question"), "no learning curve, and --input is an option of those."),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(shotwise, words, said):
    code, out, err = shotwise("recipe", "run", *words)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())


def test_a_recipe_that_is_a_curve_shows_its_methods(shotwise):
    code, out, _ = shotwise("recipe", "show", "prompt-or-tune")
    assert code == 0
    assert "classifier:full" in out
    assert "ag_news (built-in stand-in: reviews)" in out
    shown = json.loads(shotwise("recipe", "show", "lora-rank-sweep", "--json")[1])
    assert shown["curve"]["settings"]["ranks"] == [2, 4, 8, 16, 32, 64]


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(shotwise, monkeypatch):
    real = answers.Worker.done
    asked = []

    def stopping(self, cell):
        asked.append(cell)
        if len(asked) == 2:
            self._stop.set()
        return real(self, cell)

    monkeypatch.setattr(answers.Worker, "done", stopping)
    code, out, err = shotwise(*PROMPTING)
    assert code == 130
    assert "Stopped early: 2 of 3 cells are missing." in out
    assert "Go on with: shotwise" in err
