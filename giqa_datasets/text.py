"""Grounded text: `The [candles](<33, 354>, <22, 324>) are sharp` to phrases with boxes, and back (protocol section 1).

Parsing is total: any string gives a `GroundedText`, and whatever looks like a box but is none is listed in
`malformed`. A box is written as two cells, `<a, b>`, or in the paper's second form as four decimals, `<x1, y1, x2,
y2>`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain
from typing import Literal, NamedTuple

import numpy as np

from giqa_datasets.boxes import Boxes, rounded
from giqa_datasets.errors import InputError
from giqa_datasets.grid import SIDE, box_to_cells, cells_to_boxes, is_rectangle
from giqa_datasets.regions import Region, in_order


PLACEHOLDER = "[label](<x, y>)"  # of the hint in the paper's questions: an instruction, no region

Form = Literal["cells", "decimals"]
FORMS: tuple[Form, ...] = ("cells", "decimals")

Kind = Literal["not_a_box", "out_of_range", "reversed", "syntax", "unclosed", "unnamed", "nested", "foreign"]
"""What is wrong with a malformed box, in GIQA text and (after the dash) in the other box formats:

- `not_a_box`: between the angle brackets stand neither two cells nor four decimals, or a form that was not declared -
  a wrong count of numbers, or no numbers;
- `out_of_range`: a cell outside 0-399, or a decimal outside 0-1 - a number outside the format's frame, infinite or
  none, or a box that lies in the padding alone;
