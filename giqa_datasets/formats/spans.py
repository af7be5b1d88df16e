"""From spans of a text as given to spans of its plain text.

A format's reader says in the text's own spans what to drop, where the names stand and which boxes are theirs; here
that becomes `Tokens`, so that no reader counts characters itself.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from giqa_datasets.formats.frames import Corners
from giqa_datasets.regions import Region
from giqa_datasets.text import Kind, Malformed, Tokens


Span = tuple[int, int]

JOINT = re.compile(r"\s*+,?+\s*+")
"""Pattern of what may stand between two lists of boxes of one name."""


class Found(NamedTuple):
    """A box where it stands in the text, or what is wrong with it."""

    span: Span
    box: Corners | Kind


class Named(NamedTuple):
    """Boxes, and the span of their name in the text; or why they have none."""

    name: Span | Kind
    found: list[Found]


def grounded(text: str, drops: Sequence[Span], named: Sequence[Named]) -> Tokens:
    """Read a text of which it is known what is markup and which boxes have which name.

    White space around a name is not part of the phrase. A box of its own fault is listed with it, a good box without a
    name with the reason for that.

    Args:
        text: As given.
        drops: Spans that the plain text lacks, in reading order.
        named: Boxes with their names, in reading order; no name reaches into a drop.

    Example:
        >>> found = Found((9, 12), (0.0, 0.0, 0.5, 0.5))
        >>> grounded("The tower[ ] stands.", [(9, 12)], [Named((4, 9), [found])]).phrases
        [('tower', (4, 9), slice(0, 1, None))]
    """
    starts = [start for start, _ in drops]
    ends = [0, *(end for _, end in drops)]
    plain = "".join([text[start:end] for start, end in zip(ends, [*starts, len(text)], strict=True)])
    gone = [0, *accumulate(end - start for start, end in drops)]
    phrases: list[tuple[str, Span, slice]] = []
    boxes: list[Corners] = []
    malformed: list[Malformed] = []
    for name, found in named:
        start, end = (0, 0) if isinstance(name, str) else _trimmed(text, *name)
        reason: Kind | None = None if start < end else name if isinstance(name, str) else "unnamed"
        first = len(boxes)
        good, wrong = sort_out(found, reason)
        boxes += good
        malformed += wrong
        if good:
            before = gone[bisect_left(starts, start)]
            phrases.append((text[start:end], (start - before, end - before), slice(first, len(boxes))))
    return Tokens(text, plain, phrases, boxes, tuple(malformed), tuple(drops))


def sort_out(found: Sequence[Found], reason: Kind | None) -> tuple[list[Corners], list[Malformed]]:
    """Part good boxes from malformed ones; where there is a reason to refuse all of them, none is good."""
    boxes: list[Corners] = []
    malformed: list[Malformed] = []
    for span, box in found:
        if isinstance(box, str) or reason:
            malformed.append(Malformed(span, box if isinstance(box, str) else reason or "unnamed"))
        else:
            boxes.append(box)
    return boxes, malformed


def trimmed(region: Region) -> Region:
    """Leave out the white space around a phrase, as a reader does.

    Example:
        >>> import numpy as np
        >>> trimmed(Region(" tower", (3, 9), np.eye(1, 4))).span
        (4, 9)
    """
    start, end = _trimmed(region.phrase, 0, len(region.phrase))
    return Region(region.phrase[start:end], (region.span[0] + start, region.span[0] + end), region.boxes)


def _trimmed(text: str, start: int, end: int) -> Span:
    """Leave out the white space around a span; (start, start) if there is nothing else."""
    name = text[start:end].strip()
    first = text.find(name, start)
    return first, first + len(name)
