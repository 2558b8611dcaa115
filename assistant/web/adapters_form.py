"""What can be trained, as the page's form offers it, and how the form becomes a command line."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from assistant.errors import DataError, ModelError, SettingError
from assistant.finetuning.generators.methods import METHODS, WIDTH, find_method
from assistant.finetuning.generators.settings import ROWS, TARGETS, GeneratorSettings
from assistant.generation.adapters import folder_of_new
from assistant.settings import DEFAULT_STRATEGY, ModelSettings
from assistant.web.controls import Choices
from assistant.web.evaluation_form import built_in_sets, public_sets

FILE = ""
"""Stands for a table of one's own in the list of sets."""
RUN_PREFIX = "adapter-"
"""Of the folder under `runs/` in which the training of that name keeps what it does."""
_DEFAULT = GeneratorSettings()


@dataclass(frozen=True)
class TrainingForm:
    """The values of the form, in the order of the page; None where a number was left empty."""

    data_set: str = "reviews"
    """A known set; empty: a file."""
    path: str = ""
    task: str = "sentiment"
    """Of a file; a known set has its own."""
    data_dir: str = ""
    method: str = _DEFAULT.method
    rank: int = _DEFAULT.rank
    targets: str = _DEFAULT.targets
    virtual_tokens: int = _DEFAULT.virtual_tokens
    rows: int = ROWS
    epochs: float = _DEFAULT.epochs
    batch_size: int = _DEFAULT.batch_size
    learning_rate: str = ""
    """As typed; empty: the method's own."""
    validation: float = _DEFAULT.validation
    k: int = _DEFAULT.k
    seed: int = _DEFAULT.seed
    name: str = ""
    compare: bool = True
    """Whether it is then compared with its base."""

    @property
    def location(self) -> str:
        """Return the rows' source, as the command line names it."""
        return self.data_set or self.path.strip()

    def adapter_name(self) -> str:
        """Return the name of the adapter: the one given, or one made of data, method and time.

        Raises:
            SettingError: if it cannot be a name, or is taken.
        """
        stem = re.sub(r"[^A-Za-z0-9]+", "-", Path(self.location).name.split(".")[0]).strip("-")[:40]
        made = f"{stem or 'mine'}-{self.method}-{time.strftime('%m%d-%H%M%S')}"
        name = self.name.strip() or made
        if folder_of_new(name).exists():
            raise SettingError(f"There is already something named '{name}' under adapters/.", "Choose another name.")
        return name


def set_choices() -> Choices:
    """Return (title, name) of the sets that can be learnt from: built-in ones, a file, public ones."""
    return [*built_in_sets(), ("A file …", FILE), *public_sets()]


def is_public(data_set: str) -> bool:
    """Return whether a set has to be found in a folder."""
    return data_set in {name for _, name in public_sets()}


def method_choices() -> Choices:
    """Return (title, name) of the methods."""
    return [(method.title, method.name) for method in METHODS.values()]


def method_about(name: str) -> str:
    """Return what a method learns and where it was published."""
    method = find_method(name)
    return f"{method.about} ({method.source.split(',')[0]})"


def target_choices() -> Choices:
    """Return (title, name) of the weights beside which low-rank matrices can stand."""
    titles = {"attention": "Attention", "all-linear": "All linear layers"}
    return [(titles.get(name, name), name) for name in TARGETS]


def rate_about(name: str) -> str:
    """Return what an empty learning rate means."""
    return f"Empty: this method's own, {find_method(name).learning_rate:g} at width {WIDTH:,}, more if narrower."


def matters(method: str, setting: str) -> bool:
    """Return whether a method reads that setting; all read those that are not in its row."""
    own = {name for row in METHODS.values() for name in row.settings}
    return setting not in own or setting in find_method(method).settings


def about_training(form: TrainingForm) -> str:
    """Return in one sentence what will be done."""
    method = find_method(form.method)
    prompts = f"with {form.k} retrieved demonstrations" if form.k else "without demonstrations"
    kept = f", {100 * form.validation:.0f} % of them set apart to choose the best weights" if form.validation else ""
    result = "a model of its own, for --model" if method.form == "model" else "an adapter, in Chat at once"
    times = "once each" if form.epochs == 1 else f"{form.epochs:g} times each"
    then = " Then it answers held-out rows, and so does its base." if form.compare else ""
    return f"At most {form.rows:,} rows, {times}{kept}; prompts {prompts}. The result is {result}.{then}"


def _rate(typed: str) -> float | None:
    try:
        return float(typed) if typed.strip() else None
    except ValueError:
        raise SettingError(
            f"The learning rate must be a number, not '{typed.strip()}'.", "Give one like 0.0005, or leave it empty."
        ) from None


def arguments(form: TrainingForm, name: str, model: ModelSettings) -> list[str]:
    """Return the arguments of `shotwise` for this form.

    Raises:
        ShotwiseError: for a value that is missing or cannot be.
    """
    if not form.location:
        raise DataError("No data was chosen.", "Choose a set, or name the path of a table.")
    if model.model == "scripted":
        raise ModelError("The scripted model has no weights to adapt.", "Start the page with another --model.")
    settings = GeneratorSettings(
        method=form.method,
        rank=form.rank,
        targets=form.targets,
        virtual_tokens=form.virtual_tokens,
        epochs=form.epochs,
        batch_size=form.batch_size,
        learning_rate=_rate(form.learning_rate),
        validation=form.validation,
        k=form.k,
        strategy=DEFAULT_STRATEGY,
        seed=form.seed,
    )
    if form.rows < 1:
        raise SettingError("There must be at least 1 row to learn from.", "Give more rows.")
    options = {
        "name": name,
        "model": model.model,
        "device": model.device,
        "task": "" if form.data_set else form.task,
        "data": form.data_dir.strip() if is_public(form.data_set) else "",
        "rows": str(form.rows),
        "method": settings.method,
        "epochs": f"{settings.epochs:g}",
        "batch-size": str(settings.batch_size),
        "learning-rate": "" if settings.learning_rate is None else f"{settings.learning_rate:g}",
        "validation": f"{settings.validation:g}",
        "k": str(settings.k) if settings.k else "",
        "seed": str(settings.seed),
    }
    options |= {
        option: str(getattr(settings, option.replace("-", "_")))
        for option in ("rank", "targets", "virtual-tokens")
        if matters(form.method, option.replace("-", "_"))
    }
    listed = [f"--{key}={value}" for key, value in options.items() if value]
    # It always may go on: the same command line is run again after a stop. After the two dashes nothing is an option.
    return ["adapter", "train", *listed, *["--compare"] * form.compare, "--resume", "--", form.location]
