"""Batches of a stream, calls in which a bad member costs only itself, and seeds that do not depend on an order."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from giqa_datasets.errors import InputError


T = TypeVar("T")
R = TypeVar("R")


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut a stream into lists of `size`; the last may be shorter.

    Example:
        >>> list(batches("abcde", 2))
        [['a', 'b'], ['c', 'd'], ['e']]
    """
    stream = iter(items)
    while batch := list(islice(stream, size)):
        yield batch


def each(batch: list[T], call: Callable[[list[T]], Sequence[R]]) -> list[R | Exception]:
    """Call a model on a batch, or if that fails on each member, so that a bad one costs only itself.

    Returns:
        A result for each member, or its own error.

    Example:
        >>> each([4, 0], lambda batch: [12 // number for number in batch])
        [3, ZeroDivisionError('integer division or modulo by zero')]
    """
    try:
        results = call(batch)
        if len(results) != len(batch):
            raise InputError(f"expected {len(batch)} results of a model, got {len(results)}")
        return list(results)
    except Exception as error:  # a model or a decoder may raise anything
        return [error] if len(batch) == 1 else [result for member in batch for result in each([member], call)]


def seed_of(identifier: str, seed: int) -> int:
    """Return a seed for one record, the same on every machine and in every order."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{identifier}".encode()).digest()[:8], "big")
