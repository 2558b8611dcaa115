"""Encoders: text → unit vector. The protocol, a toy without weights, and loading by name."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

DEFAULT = "default"
TOY = "toy"
TAUGHT = "encoder.json"
"""A file that lies in the folder of an encoder that was fine-tuned here."""


class Encoder(Protocol):
    """What an index needs of an encoder; `width` is d, `window` the tokens it reads at once."""

    @property
    def name(self) -> str:
        """Return the name under which `load_encoder` finds it."""

    @property
    def width(self) -> int:
        """Return the width d of an embedding."""

    @property
    def window(self) -> int:
        """Return how many tokens, special ones included, are read at once."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row per text, (n, d)."""

    def describe(self) -> dict[str, Any]:
        """Return what identifies it in a manifest: name, implementation, sha256, pooling, width, window."""


def unit_rows(vectors: Vectors) -> Vectors:
    """Return the rows scaled to length 1; a row of zeros stays one."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)


class ToyEncoder:
    """Hashed character 3-grams: alike where the spelling is. For tests and for trying things out."""

    name = TOY
    width = 256
    window = 2**31

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row per text, (n, 256)."""
        rows = np.zeros((len(texts), self.width), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            # The whole text counts as one more gram, so that no text has an empty row.
            padded = f"  {' '.join(text.casefold().split())} "
            for gram in [padded, *(padded[at : at + 3] for at in range(len(padded) - 2))]:
                digest = hashlib.blake2b(gram.encode("utf-8", "replace"), digest_size=8).digest()
                row[digest[0]] += 1.0 if digest[1] % 2 else -1.0
            if not row.any():
                row[0] = 1.0
        return unit_rows(rows)

    def describe(self) -> dict[str, Any]:
        """Return what identifies it in a manifest."""
        return {
            "name": self.name,
            "model": "hashed character 3-grams",
            "implementation": "numpy",
            "sha256": toy_identity(),
            "pooling": "sum",
            "normalised": True,
            "width": self.width,
            "window": None,
            "long_texts": "Texts of any length are read whole.",
        }


def toy_identity() -> str:
    """Return the identity of the toy's rule; a change of the rule must change the text hashed here."""
    return hashlib.sha256(b"toy encoder 1: blake2b 3-grams, 256 signed counts").hexdigest()


_loaded: dict[str, Encoder] = {}
_loading = threading.Lock()


def load_encoder(name: str = DEFAULT) -> Encoder:
    """Return the encoder `default`, `toy`, of a local folder or of a hub id; once per process.

    Raises:
        ModelError: if it cannot be loaded, or the packaged weights are not the pinned ones.
    """
    with _loading:
        if name not in _loaded:
            if name == TOY:
                _loaded[name] = ToyEncoder()
            else:
                from assistant.retrieval.sbert import load_sbert

                _loaded[name] = load_sbert(name)
        return _loaded[name]


def known_identity(name: str) -> str | None:
    """Return the sha256 an encoder must have, if that is known without loading it."""
    if name == TOY:
        return toy_identity()
    if name == DEFAULT:
        from assistant.retrieval.packaged import WEIGHTS_SHA256

        return WEIGHTS_SHA256
    return None
