"""What is set before heavy libraries are imported."""

import logging
import os

from assistant.environment import available_cores, prepare_environment


def test_threads_wait_instead_of_spinning_and_nothing_is_reported(monkeypatch):
    for name in ("OMP_WAIT_POLICY", "OMP_NUM_THREADS", "GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.delenv(name, raising=False)
    prepare_environment()
    assert os.environ["OMP_WAIT_POLICY"] == "passive"
    assert os.environ["OMP_NUM_THREADS"] == str(available_cores())
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"


def test_what_the_user_set_stays(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    prepare_environment()
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert os.environ["OMP_WAIT_POLICY"] == "active"


def test_a_share_of_the_machine_counts(monkeypatch, tmp_path):
    limit = tmp_path / "cpu.max"
    monkeypatch.setattr("assistant.environment._CGROUP_LIMIT", limit)
    whole = available_cores()
    limit.write_text("100000 100000\n")
    assert available_cores() == 1
    limit.write_text("max 100000\n")
    assert available_cores() == whole


def test_a_library_that_speaks_when_it_is_imported_is_kept_quiet():
    prepare_environment()
    speaker = logging.getLogger("bitsandbytes.backends.cpu.ops")
    assert not speaker.isEnabledFor(logging.WARNING)
    assert speaker.isEnabledFor(logging.ERROR)
