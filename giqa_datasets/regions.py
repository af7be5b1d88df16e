"""Grounded phrases as JSON and the rows of a data set have them, and back; boxes are normalised xyxy off the grid."""

from collections.abc import Iterable
from typing import Any, Literal, Protocol

import numpy as np

from giqa_datasets.text import Region


Box = tuple[float, float, float, float]
Role = Literal["question", "answer"]
ROLES: tuple[Role, ...] = ("question", "answer")


class _RegionLine(Protocol):
    """A region that was read and validated."""

    @property
    def phrase(self) -> str: ...

    @property
    def span(self) -> tuple[int, int]: ...

    @property
    def boxes(self) -> Iterable[Box]: ...


def region_to_json(region: Region) -> dict[str, Any]:
    """Phrase, span and boxes, these exact.

    Example:
        >>> region_to_json(Region("tower", (4, 9), np.array([[0.1, 0, 0.3, 1]])))
        {'phrase': 'tower', 'span': (4, 9), 'boxes': [[0.1, 0.0, 0.3, 1.0]]}
    """
    return {"phrase": region.phrase, "span": region.span, "boxes": region.boxes.tolist()}


def region_to_row(region: Region, role: Role) -> dict[str, Any]:
    """What the column `regions` has of it: its boxes in float32, and no span, which the text tells."""
    return {"phrase": region.phrase, "role": role, "boxes": region.boxes.astype(np.float32).tolist()}


def regions_of(lines: Iterable[_RegionLine]) -> tuple[Region, ...]:
    """The regions that were read, boxes of shape (N, 4)."""
    return tuple(Region(line.phrase, line.span, np.array(line.boxes).reshape(-1, 4)) for line in lines)
