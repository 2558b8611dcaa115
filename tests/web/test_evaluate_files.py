"""What a run offers for download, and that nothing else is offered."""

import csv
import io
import json

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from assistant import paths
from assistant.web.opened_run import RunShelf
from assistant.web.run_files import downloads_html, report_html, routes
from assistant.web.run_plots import plots_html
from tests.web.made_runs import HOSTILE, write_run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    return home, write_run(home / "runs/made", 30, text=f"=1+1 {HOSTILE}")


@pytest.fixture
def client(made, monkeypatch):
    monkeypatch.setenv("SHOTWISE_HOME", str(made[0]))
    return TestClient(Starlette(routes=routes(RunShelf())), raise_server_exceptions=True)


def test_the_record_is_given_as_it_is(client, made):
    assert client.get("/runs/made/run.json").json() == json.loads(json.dumps(made[1]))


def test_the_leaderboard_is_a_table_with_one_line_per_row(client, made):
    lines = list(csv.DictReader(io.StringIO(client.get("/runs/made/leaderboard.csv").content.decode("utf-8-sig"))))
    assert [line["name"] for line in lines] == [row["name"] for row in made[1]["results"]]
    assert [float(line["accuracy"]) for line in lines] == [row["accuracy"] for row in made[1]["results"]]


def test_the_answers_are_a_table_with_one_line_each_and_no_formula(client, made):
    write_run(made[0] / "runs/formula", 10)
    path = made[0] / "runs/formula/run.json"
    record = json.loads(path.read_text())
    record["samples"][0]["answer"] = "=HYPERLINK(1)"
    path.write_text(json.dumps(record))
    lines = list(csv.DictReader(io.StringIO(client.get("/runs/formula/samples.csv").content.decode("utf-8-sig"))))
    assert len(lines) == 10 * len(record["results"])
    assert lines[0]["answer"] == "'=HYPERLINK(1)"


@pytest.mark.parametrize("name", ["forest", "tokens", "seconds", "confusion-1", "roc-0", "calibration-2"])
@pytest.mark.parametrize(("ending", "begins"), [("svg", b"<svg "), ("png", b"\x89PNG")])
def test_every_plot_is_there_in_both_forms(client, name, ending, begins):
    reply = client.get(f"/runs/made/{name}.{ending}")
    assert reply.status_code == 200
    assert reply.content.startswith(begins)


@pytest.mark.parametrize(
    "file",
    ["plan.json", "journal.jsonl", "job.json", "console.txt", "roc-1.svg", "roc-99.svg", "roc-x.svg", "forest-1.svg",
     "forest.exe", "..%2Frun.json", "calibration-٣.svg"],
)  # fmt: skip
def test_nothing_else_is_given_away(client, file):
    assert client.get(f"/runs/made/{file}").status_code == 404


@pytest.mark.parametrize("name", ["nobody", "..", "%2e%2e", ".uploads", "..%2f..%2fetc"])
def test_a_name_that_is_no_run_is_not_found(client, name):
    assert client.get(f"/runs/{name}/run.json").status_code == 404


def test_a_report_may_run_nothing_and_send_nothing(client, made):
    (made[0] / "runs/made/report.html").write_text("<h1>Report</h1><script>parent.pwned = 1</script>")
    reply = client.get("/runs/made/report.html")
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("sandbox;")
    assert "default-src 'none'" in policy
    assert "allow-scripts" not in policy
    assert reply.headers["x-content-type-options"] == "nosniff"
    frame = report_html("made")
    assert " sandbox " in frame
    assert 'title="Report of made"' in frame


def test_links_lead_only_to_what_is_there(client, made):
    write_run(made[0] / "runs/no-report", 10)
    assert "report.html" not in downloads_html("no-report")
    assert "leaderboard.csv" in downloads_html("no-report")
    assert paths.runs() == made[0] / "runs"


def test_plots_say_in_words_what_they_show(client):
    run = RunShelf().open("made")
    shown = plots_html(run, "made", ("forest", "roc-0"))
    assert shown.count("<img") == 2
    assert "zero-shot (labels)" in shown.split('alt="')[1].split('"')[0]
    assert plots_html(run, "made", ("roc-1",), "None.") == '<p class="sw-lead">None.</p>'
