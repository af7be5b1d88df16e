"""Boxes to grid cells and back: the only file that knows the resolution and the two rounding rules.

The image is cut into `side` x `side` cells, `SIDE` of them in GIQA, numbered row by row from the top left (protocol
section 2). A box is the pair <top-left cell, bottom-right cell>.
"""

from math import ceil, floor
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from giqa_datasets.boxes import Boxes
from giqa_datasets.errors import InputError


SIDE = 20  # cells a side; n = m = 20 in the paper, section 3.1
LINE = 1e-6  # ours: a corner within it of a grid line is on the line, so that float32 columns survive the round trip

Cells = npt.NDArray[np.int64]


def boxes_to_cells(xyxy: Boxes, *, side: int = SIDE) -> Cells:
    """Put boxes on the grid.

    The top-left corner takes `floor(v * side)`, the bottom-right one `ceil(v * side) - 1`, never before the top-left
    one: a box that ends on a grid line does not reach into the next cell (ours, after Kosmos-2; the paper prints no
    rounding).

    Args:
        xyxy: Boxes, shape (N, 4), normalised to [0, 1].
        side: Cells a side.

    Returns:
        Cells, shape (N, 2): top-left and bottom-right cell, 0 to side * side - 1.

    Example:
        >>> boxes_to_cells(np.array([[0.75, 0.05, 1.0, 0.8]])).tolist()
        [[35, 319]]
    """
    scaled = np.asarray(xyxy, dtype=np.float64) * side
    nearest = np.rint(scaled)
    scaled = np.where(np.abs(scaled - nearest) <= LINE * side, nearest, scaled)
    columns_rows = np.empty(scaled.shape)
    first, last = columns_rows[:, :2], columns_rows[:, 2:]
    np.minimum(np.maximum(np.floor(scaled[:, :2]), 0), side - 1, out=first)
    np.minimum(np.maximum(np.ceil(scaled[:, 2:]) - 1, first), side - 1, out=last)
    cells: Cells = (columns_rows[:, 1::2] * side + columns_rows[:, ::2]).astype(np.int64)
    return cells


def box_to_cells(x1: float, y1: float, x2: float, y2: float, *, side: int = SIDE) -> tuple[int, int]:
    """Put one box on the grid, as `boxes_to_cells` does; faster than an array of one.

    Raises:
        ValueError: If a corner is no finite number.

    Example:
        >>> box_to_cells(0.75, 0.05, 1.0, 0.8)
        (35, 319)
    """
    try:
        left, top = (min(max(floor(_on_line(v * side, side)), 0), side - 1) for v in (x1, y1))
        right, bottom = (
            min(max(ceil(_on_line(v * side, side)) - 1, low), side - 1) for v, low in ((x2, left), (y2, top))
        )
    except (OverflowError, ValueError) as error:
        raise InputError(f"expected a box of finite numbers, got {[x1, y1, x2, y2]}") from error
    return top * side + left, bottom * side + right


def _on_line(scaled: float, side: int) -> float:
    nearest = round(scaled)
    return nearest if abs(scaled - nearest) <= LINE * side else scaled


def cells_to_boxes(cells: Cells, *, side: int = SIDE) -> Boxes:
    """Decode cell pairs to boxes between cell centres.

    A pair whose cells share a row or a column would have no area; it decodes to the outer edges of its two cells, in x
    and in y (ours, after Kosmos-2's code). With that one rule `boxes_to_cells(cells_to_boxes(c)) == c` for all 44,100
    rectangles.

    Args:
        cells: Shape (N, 2), each pair valid (see `is_rectangle`).
        side: Cells a side.

    Returns:
        Boxes, shape (N, 4), normalised to [0, 1].

    Example:
        >>> cells_to_boxes(np.array([[0, 21], [63, 63]])).tolist()
        [[0.025, 0.025, 0.075, 0.075], [0.15, 0.15, 0.2, 0.2]]
    """
    pairs = np.asarray(cells, dtype=np.int64).reshape(-1, 2)
    rows = pairs // side
    columns = pairs - rows * side
    is_flat = (columns[:, 0] == columns[:, 1]) | (rows[:, 0] == rows[:, 1])
    low = np.where(is_flat, 0.0, 0.5)
    xyxy = np.empty((len(pairs), 4))
    for corner, offset in ((0, low), (1, 1 - low)):
        xyxy[:, 2 * corner] = columns[:, corner] + offset
        xyxy[:, 2 * corner + 1] = rows[:, corner] + offset
    return xyxy / side


@overload
def is_rectangle(first: int, last: int, *, side: int = SIDE) -> bool: ...
@overload
def is_rectangle(
    first: npt.NDArray[np.int64], last: npt.NDArray[np.int64], *, side: int = SIDE
) -> npt.NDArray[np.bool_]: ...
def is_rectangle(first: Any, last: Any, *, side: int = SIDE) -> Any:
    """Tell whether two cells of the grid are the corners of a rectangle: `last` neither left of nor above `first`."""
    top, bottom = first // side, last // side
    return (top <= bottom) & (first - top * side <= last - bottom * side)  # numpy's % is four times slower
