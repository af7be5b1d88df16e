"""Qwen2.5-VL's boxes: `{"bbox_2d": [34, 11, 87, 277], "label": "tower"}` beside the prose, in pixels of its input.

The input is the image as the processor resized it. Its size comes with the sample (`giqa predict` writes it down), or
is computed from the original image's by the processor's rule, with the limits that the released checkpoints come with.
Whoever sets other limits must give the input's size.
"""

from collections.abc import Iterable
from math import ceil, floor, sqrt

from giqa_datasets.errors import InputError
from giqa_datasets.formats import json_boxes
from giqa_datasets.formats.frames import UNKNOWN, Frame, Size, Sizes, require, whole
from giqa_datasets.regions import Region
from giqa_datasets.text import GroundedText


STEP = 28  # pixels: two patches of 14
MIN_PIXELS = 56 * 56
MAX_PIXELS = 28 * 28 * 16384
MAX_RATIO = 200  # of the longer side to the shorter one


def read(text: str, sizes: Sizes = UNKNOWN) -> GroundedText:
    """Read text that Qwen2.5-VL wrote; never raises because of it.

    Raises:
        ValueError: If neither the input's size nor the image's is known.

    Example:
        >>> text = 'A sharp tower. {"bbox_2d": [56, 28, 112, 140], "label": "tower"}'
        >>> read(text, Sizes(input=(560, 280))).regions[0].boxes.tolist()
        [[0.1, 0.1, 0.2, 0.5]]
    """
    return json_boxes.read(text, _frame(sizes))


def write(plain: str, regions: Iterable[Region], sizes: Sizes = UNKNOWN) -> str:
    """Write text as Qwen2.5-VL does; see `json_boxes.write` for what is refused."""
    return json_boxes.write(plain, regions, _frame(sizes))


def strip(text: str) -> str:
    """Give the plain text alone."""
    return json_boxes.read(text, whole(1, 1)).plain


def resized(image: Size, *, max_pixels: int = MAX_PIXELS) -> Size:
    """Give the size of the processor's output for an image of a size: sides in steps of 28, the ratio nearly kept.

    Raises:
        ValueError: If one side is more than 200 times the other, as the processor does.

    Example:
        >>> resized((640, 480)), resized((4000, 3000))
        ((644, 476), (4004, 2996))

    References:
        `smart_resize` in transformers' Qwen2-VL.
    """
    if max(image) > MAX_RATIO * min(image):
        raise InputError(f"box format 'qwen2_5_vl' needs an image with sides up to 1:{MAX_RATIO}, got {image}")
    pixels = image[0] * image[1]
    width, height = (round(side / STEP) * STEP for side in image)
    if width * height > max_pixels:
        shrink = sqrt(pixels / max_pixels)
        width, height = (max(STEP, floor(side / shrink / STEP) * STEP) for side in image)
    elif width * height < MIN_PIXELS:
        grow = sqrt(MIN_PIXELS / pixels)
        width, height = (ceil(side * grow / STEP) * STEP for side in image)
    return width, height


def _frame(sizes: Sizes) -> Frame:
    """Give the frame of the input's pixels."""
    if sizes.input is not None or sizes.image is None:
        return whole(*require(sizes.input, "qwen2_5_vl", "the resized image's size or the original's"))
    return whole(*resized(require(sizes.image, "qwen2_5_vl", "the image's size")))
