"""PEFT folders, checked before peft reads them, and attached without silent omissions.

peft follows regular expressions from the config, allocates whatever rank it names, loads
pickles, and answers missing tensors with a warning. Here each of these is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant import paths
from assistant.errors import AdapterError, SettingError
from assistant.generation.identity import file_sha256
from assistant.generation.sharing import own_copies
from assistant.settings import NO_ADAPTER

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
TRAINING_FILE = "training.json"
"""Says how an adapter was trained here; `base.weights_sha256` in it are the hashes of its base model's files."""
BUILT_IN = "question-types"
"""Name of the adapter that lies beside the demo model."""
MAX_RANK = 512
_MAX_CONFIG_BYTES = 1_000_000
_TYPES = ("LORA", "IA3", "LN_TUNING", "PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING")
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
_DRAWN = "pissa_niter_"
_PLAIN = re.compile(r"[A-Za-z0-9_.]{1,200}")
_LISTS = ("exclude_modules", "modules_to_save", "layers_pattern", "target_parameters", "feedforward_modules")
_LIMITS = {
    "r": MAX_RANK,
    "num_virtual_tokens": 4096,
    "token_dim": 65_536,
    "encoder_hidden_size": 65_536,
    "encoder_num_layers": 16,
    "num_layers": 1024,
    "num_attention_heads": 1024,
    "num_transformer_submodules": 2,
}


@dataclass(frozen=True)
class AdapterFolder:
    """An adapter folder that is safe to load: its config, the shape of each tensor, the hash of its weights."""

    path: Path
    config: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    sha256: str

    @property
    def name(self) -> str:
        """Return what it is called: the built-in one by its name, others as their folder."""
        folder = self.path.resolve()
        return BUILT_IN if folder == built_in_folder().resolve() else folder.name

    @property
    def base(self) -> str:
        """Return the base model that the config names, or nothing."""
        return str(self.config.get("base_model_name_or_path") or "")


def built_in_folder() -> Path:
    """Return where the demo model's adapter lies; it need not be there."""
    return paths.demo() / "adapter"


def adapter_names() -> tuple[str, ...]:
    """Return the adapters that have a name: those under adapters/, and the built-in one if it is there."""
    own = sorted(file.parent.name for file in paths.adapters().glob(f"*/{CONFIG_FILE}"))
    shipped = (BUILT_IN,) if (built_in_folder() / CONFIG_FILE).is_file() and BUILT_IN not in own else ()
    return (*own, *shipped)


def folder_of_new(name: str) -> Path:
    """Return where a new adapter of that name is to lie.

    Raises:
        SettingError: if it cannot be the name of one; `none` says that there is none.
    """
    if name == NO_ADAPTER:
        raise SettingError(f"'{name}' stands for the base model alone.", "Choose another name.")
    return paths.adapters() / paths.checked_name(name, "adapter")


def find_adapter(name: str) -> Path:
    """Return the folder of an adapter given as a name under adapters/, as a folder or as the built-in one's name.

    Raises:
        AdapterError: if there is neither.
    """
    folder, named = Path(os.path.expanduser(name)), paths.adapters() / name
    # A name first: a folder that happens to be called so where the command is typed must not hide the adapter.
    bare = len(folder.parts) == 1 and name not in (".", "..")
    places = [place for place in ([named] if bare else []) + [folder] if place.is_dir()]
    if places:
        return next((place for place in places if (place / CONFIG_FILE).is_file()), places[-1])
    if name == BUILT_IN and BUILT_IN in adapter_names():
        return built_in_folder()
    known = ", ".join(adapter_names())
    hint = f"Give a folder, or one of: {known}." if known else "Give a folder, or the name of one under adapters/."
    raise AdapterError(f"There is no adapter '{name}'.", hint)


def check_adapter(folder: Path) -> AdapterFolder:
    """Return what is in the folder, without importing anything that could act on it.

    Raises:
        AdapterError: if something in it is unsafe, unknown or unreadable.
    """
    config = _read_config(folder)
    _check_config(config)
    if any(file.suffix in _PICKLES for file in folder.iterdir()):
        raise AdapterError(
            f"The adapter '{folder.name}' holds pickled files, which can run code.",
            f"Save it as {WEIGHTS_FILE} and delete the others.",
        )
    weights = folder / WEIGHTS_FILE
    if not weights.is_file():
        raise AdapterError(f"The adapter '{folder.name}' has no {WEIGHTS_FILE}.", "Save it with safe_serialization.")
    return AdapterFolder(folder, config, _shapes(weights), file_sha256(weights))


def _read_config(folder: Path) -> dict[str, Any]:
    file = folder / CONFIG_FILE
    if not file.is_file():
        raise AdapterError(f"The folder '{folder}' is not an adapter: it has no {CONFIG_FILE}.")
    return _read_object(file)


def _read_object(file: Path) -> dict[str, Any]:
    folder = file.parent
    try:
        if file.stat().st_size > _MAX_CONFIG_BYTES:
            raise ValueError("it is too large")
        config = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise AdapterError(f"{file.name} of the adapter '{folder.name}' cannot be read: {error}.") from None
    if not isinstance(config, dict):
        raise AdapterError(f"{file.name} of the adapter '{folder.name}' is not a JSON object.")
    return config


