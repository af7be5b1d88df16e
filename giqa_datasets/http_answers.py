"""Bounds on what comes back over HTTP: the bytes of an answer, the time that it takes, the wait that it asks for."""

import logging
import re
from contextlib import closing, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Any


LONGEST = 1_000_000  # bytes of an answer, decoded: a server may send without end
LONGEST_WAIT = 60  # seconds before the next try, whatever a server asks for; openai's client waits no longer either
ENCODED = frozenset({"content-encoding", "content-length", "transfer-encoding"})  # headers of the body as it came
# What a header asks for: so many digits are far beyond any bound
_SECONDS = re.compile(r"\s*(\d{1,10})")
_MILLISECONDS = re.compile(r"\s*(\d{1,10})\d{3}\b")
_RESET = re.compile(r"\br\s*=\s*0\s*;\s*t\s*=\s*(\d{1,10})")  # no request is left, until then
logger = logging.getLogger(__name__)


def bound(client: Any, place: str, *, longest: int = LONGEST) -> Any:
    """Let a client of httpx, or of httpx2, read no more than one byte beyond the longest answer, and return it.

    An answer that goes on for longer than its first byte may take ends there. What is streamed is its reader's to
    bound. A wait that `place` asks for is cut at `LONGEST_WAIT`, which is said once.
    """
    send, told = client.send, list[int]()

    def bounded(request: Any, *, stream: bool = False, **options: Any) -> Any:
        response = send(request, stream=True, **options)
        asked = wait_asked(response.headers) if response.is_error else 0
        if asked > LONGEST_WAIT:
            if not told:
                logger.warning("%s asks to wait %d s: it is asked again after %d s", place, asked, LONGEST_WAIT)
            told.append(asked)
            for name in ("retry-after-ms", "ratelimit"):
                response.headers.pop(name, None)
            response.headers["retry-after"] = str(LONGEST_WAIT)
        if stream:
            return response
        end = monotonic() + (request.extensions.get("timeout", {}).get("read") or float("inf"))
        content = bytearray()
        with closing(response):
            for part in response.iter_bytes():
                content += part
                if len(content) > longest or monotonic() > end:
                    break
        headers = [(name, value) for name, value in response.headers.items() if name not in ENCODED]
        body = bytes(content[: longest + 1])
        read = type(response)(response.status_code, headers=headers, content=body, request=request)
        read.history = response.history
        return read

    client.send = bounded
    return client


def wait_asked(headers: Any) -> int:
    """Read the seconds that an answer's headers ask to wait before the next try; 0 if they ask for none.

    Example:
        >>> wait_asked({"retry-after": "120"}), wait_asked({"ratelimit": '"api";r=0;t=300'})
        (120, 300)
        >>> wait_asked({"ratelimit": '"api";r=499;t=300'}), wait_asked({})
        (0, 0)
    """
    after = headers.get("retry-after", "")
    found = [
        _SECONDS.match(after),
        _MILLISECONDS.match(headers.get("retry-after-ms", "")),
        _RESET.search(headers.get("ratelimit", "")),
    ]
    waits = [int(number[1]) for number in found if number]
    with suppress(ValueError, OverflowError):  # it is no date
        waits.append(int((parsedate_to_datetime(after).astimezone(UTC) - datetime.now(UTC)).total_seconds()))
    return max([0, *waits])
