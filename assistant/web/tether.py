"""Runs one command line of ours in its own process, and ends it when whoever started it is gone."""

from __future__ import annotations

import os
import runpy
import signal
import threading
import time

GRACE_S = 20.0
"""How long a command may take to put away its work after it was told to end."""


def main() -> None:
    """Run `shotwise` with this process's arguments; standard input is the tether, and carries nothing."""
    threading.Thread(target=_end_with_the_other_side, name="tether", daemon=True).start()
    runpy.run_module("assistant.cli", run_name="__main__", alter_sys=True)


def _end_with_the_other_side() -> None:
    # The pipe closes when the server ends, however it ends: not even a kill leaves this process behind.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(1)


if __name__ == "__main__":
    main()
