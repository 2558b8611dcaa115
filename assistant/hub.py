"""Whether the hub can be reached at all: asked once, because its clients retry for over a minute."""

from __future__ import annotations

import os
import urllib.error
import urllib.request

_YES = ("1", "ON", "YES", "TRUE")


def hub_reachable(timeout_s: float = 10.0) -> bool:
    """Return whether the hub answers, and is not switched off by `HF_HUB_OFFLINE`."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in _YES:
        return False
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    if not endpoint.startswith(("https://", "http://")):
        return False
    question = urllib.request.Request(endpoint, method="HEAD")  # noqa: S310  (the scheme was checked)
    try:
        with urllib.request.urlopen(question, timeout=timeout_s):  # noqa: S310
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
