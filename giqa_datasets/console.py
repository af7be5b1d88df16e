"""What the command shows of work: how far it is, and text that a terminal may be given."""

from collections.abc import Callable, Iterable
from typing import Any


# How long work shows that it moves: the caller wraps what is gone through, and is told how many and of what
Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]


def no_progress(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
    """Show nothing."""
    return items


def printable(text: str) -> str:
    """A text on one line, in which what a terminal would obey and what cannot be seen stand as escapes."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