def _check_config(config: Mapping[str, Any]) -> None:
    kind = config.get("peft_type")
    if kind not in _TYPES:
        raise AdapterError(f"The adapter's peft_type {kind!r} is not supported.", f"Supported: {', '.join(_TYPES)}.")
    if config.get("auto_mapping"):
        raise AdapterError("The adapter names a class to import (auto_mapping), which is refused.")
    if str(config.get("init_lora_weights")).startswith(_DRAWN):
        raise AdapterError(
            "The adapter belongs to a drawn decomposition of the weights, which does not come out the same twice.",
            "Save it with peft's path_initial_model_for_weight_conversion.",
        )
    for key, limit in _LIMITS.items():
        value = config.get(key)
        if value is not None and not (type(value) is int and 0 < value <= limit):
            raise AdapterError(f"The adapter's {key} must be a whole number from 1 to {limit}, not {value!r}.")
    targets = config.get("target_modules")
    if targets is not None and targets != "all-linear" and not _plain_list(targets):
        raise AdapterError("The adapter's target_modules must be a list of plain module names.")
    for key in _LISTS:
        if config.get(key) is not None and not _plain_list(config[key]):
            raise AdapterError(f"The adapter's {key} must be a list of plain names.")
    for key in ("rank_pattern", "alpha_pattern"):
        _check_pattern(key, config.get(key) or {}, MAX_RANK if key == "rank_pattern" else math.inf)


def _plain_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) and _PLAIN.fullmatch(name) for name in value)


def _check_pattern(key: str, pattern: object, limit: float) -> None:
    """Refuse patterns that are regular expressions, or values out of range."""
    fine = isinstance(pattern, dict) and all(
        _PLAIN.fullmatch(name) and isinstance(value, int | float) and 0 < value <= limit
        for name, value in pattern.items()
    )
    if not fine:
        raise AdapterError(f"The adapter's {key} must map plain module names to numbers.")


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Return tensor name → shape from the file's header, checked against the file's length.

    Raises:
        AdapterError: if the header is not that of a safetensors file.
    """
    try:
        return {name: shape for name, shape, _ in safetensors_header(file)}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, struct.error, RecursionError):
        raise AdapterError(
            f"{file.name} of the adapter '{file.parent.name}' is not a valid safetensors file."
        ) from None


def safetensors_header(file: Path) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """Yield name, shape and number format of every tensor, reading only the header."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > min(100_000_000, file.stat().st_size):
            raise ValueError("header longer than the file")
        header = json.loads(stream.read(length))
    for name, entry in header.items():
        if name != "__metadata__":
            yield name, tuple(int(size) for size in entry["shape"]), str(entry["dtype"])


def check_base(adapter: AdapterFolder, model: str, folder: Path | None) -> None:
    """Check that the adapter was trained on the model; `folder` is where that lies, if local.

    Where the adapter's training was recorded, or it names a folder that is there, the weights
    decide; else the name does, or its last part. Of any other adapter its tensors alone decide.

    Raises:
        AdapterError: if it was trained on another base model.
    """
    recorded = _trained_on(adapter.path)
    if recorded and folder is not None and recorded == weights_sha256(folder):
        return
    _check_base_name(adapter, model, folder)
    if recorded and folder is not None:
        raise AdapterError(
            f"The adapter '{adapter.name}' was trained on other weights than those of the model {model}.",
            "Train it again on these, or load the model that it was trained on.",
        )


def _check_base_name(adapter: AdapterFolder, model: str, folder: Path | None) -> None:
    base = adapter.base
    if not base or base == model:
        return
    if Path(base).is_dir() and folder is not None:
        same = Path(base).resolve() == folder.resolve() or weights_sha256(Path(base)) == weights_sha256(folder)
    else:
        names = {Path(model).name} | ({folder.name} if folder is not None else set())
        same = Path(base).name in names
    if not same:
        raise AdapterError(
            f"The adapter '{adapter.name}' was trained for base model {base}, but the model loaded is {model}.",
            f"Load it with --model {base}.",
        )


def _trained_on(folder: Path) -> Mapping[str, str]:
    """Return the hashes of the weights that an adapter was trained on, if that was recorded."""
    base = _record(folder).get("base")
    recorded = base.get("weights_sha256") if isinstance(base, dict) else None
    return recorded if isinstance(recorded, dict) else {}


def check_template(adapter: AdapterFolder, sha256: str) -> None:
    """Check that the adapter was trained under the chat template of the model, where that was recorded.

    Raises:
        AdapterError: if it was another one: the adapter would be asked in a form that it has never seen.
    """
    recorded = _record(adapter.path).get("chat_template_sha256")
    if recorded and recorded != sha256:
        raise AdapterError(
            f"The adapter '{adapter.name}' was trained under another chat template than the model has now.",
            "Train it again, or put the old chat template back.",
        )


