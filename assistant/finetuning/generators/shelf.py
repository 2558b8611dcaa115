"""The shelf of fine-tuned language models under `adapters/`: list, show, merge, delete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from assistant import paths
from assistant.errors import AdapterError, ShotwiseError
from assistant.finetuning.generators.adapter_record import (
    base_name,
    read_merged,
    read_record,
    write_merged,
    write_record,
)
from assistant.finetuning.generators.adapting import Counts, quiet_libraries
from assistant.finetuning.generators.card import card, is_model
from assistant.finetuning.generators.checkpoints import last_checkpoint
from assistant.finetuning.generators.methods import METHODS
from assistant.finetuning.generators.soft_prompts import NearToken, read_soft_prompt
from assistant.finetuning.generators.training import run_folder
from assistant.finetuning.locking import training_in
from assistant.finetuning.marks import read_marks, write_marks
from assistant.generation.adapters import (
    CONFIG_FILE,
    adapter_names,
    attach,
    check_adapter,
    check_base,
    find_adapter,
    folder_of_new,
)
from assistant.generation.loading import DEMO, Base, load_base
from assistant.settings import ModelSettings

MODEL_FILE = "config.json"
_OTHERS = "See: shotwise adapter list; shotwise classifier list and shotwise encoder list know the others."


@dataclass(frozen=True)
class Entry:
    """One line of the list; `problem` is empty if it can be served."""

    name: str
    folder: Path
    method: str = ""
    base: str = ""
    task: str = ""
    trainable: int | None = None
    """Parameters that were learnt; None: not recorded."""
    validation_loss: float | None = None
    size_mb: float = 0.0
    whole: bool = False
    """Whether it is a model of its own, for `--model`, rather than an adapter, for `--adapter`."""
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the entry as plain data."""
        return {**asdict(self), "folder": str(self.folder)}


def list_adapters() -> tuple[Entry, ...]:
    """Return every adapter and fine-tuned language model that has a name; what cannot be served says why."""
    own = paths.adapters()
    models = {file.parent.name for file in own.glob(f"*/{MODEL_FILE}") if _is_made_here(file.parent)}
    return tuple(_entry(name, own / name if name in models else find_adapter(name)) for name in
                 sorted({*models, *adapter_names()}))  # fmt: skip


def find_tuned(name: str) -> Entry:
    """Return the adapter or fine-tuned model of that name, or in that folder.

    Raises:
        AdapterError: if there is none.
    """
    folder = paths.adapters() / name
    if os.sep not in name and (folder / MODEL_FILE).is_file() and _is_made_here(folder):
        return _entry(name, folder)
    folder = find_adapter(name)
    if not (folder / CONFIG_FILE).is_file():
        raise AdapterError(f"The folder '{folder}' is not an adapter: it has no {CONFIG_FILE}.", _OTHERS)
    return _entry(folder.resolve().name if os.sep in name else name, folder)


def _is_made_here(folder: Path) -> bool:
    return bool(read_record(folder) or read_merged(folder))


def _entry(name: str, folder: Path) -> Entry:
    record, merged = read_record(folder), read_merged(folder)
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 1e6
    if record and is_model(record):
        kind, problem = record["settings"]["method"], ""
        base = record["base"]["model"]
    elif merged:
        kind, base, problem = merged["method"], merged["base"], ""
    else:
        kind, base, problem = _adapter_facts(folder, record)
    return Entry(
        name=name,
        folder=folder,
        method=f"{kind}, merged" if merged or record.get("merged_from") else kind,
        base=base,
        task=record.get("task", {}).get("name", ""),
        trainable=record.get("parameters", {}).get("trainable"),
        validation_loss=(record.get("best") or {}).get("validation_loss"),
        size_mb=round(size, 2),
        whole=bool(merged) or (bool(record) and is_model(record)),
        problem=problem,
    )


