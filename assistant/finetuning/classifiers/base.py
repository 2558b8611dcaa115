"""The pretrained model that a classifier is made of: found by name, checked, and its files told apart by their hash."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant import paths
from assistant.errors import ClassifierError, ModelError, SettingError
from assistant.hub import hub_reachable
from assistant.retrieval.encoders import DEFAULT
from assistant.retrieval.packaged import file_sha256, packaged_folder

DEMO = "demo"
PUBLIC_NAME = "sentence-transformers/all-MiniLM-L6-v2"
"""The hub id of the packaged encoder's weights: what plain peft looks for."""
_WEIGHTS = "*.safetensors"
_ATTENTION_DROPOUTS = ("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop")
"""What it is called in the configurations of BERT, of Llama and most others, and of GPT-2."""


@dataclass(frozen=True)
class Base:
    """A pretrained model in a local folder."""

    name: str
    """As it was asked for."""
    folder: Path
    sha256: str
    """Of its weights: of the one file, or of the hashes of all."""

    @property
    def public_name(self) -> str:
        """Return what others call it; a folder goes by its own name, so that no path of this machine is written."""
        if self.name == DEFAULT:
            return PUBLIC_NAME
        return Path(os.path.abspath(self.folder)).name if self._is_folder else self.name

    @property
    def lasting_name(self) -> str:
        """Return what it is found by from every working directory: a folder's whole path, else its name."""
        return str(self.folder.absolute()) if self._is_folder else self.name

    @property
    def _is_folder(self) -> bool:
        return self.name not in (DEFAULT, DEMO) and Path(self.name).expanduser().is_dir()

    def facts(self) -> dict[str, str]:
        """Return what a card says of it: `name` finds it again on this machine."""
        return {"name": self.lasting_name, "public_name": self.public_name, "sha256": self.sha256}


def find_base(name: str) -> Base:
    """Return the model `default`, `demo`, of a local folder, or of a hub id (fetched if it is not in the cache).

    Raises:
        ModelError: if there is none, or it has no safetensors weights.
    """
    folder = _folder(name)
    if not (folder / "config.json").is_file():
        raise ModelError(f"The folder '{name}' holds no model.", "It should have a config.json and safetensors.")
    hashes = [file_sha256(file) for file in sorted(folder.glob(_WEIGHTS))]
    if not hashes:
        raise ModelError(f"The model '{name}' has no safetensors weights.", "Pickled weights are never loaded.")
    if len(hashes) == 1:
        return Base(name, folder, hashes[0])
    return Base(name, folder, hashlib.sha256("\n".join(hashes).encode()).hexdigest())


def base_again(facts: Mapping[str, Any], whose: str) -> Base:
    """Return the model that a card's `facts` name, after checking that it is the one of then.

    Args:
        facts: As `Base.facts` returned them.
        whose: Begins the sentence: "The classifier 'mine'".

    Raises:
        ClassifierError: if its weights are others now.
        ModelError: if it is gone.
    """
    base = find_base(str(facts.get("name", "")))
    if base.sha256 != facts.get("sha256"):
        raise ClassifierError(
            f"{whose} was trained on other weights than those of '{base.name}' today.",
            "Put the old weights back, or train it again.",
        )
    return base


def _folder(name: str) -> Path:
    if name == DEFAULT:
        return packaged_folder()
    if name == DEMO:
        return paths.demo() / "model"
    folder = Path(name).expanduser()
    return folder if folder.is_dir() else _hub_folder(name)


