"""The pictures that a model is shown: one solid square each on a soft background, drawn from a seed.

Their sizes are such that frames of one syntax put a square elsewhere: sides are far from 1000 pixels, so that pixels
are no thousandths, and few pictures are square, so that a padded square is not the image. Squares lie all over the
picture, so that a box that does not follow them meets few of them. They have two colours of `giqa-tiny`, which the
small model of `giqa demo` knows.
"""

import io
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from giqa_datasets.boxes import Boxes
from giqa_datasets.formats import Size
from giqa_datasets.sources import tiny


COLOURS = {name: tiny.COLOURS[name] for name in ("green", "magenta")}
SIZES: tuple[Size, ...] = ((640, 400), (320, 640), (448, 448), (720, 360), (400, 600))
SIDES = (0.3, 0.5)  # of a square, as a share of the picture's shorter side
MARGIN = 0.03  # between a square and the picture's edge, as a share of the picture's shorter side
OCTAVES = (3, 6, 12)  # cells a side of the noise that the background is made of
CONTRAST = 50  # levels that one octave spreads over, and a quarter of that in each channel by itself


class SquarePicture(NamedTuple):
    """A picture with one square.

    Attributes:
        image: The PNG file.
        size: Width and height in pixels.
        colour: The square's, by name.
        box: The square's corners, normalised xyxy, shape (4,).
    """

    image: bytes
    size: Size
    colour: str
    box: Boxes


def draw_pictures(count: int, seed: int) -> list[SquarePicture]:
    """Draw pictures; sizes and colours take turns, a smaller count gives the first of them.

    Example:
        >>> picture = draw_pictures(2, seed=0)[1]
        >>> picture.size, picture.colour
        ((320, 640), 'magenta')
    """
    rng = np.random.default_rng(seed)
    names = list(COLOURS)
    return [_draw(SIZES[number % len(SIZES)], names[number % len(names)], rng) for number in range(count)]


def _draw(size: Size, colour: str, rng: np.random.Generator) -> SquarePicture:
    """Draw one picture."""
    short = min(size)
    side = round(rng.uniform(*SIDES) * short)
    left, top = (round(rng.uniform(MARGIN * short, length - side - MARGIN * short)) for length in size)
    image = Image.fromarray(_background(size, rng))
    image.paste(COLOURS[colour], (left, top, left + side, top + side))
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return SquarePicture(
        file.getvalue(), size, colour, np.array([left, top, left + side, top + side]) / np.tile(size, 2)
    )


def _background(size: Size, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw clouds around one colour, shape (H, W, 3)."""
    pixels = np.full((size[1], size[0], 3), rng.uniform(90, 165, 3))
    for cells in OCTAVES:
        noise = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        waves = (np.asarray(noise.resize(size, Image.Resampling.BICUBIC)) / 255 - 0.5) * CONTRAST
        pixels += waves.mean(axis=-1, keepdims=True) + waves / 4
    return pixels.clip(0, 255).astype(np.uint8)