def _adapter_facts(folder: Path, record: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return kind, base and problem of an adapter's folder."""
    try:
        adapter = check_adapter(folder)
    except AdapterError as error:
        return "?", "", str(error)
    kind = record["settings"]["method"] if record else str(adapter.config["peft_type"]).lower()
    return kind, adapter.base, ""


def describe(entry: Entry, model: str | None = None) -> dict[str, Any]:
    """Return everything that is known of an adapter, as plain data.

    The tokens near to a soft prompt at the input are among it, if the base is at hand.
    """
    record = read_record(entry.folder)
    described = {**entry.to_json(), "record": record}
    if record:
        counts = Counts(record["parameters"]["trainable"], record["parameters"]["total"])
        described["parameters"] = counts.words()
    if not entry.problem and not entry.whole and _is_readable(entry.folder):
        try:
            tokens = near_tokens(entry, model)
        except ShotwiseError as error:
            described["nearest_tokens_missing"] = error.sentence()
        else:
            described["nearest_tokens"] = [[asdict(near) for near in of_one] for of_one in tokens]
    return described


def _is_readable(folder: Path) -> bool:
    return bool(check_adapter(folder).config["peft_type"] == "PROMPT_TUNING")


def near_tokens(entry: Entry, model: str | None = None, k: int = 3) -> Sequence[tuple[NearToken, ...]]:
    """Return for each virtual token of a soft prompt at the input the `k` tokens nearest to it.

    Raises:
        ModelError: if the base cannot be loaded; AdapterError if it is another kind of adapter.
    """
    base, tuned = _attached(entry, model)
    return read_soft_prompt(tuned, lambda token: base.renderer.decode([token], special=True), k)


def base_of(entry: Entry, model: str | None = None) -> str:
    """Return what loads the base of an adapter or fine-tuned model: `model` if given, else what is recorded.

    Raises:
        AdapterError: if it was a folder and is not found by its name, or none is named.
    """
    if model:
        return model
    record = read_record(entry.folder)
    was_folder = bool(record) and record["base"]["revision"] is None and entry.base != DEMO
    if not entry.base or (was_folder and not Path(entry.base).is_dir()):
        named = f"the model in a folder '{entry.base}'" if entry.base else "a model that it does not name"
        raise AdapterError(f"'{entry.name}' belongs to {named}.", "Say where that is with --model.")
    return entry.base


def _attached(entry: Entry, model: str | None) -> tuple[Base, Any]:
    """Return the base in fp32 and peft's model around it."""
    adapter = check_adapter(entry.folder)
    base = load_base(ModelSettings(model=base_of(entry, model), dtype="float32", device="cpu"))
    check_base(adapter, base.name, base.folder)
    tuned, _ = attach(base.network, adapter, encoder_decoder=base.encoder_decoder)
    return base, tuned


def merge(entry: Entry, name: str, model: str | None = None) -> Path:
    """Fold an adapter into its base's weights and save the result as a model `name` under `adapters/`, in fp32.

    Raises:
        AdapterError: if it cannot be merged, or the name is taken.
        ModelError: if the base cannot be loaded.
    """
    out = folder_of_new(name)
    if out.exists():
        raise AdapterError(f"There is already something named '{name}' in {out.parent}.", "Choose another name.")
    kind = "" if entry.whole else check_adapter(entry.folder).config["peft_type"]
    if kind not in {method.peft_type for method in METHODS.values() if method.mergeable}:
        what = "is a whole model already" if entry.whole else "is a soft prompt: it has no place in the weights"
        raise AdapterError(f"'{entry.name}' {what}.", "Serve it as it is.")
    base, tuned = _attached(entry, model)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".new-", dir=out.parent) as scratch, quiet_libraries():
        new = Path(scratch) / "new"
        tuned.merge_and_unload(safe_merge=True).save_pretrained(new)
        base.renderer.tokenizer.save_pretrained(new)
        record = read_record(entry.folder)
        if record:
            record |= {"name": name, "merged_from": entry.name}
            write_record(new, record, card(record))
        else:
            write_merged(new, entry.name, entry.method, base_name(base))
        write_marks(new, read_marks(entry.folder) | read_marks(base.folder))
        new.rename(out)
    return out


def delete(name: str) -> Path:
    """Delete what is under `adapters/` by that name, and what its training left behind; return the folder it was in.

    Of a training that was stopped, what it has learnt so far is deleted.

    Raises:
        AdapterError: if there is none, or the folder holds something else.
        TrainingError: if it is being trained.
    """
    folder, run = paths.adapters() / paths.checked_name(name, "adapter"), run_folder(name)
    if not folder.is_dir() and last_checkpoint(run) is not None:
        return _dropped(run)
    if not folder.is_dir():
        raise AdapterError(f"There is no adapter '{name}' in {paths.adapters()}.", "See: shotwise adapter list")
    if not (folder / CONFIG_FILE).is_file() and not _is_made_here(folder):
        raise AdapterError(f"The folder '{folder}' holds no adapter.", "Nothing was deleted.")
    if run.is_dir():
        _dropped(run)
    shutil.rmtree(folder)
    return folder


def _dropped(run: Path) -> Path:
    with training_in(run):
        shutil.rmtree(run)
    return run
