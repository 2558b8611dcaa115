"""Stands in for `shotwise evaluate` in tests of jobs: counts slowly, stops when told to, goes on where it was.

The last argument is the run's folder, the first how it goes: `done`, `fail`, `crash` or `prepare`.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

TOTAL = 40


def main():
    ending, folder = sys.argv[1], Path(sys.argv[-1])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=lambda: (os.read(0, 1), stop.set()), daemon=True).start()
    count = folder / "count"
    done = int(count.read_text()) if count.exists() else 0

    def tell(state, sentence):
        progress = {"state": state, "sentence": sentence, "done": done, "total": TOTAL, "seconds": 1.0}
        progress |= {"seconds_left": 1.0, "arms": [], "pid": os.getpid(), "updated": time.time()}
        (folder / "progress.new").write_text(json.dumps(progress))
        os.replace(folder / "progress.new", folder / "progress.json")

    if ending == "fail":
        sys.stderr.write("first line\nThere is no strategy named 'x'.\n")
        raise SystemExit(2)
    if ending == "prepare":
        sys.stderr.write("Building the index.\n\r10% of 10 rows/s\r50% of 10 rows/s")
        sys.stderr.flush()
        stop.wait(30)
        raise SystemExit(130)
    while done < TOTAL and not stop.is_set():
        tell("running", "Answering.")
        time.sleep(0.05)
        done += 1
        count.write_text(str(done))
        if ending == "crash" and done == 3:
            os.kill(os.getpid(), signal.SIGKILL)
    tell(*(("stopped", "Stopped.") if stop.is_set() else ("done", "Done.")))


if __name__ == "__main__":
    main()
