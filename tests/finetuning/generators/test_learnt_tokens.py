import contextlib

import pytest
import torch

from assistant.finetuning.generators import training
from assistant.finetuning.generators.learnt_tokens import logits_of_learnt_tokens

# peft 0.21 asks transformers for a name that 5.23 has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


def test_the_loss_is_the_same_without_the_logits_of_prompts(train, monkeypatch):
    without = train(name="without", dropout=0.0).record["curve"]
    monkeypatch.setattr(training, "logits_of_learnt_tokens", contextlib.nullcontext)
    with_them = train(name="with", dropout=0.0).record["curve"]
    for part in ("train", "validation"):
        for one, other in zip(without[part], with_them[part], strict=True):
            assert one == pytest.approx(other, abs=1e-5)


def test_they_are_left_out_on_a_cpu_while_a_training_runs_and_never_else():
    from trl.trainer import utils

    cpu = torch.device("cpu")
    assert not utils._use_triton(cpu)
    with logits_of_learnt_tokens():
        assert utils._use_triton(cpu)
    assert not utils._use_triton(cpu)


def test_another_version_of_trl_is_left_as_it_is(monkeypatch):
    from trl.trainer import utils

    monkeypatch.delattr(utils, "_use_triton")
    with logits_of_learnt_tokens():
        assert not hasattr(utils, "_use_triton")
