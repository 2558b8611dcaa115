"""The README cannot lie: its map, its commands and its strategies are those of the code."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from assistant.prompting.strategies import STRATEGIES
from assistant.prompting.tasks import task_names

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def shotwise(*arguments):
    """Return what the command printed, run as a user runs it."""
    program = "from assistant.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


def commands():
    """Return every command path that the command line has, such as `index build`."""
    _, text = shotwise("--help")
    names = re.findall(r"^  ([a-z][a-z-]*)  ", text.split("Commands:")[1], re.M)
    paths = []
    for name in names:
        _, text = shotwise(name, "--help")
        inner = re.findall(r"^  ([a-z][a-z-]*)  ", text.split("Commands:")[1], re.M) if "Commands:" in text else []
        paths += [f"{name} {one}" for one in inner] or [name]
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


def test_commands_of_the_readme_that_need_no_model_run(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOTWISE_HOME", str(tmp_path))
    lines = re.findall(r"`(shotwise (?:strategy|task|index (?:list|builtin)|prompt)[^`]*)`", README)
    assert len(lines) >= 5
    for line in lines:
        code, text = shotwise(*shlex.split(line)[1:])
        assert code == 0, f"{line}: {text}"
