"""The command's output: progress, and text that is safe for a terminal."""

from collections.abc import Callable, Iterable
from typing import Any


# Shows progress: wraps the items of a loop, with their number and a verb
Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]


def no_progress(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
    """Show nothing."""
    return items


def printable(text: str) -> str:
    """Return a text on one line, with escapes for the characters that are invisible or that a terminal would obey."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
