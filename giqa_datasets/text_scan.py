"""The boxes of many texts at once: what `parse` finds, some ten times faster.

The texts are joined and looked at as one array of bytes. A text whose every bracket belongs to a phrase in canonical
form, `[name](<a, b>, <c, d>)`, is read there; any other goes through `tokenize`, so that both agree on every string.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from giqa_datasets.boxes import Boxes
from giqa_datasets.grid import SIDE, Cells, boxes_to_cells, cells_to_boxes, is_rectangle
from giqa_datasets.names import WIDTH, Names, joined, spelled, with_lengths
from giqa_datasets.regions import Region
from giqa_datasets.text import FORMS, Form, decode_boxes, tokenize


Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

_END = 0  # stands before every text, and often enough after the last for every look ahead
_PAD = "\0" * (WIDTH + 8)
_MARKS = ord("("), ord("<"), ord("["), _END
_KEEP = (255 * np.tri(WIDTH + 1, WIDTH, -1, dtype=np.uint8)).view(np.uint64)  # the bytes of a name of each length
_BLOCK = 1 << 17  # bytes looked at together: they stay in the processor's cache


class Scan(NamedTuple):
    """The boxes of many texts, a row each, in no particular order; a box that is written twice is two rows.

    Attributes:
        text: Shape (N,), which of the texts the box stands in.
        name: Shape (N,), which of `names` it carries.
        cells: Shape (N, 2), the box on the grid.
        boxes: Shape (N, 4), normalised xyxy.
        names: A name per phrase, without white space around it.
        n_malformed: Shape (T,), the malformed boxes of each of the T texts.
        is_on_grid: Whether every box is that of its cells.
    """

    text: Ints
    name: Ints
    cells: Cells
    boxes: Boxes
    names: Names
    n_malformed: Ints
    is_on_grid: bool


def scan(texts: Sequence[str], *, forms: Iterable[Form] = FORMS) -> Scan:
    """Read the boxes of GIQA text.

    Args:
        texts: T of them.
        forms: The box forms to accept, as in `parse`.

    Example:
        >>> found = scan(["A [tower](<35, 319>)", "A [dog](<142, 309>, <9, 3>) and a [cat](<0, 63>"])
        >>> found.text.tolist(), found.names.spell(found.name), found.n_malformed.tolist()
        ([0, 1], ['tower', 'dog'], [0, 2])
    """
    accepted = frozenset(forms)
    if "cells" not in accepted:
        return _scan_each(texts, range(len(texts)), accepted)
    quick, left = _scan_canonical(texts)
    rest = _scan_each(texts, np.flatnonzero(left).tolist(), accepted)
    return Scan(
        np.concatenate([quick.text, rest.text]),
        np.concatenate([quick.name, rest.name + len(quick.names.keys)]),
        np.concatenate([quick.cells, rest.cells]),
        np.concatenate([quick.boxes, rest.boxes]),
        joined(quick.names, rest.names),
        quick.n_malformed + rest.n_malformed,
        rest.is_on_grid,
    )


def gather(regions: Sequence[Sequence[Region]], n_malformed: Sequence[int]) -> Scan:
    """Lay out as `scan` does what another reader found in T texts.

    Example:
        >>> gather([[Region("tower", (2, 7), np.array([[0.75, 0.05, 1.0, 0.8]]))]], [0]).cells.tolist()
        [[35, 319]]
    """
    rows = [(text, region.phrase.strip(), region.boxes) for text, found in enumerate(regions) for region in found]
    counts = [len(boxes) for _, _, boxes in rows]
    boxes = np.concatenate([np.zeros((0, 4)), *(boxes for _, _, boxes in rows)])
    names = spelled([name for _, name, _ in rows])
    text = np.repeat(np.array([text for text, _, _ in rows], dtype=np.int64), counts)
    cells = boxes_to_cells(boxes)
    is_on_grid = np.array_equal(cells_to_boxes(cells), boxes)
    malformed = np.array(n_malformed, dtype=np.int64)
    return Scan(text, np.repeat(np.arange(len(rows)), counts), cells, boxes, names, malformed, is_on_grid)


def _scan_each(texts: Sequence[str], which: Iterable[int], forms: frozenset[Form]) -> Scan:
    """Read some of the texts one by one."""
    text: list[int] = []
    name: list[int] = []
    names: list[str] = []
    written: list[tuple[float, ...]] = []
    n_malformed = np.zeros(len(texts), dtype=np.int64)
    for index in which:
        tokens = tokenize(texts[index], forms)
        n_malformed[index] = len(tokens.malformed)
        written += tokens.boxes
        text += [index] * len(tokens.boxes)
        for phrase, _, its in tokens.phrases:
            name += [len(names)] * (its.stop - its.start)
            names.append(phrase.strip())
    boxes = decode_boxes(written)
    is_on_grid = all(len(box) == 2 for box in written)
    texts_of, names_of = (np.array(column, dtype=np.int64) for column in (text, name))
    return Scan(texts_of, names_of, boxes_to_cells(boxes), boxes, spelled(names), n_malformed, is_on_grid)


def _scan_canonical(texts: Sequence[str]) -> tuple[Scan, Flags]:
    """Read the texts that are canonical throughout; which of them are not, shape (T,)."""
    raw = "\0".join(["", *texts, _PAD]).encode("utf-8", "surrogatepass")
    data = np.frombuffer(raw, np.uint8)
    at = _marks(data)
    kind = data[at]
    text = np.cumsum(kind == _END) - 1
    if text[-1] != len(texts) + len(_PAD):  # a text holds an end itself
        has_end = np.array(["\0" in text for text in texts])
        found, left = _scan_canonical(["" if out else text for text, out in zip(texts, has_end, strict=True)])
        return found, left | has_end
    left = np.zeros(len(texts) + len(_PAD) + 1, dtype=np.bool_)

    # Phrases: `](` with a `<` after it, and a `[` before it with no mark between
    opens = np.flatnonzero(kind == ord("("))
    opens = opens[data[at[opens] - 1] == ord("]")]
    holds_box = data[at[opens] + 1] == ord("<")
    left[text[opens[~holds_box]]] = True
    opens = opens[holds_box]
    start, stop, phrase_text = at[opens - 1] + 1, at[opens] - 1, text[opens]
    left[phrase_text[kind[opens - 1] != ord("[")]] = True

    # Boxes: `<a, b>` after `](` or `>, `, and `)` or `, <` after it
    less = np.flatnonzero(kind == ord("<"))
    box_at, box_text = at[less], text[less]
    is_first = (data[box_at - 1] == ord("(")) & (data[box_at - 2] == ord("]"))
    first, comma, is_number = _numbers(data, box_at + 1)
    last, close, is_second = _numbers(data, comma + 2)
    is_written = is_number & is_second & (data[close] == ord(">"))
    is_written &= (data[comma] == ord(",")) & (data[comma + 1] == ord(" "))
    after = data[close + 1]
    goes_on = (
        is_written & (close + 3 == np.append(box_at, 0)[1:]) & (after == ord(",")) & (data[close + 2] == ord(" "))
    )
    is_box = is_written & (is_first | np.roll(goes_on, 1)) & (goes_on | (after == ord(")")))
    left[box_text[~is_box]] = True

    names, is_name = _names(raw, start, stop)
    left[phrase_text[~is_name]] = True
    read = ~left[box_text]
    good = read & (first < SIDE * SIDE) & (last < SIDE * SIDE) & is_rectangle(first, last)
    n_malformed = np.bincount(box_text[read & ~good], minlength=len(left))[: len(texts)]
    cells = np.stack([first[good], last[good]], axis=1)
    phrase = np.cumsum(is_first)[good] - 1
    found = Scan(box_text[good], phrase, cells, cells_to_boxes(cells), names, n_malformed, True)
    return found, left[: len(texts)]


def _marks(data: Bytes) -> Ints:
    """Where the bytes stand that mean something."""
    found = []
    for start in range(0, len(data), _BLOCK):
        block = data[start : start + _BLOCK]
        is_mark = block == _MARKS[0]
        for byte in _MARKS[1:]:
            is_mark |= block == byte
        found.append(np.flatnonzero(is_mark) + start)
    return np.concatenate(found)


def _numbers(data: Bytes, at: Ints) -> tuple[Ints, Ints, Flags]:
    """Read a number of one to three digits at each place: its value, the place after it, and whether there is one."""
    one, two, three = (data[at + step] - np.uint8(ord("0")) for step in range(3))
    has_two = two < 10
    has_three = has_two & (three < 10)
    value = one.astype(np.int16)
    value = np.where(has_two, value * np.int16(10) + two, value)
    value = np.where(has_three, value * np.int16(10) + three, value)
    return value.astype(np.int64), at + 1 + has_two + has_three, one < 10


def _names(raw: bytes, start: Ints, stop: Ints) -> tuple[Names, Flags]:
    """Cut the phrases' names out, and say of each whether it can be one.

    A name that begins or ends with white space, or might for all that its bytes say, is left to `tokenize`; so is a
    long one.
    """
    data = np.frombuffer(raw, np.uint8)
    length = stop - start
    is_name = (length > 0) & (length <= WIDTH)
    for edge in (data[start], data[stop - 1]):
        is_name &= (edge > ord(" ")) & (edge < 0x80)
    window = np.lib.stride_tricks.sliding_window_view(data, WIDTH)[start]
    words = window.view(np.uint64) & _KEEP.take(length, axis=0, mode="clip")
    is_closing = words.view(np.uint8) == ord("]")
    if is_closing.any():
        is_name &= ~is_closing.any(axis=1)

    def spell(at: Ints) -> list[str]:
        spans = zip(start[at].tolist(), stop[at].tolist(), strict=True)
        return [raw[begin:end].decode("utf-8", "surrogatepass") for begin, end in spans]

    return Names(with_lengths(words, length), spell), is_name
