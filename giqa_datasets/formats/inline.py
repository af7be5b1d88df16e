"""Boxes in square brackets after the words that they belong to: `the old tower [120, 40, 310, 990] is sharp`.

Ferret, Shikra, GroundingGPT and LLaVA write them so, and none marks where a name begins: see `labels.py`. Brackets
that follow each other, at most a comma between them, are boxes of one name. The plain text lacks the brackets and the
one space before them.

A bracket is meant as a box if it begins with a number and holds a separator, or if the text ends inside it: `[2019]`
and `[label]` are text.
"""

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from giqa_datasets.formats.frames import (
    ANY_SIZES,
    NUMBER,
    PER_MILLE,
    UNIT,
    UNKNOWN,
    Frame,
    Sizes,
    numbers_of,
    padded_square,
)
from giqa_datasets.formats.labels import name_before
from giqa_datasets.formats.spans import JOINT, Found, Named, Span, grounded, trimmed
from giqa_datasets.formats.written import END, Split, Written, boxes_pattern, texts_of
from giqa_datasets.regions import Region
from giqa_datasets.text import Tokens, fill


class Style(NamedTuple):
    """How one model writes boxes in brackets.

    Attributes:
        frame: What the numbers refer to.
        digits: Decimals of a number.
        lead: What stands between a name and its bracket.
        comma: What stands between two numbers.
        between: What stands between two boxes of a name; with ";" they share a bracket.
    """

    frame: Callable[[Sizes], Frame]
    digits: int
    lead: str
    comma: str
    between: str


# `tower [120, 40, 310, 990]`, `dogs[0.100,0.250,0.500,0.750;0.600,0.250,0.900,0.750]`, `dogs[0.100, 0.250, ...][...]`
# and `tower [0.50, 0.25, 1.00, 0.50]`. GroundingGPT writes decimals of any length; the three written here are ours.
STYLES = {
    "ferret": Style(lambda sizes: PER_MILLE, digits=0, lead=" ", comma=", ", between="] ["),
    "shikra": Style(partial(padded_square, "shikra"), digits=3, lead="", comma=",", between=";"),
    "groundinggpt": Style(partial(padded_square, "groundinggpt"), digits=3, lead="", comma=", ", between="]["),
    "llava": Style(partial(padded_square, "llava"), digits=2, lead=" ", comma=", ", between="] ["),
}

_NUMBERS = r"(?:[-+.,;0-9e\s]|nan|inf(?:inity)?+)*+"
# A bracket by what it holds. No try goes past the second bracket that opens, so that time stays linear.
_BRACKET = re.compile(
    rf"\[(?=\s*+(?:\[\s*+)?+(?:{NUMBER}|\Z))(?:"
    r"(?P<closed>[^\[\],;]*+[,;][^\[\]]*+)\]"
    r"|(?P<nested>(?:[^\[\]]*+\[[^\[\]]*+\])++[^\[\]]*+\])"
    rf"|(?P<cut>(?:\s*+\[{_NUMBERS}\]?+|{_NUMBERS})\s*+\Z)"
    r"|(?P<open>[-+.0-9\s]*+[,;][-+.,;0-9\s]*(?<![\s.,;])))",
    re.IGNORECASE,
)
_PART = re.compile(r"[^;]+")


def tokens(text: str, sizes: Sizes = UNKNOWN, *, style: Style) -> Tokens:
    """Read text in a style. Never raises because of the text.

    Raises:
        ValueError: If the style's frame needs a size that is not known.

    Example:
        >>> sizes = Sizes(image=(400, 200))
        >>> found = tokens("The tower [0.50, 0.25, 1.00, 0.50] is sharp.", sizes, style=STYLES["llava"])
        >>> found.phrases[0][0], found.boxes
        ('tower', [(0.5, 0.0, 1.0, 0.5)])
    """
    return _tokens(text, style, style.frame(sizes))


def hint(style: Style) -> str:
    """Show how an object is written, its corners by their names."""
    return f"label{style.lead}[{style.comma.join(style.frame(ANY_SIZES).corner_names)}]"


def strip(text: str, *, style: Style) -> str:
    """Give the plain text alone, which does not depend on the frame."""
    return _tokens(text, style, UNIT).plain


def write(plain: str, regions: Iterable[Region], sizes: Sizes = UNKNOWN, *, style: Style) -> str:
    """Write regions in a style.

    Raises:
        ValueError: See `fill`; or if the style's frame needs a size that is not known. A phrase is refused if it ends
            in punctuation or a closed-class word, after which no name would be read.
    """
    frame = style.frame(sizes)

    def phrase_with_boxes(region: Region) -> str:
        boxes = map(style.comma.join, frame.write(region.boxes, digits=style.digits))
        return f"{region.phrase}{style.lead}[{style.between.join(boxes)}]"

    return fill(plain, map(trimmed, regions), phrase_with_boxes, lambda text: _tokens(text, style, frame))


def split_of(style: Style) -> Split:
    """Make what splits many texts in a style."""
    box = style.comma.join(["{}"] * 4)
    pattern = re.compile(rf"{style.lead or ' ?+'}\[({boxes_pattern(box, style.between)})\]")

    def split(joined: str) -> Written:
        pieces = pattern.split(joined)
        prose, boxes = pieces[::2], pieces[1::2]
        names, left = [], []
        for before, its_boxes in zip(prose, boxes, strict=False):
            begin = before.rfind(END) + 1
            name = name_before(before, begin, len(before))
            is_joint = not begin and JOINT.fullmatch(before)
            left.append(f"{before}[{its_boxes}]" if is_joint or isinstance(name, str) else before)
            names.append("" if isinstance(name, str) else before[slice(*name)])
        return Written("".join([*left, prose[-1]]).split(END)[1:], texts_of(prose[:-1]), names, boxes)

    return split


def _tokens(text: str, style: Style, frame: Frame) -> Tokens:
    """Read text whose numbers refer to a frame."""
    drops: list[Span] = []
    named: list[Named] = []
    last = 0  # end of the bracket before
    for bracket in _BRACKET.finditer(text):
        start, end = bracket.span()
        found = _boxes(bracket, style, frame)
        if named and JOINT.fullmatch(text, last, start):
            named[-1].found.extend(found)
            drops.append((last, end))
        else:
            named.append(Named(name_before(text, last, start), found))
            drops.append((start - (text[start - 1 : start] == " "), end))
        last = end
    return grounded(text, drops, named)


def _boxes(bracket: re.Match[str], style: Style, frame: Frame) -> list[Found]:
    """Read the boxes of a bracket."""
    inside = bracket["closed"]
    if inside is None:
        return [Found(bracket.span(), "nested" if bracket["nested"] else "unclosed")]
    if style.between != ";" or ";" not in inside:
        return [Found(bracket.span(), frame.read(numbers_of(inside) or ()))]
    return [
        Found(part.span(), frame.read(numbers_of(part[0]) or ()))
        for part in _PART.finditer(bracket.string, *bracket.span("closed"))
    ]
