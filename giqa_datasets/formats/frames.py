"""What the numbers of a box refer to: each format's frame, and the way from it to the original image and back.

Every frame runs from 0 to its `wh`, and the image fills a rectangle of it, so that one rule serves all of them but
Kosmos-2's grid of cells.
"""

import re
from collections.abc import Sequence
from math import ceil, floor, sqrt
from typing import NamedTuple

import numpy as np

from giqa_datasets.boxes import Boxes, Flags, Floats, Ints, rounded
from giqa_datasets.errors import InputError
from giqa_datasets.grid import boxes_to_cells, is_rectangle
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
ANY_SIZES = Sizes((1, 1), (1, 1))  # for what does not depend on them

NUMBER = r"[-+]?+(?:(?:[0-9]++\.?+[0-9]*+|\.[0-9]++)(?:e[-+]?+[0-9]++)?+|(?:nan|inf(?:inity)?+)\b)"
"""Pattern of whatever `float` reads in ASCII digits, case aside; the ones without end are out of range."""

_LIST = re.compile(rf"\s*+{NUMBER}\s*+(?:,\s*+{NUMBER}\s*+)*+", re.IGNORECASE)


class Frame(NamedTuple):
    """A frame, in the numbers that the model writes.

    Attributes:
        wh: Where it ends.
        image: The rectangle of it that the original image fills.
        y_first: Whether the model writes y1 x1 y2 x2.
    """

    wh: tuple[float, float]
    image: Corners
    y_first: bool = False

    @property
    def corner_names(self) -> tuple[str, ...]:
        """What the numbers are, in the order in which the model writes them."""
        return ("y1", "x1", "y2", "x2") if self.y_first else ("x1", "y1", "x2", "y2")

    def read(self, numbers: Sequence[float]) -> Corners | Kind:
        """Turn four numbers to a box of the image, clipped to it; or say what is wrong with them.

        Example:
            >>> square = padded_square("shikra", Sizes(image=(400, 200)))
            >>> square.read([0.5, 0.0, 1.0, 0.5])
            (0.5, 0.0, 1.0, 0.5)
            >>> square.read([0.5, 0.0, 1.0, 0.2]), square.read([0.5, 0.0, 1.0])
            ('out_of_range', 'not_a_box')
        """
        if len(numbers) != 4:
            return "not_a_box"
        x1, y1, x2, y2 = numbers
        if self.y_first:
            x1, y1, x2, y2 = y1, x1, y2, x2
        if kind := fault_of_box(x1, y1, x2, y2, wh=self.wh):
            return kind
        left, top, right, bottom = self.image
        if left or top or self.wh != (right, bottom):
            x1, x2 = max(x1, left), min(x2, right)
            y1, y2 = max(y1, top), min(y2, bottom)
            if not (x1 < x2 and y1 < y2):
                return "out_of_range"
        width, height = right - left, bottom - top
        return (x1 - left) / width, (y1 - top) / height, (x2 - left) / width, (y2 - top) / height

    def write(self, xyxy: Boxes, *, digits: int) -> list[list[str]]:
        """Turn boxes to the frame's numbers, each box once.

        Args:
            xyxy: Boxes, shape (N, 4), normalised to the image.
            digits: Decimals to write; a box that would round to no area is widened.

        Example:
            >>> square = padded_square("shikra", Sizes(image=(400, 200)))
            >>> square.write(np.array([[0.5, 0.0, 1.0, 0.5]]), digits=2)
            [['0.50', '0.25', '1.00', '0.50']]
        """
        left, top, right, bottom = self.image
        numbers = xyxy * np.array([right - left, bottom - top] * 2) + np.array([left, top] * 2)
        inside = np.clip(numbers, 0, np.array(self.wh * 2))
        boxes = dict.fromkeys(map(tuple, rounded(inside, digits=digits, wh=self.wh).tolist()))
        ordered = [(box[1], box[0], box[3], box[2]) if self.y_first else box for box in boxes]
        return [[f"{number:.{digits}f}" for number in box] for box in ordered]


def read_all(frames: Sequence[Frame], numbers: Floats, of: Ints) -> tuple[Boxes, Flags]:
    """Read many boxes as `Frame.read` does.

    Args:
        frames: Of one format.
        numbers: Shape (N, 4), as they are written.
        of: Shape (N,), which of the frames they refer to.

    Returns:
        Boxes, shape (N, 4), and which of them are boxes of the image, shape (N,).

    Example:
        >>> boxes, is_box = read_all([PER_MILLE], np.array([[0, 0, 500, 250], [9, 9, 3, 3]]), np.array([0, 0]))
        >>> boxes[0].tolist(), is_box.tolist()
        ([0.0, 0.0, 0.5, 0.25], [True, False])
    """
    if frames and frames[0].y_first:
        numbers = numbers[:, [1, 0, 3, 2]]
    wh = np.array([frame.wh * 2 for frame in frames]).reshape(-1, 4)[of]
    image = np.array([frame.image for frame in frames]).reshape(-1, 4)[of]
    clipped = np.concatenate(
        [np.maximum(numbers[:, :2], image[:, :2]), np.minimum(numbers[:, 2:], image[:, 2:])], axis=1
    )
    first, last = clipped[:, :2], clipped[:, 2:]
    is_box = np.all(np.concatenate([numbers >= 0, numbers <= wh, first < last], axis=1), axis=1)
    return (clipped - np.tile(image[:, :2], 2)) / np.tile(image[:, 2:] - image[:, :2], 2), is_box


