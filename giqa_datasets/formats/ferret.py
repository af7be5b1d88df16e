"""Ferret's boxes: `tower [120, 40, 310, 990]`, integers 0-1000 of the original image."""

from collections.abc import Iterable

from giqa_datasets.formats import inline
from giqa_datasets.formats.frames import PER_MILLE, UNKNOWN, Sizes
from giqa_datasets.text import GroundedText, Region


STYLE = inline.Style(lambda sizes: PER_MILLE, digits=0, lead=" ", comma=", ", between="] [")


def read(text: str, sizes: Sizes = UNKNOWN) -> GroundedText:
    """Read text that Ferret wrote; never raises because of it.

    Example:
        >>> (tower,) = read("The tower [100, 200, 300, 400] is sharp.").regions
        >>> tower.phrase, tower.boxes.tolist()
        ('tower', [[0.1, 0.2, 0.3, 0.4]])
    """
    return inline.read(text, STYLE, sizes)


def write(plain: str, regions: Iterable[Region], sizes: Sizes = UNKNOWN) -> str:
    """Write text as Ferret does; see `inline.write` for what is refused."""
    return inline.write(plain, regions, STYLE, sizes)


def strip(text: str) -> str:
    """Give the plain text alone."""
    return inline.strip(text, STYLE)
