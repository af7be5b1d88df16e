"""The page on a port of this machine: the browser is told to send requests to no other host."""

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from giqa_datasets import loopback
from giqa_datasets.loopback import LOOPBACK, in_address, listen
from giqa_metrics.app.page import STATIC


OWN_NAMES = [name for name in LOOPBACK if ":" not in name]  # for the middleware, a port follows a colon
LARGEST = "50mb"  # of an upload
VISITORS = 100  # whose photographs are kept in memory
HEADERS = {
    # Gradio's page holds scripts, and makes functions of its components' templates
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; object-src 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    **loopback.HEADERS,
}


class Guarded:
    """Adds `HEADERS` to every response."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *more]}
            await send(message)

        await self._app(scope, receive, send_guarded)


def launch(page: gr.Blocks, *, host: str, port: int) -> str:
    """Serve a page from another thread of this process, until `page.close()`, and return its address.

    On loopback, only its own names are answered (against DNS rebinding); port 0 takes a free one.

    Raises:
        OSError: If the port is taken.
    """
    with listen(host, port) as listener:
        port = int(listener.getsockname()[1])
    middleware = [Middleware(Guarded)]
    if host in OWN_NAMES:
        middleware.append(Middleware(TrustedHostMiddleware, allowed_hosts=OWN_NAMES))
    font, mono = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]  # of this machine: others are fetched
    _, address, _ = page.launch(
        server_name=in_address(host),
        server_port=port,
        prevent_thread_lock=True,
        inbrowser=False,
        share=False,
        quiet=True,
        theme=gr.themes.Default(primary_hue="blue", font=font, font_mono=mono),
        head=f"<style>{(STATIC / 'app.css').read_text(encoding='utf-8')}</style>",  # `css` would rewrite selectors
        max_file_size=LARGEST,
        state_session_capacity=VISITORS,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        ssr_mode=False,
        app_kwargs={"middleware": middleware},
    )
    return address
