"""The README cannot lie: its map, its commands and its strategies are those of the code."""

import ast
import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from assistant.cli import app, run
from assistant.prompting.strategies import STRATEGIES
from assistant.prompting.tasks import task_names

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands(group=None, before=""):
    """Return every command path that the command line has, such as `index build`."""
    group = group or get_command(app)
    paths = []
    for name, command in group.commands.items():
        inner = hasattr(command, "commands")
        paths += commands(command, f"{before}{name} ") if inner else [before + name]
    return paths


def test_the_map_names_every_module_and_no_other():
    modules = {
        path.relative_to(ROOT / "assistant").as_posix()
        for path in (ROOT / "assistant").rglob("*.py")
        if path.name != "__init__.py"
    }
    block = README.split("## Map")[1].split("```")[1]
    folders, named = list[str](), set()
    for line in block.splitlines():
        match = re.match(r"((?:  )+)(\w+/|\w+\.py)(?:\s|$)", line)
        if match:
            depth = len(match.group(1)) // 2 - 1
            folders = folders[:depth]
            if match.group(2).endswith("/"):
                folders.append(match.group(2))
            else:
                named.add("".join(folders) + match.group(2))
    assert named == modules


def test_the_map_says_of_each_module_what_the_module_says():
    block = README.split("## Map")[1].split("```")[1]
    folders, wrong = list[str](), list[str]()
    for indent, name, about in re.findall(r"^((?:  )+)(\w+/|\w+\.py)(?: +(.*))?$", block, re.M):
        folders = [*folders[: len(indent) // 2 - 1], name]
        if name.endswith(".py"):
            path = "".join(folders)
            told = ast.get_docstring(ast.parse((ROOT / "assistant" / path).read_text("utf-8"))) or ""
            if told.splitlines()[0].rstrip(".") != about.rstrip("."):
                wrong.append(path)
    assert wrong == []


def test_every_command_stands_in_the_readme():
    missing = [path for path in commands() if f"shotwise {path}" not in README]
    assert not missing


def test_every_command_of_the_readme_exists():
    known = commands()
    for line in re.findall(r"`?(?:\.venv/bin/)?shotwise ([a-z][^`\n|]*)", README):
        words = line.split()
        assert words[0] in known or " ".join(words[:2]) in known, line


def test_every_strategy_stands_in_the_readme():
    assert [name for name in STRATEGIES if f"`{name}`" not in README] == []


def test_every_file_the_readme_links_to_is_there():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_the_changelog_knows_this_version():
    version = re.search(r'__version__ = "([^"]+)"', (ROOT / "assistant/__init__.py").read_text("utf-8")).group(1)
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text("utf-8")


@pytest.mark.parametrize("task", task_names())
def test_every_task_has_two_wordings_and_demonstrations_that_fit_it(task):
    from assistant.prompting.tasks import load_task

    loaded = load_task(task)
    assert len(loaded.wordings) >= 2
    assert len(loaded.demonstrations) >= 4
    for shown in loaded.demonstrations:
        assert loaded.adapt(shown) == shown
        assert shown.rationale


@pytest.mark.slow
def test_commands_of_the_readme_that_need_no_model_run(capsys):
    lines = re.findall(r"`(shotwise (?:strategy|task|index (?:list|builtin)|prompt)[^`]*)`", README)
    assert len(lines) >= 5
    for line in lines:
        assert run(shlex.split(line)[1:]) == 0, f"{line}: {capsys.readouterr().err}"
