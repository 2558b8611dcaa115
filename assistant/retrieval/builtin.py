"""The built-in indexes, made from the project's own data sets when they are missing or stale."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from assistant import paths
from assistant.data import Fields, open_source
from assistant.errors import IndexProblem, SettingError
from assistant.prompting.tasks import load_task
from assistant.retrieval.building import BuildProgress, build_index
from assistant.retrieval.opened import DemonstrationIndex


@dataclass(frozen=True)
class BuiltIn:
    """A built-in data set: its file, its columns and the task it belongs to."""

    file: str
    fields: Fields
    task: str


BUILT_IN: Mapping[str, BuiltIn] = {
    "about-shotwise": BuiltIn("about_shotwise.jsonl", Fields(("question",), "answer", id="id"), "chat"),
    "reviews": BuiltIn("reviews.jsonl", Fields(("text",), "label", id="id"), "sentiment"),
    "pairs": BuiltIn("pairs.jsonl", Fields(("sentence1", "sentence2"), "label", id="id"), "paraphrase"),
    "word-problems": BuiltIn(
        "word_problems.jsonl", Fields(("question",), "answer", "rationale", "id"), "word-problems"
    ),
}


def check_not_built_in(name: str, source: str) -> None:
    """Refuse the name of a built-in index for other rows: they would be replaced as stale.

    Raises:
        SettingError: naming the built-in index.
    """
    if name in BUILT_IN and Path(source).resolve() != (paths.demo() / "data" / BUILT_IN[name].file).resolve():
        raise SettingError(f"'{name}' is the name of a built-in index.", "Choose another --name.")


def missing_built_in(names: Collection[str] | None = None) -> tuple[str, ...]:
    """Return which built-in indexes (of `names`, None: of all) are not there, damaged, or made from older data."""
    return tuple(name for name in BUILT_IN if (names is None or name in names) and not _is_current(name))


def build_built_in(
    progress: Callable[[str, BuildProgress], None] | None = None, *, names: Collection[str] | None = None
) -> tuple[str, ...]:
    """Build what is missing (of `names`, None: of all) and return the names; twice does no work twice."""
    missing = missing_built_in(names)
    for name in missing:
        one = BUILT_IN[name]
        build_index(
            str(paths.demo() / "data" / one.file),
            name,
            one.fields,
            task=one.task,
            labels=load_task(one.task).label_values or None,
            progress=None if progress is None else lambda state, name=name: progress(name, state),  # type: ignore[misc]
        )
    return missing


def _is_current(name: str) -> bool:
    try:
        index = DemonstrationIndex.open(name)
    except IndexProblem:
        return False
    source = open_source(str(paths.demo() / "data" / BUILT_IN[name].file))
    return index.manifest.source.get("fingerprint") == source.fingerprint
