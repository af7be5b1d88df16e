"""Boxes as JSON objects beside the prose: `{"bbox_2d": [120, 40, 310, 990], "label": "tower"}`.

The Qwen models write them so, alone or in a list, with or without a fence. The plain text is the prose without them.
A label that stands in the prose takes its first free whole-word occurrence; one that does not is appended to the plain
text. Objects with one label are one region with several boxes (ours: nothing says which of two cats is meant).
"""

import json
import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from giqa_datasets.boxes import Boxes
from giqa_datasets.formats.frames import Corners, Frame, read_box, write_boxes
from giqa_datasets.formats.spans import Found, Span, grounded, sort_out, trimmed
from giqa_datasets.regions import Region, in_order, locate, take
from giqa_datasets.text import GroundedText, Kind, read_back


BUDGET = 2**26  # ours: characters of prose x of labels; what is past it is not searched, so that time stays linear

_STRING = r'"(?:[^"\\]++|\\.)*+"'
# An object without objects inside: whole, ended by the end of the text, or broken off by the object that it holds.
# Each try stops at the next brace, so that time stays linear.
_WHOLE = rf'\{{(?:[^{{}}"]++|{_STRING})*+\}}'
_CUT = rf'\{{\s*+(?=["\']|\Z)(?:[^{{}}"]++|{_STRING})*+(?:"(?:[^"\\]++|\\.)*+\\?)?\Z'
_HOLDS_OBJECT = r'\{[^{}"]*+"bbox_2d"[^{}"]*+(?=\{)'
_ANY = rf"(?:{_WHOLE}|{_CUT}|{_HOLDS_OBJECT})"
_OBJECT = re.compile(rf"(?P<whole>{_WHOLE})|(?P<cut>{_CUT})|{_HOLDS_OBJECT}", re.DOTALL)
_BLOCK = re.compile(
    r"\s?(?:```[A-Za-z]*+(?P<fenced>(?:[^`]++|`(?!``))*+)(?:```|(?P<open>\Z))"
    rf"|(?P<bare>(?:\[\s*+)?{_ANY}(?:[\s,]*+{_ANY})*+(?:\s*+\])?))",
    re.DOTALL,
)


class Labelled(NamedTuple):
    """An object's label, None if it has none, and its box where it stands in the text."""

    label: str | None
    found: Found


def read(text: str, frame: Frame) -> GroundedText:
    """Read prose with JSON objects whose numbers refer to a frame. Never raises."""
    drops: list[Span] = []
    by_label: dict[str | None, list[Found]] = {}
    for block in _BLOCK.finditer(text):
        objects = _objects(block, frame)
        if objects:
            drops.append(block.span())
        for label, found in objects:
            by_label.setdefault(label, []).append(found)
    malformed = sort_out(by_label.pop(None, []), "unnamed")[1]
    plain, spans = _place(grounded(text, drops, []).plain, [label for label in by_label if label is not None])
    regions: list[Region] = []
    for label, span in spans.items():
        boxes, wrong = sort_out(by_label[label], None)
        malformed += wrong
        if boxes:
            regions.append(Region(label, span, np.array(boxes)))
    regions.sort(key=lambda region: region.span)
    malformed.sort(key=lambda wrong: wrong.span)
    return GroundedText(text, plain, tuple(regions), tuple(malformed), tuple(drops))


def write(plain: str, regions: Iterable[Region], frame: Frame) -> str:
    """Write the prose, then a list of objects in a fence; without regions, the prose alone.

    Objects follow the order in which their labels are found again, so that what is read is written alike.

    Raises:
        ValueError: See `in_order`; or if a phrase is no whole word or the prose already holds objects.
    """
    boxes: dict[str, list[Boxes]] = {}
    for region in in_order(plain, map(trimmed, regions)):
        boxes.setdefault(region.phrase, []).append(region.boxes)
    ordered = _settle(plain, [(phrase, np.concatenate(of_phrase)) for phrase, of_phrase in boxes.items()])
    lines = [
        f'\t{{"bbox_2d": [{", ".join(box)}], "label": {_quote(region.phrase)}}}'
        for region in ordered
        for box in write_boxes(region.boxes, frame, digits=0)
    ]
    text = plain + ("\n```json\n[\n" + ",\n".join(lines) + "\n]\n```" if lines else "")
    return read_back(text, plain, ordered, lambda text: read(text, frame))


def _objects(block: re.Match[str], frame: Frame) -> list[Labelled]:
    """Read the objects of a block that are meant as boxes; none if it is something else."""
    if block["open"] is not None and not block["fenced"].strip("[ \r\n\t"):
        return [Labelled(None, Found(block.span(), "unclosed"))]
    pieces = _OBJECT.finditer(block.string, *block.span("bare" if block["fenced"] is None else "fenced"))
    return [_read_object(piece, frame) for piece in pieces if "bbox_2d" in piece[0] or piece["cut"] is not None]


def _read_object(piece: re.Match[str], frame: Frame) -> Labelled:
    """Read one object."""
    if piece["whole"] is None:
        return Labelled(None, Found(piece.span(), "nested" if piece["cut"] is None else "unclosed"))
    try:
        value = json.loads(piece[0], parse_int=float, strict=False)  # int() refuses thousands of digits
    except RecursionError:
        return Labelled(None, Found(piece.span(), "nested"))
    except ValueError:
        return Labelled(None, Found(piece.span(), "syntax"))
    label = value.get("label")
    label = _without_surrogates(label.strip()) if isinstance(label, str) else ""
    return Labelled(label or None, Found(piece.span(), _box(value.get("bbox_2d"), frame)))


def _box(numbers: object, frame: Frame) -> Corners | Kind:
    """Read what stands at `bbox_2d`."""
    if not isinstance(numbers, list):
        return "not_a_box"
    if any(isinstance(number, list) for number in numbers):
        return "nested"
    return read_box(numbers, frame) if all(isinstance(number, float) for number in numbers) else "not_a_box"


def _place(prose: str, labels: list[str]) -> tuple[str, dict[str, Span]]:
    """Find labels in the prose, or append them to it, comma-separated."""
    taken = bytearray(len(prose))
    budget = BUDGET
    spans: dict[str, Span] = {}
    plain = [prose]
    length = len(prose)
    for label in labels:
        budget -= len(prose) * len(label)
        span = take(prose, label, taken) if budget >= 0 else None
        if span is None:
            gap = ", " if len(plain) > 1 else " " if prose and not prose[-1].isspace() else ""
            plain += [gap, label]
            span = (length + len(gap), length + len(gap) + len(label))
            length = span[1]
        spans[label] = span
    return "".join(plain), spans


def _settle(plain: str, phrases: list[tuple[str, Boxes]]) -> list[Region]:
    """Order phrases as they are found again when they are read in that order.

    Spans never move to the right from one round to the next, so that it ends.
    """
    located: list[Region] = []
    while True:
        before = located
        located = sorted(locate(plain, phrases), key=lambda region: region.span)
        if [region.span for region in before] == [region.span for region in located]:
            return located
        phrases = [(region.phrase, region.boxes) for region in located]


def _quote(label: str) -> str:
    """Write a JSON string that cannot end the fence."""
    return json.dumps(label, ensure_ascii=False).replace("`", "\\u0060")


def _without_surrogates(label: str) -> str:
    """Replace what an escape such as `U+D800` leaves alone: such text could not be stored as UTF-8."""
    return label.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
