"""The page on a port of this machine: nobody else's page may use it, and what visitors upload does not pile up."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from giqa_datasets.loopback import LOOPBACK, Guard, in_address, listen
from giqa_metrics.app.page import MASKS, STATIC


LARGEST = 50 * 2**20  # bytes of an upload
WAIT = 60  # seconds that an upload waits on the disk to be opened, which takes a fraction of one
MOST = 100  # uploads that wait
VISITORS = 100  # whose photographs are kept in memory
HEADERS = {
    # Gradio's page holds scripts, and makes functions of its components' templates
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; object-src 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
}


class Uploads:
    """Wraps an application: an upload is no larger than `LARGEST`, and neither many wait nor any for long."""

    def __init__(self, app: ASGIApp, folder: Path) -> None:
        """Wrap it; the folder is where it keeps uploads, and nothing else but `MASKS`."""
        self._app, self._folder = app, folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] == "http" and scope["path"].endswith("/upload"):
            length = dict(scope["headers"]).get(b"content-length", b"")
            if not length.isdigit() or int(length) > LARGEST + 2**20:  # what is around the file
                too_large = PlainTextResponse(f"expected a file of at most {LARGEST >> 20} MB", 413)
                return await too_large(scope, receive, send)
            make_room(self._folder)
            try:
                return await self._app(scope, receive, send)
            finally:  # what came of an upload that was cut off, too
                asyncio.get_running_loop().call_later(WAIT, make_room, self._folder)
        await self._app(scope, receive, send)


def make_room(folder: Path) -> None:
    """Delete the uploads that are older than `WAIT`, and the oldest, so that there are fewer than `MOST`.

    None is deleted as it is opened: it may be that of two visitors, for Gradio keeps the same bytes once.
    """
    ages: dict[Path, float] = {}
    for path in folder.rglob("*"):
        with suppress(OSError):  # Gradio moves and deletes, too
            if MASKS not in path.parts and path.is_file():
                ages[path] = time.time() - path.stat().st_mtime
    for number, path in enumerate(sorted(ages, key=ages.__getitem__), start=1):
        if ages[path] >= WAIT or number >= MOST:
            path.unlink(missing_ok=True)


def launch(page: gr.Blocks, *, host: str, port: int) -> str:
    """Serve a page from another thread of this process, until `page.close()`, and return its address.

    On loopback, only its own names are answered; port 0 takes a free one.

    Raises:
        OSError: If the port is taken.
    """
    with listen(host, port) as listener:
        port = int(listener.getsockname()[1])
    middleware = [
        Middleware(Guard, headers=HEADERS, any_host=host not in LOOPBACK),
        Middleware(Uploads, folder=Path(page.GRADIO_CACHE)),
    ]
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
