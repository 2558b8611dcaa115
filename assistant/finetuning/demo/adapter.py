"""Training the demo model's own adapter: a small LoRA that makes it better at one task, the types of questions.

It learns from the very prompts that the task is asked with. It takes minutes, so there are no
checkpoints: stopped before its end it leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from assistant import __version__, paths
from assistant.errors import DataError, ModelError, SettingError
from assistant.finetuning.demo.adapter_card import card
from assistant.finetuning.demo.adapter_plan import AdapterPlan
from assistant.finetuning.demo.examples import Batches
from assistant.finetuning.demo.held_out import HeldOut
from assistant.finetuning.demo.labelled import Labelled, LabelledTask, Neighbours
from assistant.finetuning.demo.meaning import read_meanings
from assistant.finetuning.demo.mixture import Material
from assistant.finetuning.demo.sources import QUESTION_TYPES, Sources, read_rows
from assistant.finetuning.demo.talk import load_talk
from assistant.finetuning.demo.tokenizer import load_tokenizer
from assistant.finetuning.demo.trainer import Pace, loss_curve, stage_trainer
from assistant.generation.adapters import BUILT_IN, CONFIG_FILE, TRAINING_FILE, WEIGHTS_FILE, quiet_peft, weights_sha256
from assistant.generation.sources import DEMO

if TYPE_CHECKING:
    import numpy as np

MAX_BYTES = 2_000_000
"""Of the weights."""
ROWS_FILE, TASK = "trec/train.jsonl.gz", "question-type"
CARD = "README.md"
_BYTES_EACH = 2  # float16
_OWN_FILES = {CONFIG_FILE, WEIGHTS_FILE, TRAINING_FILE, CARD}
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Learnt:
    """What an adapter learns from, and what it says of it."""

    material: Material
    facts: Mapping[str, Any]


def train_demo_adapter(
    data: Path, held_out: HeldOut, plan: AdapterPlan, base: Path, out: Path, tell: Tell = print
) -> None:
    """Train an adapter of the demo model in the folder `base` on the questions under `data`; save it in `out`.

    What is held out is never trained on. An adapter that is in `out` is replaced when the new one is done.

    Raises:
        DataError: if the questions are missing.
        ModelError: if `base` is not a Llama with its own tokenizer.
        SettingError: if `out` holds something else, or the adapter would be larger than `MAX_BYTES`.
    """
    _check_base(base)
    _check_out(out)
    learnt = read_questions(data, held_out, tell)
    tokenizer = load_tokenizer(base)
    network = _adapted(base, plan)
    batches = _Replies(tokenizer, learnt.material, plan.stage, plan.seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".adapter-", dir=out.parent) as scratch:
        trainer = _trainer(network, batches, plan, Path(scratch) / "trainer", tell)
        trainer.train()
        record = _record(trainer, tokenizer, plan, base, learnt)
        _save(network, record, Path(scratch) / "new")
        _replace(out, Path(scratch))


def read_questions(data: Path, held_out: HeldOut, tell: Tell) -> Learnt:
    """Return the questions that may be learnt from, with their types, and how many were left out.

    Raises:
        DataError: if they are missing.
    """
    file = data / ROWS_FILE
    if not file.is_file():
        raise DataError(f"{data} lacks {ROWS_FILE}.", "assistant/demo/README.md says where it is found.")
    rows = [Labelled(row["text"].strip(), QUESTION_TYPES[row["label"]]) for row in read_rows(file)]
    kept = tuple(held_out.keep(rows, lambda row: (row.text,)))
    tell(f"{len(kept):,} of {len(rows):,} questions may be learnt from.")
    task = LabelledTask(TASK, kept)
    sources = Sources({TASK: task}, exchanges=(), instructions=(), prose=(), held_out=held_out)
    meanings = read_meanings(
        task.texts,
        paths.runs() / "demo-adapter" / "meanings.npz",
        lambda done, of: tell(f"Meanings: {done:,} of {of:,} texts"),
    )
    facts = {
        "file": ROWS_FILE,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "rows": len(rows),
        "rows_learnt": len(kept),
        "rows_left_out": held_out.counts(),
    }
    return Learnt(Material(sources, Neighbours(task.texts, meanings), load_talk(), ()), facts)


class _Replies(Batches):
    """Batches of which only the replies are learnt: the shipped model has no head for meanings."""

    def __getitem__(self, number: int) -> dict[str, np.ndarray]:
        batch = super().__getitem__(number)
        return batch | {"meaning_at": batch["meaning_at"][:0]}


def _adapted(base: Path, plan: AdapterPlan) -> Any:
    """Return peft's model around the base in fp32, the adapter alone to be trained."""
    import peft
    from transformers import LlamaForCausalLM, set_seed

    network = LlamaForCausalLM.from_pretrained(base, dtype="float32", use_safetensors=True, local_files_only=True)
    settings = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=plan.lora.rank,
        lora_alpha=plan.lora.alpha,
        lora_dropout=plan.lora.dropout,
        target_modules=list(plan.lora.targets),
    )
    set_seed(plan.seed)
    with quiet_peft():
        adapted = peft.get_peft_model(network, settings)
    # peft would name the folder on this machine.
    settings.base_model_name_or_path = _base_name(base)
    size = _BYTES_EACH * _parameters(adapted)
    if size > MAX_BYTES:
        raise SettingError(
            f"An adapter of rank {plan.lora.rank} would have {size / 1e6:.1f} MB.",
            f"At most {MAX_BYTES / 1e6:.0f} MB are shipped; lower the rank.",
        )
    return adapted


