"""The web page: served on this machine only, up before the model is loaded."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import ServerError
from assistant.settings import ModelSettings, ServerSettings
from assistant.web.service import Service

if TYPE_CHECKING:
    import gradio as gr

_STYLE = Path(__file__).with_name("style.css")
_MOST_QUEUED = 64
_LARGEST_UPLOAD = "64mb"


def serve(
    model: ModelSettings,
    server: ServerSettings,
    *,
    open_browser: bool = False,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve the page until interrupted; `ready` is called with the address once it answers.

    Raises:
        ServerError: if the port is taken.
    """
    check_port(server)
    service = Service(model)
    page = build_page(service)
    address = launch(page, server, service, open_browser=open_browser)
    # The model is loaded after the page is up: a person sees at once that something happens.
    service.start()
    if ready is not None:
        ready(address)
    page.block_thread()


def check_port(server: ServerSettings) -> None:
    """Refuse a port that is taken.

    Raises:
        ServerError: naming the port.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((server.host, server.port))
        except OSError as error:
            raise ServerError(
                f"Port {server.port} of {server.host} cannot be used ({error.strerror}).",
                "Choose another one with --port.",
            ) from error


def build_page(service: Service) -> gr.Blocks:
    """Return the page, not served yet."""
    from assistant.web.layout import build

    return build(service)


def launch(page: gr.Blocks, server: ServerSettings, service: Service, *, open_browser: bool = False) -> str:
    """Start to serve the page in the background and return its address."""
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from assistant.web.run_files import routes
    from assistant.web.theme import theme

    # Another site's name that points to this machine must not reach the page (DNS rebinding).
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=[server.host, "localhost"])
    options: dict[str, Any] = {"theme": theme(), "css_paths": [_STYLE], "app_kwargs": {"middleware": [hosts]}}
    queued = page.queue(max_size=_MOST_QUEUED, api_open=False)
    try:
        app, address, _ = queued.launch(
            server_name=server.host,
            server_port=server.port,
            share=False,
            inbrowser=open_browser,
            prevent_thread_lock=True,
            quiet=True,
            footer_links=[],
            run_history=False,
            max_file_size=_LARGEST_UPLOAD,
            ssr_mode=False,
            mcp_server=False,
            **options,
        )
    except OSError as error:
        raise ServerError(f"The page cannot be served: {error}.", "Choose another port with --port.") from error
    # Before Gradio's own routes, which take every address they do not know for a page.
    app.router.routes[:0] = routes(service.run_shelf)
    return str(address)
