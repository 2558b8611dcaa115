import csv
import io
import json
import re
from dataclasses import replace

import pytest

from assistant.cli import run
from assistant.commands import study as study_commands
from assistant.evaluation.reports.words import without_timings
from assistant.evaluation.running import planning
from assistant.generation.chat_model import ScriptedModel
from assistant.prompting.parsing import Parsed
from assistant.prompting.tasks import Task
from tests.toys import make_reviews, write_reviews

STUDIES = ("leaks", "orders", "label-names", "k-sweep")
KEYS = {"format", "study", "finished", "n", "task", "created", "settings", "settings_hash", "versions", "data", "model"}
WORDS = ("dull", "warm", "slow", "bold")
ROWS = tuple((f"q{at}", f"{word} and nothing else, {at}", at % 2) for at, word in enumerate(WORDS))


@pytest.fixture
def rows(home):
    """A file of samples beside the index 'toy'."""
    make_reviews(home)
    folder = home / "questions"
    folder.mkdir()
    return write_reviews(folder, ROWS)


@pytest.fixture
def study(capsys, rows):
    """A function that runs a study of the toy samples and returns exit code, stdout and stderr."""

    def call(name, *options, source=None):
        capsys.readouterr()
        words = ["study", name, str(source or rows), "--task", "sentiment", "--index", "toy", "--model", "scripted"]
        code = run([*words, *(("-k", "2") if name != "k-sweep" else ("--k", "0,2")), *options])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_prints_markdown_and_writes_record_page_and_table(name, study, home):
    files = {kind: home / f"report.{kind}" for kind in ("json", "html", "csv", "md")}
    code, out, err = study(
        name, "--out", str(files["json"]), "--html", str(files["html"]), "--csv", str(files["csv"]),
        "--markdown", str(files["md"]),
    )  # fmt: skip
    assert code == 0, err
    assert out.startswith("# ")
    assert out.strip() == files["md"].read_text(encoding="utf-8").strip()
    record = json.loads(files["json"].read_text(encoding="utf-8"))
    assert record.keys() >= KEYS
    assert (record["study"], record["finished"], record["n"]) == (name, True, 4)
    assert record["verdicts"][0] in out
    assert f"; samples 4; model scripted; index 8 rows; settings {record['settings_hash'][:12]}" in out
    page = files["html"].read_text(encoding="utf-8")
    assert page.count("<svg") >= 1
    assert not re.search(r'(?:src|href)="(?!#)', page), "the page loads nothing"
    assert "<script" not in page
    table = list(csv.reader(io.StringIO(files["csv"].read_text(encoding="utf-8"))))
    assert len(table) > 2
    assert len({len(row) for row in table}) == 1


@pytest.mark.parametrize("name", STUDIES)
def test_the_same_study_asks_nothing_twice(name, study, monkeypatch):
    models = []

    def scripted(*settings):
        models.append(ScriptedModel())
        from assistant.answering import Assistant

        return Assistant(models[-1])

    monkeypatch.setattr(study_commands, "load_assistant", scripted)
    first, again, fresh = (json.loads(study(name, "--json", *options)[1]) for options in ((), (), ("--fresh",)))
    assert [bool(model.history) for model in models] == [True, False, True]
    assert without_timings(first) == without_timings(again) == without_timings(fresh)


def test_a_stopped_study_reports_what_is_done_and_goes_on(study, monkeypatch):
    import contextlib
    import threading

    from assistant.evaluation.studies import study as studies

    monkeypatch.setattr(studies, "BLOCK", 2)
    monkeypatch.setattr(studies.in_blocks, "__kwdefaults__", {"size": 2})
    asked = []
    real = studies.answer_samples

    @contextlib.contextmanager
    def stopping():
        stop = threading.Event()

        def answer(*args, **options):
            asked.append(1)
            if len(asked) == 5:
                stop.set()
            return real(*args, **options)

        monkeypatch.setattr(studies, "answer_samples", answer)
        yield stop

    monkeypatch.setattr(study_commands, "stop_signal", stopping)
    code, out, err = study("leaks")
    assert code == 130
    assert "n = 2" in out.splitlines()[0]
    assert "Stopped early: all figures are of the first 2 of 4 samples." in out
    assert "Go on with: shotwise" in err
    code, out, _ = study("leaks")
    assert code == 0
    assert "n = 4" in out.splitlines()[0]


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("leaks", ("--strategy", "static-few-shot"), "no copy can leak"),
        ("leaks", ("--ceilings", "high"), "'high' is not a list of numbers"),
        ("orders", ("--k", "5"), "2 to 4 demonstrations, not 5"),
        ("orders", ("--strategy", "zero-shot"), "shows no demonstrations"),
        ("label-names", ("--alternatives", "bad"), "needs 2 different label names"),
        ("k-sweep", ("--k", ","), "--k names no number"),
        ("k-sweep", ("--k", "99"), "k must be between 0 and 64"),
        ("k-sweep", ("--selectors", "psychic"), "no selector named 'psychic'"),
        ("k-sweep", ("--strategy", "static-few-shot"), "nothing to sweep"),
        ("k-sweep", ("--html", "no/such/folder/x.html"), "there is no folder"),
    ],
)
def test_what_cannot_be_studied_is_one_sentence(name, options, said, study):
    code, out, err = study(name, *options)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_built_in_set_can_be_studied_by_everybody(capsys, home):
    code = run(["study", "orders", "reviews", "--strategy", "static-few-shot", "--model", "scripted", "--limit", "5"])
    out, err = capsys.readouterr()
    assert code == 0, err
    assert out.startswith("# Order lottery: static-few-shot, k = 4, task sentiment, n = 5")


@pytest.mark.parametrize("name", STUDIES)
def test_samples_that_cannot_be_told_apart_are_refused_before_the_model_is_loaded(name, study, monkeypatch):
    def unwanted(*settings):
        raise AssertionError("the model was loaded")

    def doubled(*arguments):
        plan = real(*arguments)
        return replace(plan, samples=plan.samples * 2)

    real = planning.plan_evaluation
    monkeypatch.setattr(study_commands, "load_assistant", unwanted)
    monkeypatch.setattr(planning, "plan_evaluation", doubled)
    code, _, err = study(name)
    assert code == 2
    assert "The id 'q2' stands twice among the samples." in err


def test_a_study_refuses_a_parser_that_reads_nonsense(study, monkeypatch):
    monkeypatch.setattr(Task, "parse", lambda self, *args, **options: Parsed("positive", ""))
    code, _, err = study("leaks", "--reading", "generate")
    assert code == 2
    assert "The parser of the task 'sentiment' reads" in err
