"""Where a model is loaded from: the built-in one, a local folder or a hub id, checked before anything heavy."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from assistant import paths
from assistant.errors import ModelError
from assistant.hub import why_unreachable

DEMO = "demo"
FAILURES = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError)
"""What transformers raises for a model that it cannot load."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_HUB_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Source:
    """Where a model is loaded from: `place` is a folder or a hub id."""

    name: str
    place: str
    folder: Path | None
    hub: str = ""
    """Of a hub id, why only the cache can have it; empty if the hub answers."""

    @property
    def safely(self) -> dict[str, bool]:
        """Return the arguments that every `from_pretrained` here gets."""
        return {"trust_remote_code": False, "local_files_only": self.folder is not None or bool(self.hub)}


def find_source(model: str) -> Source:
    """Return where the model is, with what must be in a folder checked.

    Raises:
        ModelError: if it is nowhere, or the folder holds no model.
    """
    folder = paths.demo() / "model" if model == DEMO else Path(os.path.expanduser(model))
    if folder.is_dir():
        _check_folder(folder)
        return Source(model, str(folder), folder)
    if model == DEMO:
        raise ModelError("The demo model is not in this installation.", "Give a folder or a hub id with --model.")
    if not _HUB_ID.fullmatch(model) or ".." in model:
        raise ModelError(f"There is no folder '{model}', and it is not a hub id either.")
    return Source(model, model, None, why_unreachable(_HUB_TIMEOUT_S))


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise ModelError(f"The folder '{folder}' is not a model: it has no config.json.")
    if not any(folder.glob("*.safetensors")):
        pickled = any(file.suffix in (".bin", ".pt", ".pth") for file in folder.iterdir())
        why = " (only pickled weights, which can run code)" if pickled else ""
        raise ModelError(
            f"The folder '{folder}' has no safetensors weights{why}.", "Convert it with safe_serialization."
        )


def unusable(source: Source, error: Exception) -> ModelError:
    """Return the one sentence for whatever transformers said at length."""
    if source.folder is None:
        return ModelError(
            f"The model '{source.name}' is neither a folder nor in the cache, and the hub "
            f"{source.hub or 'did not give it'}.",
            "Check the name and the connection, or give a local folder.",
        )
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return ModelError(f"The model in '{source.place}' cannot be loaded: {reason[:200]}.")
