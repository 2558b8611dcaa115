"""What the demo model inherits from the default sentence encoder: word vectors to start from, meanings to aim at.

The encoder is all-MiniLM-L6-v2 (Apache-2.0; Reimers & Gurevych 2019, Wang et al. 2020).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.retrieval.encoders import load_encoder
from assistant.retrieval.packaged import packaged_folder

if TYPE_CHECKING:
    import torch

    from assistant.finetuning.demo.labelled import Meanings

SPREAD = 0.05
"""Standard deviation of the word vectors that training starts from."""
_PORTION = 1024


def read_meanings(texts: Sequence[str], kept: Path, tell: Callable[[int, int], None]) -> Meanings:
    """Return the centred, unit sentence embeddings of the texts, (texts, 384); `kept` holds them between starts.

    `tell` is called with the number of texts done and of all.
    """
    import numpy as np

    mark = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    if kept.is_file():
        with np.load(kept) as stored:
            if str(stored["mark"]) == mark:
                return np.asarray(stored["meanings"])
    vectors = _encode(texts, tell)
    vectors -= vectors.mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    np.savez(kept, mark=np.array(mark), meanings=vectors)
    return vectors


def _encode(texts: Sequence[str], tell: Callable[[int, int], None]) -> Meanings:
    import numpy as np

    encoder = load_encoder()
    # Texts of like length share a batch without padding.
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    vectors = np.zeros((len(texts), encoder.width), dtype=np.float32)
    for start in range(0, len(order), _PORTION):
        rows = order[start : start + _PORTION]
        vectors[rows] = encoder.encode([texts[row] for row in rows])
        tell(start + len(rows), len(texts))
    return vectors


def word_vectors(tokenizer: Any, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a start for the token embeddings, (tokens, width), and which tokens have one, (tokens,).

    A token starts as the mean of the encoder's word pieces of its text, in the `width` directions
    in which those differ most (principal components).
    """
    import torch
    from safetensors.torch import load_file
    from transformers import AutoTokenizer

    folder = packaged_folder()
    pieces = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    table = load_file(folder / "model.safetensors")["embeddings.word_embeddings.weight"].float()
    means, known = torch.zeros(len(tokenizer), table.shape[1]), torch.zeros(len(tokenizer), dtype=torch.bool)
    special = set(tokenizer.all_special_ids)
    for token in range(len(tokenizer)):
        text = tokenizer.decode([token]).strip()
        ids = pieces(text, add_special_tokens=False)["input_ids"] if text and token not in special else []
        ids = [one for one in ids if one != pieces.unk_token_id]
        if ids:
            means[token], known[token] = table[ids].mean(dim=0), True
    return _shrunk(means, known, width), known


def _shrunk(means: torch.Tensor, known: torch.Tensor, width: int) -> torch.Tensor:
    import torch

    centred = means[known] - means[known].mean(dim=0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    small = centred @ directions[:width].T
    vectors = torch.zeros(len(means), width)
    vectors[known, : small.shape[1]] = SPREAD * small / small.std()
    return vectors
