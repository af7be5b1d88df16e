"""What is wrong in a photograph, where, and how bad it is, as a set says it: the column `objects`.

The column is a struct of lists of one length, in the order of the source's file, which some scores depend on. A box is
`x, y, width, height` in pixels, as COCO has it, while the boxes of `regions` are normalised corners.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import nan
from typing import Any, NamedTuple

import numpy as np

from giqa_datasets.errors import InputError
from giqa_datasets.formats import Size
from giqa_datasets.masks import NO_MASK, Mask, n_pixels


Xywh = tuple[float, float, float, float]

OPTIONAL = ("objects", "mos", "level")  # the columns that a set has together, or none of them
GLOBAL_AREA = 0.7  # of the photograph, above which ViDA-UGC's authors call a box global
_SLACK = 0.01  # pixels or thousandths: float32 keeps a side of 64,000 pixels to a fifth of it


class Defect(NamedTuple):
    """One object: something that is wrong in a photograph."""

    id: str  # the source's own
    bbox: Xywh  # in pixels
    area: float  # of the mask in pixels, else of the box
    category: str  # the class by its one name
    category_raw: str  # as the source spells it
    severity: str = ""  # minor, moderate or severe, or the source's own word
    severity_level: int = -1  # in the source's own scale; -1 is none
    quality: str = ""  # of the region: bad, poor, fair, good or excellent
    mos: float = nan  # of the region, in the source's own scale
    significance: int = 0  # to the whole: 1 unimportant to 5 essential; 0 is none
    position: str = ""  # in words
    description: str = ""
    scope: str = ""  # global or local
    segmentation: Mask = NO_MASK


def from_thousandths(corners: Sequence[int], size: Size) -> Xywh:
    """Turn x1 y1 x2 y2 from 0 to 1000 into a box in pixels, out of which float32 gives the same integers again.

    Raises:
        ValueError: If they do not lie so, as numbers in pixels seldom do, or the box is empty.

    Example:
        >>> from_thousandths([250, 0, 750, 1000], (640, 480))
        (160.0, 0.0, 320.0, 480.0)
    """
    x1, y1, x2, y2 = corners
    if not (0 <= x1 < x2 <= 1000 and 0 <= y1 < y2 <= 1000):
        raise InputError(f"expected x1 < x2 and y1 < y2 from 0 to 1000, got {list(corners)}")
    width, height = size
    return x1 * width / 1000, y1 * height / 1000, (x2 - x1) * width / 1000, (y2 - y1) * height / 1000


def scope_of(bbox: Xywh, size: Size) -> str:
    """Tell whether a box is global or local, by its share of the photograph."""
    return "global" if bbox[2] * bbox[3] > GLOBAL_AREA * size[0] * size[1] else "local"


def objects_to_row(objects: Sequence[Defect], regions: Sequence[int] = ()) -> dict[str, list[Any]]:
    """Return the column's lists; `regions` has for each object the place in `regions` of its phrase, or -1.

    Example:
        >>> row = objects_to_row([Defect("1", (0, 0, 8, 6), 48, "noise", "Noise")])
        >>> row["category"], row["region"]
        (['noise'], [-1])
    """
    lists = map(list, zip(*objects, strict=True)) if objects else ([] for _ in Defect._fields)
    return dict(zip(Defect._fields, lists, strict=True)) | {"region": list(regions) or [-1] * len(objects)}


def faults_of_objects(objects: Mapping[str, Sequence[Any]], size: Size, n_regions: int) -> Iterator[str]:
    """Say what does not hold in a row's objects: lengths, boxes, masks, and places in `regions`."""
    lengths = {name: len(values) for name, values in objects.items()}
    if len(set(lengths.values())) > 1:
        yield f"objects: expected lists of one length, got {lengths}"
        return
    for k, (name, xywh) in enumerate(zip(objects["id"], objects["bbox"], strict=True)):
        mask, region = objects["segmentation"][k], objects["region"][k]
        for fault in (_fault_of_box(xywh, size), _fault_of_mask(mask, size)):
            if fault:
                yield f"objects: {name!r}: {fault}"
        if not -1 <= region < n_regions:
            yield f"objects: {name!r}: expected a place in the {n_regions} regions or -1, got {region}"


def _fault_of_box(xywh: Sequence[float], size: Size) -> str | None:
    box = np.array(xywh, np.float64)
    if box.shape != (4,) or not np.isfinite(box).all():
        return f"expected a box of four numbers, got {list(xywh)}"
    sides, corners = np.array([*size, *size]), np.concatenate([box[:2], box[:2] + box[2:]])
    if (corners < -_SLACK).any() or (corners > sides + _SLACK).any() or (box[2:] <= 0).any():
        return f"expected a box inside {size[0]}x{size[1]} pixels, got {list(xywh)}"
    if not any(abs(whole - whole.round()).max() <= _SLACK for whole in (corners, corners / sides * 1000)):
        return f"expected edges in whole pixels or thousandths, as sources have them, got {list(xywh)}"
    return None


def _fault_of_mask(mask: Mapping[str, Any], size: Size) -> str | None:
    if not mask["size"] and not mask["counts"]:
        return None
    if list(mask["size"]) != [size[1], size[0]]:
        return f"expected a mask of {size[1]} rows and {size[0]} columns, got {list(mask['size'])}"
    try:
        covered = n_pixels(mask["counts"])
    except InputError as error:
        return str(error)
    return None if covered == size[0] * size[1] else f"expected a mask of {size[0] * size[1]} pixels, got {covered}"
