"""Box formats by the name a user types: how a model writes its boxes, one file per format."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from giqa_datasets.formats import giqa
from giqa_datasets.text import GroundedText, Region


class Format(NamedTuple):
    """Both directions of one box format."""

    read: Callable[[str], GroundedText]
    write: Callable[[str, Iterable[Region]], str]


FORMATS = {
    "giqa": Format(giqa.read, giqa.write),
    "giqa_decimal": Format(giqa.read_decimal, giqa.write_decimal),
}


def box_format(name: str) -> Format:
    """Look a format up.

    Raises:
        ValueError: If there is none of that name.
    """
    if name not in FORMATS:
        raise ValueError(f"expected a box format out of {sorted(FORMATS)}, got {name!r}")
    return FORMATS[name]
