"""Pages that are served on a port: this machine's own names, headers of every response, and the port itself."""

import socket

from giqa_datasets.errors import UnavailableError


LOOPBACK = ("127.0.0.1", "localhost", "::1")
HEADERS = {"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}


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
