"""Grounded phrases: their places in a text, and their form as JSON and in the rows of a data set.

Boxes are normalised xyxy of the original image, before the grid.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from giqa_datasets.boxes import Boxes
from giqa_datasets.errors import InputError
from giqa_datasets.word_borders import is_border


Box = tuple[float, float, float, float]
Role = Literal["question", "answer"]
ROLES: tuple[Role, ...] = ("question", "answer")


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A phrase and its boxes.

    Attributes:
        phrase: The object's name as it stands in the sentence.
        span: Start and end of the phrase in the plain text.
        boxes: Shape (N, 4), N >= 1, normalised xyxy of the original image.
    """

    phrase: str
    span: tuple[int, int]
    boxes: Boxes


def in_order(plain: str, regions: Iterable[Region]) -> list[Region]:
    """Return regions in reading order, after a check that they fit their text and do not overlap.

    Raises:
        ValueError: If a region's phrase is not the text at its span, is blank or has no box, or two spans overlap.
    """
    ordered = sorted(regions, key=lambda region: region.span)
    last = 0
    for region in ordered:
        start, end = region.span
        if start < last:
            raise InputError(f"phrase {region.phrase!r} overlaps the one before it in {plain!r}")
        if plain[start:end] != region.phrase or not region.phrase.strip():
            raise InputError(
                f"expected phrase {region.phrase!r} at {region.span} of {plain!r}, got {plain[start:end]!r}"
            )
        if len(region.boxes) == 0:
            raise InputError(f"phrase {region.phrase!r} has no box")
        last = end
    return ordered


def locate(plain: str, phrases: Iterable[tuple[str, Boxes]]) -> tuple[Region, ...]:
    """Find phrases in a text: each takes its first occurrence of whole words that no phrase before it took.

    Where words may begin and end depends on the script, see `giqa_datasets.word_borders.is_border`.

    Raises:
        ValueError: If a phrase has no occurrence left.

    Example:
        >>> [region.span for region in locate("a cat and a cat", [("cat", np.eye(1, 4)), ("cat", np.eye(1, 4))])]
        [(2, 5), (12, 15)]
    """
    taken = bytearray(len(plain))
    regions: list[Region] = []
    for phrase, boxes in phrases:
        span = take(plain, phrase, taken)
        if span is None:
            raise InputError(f"phrase {phrase!r} does not stand (any more) in {plain!r}")
        regions.append(Region(phrase, span, boxes))
    return tuple(regions)


def take(plain: str, phrase: str, taken: bytearray) -> tuple[int, int] | None:
    """Find the first occurrence of a phrase, of whole words, that is free, and mark it; None if there is none left.

    `taken` has one byte for each character of the text, 1 if it is taken, and is changed in place.
    """
    start = plain.find(phrase)
    while start >= 0:
        end = start + len(phrase)
        if taken.find(1, start, end) < 0 and is_border(plain, start) and is_border(plain, end):
            taken[start:end] = bytes([1]) * len(phrase)
            return start, end
        start = plain.find(phrase, start + 1)
    return None


class _RegionLine(Protocol):
    @property
    def phrase(self) -> str: ...

    @property
    def span(self) -> tuple[int, int]: ...

    @property
    def boxes(self) -> Iterable[Box]: ...


def region_to_row(region: Region, role: Role) -> dict[str, Any]:
    """Return a region as the column `regions` has it: boxes in float32, and no span, which the text gives."""
    return {"phrase": region.phrase, "role": role, "boxes": region.boxes.astype(np.float32).tolist()}


def regions_of(lines: Iterable[_RegionLine]) -> tuple[Region, ...]:
    """Return regions that were read, with boxes of shape (N, 4)."""
    return tuple(Region(line.phrase, line.span, np.array(line.boxes).reshape(-1, 4)) for line in lines)
