"""Masks of a photograph's regions as COCO's compressed run lengths, read and written.

The runs go down the columns, and alternate between outside and inside, beginning outside. From the fourth on, each is
written as its difference to the one before the last, in groups of five bits, the lowest first, in letters from `0` on;
the sixth bit says that more follow (cocoapi, maskApi.c, rleToString).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from giqa_datasets.errors import InputError


Pixels = npt.NDArray[np.bool_]  # shape (height, width)
Mask = dict[str, Any]  # COCO's: `size`, [height, width], and `counts`

NO_MASK: Mask = {"size": [], "counts": ""}
_MOST_BITS = 60  # of a run


def encode(pixels: Pixels) -> Mask:
    """Write a mask.

    Example:
        >>> encode(np.array([[0, 1, 1], [0, 0, 1]], bool))
        {'size': [2, 3], 'counts': '2111'}
    """
    flat = np.concatenate([[False], pixels.T.ravel()])
    borders = np.flatnonzero(flat[1:] != flat[:-1])
    runs: list[int] = np.diff(borders, prepend=0, append=pixels.size).tolist()
    return {"size": list(pixels.shape), "counts": _letters(runs)}


def decode(mask: Mask) -> Pixels:
    """Read a mask: shape (height, width).

    Raises:
        ValueError: If it is none, or not of its size.

    Example:
        >>> decode({"size": [2, 3], "counts": "2111"}).astype(int).tolist()
        [[0, 1, 1], [0, 0, 1]]
    """
    runs = _runs(mask["counts"])
    height, width = mask["size"]
    if sum(runs) != height * width:
        raise InputError(f"expected a mask of {height * width} pixels, got {sum(runs)}")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def n_pixels(counts: str) -> int:
    """Count the pixels of the picture that a mask is of. Raises as `decode`."""
    return sum(_runs(counts))


def hull(pixels: Pixels) -> tuple[float, float, float, float] | None:
    """Return the smallest box around a mask, x, y, width, height in pixels; None around an empty one.

    Example:
        >>> hull(np.array([[0, 1, 1], [0, 0, 1]], bool))
        (1.0, 0.0, 2.0, 2.0)
    """
    if not pixels.any():
        return None
    (x1, x2), (y1, y2) = (np.flatnonzero(pixels.any(axis))[[0, -1]].tolist() for axis in (0, 1))
    return float(x1), float(y1), float(x2 - x1 + 1), float(y2 - y1 + 1)


def _letters(runs: Sequence[int]) -> str:
    written = []
    for k, run in enumerate(runs):
        left = run - runs[k - 2] if k > 2 else run
        while True:
            five, left = left & 31, left >> 5
            is_last = left == (-1 if five & 16 else 0)
            written.append(chr(48 + five + 32 * (not is_last)))
            if is_last:
                break
    return "".join(written)


def _runs(counts: str) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for letter in counts:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > _MOST_BITS:
            raise InputError(f"expected run lengths as COCO writes them, got {letter!r} in {counts[:40]!r}")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        run = (value - (1 << shift) if bits & 16 else value) + (runs[-2] if len(runs) > 2 else 0)
        if run < 0:
            raise InputError(f"expected run lengths from 0 on, got {run} in {counts[:40]!r}")
        runs.append(run)
        value = shift = 0
    if shift:
        raise InputError(f"expected run lengths as COCO writes them, got half a one at the end of {counts[-40:]!r}")
    return runs