def _hub_folder(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    hint = f"Use `{DEFAULT}`, `{DEMO}`, a folder that holds a model, or a hub id that is in the cache."
    try:
        return Path(snapshot_download(name, local_files_only=True))
    except HFValidationError as error:
        raise ModelError(f"There is no model '{name}': it is neither a folder nor a hub id.", hint) from error
    except OSError as error:
        if not hub_reachable():
            raise ModelError(f"There is no folder '{name}', and the hub cannot be reached.", hint) from error
    try:
        # Weights as safetensors only, and no code: what else a repository holds is not fetched.
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", "*.model", _WEIGHTS]))
    except OSError as error:
        raise ModelError(f"The model '{name}' cannot be fetched from the hub: {error}", hint) from error


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Keep transformers from saying at length that a new head is new, and from drawing bars."""
    from transformers.utils import logging as theirs

    level = theirs.get_verbosity()
    theirs.set_verbosity(logging.ERROR)
    try:
        with without_bars():
            yield
    finally:
        theirs.set_verbosity(level)


@contextmanager
def without_bars() -> Iterator[None]:
    """Keep transformers from drawing bars: one for every checkpoint, between the lines about the training."""
    from transformers.utils import logging as theirs

    bars = theirs.is_progress_bar_enabled()
    theirs.disable_progress_bar()
    try:
        yield
    finally:
        if bars:
            theirs.enable_progress_bar()


def load_tokenizer(folder: Path, name: str) -> Any:
    """Return the tokenizer of a model's folder; one without a padding token pads with its end of text.

    Raises:
        ModelError: if it cannot be loaded, or has neither.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise ModelError(f"The tokenizer of '{name}' cannot be loaded: {_first_line(error)}") from error
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise ModelError(f"The tokenizer of '{name}' has no token to fill up rows with.", "Give it a pad_token.")
        tokenizer.pad_token = tokenizer.eos_token
    # A decoder-only model is read at its last token that is no filling: that must stand at the end.
    tokenizer.padding_side = "right"
    return tokenizer


def load_body(base: Base) -> Any:
    """Return the model without any head, in fp32.

    Raises:
        ModelError: if it cannot be loaded, or reads and writes with two separate parts.
    """
    from transformers import AutoModel

    body = _load(AutoModel, base.folder, base.name)
    _check_one_part(body, base.name)
    return body


def load_with_head(
    folder: Path,
    name: str,
    labels: tuple[str, ...] | None,
    padding: int | None,
    attention_dropout: float | None = None,
) -> Any:
    """Return the model with a head of one number per label, in fp32; `labels=None` takes the head that is there.

    Raises:
        ModelError: if it cannot be loaded, or reads and writes with two separate parts.
        SettingError: if it has no attention dropout to be set.
    """
    from transformers import AutoModelForSequenceClassification

    head: dict[str, Any] = {}
    if labels is not None:
        head = {
            "num_labels": len(labels),
            "id2label": dict(enumerate(labels)),
            "label2id": {label: place for place, label in enumerate(labels)},
            # A base that is itself a classifier of other labels gets a new head.
            "ignore_mismatched_sizes": True,
        }
    if attention_dropout is not None:
        head[_name_of_attention_dropout(folder, name)] = attention_dropout
    network = _load(AutoModelForSequenceClassification, folder, name, **head)
    _check_one_part(network, name)
    if padding is not None:
        network.config.pad_token_id = padding
    return network


def _check_one_part(network: Any, name: str) -> None:
    if network.config.is_encoder_decoder:
        raise ModelError(f"'{name}' is an encoder-decoder model.", "Choose an encoder or a decoder-only model.")


def _name_of_attention_dropout(folder: Path, name: str) -> str:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    found = next((key for key in _ATTENTION_DROPOUTS if key in config), None)
    if found is None:
        raise SettingError(f"The model '{name}' says nothing of attention dropout.", "Leave out --attention-dropout.")
    return found


def _load(kind: Any, folder: Path, name: str, **settings: Any) -> Any:
    try:
        with quiet_loading():
            return kind.from_pretrained(
                folder,
                dtype="float32",
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                **settings,
            )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError) as error:
        raise ModelError(
            f"The model '{name}' cannot be loaded: {_first_line(error)}",
            "Only safetensors weights are read, and no code of the model's own is run.",
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
