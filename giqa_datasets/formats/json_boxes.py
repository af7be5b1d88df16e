"""Boxes as JSON objects beside the prose: `{"bbox_2d": [120, 40, 310, 990], "label": "tower"}`.

Qwen, Kimi-VL, GLM-V, Gemini, Claude and GPT write them so, alone or in lists or in other objects, with other keys and
objects beside them, with or without a fence. Every object that has a family's box key is a box, or several if the key
holds a list of boxes. What holds the key and is not read is malformed. The plain text is the prose without the JSON;
`labels.py` says where a label stands in it.

Each object is read by the standard decoder from its brace on. What it does not read, being cut off or broken, is
stepped into, so that whole objects inside still count. Objects deeper than `DEPTH` are not read. Time is linear.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

from giqa_datasets.formats.frames import (
    ANY_SIZES,
    PER_MILLE,
    UNIT,
    UNKNOWN,
    Corners,
    Frame,
    Sizes,
    pixels_as_sent,
    pixels_of_input,
)
from giqa_datasets.formats.labels import beside, place, settle
from giqa_datasets.formats.spans import Found, Span
from giqa_datasets.formats.written import END, NUMBER, Split, Written, texts_of
from giqa_datasets.regions import Region
from giqa_datasets.text import Kind, Tokens, read_back


DEPTH = 16  # ours: objects around a box

_DECODER = json.JSONDecoder(parse_int=float, strict=False)  # int() refuses thousands of digits
_STRING = r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)'
_TOKEN = re.compile(rf"{_STRING}|[\[\]{{}}]", re.DOTALL)
_OPEN = re.compile(r"[\[{]")
_CUT = re.compile(r"""\{\s*+(?:["']|\Z)""")  # what an object that is cut off begins with
_LEAD = re.compile(rf"[\[{{](?:[\[\s,:]|{_STRING})*+", re.DOTALL)  # what stands before the first object in another
_GAP = re.compile(r"[\s,]*+")
_CLOSER = re.compile(r"[\s,]*+[\]}]")
_CLOSING = re.compile(r"\s*+(?:```|`{0,2}+\Z|<\|end_of_box\|>)")  # of a fence, or of GLM-V's markers
_LAST_FENCE = re.compile(r"\s?```[A-Za-z]*+\s*+\[?+\s*+\Z")
_BEGIN_OF_BOX = "<|begin_of_box|>"


class Keys(NamedTuple):
    """How one family writes boxes in JSON.

    Attributes:
        box: The keys that a box may stand at; the first is written.
        label: The keys that its label may stand at; the first is written.
        frame: What the numbers refer to.
        digits: Decimals of a number.
        quoted: Pattern of a box key in quotes.
    """

    box: tuple[str, ...]
    label: tuple[str, ...]
    frame: Callable[[Sizes], Frame]
    digits: int
    quoted: re.Pattern[str]


def _keys(box: Sequence[str], label: Sequence[str], frame: Callable[[Sizes], Frame], *, digits: int = 0) -> Keys:
    """Make a family's row."""
    names = "|".join(map(re.escape, box))
    return Keys(tuple(box), tuple(label), frame, digits, re.compile(rf"\"(?:{names})\"|'(?:{names})'"))


FAMILIES = {
    "qwen2_5_vl": _keys(["bbox_2d"], ["label"], partial(pixels_of_input, "qwen2_5_vl")),
    "qwen3_vl": _keys(["bbox_2d"], ["label"], lambda sizes: PER_MILLE),
    "kimi_vl": _keys(["bbox_2d"], ["label"], lambda sizes: UNIT, digits=3),
    "gemini": _keys(["box_2d"], ["label"], lambda sizes: PER_MILLE._replace(y_first=True)),
    "pixels": _keys(["bbox", "bbox_2d", "box"], ["label", "name"], partial(pixels_as_sent, "pixels")),
}


def tokens(text: str, sizes: Sizes = UNKNOWN, *, keys: Keys) -> Tokens:
    """Read prose with JSON objects. Never raises because of the text.

    Raises:
        ValueError: If the family's frame needs a size that is not known.

    Example:
        >>> text = 'A sharp tower. {"bbox_2d": [100, 200, 300, 400], "label": "tower"}'
        >>> found = tokens(text, keys=FAMILIES["qwen3_vl"])
        >>> found.phrases, found.boxes
        ([('tower', (8, 13), slice(0, 1, None))], [(0.1, 0.2, 0.3, 0.4)])
    """
    return _tokens(text, keys, keys.frame(sizes))


def hint(keys: Keys) -> str:
    """Show how an object is written, its corners by their names."""
    corners = ", ".join(keys.frame(ANY_SIZES).corner_names)
    return f'{{"{keys.box[0]}": [{corners}], "{keys.label[0]}": "label"}}'


def strip(text: str, *, keys: Keys) -> str:
    """Give the plain text alone, which does not depend on the frame."""
    return _tokens(text, keys, UNIT).plain


def write(plain: str, regions: Iterable[Region], sizes: Sizes = UNKNOWN, *, keys: Keys) -> str:
    """Write the prose, then a list of objects in a fence; without regions, the prose alone.

    Objects follow the order in which their labels are found again, so that what is read is written alike.

    Raises:
        ValueError: See `settle`; or if the family's frame needs a size that is not known, or the prose holds objects.
    """
    frame = keys.frame(sizes)
    ordered = settle(plain, regions)
    lines = [
        f'\t{{"{keys.box[0]}": [{", ".join(box)}], "{keys.label[0]}": {_quote(region.phrase)}}}'
        for region in ordered
        for box in frame.write(region.boxes, digits=keys.digits)
    ]
    text = plain + ("\n```json\n[\n" + ",\n".join(lines) + "\n]\n```" if lines else "")
    return read_back(text, plain, ordered, lambda text: _tokens(text, keys, frame))


def split_of(keys: Keys) -> Split:
    """Make what splits many texts that end in a family's list."""
    numbers, label = ", ".join([NUMBER] * 4), rf'(?!\s)[^"\\`{END}]++(?<!\s)'
    line = rf'\t\{{"{keys.box[0]}": \[%s\], "{keys.label[0]}": "%s"\}}'
    one = line % (numbers, label)
    pattern = re.compile(rf"```json\n\[\n({one}(?:,\n{one})*+)\n\]\n```(?={END}|\Z)")
    objects = re.compile(line % (f"({numbers})", f"({label})")).findall

    def split(joined: str) -> Written:
        *pieces, last = pattern.split(joined)
        plain: list[str] = []
        text, names, boxes = list[int](), list[str](), list[str]()
        for before, block, at in zip(pieces[::2], pieces[1::2], texts_of(pieces[::2]), strict=True):
            by_label: dict[str, list[str]] = {}
            for box, name in objects(block):
                by_label.setdefault(name if name.isascii() else _without_surrogates(name), []).append(box)
            *others, prose = before.rpartition(END)
            if prose and prose[-1] != "\n":
                plain += [before, "```"]
                continue
            prose, spans = place(prose[:-1], by_label)
            plain += [*others, prose]
            for name, _ in sorted(spans.items(), key=itemgetter(1)):
                text.append(at)
                names.append(name)
                boxes.append(", ".join(by_label[name]))
        return Written("".join([*plain, last]).split(END)[1:], text, names, boxes)

    return split


class _Piece(NamedTuple):
    """An object that holds a box key, or what is wrong with what was meant as one."""

    span: Span
    value: dict[str, Any] | Kind


class _Scan(NamedTuple):
    """What braces a text holds, each list in reading order.

    Attributes:
        pieces: Objects with a box key of their own.
        wrappers: Whole objects around some of these.
        broken: Objects that cannot be read, which may be around some of these.
    """

    pieces: list[_Piece]
    wrappers: list[Span]
    broken: list[_Piece]


def _tokens(text: str, keys: Keys, frame: Frame) -> Tokens:
    """Read text whose numbers refer to a frame."""
    if "{" not in text and "```" not in text:
        return beside(text, [], [])
    scan = _scan(text, keys)
    pieces = scan.pieces
    if scan.broken:
        pieces = sorted([*pieces, *_malformed(text, keys, scan)], key=lambda piece: piece.span)
    drops = _drops(text, scan, [piece.span for piece in pieces])
    fence = _LAST_FENCE.search(text, max(drops[-1][1] if drops else 0, text.rfind("```") - 1))
    if fence and text.count("```", 0, fence.start()) % 2 == 0:
        drops.append(fence.span())
        pieces.append(_Piece(fence.span(), "unclosed"))
    labelled: list[tuple[str | None, Found]] = []
    for piece, after in zip(pieces, [*(piece.span[0] for piece in pieces[1:]), len(text)], strict=False):
        span = piece.span[0], min(piece.span[1], after)  # up to a box inside it
        if isinstance(piece.value, str):
            labelled.append((None, Found(span, piece.value)))
        else:
            label = _label(piece.value, keys)
            boxes = _boxes(piece.value, keys, frame)
            labelled += [(label, Found(span, box)) for box in (boxes if label else boxes[-1:])]
    return beside(text, drops, labelled)


def _scan(text: str, keys: Keys) -> _Scan:
    """Read objects from each brace on."""
    keys_at = [key.start() for key in keys.quoted.finditer(text)]
    scan = _Scan([], [], [])
    around: list[int] = []  # ends of the objects that were stepped into
    ends: dict[int, int | None] = {}
    position = 0
    while (start := text.find("{", position)) >= 0:
        while around and around[-1] <= start:
            around.pop()
        kind: Kind = "nested"
        value = None
        if len(around) < DEPTH:
            try:
                value, end = _DECODER.raw_decode(text, start)
            except RecursionError:
                pass
            except ValueError:
                kind = "syntax"
        if value is None:
            ends = ends or _ends(text, start)
            closed = ends.get(start, text.find("}", start) + 1 or None)
            end = closed or len(text)
            scan.broken.append(_Piece((start, end), kind if closed else "unclosed"))
            is_whole = closed is not None and kind == "nested"
        else:
            n_keys = bisect_left(keys_at, end) - bisect_left(keys_at, start)
            is_box = n_keys > 0 and any(key in value for key in keys.box)
            if is_box:
                scan.pieces.append(_Piece((start, end), value))
            elif n_keys:
                scan.wrappers.append((start, end))
            is_whole = n_keys == is_box
        position = end if is_whole else start + 1
        if not is_whole and len(around) < DEPTH:
            around.append(end)
    return scan


def _ends(text: str, start: int) -> dict[int, int | None]:
    """Say where each brace and bracket from `start` on is closed; None if it is not."""
    ends: dict[int, int | None] = {}
    stack: list[int] = []
    position = start
    while token := (_TOKEN if stack else _OPEN).search(text, position):
        position = token.end()
        if token[0] in ("[", "{"):
            stack.append(token.start())
        elif token[0] in ("]", "}"):
            ends[stack.pop()] = position
    return ends | dict.fromkeys(stack)


def _malformed(text: str, keys: Keys, scan: _Scan) -> Iterator[_Piece]:
    """Find what holds a box key, or was cut off before it could, and was not read."""
    pieces = [piece.span for piece in scan.pieces]
    told: set[Span] = set()
    around: list[_Piece] = []
    last = n_before = n_begun = 0  # end of the pieces before a key; how many of them there are; broken objects so far
    for key in keys.quoted.finditer(text):
        at = key.start()
        while n_before < len(pieces) and pieces[n_before][0] <= at:
            last = max(last, pieces[n_before][1])
            n_before += 1
        while n_begun < len(scan.broken) and scan.broken[n_begun].span[0] <= at:
            around.append(scan.broken[n_begun])
            n_begun += 1
        while around and around[-1].span[1] <= at:
            around.pop()
        if at >= last and around:
            (start, end), kind = around[-1]
            span = max(start, last), min([end, *(start for start, _ in pieces[n_before : n_before + 1])])
            if span not in told:
                told.add(span)
                yield _Piece(span, kind)
    last = max((end for _, end in pieces), default=0)
    cut = (span for span, kind in scan.broken if kind == "unclosed" and span[0] >= last and _CUT.match(text, span[0]))
    if all(end < len(text) for _, end in told):
        yield from (_Piece(span, "unclosed") for span in list(cut)[:1])


def _drops(text: str, scan: _Scan, spans: Sequence[Span]) -> list[Span]:
    """Find what the prose lacks: objects, what is around and between them, and the fence."""
    starts = [start for start, _ in spans]
    held = [(start, end) for start, end in scan.wrappers if bisect_left(starts, end) > bisect_left(starts, start)]
    blocks: list[Span] = []
    for start, end in sorted([*spans, *held]):
        if blocks and (start <= blocks[-1][1] or _GAP.fullmatch(text, blocks[-1][1], start)):
            blocks[-1] = blocks[-1][0], max(blocks[-1][1], end)
        else:
            blocks.append((start, end))
    broken = [span for span, _ in scan.broken]
    drops: list[Span] = []
    for block in blocks:
        drops.append(_widened(text, block, drops[-1][1] if drops else 0, broken))
    return drops


def _widened(text: str, block: Span, floor: int, broken: Sequence[Span]) -> Span:
    """Widen a block, not below `floor`, by what is around its objects and the fence around that."""
    start, end = block
    n_open = 0
    before = bisect_left(broken, (start, 0)) - 1
    while before >= 0 and broken[before][0] >= floor and broken[before][1] > start:
        lead = _LEAD.fullmatch(text, broken[before][0], start)
        if lead is None:
            break
        n_open += lead[0].count("{") + lead[0].count("[")
        start, before = lead.start(), before - 1
    while text.endswith("[", floor, at := _without_spaces(text, floor, start)):
        start, n_open = at - 1, n_open + 1
    while n_open and (closer := _CLOSER.match(text, end)):
        end, n_open = closer.end(), n_open - 1
    for _ in range(2):
        at = _without_spaces(text, floor, start)
        language = at
        while language > floor and text[language - 1].isalpha():
            language -= 1
        if text.endswith("```", floor, language):
            start = language - 3
        elif text.endswith(_BEGIN_OF_BOX, floor, at):
            start = at - len(_BEGIN_OF_BOX)
        else:
            break
        if closing := _CLOSING.match(text, end):
            end = closing.end()
    return start - text[floor:start][-1:].isspace(), end


def _without_spaces(text: str, floor: int, end: int) -> int:
    """Where white space begins that ends at `end`."""
    while end > floor and text[end - 1].isspace():
        end -= 1
    return end


def _label(value: dict[str, Any], keys: Keys) -> str | None:
    """Read an object's label; None if it has none."""
    for key in keys.label:
        if isinstance(label := value.get(key), str) and (label := label.strip()):
            return label if label.isascii() else _without_surrogates(label)
    return None


def _boxes(value: dict[str, Any], keys: Keys, frame: Frame) -> list[Corners | Kind]:
    """Read what stands at an object's box key: one box or a list of boxes; the first fault of a list stands last."""
    numbers = next(value[key] for key in keys.box if key in value)
    is_list = isinstance(numbers, list) and numbers and isinstance(numbers[0], list)
    if not (is_list and all(isinstance(box, list) for box in numbers)):
        return [_box(numbers, frame)]
    boxes = [_box(box, frame) for box in numbers]
    faults: list[Corners | Kind] = [box for box in boxes if isinstance(box, str)]
    return [box for box in boxes if not isinstance(box, str)] + faults[:1]


def _box(numbers: object, frame: Frame) -> Corners | Kind:
    """Read one box."""
    if not isinstance(numbers, list):
        return "not_a_box"
    if {*map(type, numbers)} <= {float}:
        return frame.read(numbers)
    return "nested" if any(isinstance(number, list) for number in numbers) else "not_a_box"


def _quote(label: str) -> str:
    """Write a JSON string that cannot end the fence."""
    return json.dumps(label, ensure_ascii=False).replace("`", "\\u0060")


def _without_surrogates(label: str) -> str:
    """Replace what an escape such as `U+D800` leaves alone: such text could not be stored as UTF-8."""
    return label.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
