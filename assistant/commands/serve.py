"""`serve`: the page in the browser."""

from __future__ import annotations

from typing import Annotated

import typer

from assistant.commands.options import ModelOptions, grouped
from assistant.commands.terminal import say
from assistant.settings import ServerSettings


@grouped
def serve(
    model: ModelOptions,
    port: Annotated[int, typer.Option(help="TCP port on this machine.")] = ServerSettings.port,
) -> None:
    """Serve the page on this machine only; what is missing is built while it is already up."""
    settings = ServerSettings(port=port)
    chosen = model.settings()
    from assistant.web.page import check_port
    from assistant.web.page import serve as serve_page

    check_port(settings)
    serve_page(chosen, settings, ready=lambda address: say(f"Shotwise is at {address} (Ctrl-C stops it)."))