def _parameters(adapted: Any) -> int:
    return sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)


def _trainer(network: Any, batches: Batches, plan: AdapterPlan, scratch: Path, tell: Tell) -> Any:
    from transformers.trainer_utils import SaveStrategy

    # The adapted Llama itself: the loss asks for its parts by their own names.
    trainer = stage_trainer(network.get_base_model(), batches, plan.stage, plan.seed, scratch, Pace(log_every=25), tell)
    trainer.args.save_strategy = SaveStrategy.NO
    return trainer


def _record(trainer: Any, tokenizer: Any, plan: AdapterPlan, base: Path, learnt: Learnt) -> dict[str, Any]:
    import peft
    import torch
    import transformers

    task = paths.prompts() / "tasks" / f"{TASK}.toml"
    return {
        "shotwise": __version__,
        "name": BUILT_IN,
        "base": {"model": _base_name(base), "weights_sha256": weights_sha256(base)},
        "data": dict(learnt.facts),
        "task": {"name": TASK, "sha256": hashlib.sha256(task.read_bytes()).hexdigest()},
        "chat_template_sha256": hashlib.sha256(tokenizer.chat_template.encode("utf-8")).hexdigest(),
        "seed": plan.seed,
        "lora": asdict(plan.lora),
        "stage": asdict(plan.stage),
        "parameters": _parameters(trainer.model),
        "tokens": int(trainer.state.num_input_tokens_seen),
        "loss": loss_curve(trainer),
        "versions": {library.__name__: library.__version__ for library in (torch, transformers, peft)},
    }


def _save(network: Any, record: Mapping[str, Any], folder: Path) -> None:
    import torch

    for weight in network.parameters():
        if weight.requires_grad:
            weight.data = weight.data.to(torch.float16)
    # Whether embeddings changed is known here; peft would look for the base model on the hub.
    network.save_pretrained(folder, save_embedding_layers=False)
    (folder / WEIGHTS_FILE).chmod(0o644)  # safetensors lets only its owner read it, and this is to be shipped
    (folder / TRAINING_FILE).write_text(json.dumps(record) + "\n", encoding="utf-8")
    (folder / CARD).write_text(card(record), encoding="utf-8")


def _replace(out: Path, scratch: Path) -> None:
    """Move the new adapter to its place, whole; an old one goes with the scratch folder."""
    if out.is_dir():
        out.rename(scratch / "old")
    (scratch / "new").rename(out)


def _check_base(base: Path) -> None:
    config = base / "config.json"
    if not config.is_file():
        raise ModelError(f"There is no model in {base}.", "Train it: shotwise demo-model train --data DIR")
    if json.loads(config.read_text(encoding="utf-8")).get("model_type") != "llama":
        raise ModelError(f"The model in {base} is no Llama.", "Give the folder that demo-model train has made.")


def _check_out(out: Path) -> None:
    if out.is_file() or (out.is_dir() and {one.name for one in out.iterdir()} - _OWN_FILES):
        raise SettingError(f"{out} holds something else than an adapter made here.", "Give another folder with --out.")


def _base_name(base: Path) -> str:
    folder = base.resolve()
    return DEMO if folder == (paths.demo() / "model").resolve() else folder.name
