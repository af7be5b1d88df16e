"""Shikra's boxes: `dogs[0.100,0.250,0.500,0.750;0.600,0.250,0.900,0.750]`, three decimals of the padded square."""

from collections.abc import Iterable
from functools import partial

from giqa_datasets.formats import inline
from giqa_datasets.formats.frames import UNKNOWN, Sizes, padded_square
from giqa_datasets.text import GroundedText, Region


STYLE = inline.Style(partial(padded_square, "shikra"), digits=3, lead="", comma=",", between=";")


def read(text: str, sizes: Sizes = UNKNOWN) -> GroundedText:
    """Read text that Shikra wrote; never raises because of it.

    Raises:
        ValueError: If the image's size is not known.

    Example:
        >>> (tower,) = read("The tower[0.500,0.250,1.000,0.500] is sharp.", Sizes(image=(400, 200))).regions
        >>> tower.phrase, tower.boxes.tolist()
        ('tower', [[0.5, 0.0, 1.0, 0.5]])
    """
    return inline.read(text, STYLE, sizes)


def write(plain: str, regions: Iterable[Region], sizes: Sizes = UNKNOWN) -> str:
    """Write text as Shikra does; see `inline.write` for what is refused."""
    return inline.write(plain, regions, STYLE, sizes)


def strip(text: str) -> str:
    """Give the plain text alone."""
    return inline.strip(text, STYLE)
