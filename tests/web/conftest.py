"""One real server for all tests of the page: a process of its own, with a scripted model."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(address, server, patience_s=90):
    began = time.monotonic()
    while time.monotonic() - began < patience_s:
        assert server.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(address, timeout=5):
                return time.monotonic() - began
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.1)
    raise AssertionError("the page did not come up")


@pytest.fixture(scope="session")
def served_home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def address(served_home):
    home = served_home
    url = f"http://127.0.0.1:{(port := free_port())}/"
    environment = os.environ | {"SHOTWISE_HOME": str(home), "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/web/served_page.py"), str(port)], stdout=log, stderr=log, env=environment
        )
    try:
        sys.stdout.write(f"\npage up after {wait_for(url, server):.1f} s\n")
        yield url
    finally:
        server.terminate()
        server.wait(10)
        sys.stdout.write((home / "server.log").read_text()[-2000:])
