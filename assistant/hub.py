"""Whether the hub can be reached at all: asked once, because its clients retry for over a minute."""

from __future__ import annotations

import os
import urllib.error
import urllib.request

_TIMEOUT_S = 10.0
_SWITCHES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_YES = ("1", "ON", "YES", "TRUE")


def hub_reachable(timeout_s: float = _TIMEOUT_S) -> bool:
    """Return whether the hub answers, and is not switched off."""
    return not why_unreachable(timeout_s)


def why_unreachable(timeout_s: float = _TIMEOUT_S) -> str:
    """Return the end of the sentence "The hub …", or nothing if it answers."""
    for switch in _SWITCHES:
        if os.environ.get(switch, "").upper() in _YES:
            return f"is switched off ({switch})"
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    if not endpoint.startswith(("https://", "http://")):
        return f"has no address that can be asked (HF_ENDPOINT is {endpoint!r})"
    question = urllib.request.Request(endpoint, method="HEAD")  # noqa: S310  (the scheme was checked)
    try:
        with urllib.request.urlopen(question, timeout=timeout_s):  # noqa: S310
            return ""
    except urllib.error.HTTPError:
        return ""  # it answered
    except OSError:
        return "cannot be reached"
