"""GIQA's own two box formats: `giqa`, cells of the 20 x 20 grid, and `giqa_decimal`, corners with two decimals.

A format is declared by the user and never guessed: cells in `giqa_decimal` text are malformed, and the other way
round. Neither needs the image's size.
"""

from collections.abc import Iterable

from giqa_datasets.formats.frames import UNKNOWN, Sizes
from giqa_datasets.regions import Region
from giqa_datasets.text import Form, Tokens, render, tokenize


_CELLS: frozenset[Form] = frozenset(["cells"])
_DECIMALS: frozenset[Form] = frozenset(["decimals"])


def tokens(text: str, sizes: Sizes = UNKNOWN) -> Tokens:
    """Read cells.

    Example:
        >>> [name for name, _, _ in tokens("[dog](<142, 309>) [cat](<0.1, 0.1, 0.5, 0.5>)").phrases]
        ['dog']
    """
    return tokenize(text, _CELLS)


def write(plain: str, regions: Iterable[Region], sizes: Sizes = UNKNOWN) -> str:
    """Write cells; see `render`."""
    return render(plain, regions, form="cells")


def tokens_decimal(text: str, sizes: Sizes = UNKNOWN) -> Tokens:
    """Read decimal corners.

    Example:
        >>> [name for name, _, _ in tokens_decimal("[dog](<142, 309>) [cat](<0.1, 0.1, 0.5, 0.5>)").phrases]
        ['cat']
    """
    return tokenize(text, _DECIMALS)


def write_decimal(plain: str, regions: Iterable[Region], sizes: Sizes = UNKNOWN) -> str:
    """Write decimal corners; see `render`."""
    return render(plain, regions, form="decimals")
