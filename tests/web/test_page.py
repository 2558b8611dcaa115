"""The page is built and served on this machine only."""

import json
import shutil
import socket
import urllib.error
import urllib.request

import pytest

from assistant.errors import ServerError
from assistant.settings import ModelSettings, ServerSettings
from assistant.web.page import check_port, serve
from tests.web.conftest import free_port


def fetch(url, body=None, **headers):
    request = urllib.request.Request(url, data=None if body is None else json.dumps(body).encode(), headers=headers)
    with urllib.request.urlopen(request, timeout=20) as reply:
        return reply.read().decode()


def test_a_taken_port_is_one_sentence_before_anything_is_loaded():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ServerError) as caught:
            serve(ModelSettings("no-such"), ServerSettings(port=taken.getsockname()[1]))
    assert "--port" in caught.value.hint


def test_a_free_port_passes():
    check_port(ServerSettings(port=free_port()))


@pytest.mark.slow
def test_only_chat_and_compare_are_offered_to_programs(address):
    assert set(json.loads(fetch(f"{address}gradio_api/info"))["named_endpoints"]) == {"/chat", "/compare"}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "data"), [("chat", ["Hi"]), ("compare", ["Hi", ["zero-shot", "static-few-shot"]])])
def test_a_program_gets_the_answer_as_json(address, name, data):
    call = f"{address}gradio_api/call/{name}"
    defaults = [] if name == "compare" else ["zero-shot"]
    body = {"data": [*data, *defaults, "chat", ""]}
    event = json.loads(fetch(call, body, **{"Content-Type": "application/json"}))["event_id"]
    lines = fetch(f"{call}/{event}").splitlines()
    (reply,) = json.loads(lines[lines.index("event: complete") + 1].removeprefix("data: "))
    answers = reply if name == "compare" else [reply]
    assert [answer["final_answer"] for answer in answers] == ["Hello there, nice to meet you."] * len(answers)


@pytest.mark.slow
def test_a_program_may_name_an_adapter(address, served_home):
    folder = served_home / "adapters" / "of-a-program"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}")
    call = f"{address}gradio_api/call/compare"
    body = {"data": ["Hi", ["zero-shot"], "chat", "", ["none", "of-a-program"]]}
    try:
        event = json.loads(fetch(call, body, **{"Content-Type": "application/json"}))["event_id"]
        lines = fetch(f"{call}/{event}").splitlines()
    finally:
        shutil.rmtree(folder)
    (answers,) = json.loads(lines[lines.index("event: complete") + 1].removeprefix("data: "))
    assert [one["adapter"] for one in answers] == [None, "of-a-program"]
    assert answers[1]["answer"].startswith("of-a-program says:")


@pytest.mark.slow
def test_another_sites_name_is_refused(address):
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(address, Host="evil.example")
    with caught.value as refusal:
        assert refusal.code == 400


@pytest.mark.slow
def test_nothing_is_reported_and_nothing_is_fetched_from_elsewhere(address):
    assert json.loads(fetch(f"{address}config"))["analytics_enabled"] is False
    assert "googleapis" not in fetch(address)
