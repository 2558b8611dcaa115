"""A training that is killed again and again and gone on with, and the same one in one go.

    python -m tests.finetuning.generators.killed_often MODEL KILLS SEED

Prints where each kill came. Everything is imported once; each training is a fork of this process, so that a kill costs
no second import.
"""

import json
import os
import random
import signal
import sys
import threading
import time

from assistant.environment import prepare_environment

prepare_environment()

from assistant.finetuning.generators.adapter_record import TrainingData  # noqa: E402
from assistant.finetuning.generators.progress import CURVE_FILE  # noqa: E402
from assistant.finetuning.generators.settings import GeneratorSettings  # noqa: E402
from assistant.finetuning.generators.training import Order, run_folder, train_generator  # noqa: E402
from tests.finetuning.generators.made_rows import review_rows  # noqa: E402

STEPS = 40
WHOLE, KILLED = "whole", "killed"


def train(name, model):
    """Train to the end, from where it was killed."""
    settings = GeneratorSettings(
        steps=STEPS,
        batch_size=4,
        device="cpu",
        max_tokens=512,
        validation=0.2,
        evaluate_every=3,
        patience=0,
        dropout=0.1,
    )
    data = TrainingData("sentiment", review_rows(40), {"source": "made up"})
    train_generator(Order(name, model, data, settings, resume=True), threading.Event(), lambda text: None)


def forked(name, model):
    """Return the id of a process that trains."""
    child = os.fork()
    if child:
        return child
    try:
        train(name, model)
    finally:
        os._exit(0)


def step_of(name):
    """Return the last step that a run has written down."""
    file = run_folder(name) / CURVE_FILE
    lines = file.read_text().split("\n")[:-1] if file.is_file() else []
    return json.loads(lines[-1])["step"] if lines else 0


def kill_at(child, name, step, delay_s):
    """Kill a training so long after a step and return the step it had reached."""
    while step_of(name) < step:
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "It ended before it was killed."
        time.sleep(0.002)
    time.sleep(delay_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return step_of(name)


def main(model, kills, seed):
    """Train in one go, and with so many kills at moments that are drawn."""
    import peft  # noqa: F401, before the forks
    import trl  # noqa: F401

    draw = random.Random(seed)
    os.waitpid(forked(WHOLE, model), 0)
    for step in sorted(draw.sample(range(1, STEPS - 2), kills)):
        reached = kill_at(forked(KILLED, model), KILLED, step, draw.random() * 0.1)
        sys.stdout.write(f"killed at step {reached}\n")
        sys.stdout.flush()
    os.waitpid(forked(KILLED, model), 0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
