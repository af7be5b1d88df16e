"""Blind baselines: what a model that sees nothing would score on the same references."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from giqa_datasets.boxes import Boxes, iou
from giqa_datasets.grid import SIDE, cells_to_boxes
from giqa_datasets.text import parse


GRID = 4  # the baseline of a grid has GRID x GRID boxes
VERDICTS = {"always Yes": "Yes.", "always No": "No."}
SEARCHED = 500  # samples that the constant box is chosen on; the first, for speed


def blind_boxes(references: Sequence[str]) -> dict[str, str]:
    """Write the answers that hold blind boxes: one text per baseline, given to every sample.

    Boxes carry the commonest name of the references, so that Tag-Recall is not lost on the name alone. The constant
    box is the one of the grid's 44,100 that fits these very references best: no constant answer of one box can do
    better.

    Args:
        references: GIQA text, one per sample.

    Returns:
        Answer by the baseline's name; none where the references hold no box.
    """
    regions = [parse(text).regions for text in references]
    names = Counter(region.phrase for found in regions for region in found)
    if not names:
        return {}
    name = min(names, key=lambda phrase: (-names[phrase], phrase))
    boxes = [np.concatenate([region.boxes for region in found]) for found in regions if found]
    baselines = {
        "whole image": [(0, SIDE * SIDE - 1)],
        f"grid of {GRID} x {GRID} boxes": _grid_cells(),
        "best constant box": [best_constant_cells(boxes)],
    }
    return {
        title: f"[{name}]({', '.join(f'<{first}, {last}>' for first, last in cells)})"
        for title, cells in baselines.items()
    }


def best_constant_cells(boxes: Sequence[Boxes]) -> tuple[int, int]:
    """Find the cell pair whose box has the highest mean IoU, per sample the best over its boxes.

    Args:
        boxes: Per sample, shape (N, 4) with N >= 1.

    Example:
        >>> best_constant_cells([cells_to_boxes(np.array([[21, 84]]))])
        (21, 84)
    """
    kept = boxes[:SEARCHED]
    starts = np.cumsum([0, *(len(each) for each in kept[:-1])])
    flat = np.concatenate(kept)
    columns, rows = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    first = (rows * SIDE + columns).ravel()
    best, best_cells = -1.0, (0, 0)
    for corner in first.tolist():
        last = first[(first % SIDE >= corner % SIDE) & (first // SIDE >= corner // SIDE)]
        pairs = np.stack([np.full_like(last, corner), last], axis=1)
        mean = np.maximum.reduceat(iou(cells_to_boxes(pairs), flat), starts, axis=1).mean(axis=1)
        if mean.max() > best:
            best, best_cells = float(mean.max()), (corner, int(last[mean.argmax()]))
    return best_cells


def _grid_cells() -> list[tuple[int, int]]:
    """Cell pairs of a grid of equal boxes."""
    step = SIDE // GRID
    corners = [row * step * SIDE + column * step for row in range(GRID) for column in range(GRID)]
    return [(corner, corner + (step - 1) * (SIDE + 1)) for corner in corners]