- `reversed`: the second corner is left of or above the first, or a decimal box has no area;
- `syntax`: the parentheses close, but what they hold is no list of boxes: `[dog](35, 319)` - or the JSON is broken;
- `unclosed`: half-written, as when generation stopped early: `[dog](<35, 3`;
- `unnamed`: a box without a phrase;
- `nested`: brackets inside the phrase - or inside the box;
- `foreign`: a box in the form of another family of models (`reply.py`).
"""


@dataclass(frozen=True, slots=True)
class Malformed:
    """Something that was meant as a box and is none; `span` is its start and end in the text as given."""

    span: tuple[int, int]
    kind: Kind


@dataclass(frozen=True, slots=True, eq=False)
class GroundedText:
    """What `parse` reads.

    Attributes:
        text: As given.
        plain: The text without markup.
        regions: In reading order.
        malformed: In reading order.
        markup: Spans of `text` that `plain` lacks, in reading order.
    """

    text: str
    plain: str
    regions: tuple[Region, ...]
    malformed: tuple[Malformed, ...]
    markup: tuple[tuple[int, int], ...] = ()


# Alternatives in the order they are tried. The placeholder stands in the paper's questions as an instruction: it is
# text. No repetition is over a class that its follower can match, so that time stays linear. Every alternative begins
# with a literal: `re` then skips ordinary text ten times faster.
_TOKEN = re.compile(
    r"\[(?:(?P<placeholder>label\]\(<x, y>\))"
    r"|(?P<name>[^\[\]]*)\]\("
    r"(?:\s*(?P<boxes><[^<>()\[\]]*>(?:\s*,\s*<[^<>()\[\]]*>)*)\s*\)"
    r"|(?P<broken>\s*<[-<>,;.0-9\s]*\)|\s*<[-<>,;.0-9\s]*(?<![\s.,;])|\s*-?[0-9][-<>,;.0-9\s]*\)|\s*\Z)))"
    r"|\(\s*<(?=[-.,\s]*[0-9])[-0-9.,\s]*>(?:\s*\))?"
    r"|<(?=[-.,\s]*[0-9])[-0-9.,\s]*>(?:\s*\))?"
)
_MARK = re.compile(r"[\[\]<>]")
SHORT = 30  # characters of a box that is kept as it was read
_BOX = re.compile(r"<([^<>]*)>")
_CELLS = re.compile(r"\s*(-?[0-9]+)\s*,\s*(-?[0-9]+)\s*")
_DECIMAL = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")


def parse(text: str, *, forms: Iterable[Form] = FORMS) -> GroundedText:
    """Read grounded text. Never raises, whatever the string.

    A phrase with good and bad boxes keeps the good ones; each bad one is listed. The plain text keeps the names and
    nothing of the markup. White space inside the parentheses is free.

    Args:
        text: Any string, a model's reply for one.
        forms: The box forms to accept; a box in another form is malformed.

    Example:
        >>> grounded = parse("The [tower](<35, 319>) is sharp, the [dog](<9, 3>) is not.")
        >>> grounded.plain
        'The tower is sharp, the dog is not.'
        >>> grounded.regions[0].phrase, grounded.regions[0].boxes.tolist()
        ('tower', [[0.775, 0.075, 0.975, 0.775]])
        >>> grounded.malformed
        (Malformed(span=(43, 49), kind='reversed'),)
    """
    return decoded(tokenize(text, frozenset(forms)))


class Tokens(NamedTuple):
    """What stands in a text, its boxes not yet in an array: `text_scan` makes one of the boxes of many texts.

    Attributes:
        text: As given.
        plain: The text without markup.
        phrases: Name, span in the plain text, and which of the boxes are its.
        boxes: Two cells each, or normalised xyxy.
        malformed: What was meant as a box and is none.
        markup: Spans of the text that the plain text lacks.
    """

    text: str
    plain: str
    phrases: list[tuple[str, tuple[int, int], slice]]
    boxes: Sequence[tuple[float, ...]]
    malformed: tuple[Malformed, ...]
    markup: tuple[tuple[int, int], ...]


def decoded(tokens: Tokens) -> GroundedText:
    """Make arrays of the boxes."""
    xyxy = decode_boxes(tokens.boxes)  # one array for the text: an array for each phrase costs more than the rest
    regions = tuple([Region(name, span, xyxy[of_phrase]) for name, span, of_phrase in tokens.phrases])
    return GroundedText(tokens.text, tokens.plain, regions, tokens.malformed, tokens.markup)


def tokenize(text: str, forms: frozenset[Form]) -> Tokens:
    """Split a text into names and boxes."""
    plain: list[str] = []
    length = 0  # of the plain text so far
    last = 0  # end of the previous token in the text
    boxes: list[tuple[float, ...]] = []
    phrases: list[tuple[str, tuple[int, int], slice]] = []
    malformed: list[Malformed] = []
    markup: list[tuple[int, int]] = []
    for token in _TOKEN.finditer(text):
        placeholder, name, its_boxes, broken = token.groups()
        if placeholder is not None:
            continue
        begin, end = token.span()
        name = name or ""
        plain += [text[last:begin], name]
        markup += [(begin, begin + 1), (begin + 1 + len(name), end)] if name else [(begin, end)]
        start = length + begin - last
        length = start + len(name)
        last = end
        if its_boxes is None or not name.strip():
            malformed.append(Malformed((begin, end), _broken_kind(text, begin, broken)))
            continue
        first = len(boxes)
        read = [
            (_known_box if len(inside) < SHORT else _read_box)(inside, forms) for inside in _BOX.findall(its_boxes)
        ]
        boxes += [box for box in read if not isinstance(box, str)]
        if len(boxes) > first:
            phrases.append((name, (start, length), slice(first, len(boxes))))
        if len(boxes) - first < len(read):
            spans = [box.span() for box in _BOX.finditer(text, *token.span("boxes"))]
            malformed += [Malformed(span, box) for span, box in zip(spans, read, strict=True) if isinstance(box, str)]
    plain.append(text[last:])
    return Tokens(text, "".join(plain), phrases, boxes, tuple(malformed), tuple(markup))


def strip(text: str) -> str:
    """Grounded text without brackets and boxes; the names stay.

    Example:
        >>> strip("The [candles](<33, 354>, <22, 324>) are sharp.")
        'The candles are sharp.'
    """
    return parse(text).plain


def render(plain: str, regions: Iterable[Region], *, form: Form = "cells") -> str:
    """Write regions into plain text, in the canonical form: boxes in the order given, each once.

    Args:
        plain: The text without markup.
        regions: In any order; their spans must not overlap.
        form: `cells` puts the boxes on the grid; `decimals` writes corners with two decimals, widened where they would
            round to no area.

    Raises:
        ValueError: If the plain text already holds markup, so that it would not be read back, a region's phrase is not
            what stands at its span, is blank, holds a bracket or has no box, or two spans overlap.

    Example:
        >>> region = Region("tower", (4, 9), np.array([[0.75, 0.05, 1.0, 0.8]]))
        >>> render("The tower is sharp.", [region]), render("The tower is sharp.", [region], form="decimals")
        ('The [tower](<35, 319>) is sharp.', 'The [tower](<0.75, 0.05, 1.00, 0.80>) is sharp.')
    """

    def phrase_with_boxes(region: Region) -> str:
        if "[" in region.phrase or "]" in region.phrase:
            raise InputError(f"phrase {region.phrase!r} holds a bracket")
        return f"[{region.phrase}]({', '.join(dict.fromkeys(_write_boxes(region.boxes, form)))})"

    # Where no mark stands in the plain text, all marks are ours, and they are read back as they are written
    return fill(plain, regions, phrase_with_boxes, _tokenize_any if _MARK.search(plain) else None)


def is_groundable(plain: str, regions: Sequence[Region]) -> bool:
    """Whether `render` would write the regions into the text; faster than trying."""
    try:
        if _MARK.search(plain):
            render(plain, regions)
        else:
            in_order(plain, regions)
    except ValueError:
        return False
    return True


def fill(
    plain: str,
    regions: Iterable[Region],
    write: Callable[[Region], str],
    read: Callable[[str], Tokens] | None,
) -> str:
    """Put what `write` makes of each region in the place of its phrase; `read` must read it back. For box formats.

    Without `read`, the caller knows that it would.

    Raises:
        ValueError: See `in_order`; or if the plain text or a phrase is such that another text or other ends of the
            phrases would be read back.
    """
    ordered = in_order(plain, regions)
    ends = [region.span[1] for region in ordered]
    between = [plain[start : region.span[0]] for start, region in zip([0, *ends[:-1]], ordered, strict=False)]
    pieces = [piece for before, region in zip(between, ordered, strict=True) for piece in (before, write(region))]
    text = "".join([*pieces, plain[ends[-1] if ends else 0 :]])
    return text if read is None else read_back(text, plain, ordered, read)


def read_back(text: str, plain: str, regions: Sequence[Region], read: Callable[[str], Tokens]) -> str:
    """Give the text back if it reads as what was written.

    Raises:
        ValueError: If another plain text is read, or phrases that end elsewhere.
    """
    back = read(text)
    if back.plain != plain or [end for _, (_, end), _ in back.phrases] != [region.span[1] for region in regions]:
        raise InputError(f"expected text without boxes, and phrases that are read as they are written, got {plain!r}")
    return text


def fault_of_box(x1: float, y1: float, x2: float, y2: float, *, wh: tuple[float, float] = (1, 1)) -> Kind | None:
    """Say what keeps four numbers from being a box in a frame from 0 to `wh`; None if nothing does.

    Example:
        >>> fault_of_box(0.1, 0.1, 0.5, 0.5), fault_of_box(0.5, 0.1, 0.1, 0.5), fault_of_box(0, 0, 1, float("nan"))
        (None, 'reversed', 'out_of_range')
    """
    if not (0 <= x1 <= wh[0] and 0 <= x2 <= wh[0] and 0 <= y1 <= wh[1] and 0 <= y2 <= wh[1]):
        return "out_of_range"
    return None if x1 < x2 and y1 < y2 else "reversed"


def _broken_kind(text: str, begin: int, broken: str | None) -> Kind:
    """Name what is wrong with a token that is no phrase with a list of boxes."""
    if broken is not None:
        return "syntax" if broken.endswith(")") else "unclosed"
    return "nested" if begin and text[begin - 1] == "]" else "unnamed"


def _tokenize_any(text: str) -> Tokens:
    return tokenize(text, frozenset(FORMS))


def decode_boxes(boxes: Iterable[tuple[float, ...]]) -> Boxes:
    """Turn boxes of either form to corners, shape (N, 4)."""
    corners = chain.from_iterable([_corners(box) if len(box) == 2 else box for box in boxes])
    return np.fromiter(corners, np.float64).reshape(-1, 4)


@cache
def _corners(cells: tuple[float, ...]) -> tuple[float, ...]:
    """Decode one of the grid's 44,100 boxes; the arrays of a text's few boxes would cost more than its reading."""
    return tuple(cells_to_boxes(np.array(cells, dtype=np.int64))[0].tolist())


def _read_box(inside: str, forms: frozenset[Form]) -> tuple[float, ...] | Kind:
    """Read what stands between two angle brackets: two cells, four decimals, or what is wrong."""
    if (cells := _CELLS.fullmatch(inside)) and "cells" in forms:
        one, other = cells.groups()
        if len(one) > 3 or len(other) > 3:  # three digits hold 0-399, and int() refuses thousands of them
            return "out_of_range"
        first, last = int(one), int(other)
        if not (0 <= first < SIDE * SIDE and 0 <= last < SIDE * SIDE):
            return "out_of_range"
        return (first, last) if is_rectangle(first, last) else "reversed"
    parts = [part.strip() for part in inside.split(",")]
    if len(parts) == 4 and "decimals" in forms and all(map(_DECIMAL.fullmatch, parts)):
        x1, y1, x2, y2 = map(float, parts)
        return fault_of_box(x1, y1, x2, y2) or (x1, y1, x2, y2)
    return "not_a_box"


_known_box = lru_cache(1 << 16)(_read_box)  # the grid has 44,100, and a run writes the same ones over and over


def _write_boxes(boxes: Boxes, form: Form) -> list[str]:
    """Write each box between angle brackets."""
    if form == "cells":
        return ["<{}, {}>".format(*box_to_cells(*box)) for box in boxes.tolist()]
    return [f"<{x1:.2f}, {y1:.2f}, {x2:.2f}, {y2:.2f}>" for x1, y1, x2, y2 in rounded(boxes, digits=2).tolist()]
