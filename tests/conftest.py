"""What every test gets: a working folder of its own, no network but loopback, no hub, no colours."""

import os

import pytest
from pytest_socket import socket_allow_hosts

from assistant.environment import prepare_environment

# Before anything can import torch or the hub's client, which read these once.
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}
os.environ.setdefault("OMP_NUM_THREADS", "1")
prepare_environment()

LOOPBACK = ["127.0.0.1", "::1", "localhost"]


def pytest_runtest_setup():
    socket_allow_hosts(LOOPBACK, allow_unix_socket=True)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOTWISE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def no_built_in_adapter(tmp_path, monkeypatch):
    """For tests that count adapters: only those that they put there."""
    monkeypatch.setattr("assistant.generation.adapters.built_in_folder", lambda: tmp_path / "nowhere")
