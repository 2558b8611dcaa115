"""The command line. Everything that goes wrong is one sentence on stderr and exit code 2."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException
from typer.main import get_command

from assistant.commands.adapter import adapter_app
from assistant.commands.advise import advise
from assistant.commands.ask import ask, compare, prompt
from assistant.commands.chat import chat
from assistant.commands.classifier import classifier_app
from assistant.commands.demo_model import demo_app
from assistant.commands.encoder import encoder_app
from assistant.commands.evaluate import evaluate
from assistant.commands.index import index_app
from assistant.commands.recipe import recipe_app
from assistant.commands.serve import serve
from assistant.commands.study import study_app
from assistant.commands.tables import strategy_app, task_app
from assistant.commands.terminal import say, show
from assistant.environment import prepare_environment
from assistant.errors import ShotwiseError

FAILED, STOPPED = 2, 130

app = typer.Typer(
    name="shotwise",
    help="Which prompt strategy works for your task, on one local model.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (advise, ask, chat, compare, evaluate, prompt, serve):
    app.command()(command)
for name, group in (
    ("index", index_app),
    ("classifier", classifier_app),
    ("encoder", encoder_app),
    ("strategy", strategy_app),
    ("task", task_app),
    ("recipe", recipe_app),
    ("study", study_app),
    ("adapter", adapter_app),
    ("demo-model", demo_app),
):
    app.add_typer(group, name=name)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        show(f"shotwise {version('shotwise')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version
    if context.invoked_subcommand is None:
        show(context.get_help())


def run(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code of a command line (None: this process's own): 0, 2 or 130."""
    try:
        code = get_command(app).main(args=arguments, prog_name="shotwise", standalone_mode=False)
    except ShotwiseError as error:
        say(error.sentence())
        return FAILED
    except TyperException as error:
        say(_usage_sentence(error))
        return FAILED
    except BrokenPipeError:
        # Whoever read the output has gone; without this Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        say(f"The system refused: {error.strerror or error}{where}.")
        return FAILED
    except (KeyboardInterrupt, Abort):
        code = STOPPED
    if code == STOPPED:
        say("\nStopped.")
    return int(code or 0)


def main() -> None:
    """Run the command line of this process and exit."""
    prepare_environment()
    sys.exit(run())


def _usage_sentence(error: TyperException) -> str:
    """Return what was wrong with the command line, on one line, and where help is."""
    sentence = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{sentence}. See: {context.command_path} --help" if context is not None else f"{sentence}."


if __name__ == "__main__":
    main()
