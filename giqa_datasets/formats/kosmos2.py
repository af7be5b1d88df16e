"""Kosmos-2's boxes: `<phrase>dogs</phrase><object><patch_index_0044><patch_index_0863></object>`.

Two cells of a 32 x 32 grid, coded as ours (`grid.py`, whose rules are Kosmos-2's); further boxes follow after
`</delimiter_of_multi_objects/>`. The `<grounding>` that prompts the model is not part of the plain text.
"""

import re
from collections.abc import Iterable

import numpy as np

from giqa_datasets.formats import tagged
from giqa_datasets.formats.frames import UNKNOWN, Corners, Sizes
from giqa_datasets.formats.spans import Found, trimmed
from giqa_datasets.grid import boxes_to_cells, cells_to_boxes, is_rectangle
from giqa_datasets.regions import Region
from giqa_datasets.text import GroundedText, Kind, fill


SIDE = 32  # cells a side
_AND = "</delimiter_of_multi_objects/>"
_MARKUP = tagged.markup(
    "phrase",
    "object",
    piece=rf"<patch_index_[0-9]*+>|{_AND}",
    loose="<patch_index_[0-9]++>",
    noise=r"(?:\A</?s>)?+<grounding>\s?+",
)
_PAIR = re.compile(r"\s*+<patch_index_([0-9]++)>\s*+<patch_index_([0-9]++)>\s*+")
_PIECE = re.compile(rf"(?:{_AND})?+((?:(?!{_AND})[\s\S])*+)")


def read(text: str, sizes: Sizes = UNKNOWN) -> GroundedText:
    """Read text that Kosmos-2 wrote. Never raises.

    Example:
        >>> box = "<object><patch_index_0044><patch_index_0863></object>"
        >>> (snowman,) = read(f"<grounding> An image of<phrase> a snowman</phrase>{box} warming himself.").regions
        >>> snowman.phrase, snowman.span, snowman.boxes.tolist()
        ('a snowman', (12, 21), [[0.390625, 0.046875, 0.984375, 0.828125]])
    """
    return tagged.read(text, _MARKUP, _read_boxes)


def write(plain: str, regions: Iterable[Region], sizes: Sizes = UNKNOWN) -> str:
    """Write text as Kosmos-2 does, without `<grounding>`; see `fill` for what is refused."""
    return fill(plain, map(trimmed, regions), _phrase_with_boxes, read)


def _phrase_with_boxes(region: Region) -> str:
    """Write one phrase."""
    cells = boxes_to_cells(region.boxes, side=SIDE).tolist()
    boxes = dict.fromkeys(f"<patch_index_{first:04}><patch_index_{last:04}>" for first, last in cells)
    return f"<phrase>{region.phrase}</phrase><object>{_AND.join(boxes)}</object>"


def _read_boxes(token: re.Match[str]) -> list[Found]:
    """Read pairs of cells."""
    if "<patch_index_" not in token["boxes"]:
        return [Found(token.span(), "syntax")]
    pieces = _PIECE.finditer(token.string, *token.span("boxes"))
    return [Found(piece.span(1), _read_pair(piece[1])) for piece in pieces if piece[1].strip()]


def _read_pair(piece: str) -> Corners | Kind:
    """Read one pair of cells."""
    pair = _PAIR.fullmatch(piece)
    if pair is None:
        return "not_a_box"
    # four digits hold 0-1023, and int() refuses thousands of them
    if any(len(cell) > 4 or int(cell) >= SIDE * SIDE for cell in pair.groups()):
        return "out_of_range"
    first, last = int(pair[1]), int(pair[2])
    if not is_rectangle(first, last, side=SIDE):
        return "reversed"
    x1, y1, x2, y2 = cells_to_boxes(np.array([[first, last]]), side=SIDE)[0].tolist()
    return x1, y1, x2, y2
