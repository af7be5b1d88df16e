"""Pages that are served on a port: the port itself, and the guard before an application.

A page that a stranger's site opens in the same browser may send requests to this machine, too. The guard answers only
what the application's own page sends, under this machine's own names (against DNS rebinding) unless others may come.
"""

import json
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from giqa_datasets.errors import UnavailableError


LOOPBACK = ("127.0.0.1", "localhost", "::1")
HEADERS = {"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}

# Of ASGI, which has no types of its own
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


class Guard:
    """Wraps an ASGI application: refuses what comes from elsewhere, and adds headers that a response lacks."""

    def __init__(self, app: Application, *, headers: Mapping[str, str], any_host: bool) -> None:
        """Wrap it; `any_host` answers under any name of this machine."""
        self._app = app
        self._headers = {name.lower().encode(): value.encode() for name, value in (HEADERS | dict(headers)).items()}
        self._any_host = any_host

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve a request; no page of ours opens a web socket."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close"})

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                there = {name.lower() for name, _ in given}
                given += [(name, value) for name, value in self._headers.items() if name not in there]
                message = {**message, "headers": given}
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refused = refusal(scope["method"], headers, any_host=self._any_host)
        if refused is None:
            return await self._app(scope, receive, send_guarded)
        status, sentence = refused
        kind = [(b"content-type", b"application/json")]
        await send_guarded({"type": "http.response.start", "status": status, "headers": kind})
        await send({"type": "http.response.body", "body": json.dumps({"error": sentence}).encode()})


def refusal(method: str, headers: Mapping[str, str], *, any_host: bool) -> tuple[int, str] | None:
    """Say why a request is refused, with the status of HTTP: its host is no name of this machine, or it is foreign."""
    host = headers.get("host", "")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    names = tuple(map(in_address, LOOPBACK))
    if not any_host and name.lower() not in names:
        return 400, f"expected one of this machine's own names ({', '.join(names)}), got host {name[:100]!r}"
    origin = headers.get("origin", None if method in ("GET", "HEAD") else "")  # a browser names it in all others
    if origin is not None and origin.partition("://")[2] != host:
        return 403, "expected a request of the page itself, got one from another origin"
    return None


def in_address(host: str) -> str:
    """Write a host as an address has it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def listen(host: str, port: int) -> socket.socket:
    """Listen at a port; 0 takes a free one.

    Raises:
        OSError: If the port cannot be used.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise UnavailableError(
            f"cannot serve at {host}, port {port}: {error.strerror}; see --host and --port"
        ) from error
