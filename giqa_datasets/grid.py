"""Boxes to grid cells and back: the only file that knows the resolution and the two rounding rules.

The image is cut into `SIDE` x `SIDE` cells, numbered row by row from the top left (protocol section 2). A box is the
pair <top-left cell, bottom-right cell>.
"""

import numpy as np
import numpy.typing as npt

from giqa_datasets.boxes import Boxes


SIDE = 20  # cells a side; n = m = 20 in the paper, section 3.1
LINE = 1e-6  # ours: a corner this near to a grid line lies on it, so that float32 columns survive the round trip

Cells = npt.NDArray[np.int64]


def boxes_to_cells(xyxy: Boxes) -> Cells:
    """Put boxes on the grid.

    The top-left corner takes `floor(v * SIDE)`, the bottom-right one `ceil(v * SIDE) - 1`, never before the top-left
    one: a box that ends on a grid line does not reach into the next cell (ours, after Kosmos-2; the paper prints no
    rounding).

    Args:
        xyxy: Boxes, shape (N, 4), normalised to [0, 1].

    Returns:
        Cells, shape (N, 2): top-left and bottom-right cell, 0 to SIDE * SIDE - 1.

    Example:
        >>> boxes_to_cells(np.array([[0.75, 0.05, 1.0, 0.8]])).tolist()
        [[35, 319]]
    """
    scaled = np.asarray(xyxy, dtype=np.float64) * SIDE
    nearest = np.rint(scaled)
    scaled = np.where(np.abs(scaled - nearest) <= LINE * SIDE, nearest, scaled)
    first = np.clip(np.floor(scaled[:, :2]), 0, SIDE - 1)
    last = np.clip(np.ceil(scaled[:, 2:]) - 1, first, SIDE - 1)
    columns_rows = np.stack([first, last], axis=1).astype(np.int64)
    cells: Cells = columns_rows[..., 1] * SIDE + columns_rows[..., 0]
    return cells


def cells_to_boxes(cells: Cells) -> Boxes:
    """Decode cell pairs to boxes between cell centres.

    A pair whose cells share a row or a column would have no area; it decodes to the outer edges of its two cells, in x
    and in y (ours, after Kosmos-2's code). With that one rule `boxes_to_cells(cells_to_boxes(c)) == c` for all 44,100
    rectangles.

    Args:
        cells: Shape (N, 2), each pair valid (see `is_rectangle`).

    Returns:
        Boxes, shape (N, 4), normalised to [0, 1].

    Example:
        >>> cells_to_boxes(np.array([[0, 21], [63, 63]])).tolist()
        [[0.025, 0.025, 0.075, 0.075], [0.15, 0.15, 0.2, 0.2]]
    """
    pairs = np.asarray(cells, dtype=np.int64).reshape(-1, 2)
    xyxy = np.stack([pairs[:, 0] % SIDE, pairs[:, 0] // SIDE, pairs[:, 1] % SIDE, pairs[:, 1] // SIDE], axis=1)
    flat = (xyxy[:, 0] == xyxy[:, 2]) | (xyxy[:, 1] == xyxy[:, 3])
    offset = np.where(flat[:, None], [0.0, 0.0, 1.0, 1.0], 0.5)
    return (xyxy + offset) / SIDE


def is_rectangle(first: int, last: int) -> bool:
    """Whether two cells of the grid are the corners of a rectangle: `last` neither left of nor above `first`."""
    return first % SIDE <= last % SIDE and first // SIDE <= last // SIDE
