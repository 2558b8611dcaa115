"""What a person waits for: `shotwise --help`, and the page from the command to the first HTTP 200.

    python benchmarks/bench_startup.py [--rounds 5]

Absolute seconds, because that is what is felt; beside them an empty Python process of the same round.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request

SHOTWISE = [sys.executable, "-c", "from assistant.cli import main; main()"]


def timed(command: list[str]) -> float:
    """Return the seconds that a command takes."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def page_up(limit_s: float = 120) -> float:
    """Return the seconds from starting the server to its first answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.perf_counter()
    server = subprocess.Popen(
        [*SHOTWISE, "serve", "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while time.perf_counter() - started < limit_s:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                    if answer.status == 200:
                        return time.perf_counter() - started
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
    finally:
        server.terminate()
        server.wait(timeout=30)
    raise TimeoutError(f"no page within {limit_s} s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    timed([*SHOTWISE, "index", "builtin"])
    measured: dict[str, list[float]] = {"empty Python process": [], "`shotwise --help`": [], "page up": []}
    for _ in range(rounds):
        measured["empty Python process"].append(timed([sys.executable, "-c", "pass"]))
        measured["`shotwise --help`"].append(timed([*SHOTWISE, "--help"]))
        measured["page up"].append(page_up())
    print(f"load average {os.getloadavg()[0]:.1f}\n\n| what | median s | least | most |\n|---|---:|---:|---:|")
    for name, seconds in measured.items():
        print(f"| {name} | {statistics.median(seconds):.2f} | {min(seconds):.2f} | {max(seconds):.2f} |")


if __name__ == "__main__":
    main()
