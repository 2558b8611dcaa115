"""The plan of the house, held against the code: imports go down, each library has one owner."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "assistant"

# From the ground up; the longest name that fits decides.
FLOORS = (
    ("errors", "paths", "records", "settings", "environment", "hub"),
    (
        *("tables", "hub_tables", "data", "prompting", "prompting.templates", "prompting.parsing", "prompting.tasks"),
        *("retrieval.encoders", "retrieval.sbert", "retrieval.packaged", "retrieval.windows", "retrieval.lexical"),
    ),
    ("retrieval",),
    ("retrieval.selectors", "generation"),
    ("prompting.strategies", "prompting.building", "prompting.budget"),
    ("answering", "columns", "history"),
    ("evaluation", "evaluation.outcomes", "evaluation.statistics", "finetuning"),
    ("evaluation.metrics",),
    ("evaluation.sets", "evaluation.reports"),
    ("evaluation.running",),
    (
        *("evaluation.studies", "evaluation.advice", "evaluation.recipes", "evaluation.training", "evaluation.tuning"),
        "evaluation.curves",
    ),
    ("evaluation.demo_table",),
    ("web", "api", "langchain"),
    ("commands", "cli"),
)

# Library → the files or folders that may import it.
OWNERS = {
    "torch": ("generation/", "finetuning/", "retrieval/sbert.py"),
    "transformers": ("generation/", "finetuning/", "retrieval/sbert.py"),
    "peft": ("generation/", "finetuning/"),
    "safetensors": ("generation/", "finetuning/"),
    "tokenizers": ("generation/", "finetuning/"),
    "bitsandbytes": ("generation/", "finetuning/"),
    "trl": ("finetuning/",),
    "faiss": ("retrieval/faiss_store.py",),
    "sentence_transformers": ("retrieval/sbert.py", "finetuning/encoders/"),
    "numpy": ("retrieval/", "finetuning/", "evaluation/", "langchain/store.py"),
    "datasets": ("hub_tables.py", "finetuning/"),
    "pyarrow": ("tables.py",),
    "pandas": (),
    "gradio": ("web/",),
    "langchain_core": ("langchain/",),
    "pydantic": ("langchain/", "api.py"),
    "jinja2": ("prompting/templates.py",),
    "typer": ("cli.py", "commands/"),
    "tqdm": ("commands/",),
    "bm25s": ("retrieval/lexical.py",),
    "sklearn": ("evaluation/", "finetuning/"),
    "scipy": ("evaluation/",),
    "sacrebleu": ("evaluation/metrics/text.py",),
    "rouge_score": ("evaluation/metrics/text.py",),
    "matplotlib": ("evaluation/reports/plots.py",),
}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}


def files():
    return sorted(path for path in PACKAGE.rglob("*.py") if "prompts" not in path.relative_to(PACKAGE).parts[:1])


def name_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in files()}
MODULES = {name_of(path) for path in TREES}


def floor(module):
    fits = [
        (len(name), number)
        for number, names in enumerate(FLOORS)
        for name in names
        if module == name or module.startswith(f"{name}.")
    ]
    return max(fits)[1] if fits else None


def imported(tree):
    """Yield every module that is imported anywhere in the file, by its full name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner.removeprefix("assistant.") in MODULES else node.module


@pytest.mark.parametrize("path", TREES, ids=name_of)
def test_imports_only_go_down(path):
    module = name_of(path)
    if not module:
        return
    own = floor(module)
    assert own is not None, f"{module} stands on no floor"
    for other in imported(TREES[path]):
        if other.startswith("assistant."):
            below = floor(other.removeprefix("assistant."))
            assert below is not None, f"{other} stands on no floor"
            assert below <= own, f"{module} (floor {own}) imports {other} (floor {below})"


@pytest.mark.parametrize("library", OWNERS)
def test_a_library_is_imported_only_by_its_owners(library):
    for path, tree in TREES.items():
        if any(name.split(".")[0] == library for name in imported(tree)):
            place = path.relative_to(PACKAGE).as_posix()
            assert place.startswith(OWNERS[library]), f"{place} imports {library}"


@pytest.mark.parametrize("path", TREES, ids=name_of)
def test_nothing_that_runs_foreign_code_is_used(path):
    assert not FORBIDDEN_MODULES & {name.split(".")[0] for name in imported(TREES[path])}
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.keyword):
            dangerous = node.arg in ("trust_remote_code", "allow_dangerous_deserialization", "allow_pickle")
            assert not (dangerous and getattr(node.value, "value", None) is not False), f"line {node.value.lineno}"
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if getattr(key, "value", None) == "trust_remote_code":
                    assert getattr(value, "value", None) is False, f"line {node.lineno}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) != ("torch", "load"), f"line {node.lineno}"


@pytest.mark.parametrize("path", TREES, ids=name_of)
def test_nothing_prints_but_the_commands_through_typer(path):
    calls = [node for node in ast.walk(TREES[path]) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


@pytest.mark.parametrize("path", TREES, ids=name_of)
def test_no_public_function_takes_whatever_it_is_given(path):
    if path.relative_to(PACKAGE).parts[0] == "langchain":
        return  # LangChain's interfaces ask for it; unknown options are refused there
    inner = {
        child
        for outer in ast.walk(TREES[path])
        if isinstance(outer, ast.FunctionDef)
        for child in ast.walk(outer)
        if child is not outer
    }
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef) and node not in inner and not node.name.startswith("_"):
            assert node.args.kwarg is None, f"{node.name}, line {node.lineno}"


@pytest.mark.parametrize("path", TREES, ids=name_of)
def test_files_are_small(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_every_package_is_shipped():
    import tomllib

    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    found = {f"assistant.{name_of(path)}".rstrip(".") for path in TREES if path.name == "__init__.py"}
    assert found <= set(listed)
