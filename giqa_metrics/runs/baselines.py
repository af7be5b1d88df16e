"""Blind baselines: what a model that sees nothing would score on the same references."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from giqa_datasets.boxes import Boxes, iou
from giqa_datasets.grid import SIDE, cells_to_boxes
from giqa_datasets.text import parse, strip


GRID = 4  # the baseline of a grid has GRID x GRID boxes
VERDICTS = {"always Yes": "Yes.", "always No": "No."}


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


def frequent_answers(references: Sequence[str], question_types: Sequence[str]) -> list[str]:
    """Give every question the answer that its type has most often, boxes stripped; of equally many, the first one.

    Example:
        >>> frequent_answers(["Noise.", "Blur.", "Blur.", "No."], ["what", "what", "what", "yes_no"])
        ['Blur.', 'Blur.', 'Blur.', 'No.']
    """
    counts: dict[str, Counter[str]] = {}
    for reference, kind in zip(references, question_types, strict=True):
        counts.setdefault(kind, Counter())[strip(reference)] += 1
    return [counts[kind].most_common(1)[0][0] for kind in question_types]


def best_constant_cells(boxes: Sequence[Boxes]) -> tuple[int, int]:
    """Find the cell pair whose box has the highest mean IoU, per sample the best over its boxes.

    Args:
        boxes: Per sample, shape (N, 4) with N >= 1.

    Example:
        >>> best_constant_cells([cells_to_boxes(np.array([[21, 84]]))])
        (21, 84)
    """
    # Every rectangle of the grid, and every distinct sample once
    first, last = np.divmod(np.arange(SIDE**4), SIDE**2)
    pairs = np.stack([first, last], axis=1)[(first % SIDE <= last % SIDE) & (first // SIDE <= last // SIDE)]
    weights = Counter(tuple(map(tuple, each.tolist())) for each in boxes)
    rectangles, total = cells_to_boxes(pairs), np.zeros(len(pairs))
    for distinct, weight in weights.items():
        total += weight * iou(rectangles, np.array(distinct)).max(axis=1)
    best_first, best_last = pairs[total.argmax()].tolist()
    return best_first, best_last


def _grid_cells() -> list[tuple[int, int]]:
    """Cell pairs of a grid of equal boxes."""
    step = SIDE // GRID
    corners = [row * step * SIDE + column * step for row in range(GRID) for column in range(GRID)]
    return [(corner, corner + (step - 1) * (SIDE + 1)) for corner in corners]
