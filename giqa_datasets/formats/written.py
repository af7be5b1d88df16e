"""Many texts at once, as far as boxes stand in them exactly as a format's `write` puts them.

Reading a text takes five times as long as splitting it. So the joined texts are split at whatever `write` makes of a
phrase, and a text is done if no mark is left in it; any other is read as it stands.
"""

import re
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import NamedTuple

from giqa_datasets.formats.frames import Frame, Sizes


END = "\0"  # stands before every text
NUMBER = r"[0-9]++(?:\.[0-9]++)?+"
_NAME = rf"(?!\s)[^<>\[\](){{}}&{END}]++(?<!\s)"


class Written(NamedTuple):
    """What was split off T texts.

    Attributes:
        plain: What is left of each text; markup in it says that the text is written otherwise.
        text: Rising, which of the texts each phrase stands in.
        names: Of each phrase.
        boxes: Of each phrase, as they are written: four numbers a box.
    """

    plain: list[str]
    text: list[int]
    names: list[str]
    boxes: list[str]


Split = Callable[[str], Written]
"""Splits texts, an `END` before each of them."""
Bulk = tuple[Split, Callable[[Sizes], Frame]]
"""Splits many texts; and what the numbers refer to, which raises ValueError where a size that it needs is missing."""


def boxes_pattern(box: str, between: str) -> str:
    """Give the pattern of boxes, `box` with `{}` for its numbers, and `between` between two of them."""
    one = NUMBER.join(map(re.escape, box.split("{}")))
    return rf"{one}(?:{re.escape(between)}{one})*+"


def named_split(phrase: str, box: str, between: str) -> Split:
    r"""Split off phrases whose names stand in the markup, as in `<ref>{}</ref><box>{}</box>`.

    Example:
        >>> named_split("[{}]({})", "<{}, {}, {}, {}>", ", ")("\0A [cup](<0.10, 0.10, 0.50, 0.50>).\0None.")
        Written(plain=['A cup.', 'None.'], text=[0], names=['cup'], boxes=['<0.10, 0.10, 0.50, 0.50>'])
    """
    begin, middle, end = map(re.escape, phrase.split("{}"))
    pattern = re.compile(f"{begin}({_NAME}){middle}({boxes_pattern(box, between)}){end}")

    def split(joined: str) -> Written:
        pieces = pattern.split(joined)
        text, names, boxes = texts_of(pieces[:-1:3]), pieces[1::3], pieces[2::3]
        pieces[2::3] = [""] * len(boxes)
        return Written("".join(pieces).split(END)[1:], text, names, boxes)

    return split


def texts_of(pieces: Iterable[str]) -> list[int]:
    """Which text each of the pieces ends in."""
    return [ends - 1 for ends in accumulate(piece.count(END) for piece in pieces)]
