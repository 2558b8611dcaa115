"""SBERT encoders (owner of sentence-transformers): the packaged one, a local folder, a hub id."""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assistant.errors import ModelError
from assistant.hub import hub_reachable
from assistant.retrieval import windows
from assistant.retrieval.encoders import DEFAULT, Vectors, unit_rows
from assistant.retrieval.packaged import PACKAGE, WEIGHTS_SHA256, packaged_folder
from assistant.settings import EncoderSettings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_TOKENISED_AT_ONCE = 256
_BULK = 64
"""Windows from which faster kernels repay trying them."""
_EXACT = 1e-5
_LARGER_ON_A_GPU = 16
_PROBE = "A well-known Café\u0301 in ZÜRICH, it's 3.14 km²  —  日本語 👍 \ufb01n."


class SbertEncoder:
    """A SentenceTransformer that cuts nothing off: long texts go through in windows."""

    def __init__(self, name: str, model: SentenceTransformer, weights_sha256: str, origin: str) -> None:
        self.name = name
        self.width = int(model.get_embedding_dimension() or 0)
        self._model = model
        self._sha256 = weights_sha256
        self._tokenizer_sha256 = _tokenizer_hash(model)
        self._origin = origin
        self._windowed = bool(getattr(model.tokenizer, "is_fast", False)) and bool(model.max_seq_length)
        self.window = int(model.max_seq_length) if self._windowed else 2**31
        if not self._windowed and math.isfinite(model.max_seq_length or math.inf):
            raise ModelError(
                f"The encoder '{name}' would cut long texts off: its tokenizer cannot make windows.",
                "Use an encoder with a fast tokenizer (a tokenizer.json).",
            )
        self._lock = threading.Lock()
        self._fast_kernels: bool | None = None

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row per text, (n, d); equal texts are embedded once."""
        if not texts:
            return np.zeros((0, self.width), dtype=np.float32)
        places: dict[str, int] = {}
        owner = [places.setdefault(text.strip(), len(places)) for text in texts]
        with self._lock:
            rows = self._encode(list(places))
        return rows[owner]

    def describe(self) -> dict[str, Any]:
        """Return what identifies it in a manifest."""
        return {
            "name": self.name,
            "model": self._origin,
            "implementation": "sentence-transformers",
            "sha256": self._sha256,
            "tokenizer_sha256": self._tokenizer_sha256,
            "pooling": ", ".join(
                str(mode) for mode in (getattr(module, "pooling_mode", None) for module in self._model) if mode
            ),
            "normalised": True,
            "width": self.width,
            "window": self.window if self._windowed else None,
            "long_texts": windows.rule(self.window) if self._windowed else "Texts of any length are read whole.",
        }

    def _encode(self, texts: list[str]) -> Vectors:
        if not self._windowed:
            return unit_rows(self._model.encode(texts, show_progress_bar=False, convert_to_numpy=True))
        ids, owners = self._tokenise(texts)
        lengths = [len(row) for row in ids]
        rows = np.empty((len(ids), self.width), dtype=np.float32)
        scale = 1 if self._model.device.type == "cpu" else _LARGER_ON_A_GPU
        batches = windows.batches(lengths, scale * EncoderSettings().batch_size, scale * windows.TOKENS_PER_BATCH)
        with self._kernels(ids):
            for batch in batches:
                rows[batch] = self._forward([ids[at] for at in batch])
        return windows.pooled(rows, np.asarray(lengths), np.asarray(owners), len(texts))

    def _tokenise(self, texts: list[str]) -> tuple[list[np.ndarray[Any, Any]], list[int]]:
        ids: list[np.ndarray[Any, Any]] = []
        owners: list[int] = []
        for start in range(0, len(texts), _TOKENISED_AT_ONCE):
            encoding = self._model.tokenizer(
                texts[start : start + _TOKENISED_AT_ONCE],
                truncation=True,
                max_length=self.window,
                stride=0,
                return_overflowing_tokens=True,
                return_attention_mask=False,
                return_token_type_ids=False,
            )
            ids.extend(np.asarray(row, dtype=np.int32) for row in encoding["input_ids"])
            owners.extend(start + at for at in encoding["overflow_to_sample_mapping"])
        return ids, owners

    def _forward(self, ids: list[np.ndarray[Any, Any]]) -> Vectors:
        import torch

        longest = max(len(row) for row in ids)
        padding = self._model.tokenizer.pad_token_id or 0
        tokens = np.full((len(ids), longest), padding, dtype=np.int64)
        mask = np.zeros((len(ids), longest), dtype=np.int64)
        for at, row in enumerate(ids):
            tokens[at, : len(row)] = row
            mask[at, : len(row)] = 1
        features = {"input_ids": torch.from_numpy(tokens), "attention_mask": torch.from_numpy(mask)}
        device = self._model.device
        with torch.inference_mode():
            embedded = self._model({name: tensor.to(device) for name, tensor in features.items()})
        found: Vectors = embedded["sentence_embedding"].float().cpu().numpy()
        return found

    @contextmanager
    def _kernels(self, ids: list[np.ndarray[Any, Any]]) -> Iterator[None]:
        """Use oneDNN's fp32 kernels for bulk work on a CPU, if they are exact on this machine."""
        import torch

        if len(ids) < _BULK or self._fast_kernels is False or self._model.device.type != "cpu":
            yield
            return
        before = torch.get_float32_matmul_precision()
        try:
            if self._fast_kernels is None:
                probe = sorted(ids, key=len)[-8:]
                reference = self._forward(probe)
                torch.set_float32_matmul_precision("medium")
                # On some hardware "medium" really means bf16: then it is not for us.
                self._fast_kernels = bool(np.abs(self._forward(probe) - reference).max() < _EXACT)
            torch.set_float32_matmul_precision("medium" if self._fast_kernels else before)
            yield
        finally:
            torch.set_float32_matmul_precision(before)


