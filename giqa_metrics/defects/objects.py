"""The data set's column `objects` as `giqa_defects` takes it: what is wrong, where, and how bad, in pixels."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from giqa_datasets.boxes import Boxes, to_boxes
from giqa_datasets.defect_classes import SEVERITIES, severity
from giqa_datasets.errors import InputError
from giqa_datasets.formats import Size
from giqa_datasets.regions import Box


_STEP = 1e-7  # of a side: as far as float32 takes a thousandth from its place
_KEYS = "bbox", "category", "category_raw", "severity", "significance"


class RatedBox(NamedTuple):
    """A defect of the column `objects`.

    Attributes:
        category: The class, as the row has it.
        category_raw: The same as its source spells it.
        severity: One of `SEVERITIES`, or "".
        box: Normalised xyxy.
        significance: How much it matters to the whole image, 1 to 5; 0 where nobody said.
    """

    category: str
    category_raw: str
    severity: str
    box: Box
    significance: int


def key_objects(objects: Sequence[RatedBox]) -> list[RatedBox]:
    """The objects that matter most to the whole image; none where nobody said how much they matter."""
    most = max((it.significance for it in objects), default=0)
    return [it for it in objects if it.significance == most > 0]


def objects_of(rows: Sequence[Any], sizes: Sequence[Size | None]) -> list[list[RatedBox]]:
    """Take rows of the data set's column `objects`, a struct of lists or a list of structs; None has no object.

    Of each object count `bbox` (x, y, width, height in pixels), `category` and, where they are there, `category_raw`,
    `severity` and `significance`. A severity that is none of `SEVERITIES` is none.

    Args:
        rows: Of N samples.
        sizes: (width, height) of each image.

    Raises:
        ValueError: If a size is not given, or an object has no class, or no box with an area inside its image.
    """
    return [[] if row is None else _objects(at, row, sizes[at]) for at, row in enumerate(rows)]


def _objects(at: int, row: Any, wh: Size | None) -> list[RatedBox]:
    """Read one row."""
    if wh is None:
        raise InputError("objects have boxes in pixels: expected image_sizes, got none")
    try:
        if isinstance(row, Mapping):
            keys = [key for key in _KEYS if row.get(key) is not None]
            row = [dict(zip(keys, its, strict=True)) for its in zip(*(row[key] for key in keys), strict=True)]
        return [_object(each, wh) for each in row]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"expected objects with category and bbox, pixels (x, y, width, height) inside {wh}, in objects at {at}, "
            f"got {row!r:.80}"
        ) from error


def _object(value: Mapping[str, Any], wh: Size) -> RatedBox:
    category, raw = value["category"], value.get("category_raw") or value["category"]
    if not (isinstance(category, str) and isinstance(raw, str)):
        raise TypeError
    x, y, width, height = map(float, value["bbox"])
    corners = np.array([[x, y, x + width, y + height]]) / (wh * 2)
    if np.abs(corners - np.clip(corners, 0, 1)).max() * min(wh) > 0.5:  # half a pixel
        raise ValueError
    (box,) = to_boxes(np.clip(_on_thousandths(corners), 0, 1)).tolist()
    said = severity(value.get("severity") or "")
    significance = int(value.get("significance") or 0)
    return RatedBox(category, raw, said if said in SEVERITIES else "", tuple(box), significance)


def _on_thousandths(boxes: Boxes) -> Boxes:
    """Undo what float32 pixels did to boxes that their source writes in thousandths."""
    nearest = boxes.round(3)
    return np.where(np.abs(boxes - nearest) < _STEP, nearest, boxes)
