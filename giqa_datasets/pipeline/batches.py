"""Batches of a stream, and seeds of its members that do not depend on their order."""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar


T = TypeVar("T")


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut a stream into lists of `size`; the last may be shorter.

    Example:
        >>> list(batches("abcde", 2))
        [['a', 'b'], ['c', 'd'], ['e']]
    """
    stream = iter(items)
    while batch := list(islice(stream, size)):
        yield batch


def seed_of(identifier: str, seed: int) -> int:
    """A seed for one record, the same on every machine and in every order.

    Example:
        >>> seed_of("coffee", 0) == seed_of("coffee", 0) != seed_of("coffee", 1)
        True
    """
    return int.from_bytes(hashlib.sha256(f"{seed}:{identifier}".encode()).digest()[:8], "big")
