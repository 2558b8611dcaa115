"""Classifiers on disk: a folder under `adapters/` that explains itself, is written whole, and is checked before use.

    adapters/NAME/classifier.json    base, data, settings, labels, curve, scores, versions, hashes of the files
    adapters/NAME/trained_on.json    short hashes of the rows it learnt from
    adapters/NAME/model/             transformers' own folder, PEFT's own folder, or a logistic regression

Everything in `model/` is safetensors and JSON (and the tokenizer's text files): nothing is pickled.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant import paths
from assistant.errors import ClassifierError, SettingError, UnknownName
from assistant.finetuning.classifiers.settings import ClassifierSettings
from assistant.finetuning.marks import FILE as MARKS
from assistant.finetuning.marks import Marks, write_marks
from assistant.retrieval.packaged import file_sha256

CARD, MODEL = "classifier.json", "model"
FORMAT = 1
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
_NEEDED = {
    "format": int,
    "name": str,
    "task": str,
    "fields": list,
    "labels": list,
    "settings": dict,
    "base": dict,
    "data": dict,
    "parameters": dict,
    "curve": list,
    "files": dict,
}


@dataclass(frozen=True)
class SavedClassifier:
    """A classifier's folder, its card read and its files checked."""

    folder: Path
    record: Mapping[str, Any]
    settings: ClassifierSettings

    @property
    def name(self) -> str:
        """Return its name: that of its folder."""
        return self.folder.name

    @property
    def task(self) -> str:
        """Return the name of the task it was trained for."""
        return str(self.record["task"])

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the fields it reads, in their order."""
        return tuple(self.record["fields"])

    @property
    def labels(self) -> tuple[str, ...]:
        """Return its labels, in the order of its numbers."""
        return tuple(self.record["labels"])

    @property
    def model_folder(self) -> Path:
        """Return where its weights lie."""
        return self.folder / MODEL

    def identity(self) -> dict[str, Any]:
        """Return what tells it from every other classifier: for plans and reports."""
        return {
            "name": self.name,
            "task": self.task,
            "labels": list(self.labels),
            "method": self.settings.method,
            "base_sha256": self.record["base"].get("sha256", ""),
            "rows_sha256": self.record["data"].get("rows_sha256", ""),
            "files": dict(self.record["files"]),
        }

    def marks(self) -> Marks:
        """Return the marks of the texts and of the groups that it was trained on.

        Raises:
            ClassifierError: if the file is missing or cannot be read.
        """
        try:
            return Marks.from_json(json.loads((self.folder / MARKS).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ClassifierError(
                f"What the classifier '{self.name}' was trained on is not known: {MARKS} cannot be read.", _again()
            ) from error


def classifier_folder(name: str) -> Path:
    """Return the folder of a classifier given as a name under adapters/ or as a folder.

    Raises:
        ClassifierError: if there is none, with the names there are.
    """
    folder = Path(os.path.expanduser(name))
    if (folder / CARD).is_file():
        return folder
    named = paths.adapters() / name
    if len(folder.parts) == 1 and name not in (".", "..") and (named / CARD).is_file():
        return named
    known = ", ".join(classifier_names())
    what = "The folder holds no classifier made here" if folder.is_dir() else f"There is no classifier '{name}'"
    raise ClassifierError(
        f"{what}.", f"There are: {known}." if known else "Train one: shotwise classifier train SOURCE --name NAME"
    )


def classifier_names() -> tuple[str, ...]:
    """Return the names of all classifiers under adapters/."""
    return tuple(sorted(card.parent.name for card in paths.adapters().glob(f"*/{CARD}")))


def list_classifiers() -> list[dict[str, Any]]:
    """Return a line about each classifier under adapters/: its card is read, its weights are not looked at."""
    found = []
    for name in classifier_names():
        line = {"classifier": name, "task": "", "method": "", "encoder": "", "rows": "", "scores": {}, "problem": ""}
        try:
            record = read_card(paths.adapters() / name)
            line |= {
                "task": record["task"],
                "method": record["settings"].get("method", ""),
                "encoder": record["base"].get("public_name", ""),
                "rows": record["data"].get("rows", ""),
                "scores": record.get("scores", {}),
            }
        except ClassifierError as error:
            line["problem"] = str(error)
        found.append(line)
    return found


def open_classifier(name: str) -> SavedClassifier:
    """Return a classifier's folder after checking that it is whole and safe to load.

    Raises:
        ClassifierError: if it is missing, foreign, of a later version, damaged, or holds a pickle.
    """
    folder = classifier_folder(name)
    record = read_card(folder)
    _check_files(folder, record["files"])
    try:
        settings = ClassifierSettings.from_json(record["settings"])
    except (SettingError, UnknownName, TypeError) as error:
        raise _unreadable(folder, str(error)) from error
    return SavedClassifier(folder, record, settings)


def read_card(folder: Path) -> dict[str, Any]:
    """Return a classifier's card without looking at its weights.

    Raises:
        ClassifierError: if it cannot be read by this version.
    """
    try:
        record = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(folder, str(error)) from error
    if not isinstance(record, dict):
        raise _unreadable(folder, "it is not a JSON object")
    wrong = [key for key, kind in _NEEDED.items() if not isinstance(record.get(key), kind)]
    if wrong:
        raise _unreadable(folder, f"'{wrong[0]}' is missing or of another kind")
    if record["format"] != FORMAT:
        raise _unreadable(folder, f"its format is {record['format']}, and this version reads {FORMAT}")
    return record


def _unreadable(folder: Path, reason: str) -> ClassifierError:
    return ClassifierError(f"{CARD} of the classifier '{folder.name}' cannot be used: {reason}.", _again())


def _again() -> str:
    return "Train it again: shotwise classifier train SOURCE --name NAME --replace"


def _check_files(folder: Path, files: Mapping[str, Any]) -> None:
    """Refuse a folder whose model is not, byte by byte, what was saved."""
    model = folder / MODEL
    there = {one.relative_to(model).as_posix() for one in model.rglob("*") if one.is_file()}
    pickled = sorted(name for name in there if name.endswith(_PICKLES))
    if pickled:
        raise ClassifierError(
            f"The classifier '{folder.name}' holds a pickled file ({pickled[0]}), which can run code.",
            "Delete it, if you know where it is from.",
        )
    for name, sha256 in files.items():
        if name not in there:
            raise ClassifierError(f"The classifier '{folder.name}' lacks its file {MODEL}/{name}.", _again())
        if file_sha256(model / name) != sha256:
            raise ClassifierError(f"{MODEL}/{name} of the classifier '{folder.name}' has been changed.", _again())
    strange = sorted(there - set(files))
    if strange:
        raise ClassifierError(
            f"The classifier '{folder.name}' has a file that it was not saved with: {MODEL}/{strange[0]}.",
            "Move it elsewhere.",
        )


def check_free(name: str, *, replace: bool) -> Path:
    """Return the folder in which a classifier of that name will lie.

    Raises:
        SettingError: if the name cannot be one.
        ClassifierError: if something is there that must not be, or may not be without `replace`, replaced.
    """
    folder = paths.adapters() / paths.checked_name(name, "adapter")
    if not folder.exists():
        return folder
    if not (folder / CARD).is_file():
        raise ClassifierError(f"There is something else named '{name}' under adapters/.", "Choose another --name.")
    if not replace:
        raise ClassifierError(
            f"There is a classifier '{name}' already.", "Choose another --name, or say --replace to train it anew."
        )
    return folder


def publish(draft: Path, record: Mapping[str, Any], marks: Marks, name: str) -> SavedClassifier:
    """Move a finished classifier from its draft folder (with `model/` in it) to its place, and return it.

    An old one of that name goes when the new one is whole.

    Raises:
        ClassifierError: if what was saved cannot be opened again.
    """
    model = draft / MODEL
    files = {one.relative_to(model).as_posix(): file_sha256(one) for one in sorted(model.rglob("*")) if one.is_file()}
    write_marks(draft, marks)
    write_card(draft, {"format": FORMAT, "name": name, **record, "files": files})
    folder = paths.adapters() / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    old = folder.with_name(f".{name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    shutil.move(draft, folder)
    shutil.rmtree(old, ignore_errors=True)
    return open_classifier(name)


def write_card(folder: Path, record: Mapping[str, Any]) -> None:
    """Write the card whole or not at all."""
    draft = folder / f".{CARD}.tmp"
    draft.write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, folder / CARD)


def add_scores(name: str, scores: Mapping[str, Any]) -> None:
    """Write figures on held-out rows into a classifier's card: by what they were measured on.

    Raises:
        ClassifierError: if there is no such classifier.
    """
    folder = classifier_folder(name)
    record = read_card(folder)
    write_card(folder, record | {"scores": {**record.get("scores", {}), **scores}})


def delete_classifier(name: str) -> Path:
    """Delete a classifier under adapters/ and return where it was.

    Raises:
        ClassifierError: if there is no such classifier.
    """
    folder = paths.adapters() / name
    if name not in classifier_names():
        folder = classifier_folder(name)
        raise ClassifierError(f"'{folder}' does not lie under adapters/.", "Delete the folder yourself.")
    shutil.rmtree(folder)
    return folder
