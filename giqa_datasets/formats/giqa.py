"""GIQA's own two box formats: `giqa`, cells of the 20 x 20 grid, and `giqa_decimal`, corners with two decimals.

A format is declared by the user and never guessed: cells in `giqa_decimal` text are malformed, and the other way
round. Neither needs the image's size.
"""

from collections.abc import Iterable

from giqa_datasets.formats.frames import UNKNOWN, Sizes
from giqa_datasets.regions import Region
from giqa_datasets.text import GroundedText, parse, render


def read(text: str, sizes: Sizes = UNKNOWN) -> GroundedText:
    """Read cells.

    Example:
        >>> [region.phrase for region in read("[dog](<142, 309>) [cat](<0.1, 0.1, 0.5, 0.5>)").regions]
        ['dog']
    """
    return parse(text, forms=("cells",))


def write(plain: str, regions: Iterable[Region], sizes: Sizes = UNKNOWN) -> str:
    """Write cells; see `render`."""
    return render(plain, regions, form="cells")


def read_decimal(text: str, sizes: Sizes = UNKNOWN) -> GroundedText:
    """Read decimal corners.

    Example:
        >>> [region.phrase for region in read_decimal("[dog](<142, 309>) [cat](<0.1, 0.1, 0.5, 0.5>)").regions]
        ['cat']
    """
    return parse(text, forms=("decimals",))


def write_decimal(plain: str, regions: Iterable[Region], sizes: Sizes = UNKNOWN) -> str:
    """Write decimal corners; see `render`."""
    return render(plain, regions, form="decimals")
