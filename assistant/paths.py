"""Where things are: words we ship, and what this machine remembers.

Packaged data is read from inside the package if it is there (a wheel), else from the folder
beside it (a clone). What is written lies under the working directory, or under
`SHOTWISE_HOME` if that is set. No other variable says where things are.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from assistant.errors import SettingError

_PACKAGE = Path(__file__).resolve().parent
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def home() -> Path:
    """Return the folder under which indexes, adapters and runs are kept."""
    named = os.environ.get("SHOTWISE_HOME")
    return Path(os.path.expanduser(named)) if named else Path.cwd()


def indexes() -> Path:
    """Return the folder that holds one sub-folder per index."""
    return home() / "indexes"


def adapters() -> Path:
    """Return the folder that holds one sub-folder per adapter."""
    return home() / "adapters"


def runs() -> Path:
    """Return the folder for checkpoints, logs and reports."""
    return home() / "runs"


def prompts() -> Path:
    """Return the folder of task and template files: the packaged copy, else the clone's."""
    packaged = _PACKAGE / "prompts"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "prompts"


def demo() -> Path:
    """Return the folder of the built-in model and data sets."""
    return _PACKAGE / "demo"


def checked_name(name: str, kind: str) -> str:
    """Return the name if it is safe as a folder name.

    Raises:
        SettingError: if the name is empty, has a path separator, or begins with a dot.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise SettingError(
            f"'{name}' cannot be the name of an {kind}.",
            "Use letters, digits, '.', '_' and '-', beginning with a letter or digit.",
        )
    return name
