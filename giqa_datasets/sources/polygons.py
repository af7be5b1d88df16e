"""Objects that a set outlines: polygons to masks, and masks to boxes."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from giqa_datasets.errors import InputError
from giqa_datasets.formats import Size
from giqa_datasets.masks import Pixels, encode, hull
from giqa_datasets.objects import Defect


Polygon = Sequence[Sequence[float]]  # x, y in pixels


class Outline(NamedTuple):
    """An object by the polygons around it, which are one mask."""

    id: str
    polygons: tuple[Polygon, ...]
    category: str
    category_raw: str
    description: str = ""


def outlined(outlines: Iterable[Outline], size: Size, *, stated: Size | None = None) -> Iterator[Defect]:
    """Draw outlines on a photograph of this size; `stated` is the size that the set says it has.

    Raises:
        ValueError: If the sizes differ, or a polygon does not lie in the photograph.
    """
    if stated not in (None, size):
        raise InputError(f"expected a photograph of the size {stated}, got {size}")
    for each in outlines:
        mask = draw(each.polygons, size)
        box = hull(mask)
        if box is None:
            raise InputError(f"expected an outline in the photograph, got {each.id!r} outside")
        area, kept = float(mask.sum()), encode(mask)
        named = (each.category, each.category_raw)
        yield Defect(each.id, box, area, *named, description=each.description, segmentation=kept)


def draw(polygons: Iterable[Polygon], size: Size) -> Pixels:
    """Draw polygons on a picture of (width, height), all as one mask: shape (height, width).

    Points are cut to whole pixels, and the pixels of the edge are inside, as X-AIGD's scores have it.

    Raises:
        ValueError: If one has fewer than three points, or a point lies outside by more than a pixel.

    Example:
        >>> draw([[(1, 0), (2.9, 0), (2, 1)]], (4, 2)).astype(int).tolist()
        [[0, 1, 1, 0], [0, 0, 1, 0]]
    """
    drawn = Image.new("1", size)
    canvas = ImageDraw.Draw(drawn)
    for polygon in polygons:
        points = np.array(polygon, np.float64).reshape(-1, 2)
        if len(points) < 3 or not np.isfinite(points).all():
            raise InputError(f"expected a polygon of three points or more, got {points.tolist()!s:.100}")
        if points.min() < -1 or (points > np.add(size, 1)).any():
            raise InputError(f"expected a polygon inside {size[0]}x{size[1]}, got {points.max(0).tolist()} in it")
        corners = [(x, y) for x, y in points.astype(int).tolist()]
        canvas.polygon(corners, fill=1)
        canvas.line([*corners, corners[0]], fill=1)  # Pillow leaves a part of the edge out
    return np.asarray(drawn)