class Grid(NamedTuple):
    """A grid of `side` x `side` cells, whose boxes are pairs of them, coded as in `grid.py`."""

    side: int

    @property
    def corner_names(self) -> tuple[str, ...]:
        """What the numbers are: the first and the last cell."""
        return ("x", "y")

    def read(self, numbers: Sequence[float]) -> Corners | Kind:
        """Turn the first and the last cell to a box, or say what is wrong with them.

        Example:
            >>> Grid(32).read([44, 863]), Grid(32).read([31, 32])
            ((0.390625, 0.046875, 0.984375, 0.828125), 'reversed')
        """
        if len(numbers) != 2:
            return "not_a_box"
        if not all(0 <= number < self.side**2 for number in numbers):
            return "out_of_range"
        first, last = map(int, numbers)
        if not is_rectangle(first, last, side=self.side):
            return "reversed"
        top, left = divmod(first, self.side)
        bottom, right = divmod(last, self.side)
        inset = (
            0.0 if left == right or top == bottom else 0.5
        )  # as `cells_to_boxes` has it; an array costs 30 times as much
        corners = left + inset, top + inset, right + 1 - inset, bottom + 1 - inset
        x1, y1, x2, y2 = (corner / self.side for corner in corners)
        return x1, y1, x2, y2

    def write(self, xyxy: Boxes, *, digits: int) -> list[list[str]]:
        """Turn boxes to pairs of cells, each pair once, with at least so many digits."""
        pairs = dict.fromkeys(map(tuple, boxes_to_cells(xyxy, side=self.side).tolist()))
        return [[f"{cell:0{digits}}" for cell in pair] for pair in pairs]


def whole(width: float, height: float) -> Frame:
    """Give the frame that the image fills.

    Example:
        >>> whole(200, 100).read([50, 20, 100, 80])
        (0.25, 0.2, 0.5, 0.8)
    """
    return Frame((width, height), (0, 0, width, height))


UNIT = whole(1, 1)
PER_MILLE = whole(1000, 1000)
UP_TO_999 = whole(999, 999)  # DeepSeek-VL2's code divides by 999
# Of 1,024 bins the authors' evaluator divides by 1,023, so that the last one is the image's edge (big_vision,
# evaluators/proj/paligemma/transfers/segmentation.py); copies that divide by 1,024 are a thousandth off there.
PALIGEMMA = whole(1023, 1023)._replace(y_first=True)
# A number is one of 1,000 bins and stands for its centre, as in transformers' Florence2PostProcessor.dequantize.
FLORENCE2 = Frame((999, 999), (-0.5, -0.5, 999.5, 999.5))


def padded_square(name: str, sizes: Sizes) -> Frame:
    """Give the frame 0-1 of the square whose side is the longer edge, the image centred in it.

    As LLaVA's code pads: an odd pixel goes to the right or below.

    Raises:
        ValueError: If the original image's size is not known; it names the format.

    Example:
        >>> padded_square("shikra", Sizes(image=(400, 200))).image
        (0.0, 0.25, 1.0, 0.75)
    """
    width, height = require(sizes.image, name, "the image's size")
    side = max(width, height)
    left, top = (side - width) // 2, (side - height) // 2
    return Frame((1, 1), (left / side, top / side, (left + width) / side, (top + height) / side))


def pixels_of_input(name: str, sizes: Sizes) -> Frame:
    """Give the frame of the resized image's pixels; without its size, that which Qwen2.5-VL's processor makes.

    Raises:
        ValueError: If neither size is known; it names the format.
    """
    if sizes.input is not None or sizes.image is None:
        return whole(*require(sizes.input, name, "the resized image's size or the original's"))
    return whole(*resized(require(sizes.image, name, "the image's size")))


def pixels_as_sent(name: str, sizes: Sizes) -> Frame:
    """Give the frame of the pixels of the image as it was sent: the resized one's if its size is known.

    Raises:
        ValueError: If neither size is known; it names the format.
    """
    return whole(*require(sizes.input or sizes.image, name, "the image's size"))


def require(size: Size | None, name: str, what: str) -> Size:
    """Refuse a size that is not known, or is none.

    Raises:
        ValueError: It names the format and what it needs.
    """
    if size is None or min(size) < 1:
        raise InputError(f"box format {name!r} needs {what}, (width, height), got {'none' if size is None else size}")
    return size


STEP = 28  # pixels: two patches of 14
MIN_PIXELS = 56 * 56
MAX_PIXELS = 28 * 28 * 16384
MAX_RATIO = 200  # of the longer side to the shorter one


def resized(image: Size, *, max_pixels: int = MAX_PIXELS) -> Size:
    """Give the size of the Qwen2.5-VL processor's output: sides in steps of 28, the ratio nearly kept.

    The limits are those that the released checkpoints come with. Whoever sets others must give the input's size.

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


def numbers_of(inside: str) -> list[float] | None:
    """Read numbers with commas between them; None if they are something else.

    Example:
        >>> numbers_of("100, 2e2, .5"), numbers_of("100, left, 300, 400")
        ([100.0, 200.0, 0.5], None)
    """
    if _LIST.fullmatch(inside) is None:
        return None
    return [float(number) for number in inside.split(",")]
