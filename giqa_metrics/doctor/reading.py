"""A model's answer about a picture, read in one box format."""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from giqa_datasets.boxes import Boxes
from giqa_datasets.formats import FORMATS, Sizes, inline
from giqa_datasets.formats.frames import Frame, whole
from giqa_datasets.reply import cut
from giqa_datasets.text import GroundedText, decoded
from giqa_metrics.doctor.squares import SquarePicture


Reader = Callable[[str, Sizes], GroundedText]

# Boxes that stand alone, and what gives them a name: in JSON, markers, tokens or brackets. The first that is there
# says in which of these ways the text is written
_LONE = [
    (re.compile(r'\{(?=\s*"(?:bbox_2d|box_2d|bbox|box)")'), '{"label": "square", '),
    (re.compile(r"(?=<object>)"), "<phrase>square</phrase>"),
    (re.compile(r"(?=<box>)"), "<ref>square</ref>"),
    (re.compile(r"(?=<\|box_start\|>)"), "<|object_ref_start|>square<|object_ref_end|>"),
    (re.compile(r"(?=<\|det\|>)"), "<|ref|>square<|/ref|>"),
    (re.compile(r"(?=<\|begin_of_box\|>)"), " square "),
    (re.compile(r"(?:<loc_?[0-9]+>)+"), r"square\g<0> square "),
    (re.compile(r"(?<!\[)\[(?=\s*[-+.0-9])"), "square ["),
]


def _in_brackets(frame: Callable[[Sizes], Frame]) -> Reader:
    """A reader of four numbers in square brackets."""
    style = inline.Style(frame, digits=2, lead=" ", comma=", ", between="] [")
    return lambda text, sizes: decoded(inline.tokens(text, sizes, style=style))


def _centre_crop(sizes: Sizes) -> Frame:
    """The frame 0-1 of the largest square in the middle, all that many processors show of an image."""
    width, height = sizes.image or (1, 1)
    side = min(width, height)
    right, bottom = ((length / side + 1) / 2 for length in (width, height))
    return Frame((1, 1), (1 - right, 1 - bottom, right, bottom))


# Ways to write boxes that models have and no format here is: they keep a format that is merely near from being taken
FOREIGN: dict[str, Reader] = {
    "[x1, y1, x2, y2] from 0 to 1 of the image": _in_brackets(lambda sizes: whole(1, 1)),
    "[x1, y1, x2, y2] from 0 to 1 of the centre crop": _in_brackets(_centre_crop),
    "[x1, y1, x2, y2] in pixels of the image": _in_brackets(lambda sizes: whole(*sizes.image or (1, 1))),
}


class Reading(NamedTuple):
    """What one format makes of an answer.

    Attributes:
        boxes: Normalised xyxy, shape (N, 4).
        is_named: Whether the boxes have a name, without which `giqa score` counts them as malformed.
        found: All that was read.
    """

    boxes: Boxes
    is_named: bool
    found: GroundedText


def read(name: str, text: str, picture: SquarePicture, input_size: tuple[int, int] | None) -> Reading:
    """Read an answer in a format, or in one of `FOREIGN`. Never raises because of the text.

    Of several phrases those count that name the square, if there are such. A box without a name is read all the same:
    asked where something is, many models answer with the numbers alone.
    """
    reader: Reader = FOREIGN[name] if name in FOREIGN else FORMATS[name].read
    sizes = Sizes(picture.size, input_size)
    text = cut(text).text
    found = reader(text, sizes)
    is_named = True
    if not found.regions and any(wrong.kind == "unnamed" for wrong in found.malformed):
        found, is_named = reader(_with_names(text), sizes), False
    words = (picture.colour, "square", "block")
    named = [region for region in found.regions if any(word in region.phrase.lower() for word in words)]
    boxes = [region.boxes for region in named or found.regions]
    return Reading(np.concatenate([np.zeros((0, 4)), *boxes]), is_named, found)


def is_spelled(name: str, reading: Reading, picture: SquarePicture, input_size: tuple[int, int] | None) -> bool:
    """Whether a format writes what it read exactly as the model did."""
    found = reading.found
    try:
        return FORMATS[name].write(found.plain, found.regions, Sizes(picture.size, input_size)) == found.text
    except ValueError:
        return False


def _with_names(text: str) -> str:
    """Give boxes that stand alone a name.

    Example:
        >>> _with_names("It is at [0.1, 0.2, 0.5, 0.6]."), _with_names('{"bbox_2d": [1, 2, 3, 4]}')
        ('It is at square [0.1, 0.2, 0.5, 0.6].', '{"label": "square", "bbox_2d": [1, 2, 3, 4]}')
    """
    for alone, named in _LONE:
        if alone.search(text):
            return alone.sub(named, text)
    return text
