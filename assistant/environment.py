"""What has to be set before torch, faiss or gradio are imported; standard library only."""

from __future__ import annotations

import logging
import os
from pathlib import Path

_CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def available_cores() -> int:
    """Return how many processor cores this process may use: its affinity, and its container's share."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CGROUP_LIMIT.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return cores
    if not quota.isdigit():
        return cores
    return max(1, min(cores, int(quota) // int(period)))


def prepare_environment() -> None:
    """Set thread counts, waiting policy and privacy switches where the user has set nothing.

    Idle OpenMP threads that spin instead of sleeping made two busy cores ten times slower; no
    other setting had such an effect.
    """
    cores = str(available_cores())
    for name, value in {
        "OMP_WAIT_POLICY": "passive",
        "OMP_NUM_THREADS": cores,
        "MKL_NUM_THREADS": cores,
        "OPENBLAS_NUM_THREADS": cores,
        "TOKENIZERS_PARALLELISM": "false",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
    }.items():
        os.environ.setdefault(name, value)
    # Where bitsandbytes is installed, every command that loads a model would tell of a package that nothing needs.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