def load_sbert(name: str) -> SbertEncoder:
    """Return the packaged encoder (`default`), or that of a folder or hub id.

    Raises:
        ModelError: if it cannot be loaded, or is not what was pinned.
    """
    if name == DEFAULT:
        model = _load(str(packaged_folder()), name)
        return SbertEncoder(name, model, WEIGHTS_SHA256, f"all-MiniLM-L6-v2 from the package {PACKAGE}")
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file() and not (folder / "modules.json").is_file():
            raise ModelError(f"The folder '{name}' holds no encoder.", "It should have a modules.json or config.json.")
        model = _load(str(folder), name)
    else:
        _check_hub(name)
        model = _load(name, name)
    return SbertEncoder(name, model, _weights_hash(model), name)


def _load(place: str, name: str) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model = SentenceTransformer(
            place,
            trust_remote_code=False,
            local_files_only=Path(place).is_dir(),
            model_kwargs={"use_safetensors": True},
        )
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"The encoder '{name}' cannot be loaded: {reason}",
            "Only safetensors weights are read, and no code of the model's own is run.",
        ) from error
    finally:
        if bars:
            logging.enable_progress_bar()
    return model.float().eval()


def _check_hub(name: str) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    hint = "Use `default`, `toy`, a folder that holds an encoder, or a hub id that is in the cache."
    try:
        snapshot_download(name, local_files_only=True)
    except HFValidationError as error:
        raise ModelError(f"There is no encoder '{name}': it is neither a folder nor a hub id.", hint) from error
    except OSError as error:
        if not hub_reachable():
            raise ModelError(f"There is no folder '{name}', and the hub cannot be reached.", hint) from error


def _weights_hash(model: SentenceTransformer) -> str:
    digest = hashlib.sha256()
    for key, tensor in sorted(model.state_dict().items()):
        digest.update(f"{key} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _tokenizer_hash(model: SentenceTransformer) -> str:
    # Its behaviour, not its file: a tokenizer's serialised state changes with every call's options.
    tokenizer = model.tokenizer
    digest = hashlib.sha256()
    if hasattr(tokenizer, "get_vocab"):
        digest.update(json.dumps(sorted(tokenizer.get_vocab().items())).encode())
    encoded = tokenizer.encode(_PROBE)
    digest.update(json.dumps(list(getattr(encoded, "ids", encoded))).encode())
    return digest.hexdigest()
