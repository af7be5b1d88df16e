"""Grounded text: `The [candles](<33, 354>, <22, 324>) are sharp` to phrases with boxes, and back (protocol section 1).

Parsing is total: any string gives a `GroundedText`, and whatever looks like a box but is none is listed in
`malformed`. A box is written as two cells, `<a, b>`, or in the paper's second form as four decimals, `<x1, y1, x2,
y2>`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from giqa_datasets.boxes import Boxes
from giqa_datasets.grid import SIDE, boxes_to_cells, cells_to_boxes, is_rectangle


Form = Literal["cells", "decimals"]
FORMS: tuple[Form, ...] = ("cells", "decimals")

Kind = Literal["not_a_box", "out_of_range", "reversed", "syntax", "unclosed", "unnamed", "nested"]
"""What is wrong with a malformed box:

- `not_a_box`: between the angle brackets stand neither two cells nor four decimals, or a form that was not declared;
- `out_of_range`: a cell outside 0-399, or a decimal outside 0-1;
- `reversed`: the second corner is left of or above the first, or a decimal box has no area;
- `syntax`: the parentheses close, but what they hold is no list of boxes: `[dog](35, 319)`;
- `unclosed`: half-written, as when generation stopped early: `[dog](<35, 3`;
- `unnamed`: a box without a phrase;
- `nested`: brackets inside the phrase.
"""


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


@dataclass(frozen=True, slots=True)
class Malformed:
    """Something that was meant as a box and is none; `span` is its start and end in the text as given."""

    span: tuple[int, int]
    kind: Kind


@dataclass(frozen=True, slots=True, eq=False)
class GroundedText:
    """What `parse` reads: the text as given, the plain text, its regions in reading order, and what was malformed."""

    text: str
    plain: str
    regions: tuple[Region, ...]
    malformed: tuple[Malformed, ...]


# Alternatives in the order they are tried. The placeholder stands in the paper's questions as an instruction: it is
# text. No repetition is over a class that its follower can match, so that time stays linear.
_TOKEN = re.compile(
    r"(?P<placeholder>\[label\]\(<x, y>\))"
    r"|\[(?P<name>[^\[\]]*)\]\("
    r"(?:\s*(?P<boxes><[^<>()\[\]]*>(?:\s*,\s*<[^<>()\[\]]*>)*)\s*\)"
    r"|(?P<broken>\s*<[-<>,;.0-9\s]*\)|\s*<[-<>,;.0-9\s]*(?<![\s.,;])|\s*-?[0-9][-<>,;.0-9\s]*\)|\s*\Z))"
    r"|(?P<stray>(?:\(\s*)?<(?=[-.,\s]*[0-9])[-0-9.,\s]*>(?:\s*\))?)"
)
_BOX = re.compile(r"<([^<>]*)>")
_CELL = re.compile(r"-?[0-9]+")
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
    accepted = frozenset(forms)
    plain: list[str] = []
    length = 0  # of the plain text so far
    last = 0  # end of the previous token in the text
    boxes: list[tuple[float, ...]] = []  # of all phrases, two cells or four decimals each; decoded at once below
    phrases: list[tuple[str, tuple[int, int], slice]] = []
    malformed: list[Malformed] = []
    for token in _TOKEN.finditer(text):
        if token["placeholder"] is not None:
            continue
        between = text[last : token.start()]
        name = token["name"] or ""
        plain += [between, name]
        start = length + len(between)
        length = start + len(name)
        last = token.end()
        if token["boxes"] is None or not name.strip():
            malformed.append(Malformed(token.span(), _broken_kind(token)))
            continue
        first = len(boxes)
        for box in _BOX.finditer(text, *token.span("boxes")):
            read = _read_box(box[1], accepted)
            if isinstance(read, str):
                malformed.append(Malformed(box.span(), read))
            else:
                boxes.append(read)
        if len(boxes) > first:
            phrases.append((name, (start, length), slice(first, len(boxes))))
    plain.append(text[last:])
    xyxy = _decode(boxes)
    regions = tuple(Region(name, span, xyxy[of_phrase]) for name, span, of_phrase in phrases)
    return GroundedText(text, "".join(plain), regions, tuple(malformed))


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
    out: list[str] = []
    last = 0
    for region in sorted(regions, key=lambda region: region.span):
        start, end = region.span
        if start < last:
            raise ValueError(f"phrase {region.phrase!r} overlaps the one before it in {plain!r}")
        if plain[start:end] != region.phrase or not region.phrase.strip():
            raise ValueError(
                f"expected phrase {region.phrase!r} at {region.span} of {plain!r}, got {plain[start:end]!r}"
            )
        if "[" in region.phrase or "]" in region.phrase:
            raise ValueError(f"phrase {region.phrase!r} holds a bracket")
        if len(region.boxes) == 0:
            raise ValueError(f"phrase {region.phrase!r} has no box")
        boxes = ", ".join(dict.fromkeys(_write_boxes(region.boxes, form)))
        out += [plain[last:start], f"[{region.phrase}]({boxes})"]
        last = end
    text = "".join([*out, plain[last:]])
    if parse(text).plain != plain:
        raise ValueError(f"expected text without boxes, and no phrase inside an instruction, got {plain!r}")
    return text


def locate(plain: str, phrases: Iterable[tuple[str, Boxes]]) -> tuple[Region, ...]:
    """Find phrases in a text: each takes its first whole-word occurrence that no phrase before it took.

    Raises:
        ValueError: If a phrase does not occur any more.

    Example:
        >>> [region.span for region in locate("a cat and a cat", [("cat", np.eye(1, 4)), ("cat", np.eye(1, 4))])]
        [(2, 5), (12, 15)]
    """
    regions: list[Region] = []
    for phrase, boxes in phrases:
        for found in re.finditer(rf"(?<!\w){re.escape(phrase)}(?!\w)", plain):
            start, end = found.span()
            if all(end <= region.span[0] or region.span[1] <= start for region in regions):
                regions.append(Region(phrase, (start, end), boxes))
                break
        else:
            raise ValueError(f"phrase {phrase!r} does not stand (any more) in {plain!r}")
    return tuple(regions)


def _broken_kind(token: re.Match[str]) -> Kind:
    """Name what is wrong with a token that is no phrase with a list of boxes."""
    if token["broken"] is not None:
        return "syntax" if token["broken"].endswith(")") else "unclosed"
    before = token.string[token.start() - 1 : token.start()] if token.start() else ""
    return "nested" if before == "]" else "unnamed"


def _decode(boxes: list[tuple[float, ...]]) -> Boxes:
    """Turn boxes of either form to corners, shape (N, 4)."""
    xyxy = np.zeros((len(boxes), 4))
    cells = [index for index, box in enumerate(boxes) if len(box) == 2]
    decimals = [index for index, box in enumerate(boxes) if len(box) == 4]
    if cells:
        xyxy[cells] = cells_to_boxes(np.array([boxes[index] for index in cells], dtype=np.int64))
    if decimals:
        xyxy[decimals] = [boxes[index] for index in decimals]
    return xyxy


def _read_box(inside: str, forms: frozenset[Form]) -> tuple[float, ...] | Kind:
    """Read what stands between two angle brackets: two cells, four decimals, or what is wrong."""
    parts = [part.strip() for part in inside.split(",")]
    if len(parts) == 2 and "cells" in forms and all(map(_CELL.fullmatch, parts)):
        # three digits hold 0-399, and int() refuses thousands of them
        if any(len(part) > 3 or not 0 <= int(part) < SIDE * SIDE for part in parts):
            return "out_of_range"
        first, last = int(parts[0]), int(parts[1])
        return (first, last) if is_rectangle(first, last) else "reversed"
    if len(parts) == 4 and "decimals" in forms and all(map(_DECIMAL.fullmatch, parts)):
        x1, y1, x2, y2 = map(float, parts)
        if not all(0 <= value <= 1 for value in (x1, y1, x2, y2)):
            return "out_of_range"
        return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else "reversed"
    return "not_a_box"


def _write_boxes(boxes: Boxes, form: Form) -> list[str]:
    """Write each box between angle brackets."""
    if form == "cells":
        return [f"<{first}, {last}>" for first, last in boxes_to_cells(boxes).tolist()]
    rounded = np.round(boxes, 2)
    thin = np.tile(rounded[:, :2] >= rounded[:, 2:], (1, 2))
    low = np.minimum(np.floor(boxes[:, :2] * 100), 99)
    wide = np.concatenate([low, np.maximum(np.ceil(boxes[:, 2:] * 100), low + 1)], axis=1) / 100
    return [f"<{x1:.2f}, {y1:.2f}, {x2:.2f}, {y2:.2f}>" for x1, y1, x2, y2 in np.where(thin, wide, rounded).tolist()]
