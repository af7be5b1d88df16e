"""What the numbers of a box refer to: each format's frame, and the way from it to the original image and back.

Every frame runs from 0 to its `wh`, and the image fills a rectangle of it, so that one rule serves all of them.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from giqa_datasets.boxes import Boxes, rounded
from giqa_datasets.errors import InputError
from giqa_datasets.text import Kind, fault_of_box


Size = tuple[int, int]
"""(width, height) in pixels."""

Corners = tuple[float, float, float, float]
"""x1 y1 x2 y2 of one box."""


class Sizes(NamedTuple):
    """The sizes of one sample's image, as far as they are known.

    Attributes:
        image: Of the original image.
        input: Of the resized image that the model saw.
    """

    image: Size | None = None
    input: Size | None = None


UNKNOWN = Sizes()

NUMBER = r"[-+]?+(?:(?:[0-9]++\.?+[0-9]*+|\.[0-9]++)(?:e[-+]?+[0-9]++)?+|(?:nan|inf(?:inity)?+)\b)"
"""Pattern of whatever `float` reads in ASCII digits, case aside; the ones without end are out of range."""

_LIST = re.compile(rf"\s*+{NUMBER}\s*+(?:,\s*+{NUMBER}\s*+)*+", re.IGNORECASE)


class Frame(NamedTuple):
    """A frame, in the numbers that the model writes.

    Attributes:
        wh: Where it ends.
        image: The rectangle of it that the original image fills.
    """

    wh: tuple[float, float]
    image: Corners


def whole(width: float, height: float) -> Frame:
    """Give the frame that the image fills.

    Example:
        >>> read_box([50, 20, 100, 80], whole(200, 100))
        (0.25, 0.2, 0.5, 0.8)
    """
    return Frame((width, height), (0, 0, width, height))


PER_MILLE = whole(1000, 1000)


def padded_square(name: str, sizes: Sizes) -> Frame:
    """Give the frame 0-1 of the square whose side is the longer edge, the image centred in it.

    As LLaVA's code pads: an odd pixel goes to the right or below.

    Raises:
        ValueError: If the original image's size is not known; it names the format.

    Example:
        >>> padded_square("shikra", Sizes(image=(400, 200)))
        Frame(wh=(1, 1), image=(0.0, 0.25, 1.0, 0.75))
    """
    width, height = require(sizes.image, name, "the image's size")
    side = max(width, height)
    left, top = (side - width) // 2, (side - height) // 2
    return Frame((1, 1), (left / side, top / side, (left + width) / side, (top + height) / side))


def require(size: Size | None, name: str, what: str) -> Size:
    """Refuse a size that is not known, or is none.

    Raises:
        ValueError: It names the format and what it needs.
    """
    if size is None or min(size) < 1:
        raise InputError(f"box format {name!r} needs {what}, (width, height), got {'none' if size is None else size}")
    return size


def read_box(numbers: Sequence[float], frame: Frame) -> Corners | Kind:
    """Turn four numbers of a frame to a box of the image, clipped to it; or say what is wrong with them.

    Example:
        >>> square = padded_square("shikra", Sizes(image=(400, 200)))
        >>> read_box([0.5, 0.0, 1.0, 0.5], square)
        (0.5, 0.0, 1.0, 0.5)
        >>> read_box([0.5, 0.0, 1.0, 0.2], square), read_box([0.5, 0.0, 1.0], square)
        ('out_of_range', 'not_a_box')
    """
    if len(numbers) != 4:
        return "not_a_box"
    x1, y1, x2, y2 = numbers
    if kind := fault_of_box(x1, y1, x2, y2, wh=frame.wh):
        return kind
    left, top, right, bottom = frame.image
    x1, x2 = (min(max((x - left) / (right - left), 0.0), 1.0) for x in (x1, x2))
    y1, y2 = (min(max((y - top) / (bottom - top), 0.0), 1.0) for y in (y1, y2))
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else "out_of_range"


def read_list(inside: str, frame: Frame) -> Corners | Kind:
    """Read numbers with commas between them as a box.

    Example:
        >>> read_list("100, 200, 300, 400", PER_MILLE), read_list("100, left, 300, 400", PER_MILLE)
        ((0.1, 0.2, 0.3, 0.4), 'not_a_box')
    """
    if _LIST.fullmatch(inside) is None:
        return "not_a_box"
    return read_box([float(number) for number in inside.split(",")], frame)


def write_boxes(xyxy: Boxes, frame: Frame, *, digits: int) -> list[list[str]]:
    """Turn boxes to a frame's numbers with so many decimals, each box once.

    Args:
        xyxy: Boxes, shape (N, 4), normalised to the image.
        frame: Where the numbers belong.
        digits: Decimals to write; a box that would round to no area is widened.

    Example:
        >>> write_boxes(np.array([[0.5, 0.0, 1.0, 0.5]]), padded_square("shikra", Sizes(image=(400, 200))), digits=2)
        [['0.50', '0.25', '1.00', '0.50']]
    """
    left, top, right, bottom = frame.image
    numbers = xyxy * np.array([right - left, bottom - top] * 2) + np.array([left, top] * 2)
    corners = dict.fromkeys(map(tuple, rounded(numbers, digits=digits, wh=frame.wh).tolist()))
    return [[f"{number:.{digits}f}" for number in box] for box in corners]
