"""Object names as rows of numbers, so that thousands are told apart at once; they are spelled when someone asks."""

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from giqa_datasets.boxes import Ints


Keys = npt.NDArray[np.uint64]

WIDTH = 56  # bytes of a name that its key holds; a longer one has a digest there
WORDS = WIDTH // 8 + 1
_MIX = np.random.default_rng(0).integers(1, 2**63, WORDS, dtype=np.uint64) * 2 + 1


class Names(NamedTuple):
    """N names, which may repeat.

    Attributes:
        keys: Shape (N, WORDS), equal for equal names alone: the UTF-8 bytes, or a digest of them, and their number.
        spell: The names at some places.
    """

    keys: Keys
    spell: Callable[[Ints], list[str]]


def spelled(names: Sequence[str]) -> Names:
    """Take names that are known as strings.

    Example:
        >>> spelled(["dog", "cat"]).spell(np.array([1, 1]))
        ['cat', 'cat']
    """
    raw = [name.encode("utf-8", "surrogatepass") for name in names]
    held = [name if len(name) <= WIDTH else hashlib.blake2b(name, digest_size=WIDTH).digest() for name in raw]
    padded = b"".join(name.ljust(WIDTH, b"\0") for name in held)
    words = np.frombuffer(padded, np.uint64).reshape(len(raw), WORDS - 1)
    return Names(
        with_lengths(words, np.array([len(name) for name in raw], np.int64)), lambda at: [names[k] for k in at]
    )


def with_lengths(words: Keys, length: Ints) -> Keys:
    """Make keys of the names' bytes, shape (N, WORDS - 1), and their number, shape (N,)."""
    return np.concatenate([words, length[:, None].astype(np.uint64)], axis=1)


def joined(a: Names, b: Names) -> Names:
    """The names of the one, then those of the other."""
    split = len(a.keys)

    def spell(at: Ints) -> list[str]:
        of_a = at < split
        names = np.empty(len(at), dtype=object)
        names[of_a], names[~of_a] = a.spell(at[of_a]), b.spell(at[~of_a] - split)
        spelled: list[str] = names.tolist()
        return spelled

    return Names(np.concatenate([a.keys, b.keys]), spell)


def order_of(keys: Keys) -> Ints:
    """A stable argsort, shape (N,): numpy counts 16 bits several times faster than it compares 64.

    Example:
        >>> order_of(np.array([1 << 40, 7, 1 << 40, 0], np.uint64)).tolist()
        [3, 1, 0, 2]
    """
    order = np.argsort(keys.astype(np.uint16), kind="stable")
    for shift in (16, 32, 48):
        digit = (keys >> np.uint64(shift)).astype(np.uint16)
        if digit.any():
            order = order[np.argsort(digit[order], kind="stable")]
    return order


def distinct(names: Names) -> tuple[Names, Ints]:
    """The distinct names, in an order that depends on them alone, and the place of every name among them."""
    mixed = (names.keys @ _MIX) >> np.uint64(16)  # 48 bits, which two names hardly share
    order = order_of(mixed)
    is_new = np.diff(mixed[order], prepend=~mixed[order[:1]]) != 0
    one = order[is_new]
    place = np.empty_like(order)
    place[order] = np.cumsum(is_new) - 1
    if not np.array_equal(names.keys.take(one[place], axis=0), names.keys):  # two different names share a sum
        _, one, place = np.unique(names.keys, axis=0, return_index=True, return_inverse=True)
    return Names(names.keys.take(one, axis=0), lambda at: names.spell(one[at])), place
