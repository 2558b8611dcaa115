"""Everything that can go wrong and be told in one sentence.

    ShotwiseError
    ├── UnknownName          a task, strategy, index, selector … that does not exist
    ├── SettingError         a setting outside its range, or two that contradict each other
    ├── MissingDependency    an optional package that is not installed
    ├── DataError            a source that cannot be read, or has no good row
    ├── IndexProblem          an index on disk
    │   ├── IndexNotFound
    │   ├── IndexMismatch    built with another encoder, or unfit for this task
    │   └── IndexDamaged     torn, edited, truncated
    ├── PromptError          a template or task file, a hole without a value
    │   ├── PromptTooLong    the question alone does not fit the context
    │   └── PromptEscape     text that would open a turn of its own
    ├── ModelError           a model folder or hub id that cannot be used
    │   ├── AdapterError     an adapter that does not belong to the model, or does nothing
    │   └── ClassifierError  a saved classifier that is missing, foreign or damaged
    ├── TrainingError        a fine-tuning that cannot be begun, gone on with or finished
    ├── RunProblem           an evaluation that cannot be begun, resumed or written
    └── ServerError          the page cannot be served (port taken …)

Each error carries a `hint`: what to do next. The library raises; only `cli.main()` and the
web pages turn an error into a sentence.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ShotwiseError(Exception):
    """What went wrong, in one sentence, and what to do next (`hint`, may be empty)."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def sentence(self) -> str:
        """Return message and hint on one line, as the doors show them."""
        return " ".join(part for part in (" ".join(str(self).split()), self.hint) if part)


class UnknownName(ShotwiseError):
    """A name that is not in a table, with the nearest names and the whole list."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        listed = f" Known: {', '.join(names)}." if names else ""
        super().__init__(f"There is no {kind} named '{name}'.{meant}{listed}", hint)
        self.kind, self.name, self.known = kind, name, tuple(names)


class SettingError(ShotwiseError):
    """A setting outside its range, or two settings that contradict each other."""


class MissingDependency(ShotwiseError):
    """An optional package is needed and not installed; the hint says what to type."""


class DataError(ShotwiseError):
    """A source of rows that cannot be read, lacks a field, or has no good row."""


class IndexProblem(ShotwiseError):
    """Something about an index on disk."""


class IndexNotFound(IndexProblem):
    """No index of that name."""


class IndexMismatch(IndexProblem):
    """The index was built with another encoder, or does not fit the task."""


class IndexDamaged(IndexProblem):
    """Files of the index are missing, torn or changed since they were written."""


class PromptError(ShotwiseError):
    """A task or template file that cannot be used, or a hole without a value."""


class PromptTooLong(PromptError):
    """The question and the instruction alone do not fit into the model's context."""


class PromptEscape(PromptError):
    """Some text would have opened a turn of its own, and could not be made harmless."""


class ModelError(ShotwiseError):
    """A model folder or hub id that cannot be loaded or cannot do what was asked."""


class AdapterError(ModelError):
    """An adapter that does not belong to the model, is unsafe to load, or would do nothing."""


class ClassifierError(ModelError):
    """A saved classifier (or an encoder trained here) that is missing, foreign, damaged, or in the way."""


class TrainingError(ShotwiseError):
    """A fine-tuning that cannot be begun, gone on with or finished."""


class RunProblem(ShotwiseError):
    """An evaluation that cannot be begun, resumed or written down."""


class ServerError(ShotwiseError):
    """The page cannot be served."""