def _record(folder: Path) -> Mapping[str, Any]:
    """Return what was written down of an adapter's training; nothing if it was not made here."""
    file = folder / TRAINING_FILE
    return _read_object(file) if file.is_file() else {}


def weights_sha256(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each safetensors file of a model folder, by its name."""
    return {file.name: file_sha256(file) for file in sorted(folder.glob("*.safetensors"))}


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Keep quiet what no user can act on: a name that transformers 5.23 has deprecated, layers that peft does not know.

    The latter are normalisation layers; whoever tunes them needs nothing of them but their weights.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
        warnings.filterwarnings("ignore", "Unsupported layer type .*Norm.*", UserWarning)
        yield


def check_task(adapter: AdapterFolder, *, encoder_decoder: bool) -> str:
    """Return peft's name for what the model does: the adapter must be for that.

    Raises:
        AdapterError: if it is for something else, such as a classifier.
    """
    task = "SEQ_2_SEQ_LM" if encoder_decoder else "CAUSAL_LM"
    if adapter.config.get("task_type") not in (None, task):
        raise AdapterError(f"The adapter is for {adapter.config['task_type']}, not for {task}.")
    return task


def attach(network: Any, adapter: AdapterFolder, *, encoder_decoder: bool) -> tuple[Any, tuple[str, ...]]:
    """Return the PEFT model around `network`, and notes for the user.

    Raises:
        AdapterError: if a tensor of the file has no place, another shape, or one is missing.
    """
    import peft

    task = check_task(adapter, encoder_decoder=encoder_decoder)
    config = _peft_config(adapter, task)
    try:
        with quiet_peft():
            model = peft.MODEL_TYPE_TO_PEFT_MODEL_MAPPING[task](network, config)
    except (ValueError, TypeError, RuntimeError, KeyError, AttributeError) as error:
        raise AdapterError(f"The adapter '{adapter.name}' does not fit the model: {error}.") from None
    expected = {
        name: tuple(tensor.shape)
        for name, tensor in peft.get_peft_model_state_dict(model, save_embedding_layers=False).items()
    }
    _check_tensors(adapter, expected, {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()})
    tensors = _tensors(adapter)
    # An adapter may bring tensors of the base model (resized embeddings, biases), which peft writes over the
    # model's own; another model may be using those.
    own_copies(model, tensors.keys())
    peft.set_peft_model_state_dict(model, tensors)
    return model, _notes(adapter, tensors)


def _tensors(adapter: AdapterFolder) -> dict[str, Any]:
    """Return the tensors of the file that was checked.

    Raises:
        AdapterError: if it is damaged, or was written anew since.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    content = (adapter.path / WEIGHTS_FILE).read_bytes()
    if hashlib.sha256(content).hexdigest() != adapter.sha256:
        raise AdapterError(f"The adapter '{adapter.name}' was changed while it was being read.", "Try again.")
    try:
        return dict(load(content))
    except SafetensorError as error:
        raise AdapterError(f"{WEIGHTS_FILE} of the adapter '{adapter.name}' is damaged: {error}.") from None


def _peft_config(adapter: AdapterFolder, task: str) -> Any:
    """Return peft's config object from the checked values, for inference."""
    import dataclasses

    import peft

    kind = peft.PEFT_TYPE_TO_CONFIG_MAPPING[peft.PeftType(adapter.config["peft_type"])]
    known = {field.name for field in dataclasses.fields(kind)} - {"peft_type"}
    unknown = [key for key, value in adapter.config.items() if key not in known and value and key != "peft_type"]
    if unknown:
        raise AdapterError(
            f"The adapter needs {', '.join(unknown)}, which the installed peft does not know.", "Upgrade peft."
        )
    values = {key: value for key, value in adapter.config.items() if key in known}
    try:
        return kind(**{**values, "task_type": task, "inference_mode": True})
    except (ValueError, TypeError) as error:
        raise AdapterError(f"The adapter's config is refused by peft: {error}.") from None


def _check_tensors(
    adapter: AdapterFolder, expected: Mapping[str, tuple[int, ...]], known: Mapping[str, tuple[int, ...]]
) -> None:
    """Refuse an adapter of which peft would leave out a part, or the whole, without an error."""
    name = adapter.name
    missing = sorted(expected.keys() - adapter.shapes.keys())
    if missing:
        raise AdapterError(f"The adapter '{name}' lacks {len(missing)} of its tensors, among them {missing[0]}.")
    for tensor, shape in adapter.shapes.items():
        place = expected.get(tensor) or known.get(tensor)
        if place is None:
            raise AdapterError(f"The adapter '{name}' has a tensor that has no place in the model: {tensor}.")
        if place != shape:
            raise AdapterError(f"The adapter '{name}' does not fit the model: {tensor} is {shape}, not {place}.")


def _notes(adapter: AdapterFolder, tensors: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a note if the adapter cannot change anything."""
    second = [tensor for name, tensor in tensors.items() if ".lora_B" in name or ".lora_embedding_B" in name]
    if adapter.config["peft_type"] == "LORA" and second and not any(bool(tensor.any()) for tensor in second):
        return (f"The adapter '{adapter.name}' is untrained: all of its B matrices are zero.",)
    return ()
