import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.finetuning.generators.killed_often import KILLED, STEPS, WHOLE

ROOT = Path(__file__).resolve().parents[3]
KILLS = 10


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_a_training_killed_at_ten_moments_ends_with_the_same_curve_and_the_same_weights(seed, model_folder, home):
    command = [sys.executable, "-m", "tests.finetuning.generators.killed_often", model_folder("llama3"), str(KILLS)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SHOTWISE_HOME": str(home), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, str(seed)], env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("killed at step") == KILLS
    folders = [home / "adapters" / name for name in (WHOLE, KILLED)]
    whole, killed = (json.loads((folder / "training.json").read_text()) for folder in folders)
    assert whole["curve"] == killed["curve"]
    assert len(whole["curve"]["train"]) == STEPS
    assert whole["tokens"] == killed["tokens"]
    assert len({hashlib.sha256((one / "adapter_model.safetensors").read_bytes()).hexdigest() for one in folders}) == 1
