"""What every metric asks of its inputs: lists of texts of one length, at least one sample, sizes and regions.

What is plainly meant is taken: pandas' marks of what is missing for no answer, arrays for lists. Anything else is one
sentence that names the argument, the place and what was expected there.
"""

from collections.abc import Iterable, Mapping, Sequence
from operator import index as whole_number
from typing import Any, Literal

import numpy as np

from giqa_datasets.boxes import to_boxes
from giqa_datasets.errors import InputError
from giqa_datasets.formats import Size, Sizes, box_format
from giqa_datasets.formats.frames import UNKNOWN
from giqa_datasets.regions import Region


_MISSING = ("NAType", "NaTType")  # pandas'


def samples_of(*, required: Sequence[str] = (), **inputs: Any) -> list[list[Any]]:
    """Take columns of texts, one for each name: lists of texts, and of None where there is none.

    Args:
        required: Names of the columns in which no text may be missing.
        inputs: The columns.

    Raises:
        ValueError: If one is no list, a value is no text, or they differ in length or are empty.

    Example:
        >>> samples_of(predictions=["a", float("nan")], references=("a", "b"))
        [['a', None], ['a', 'b']]
        >>> samples_of(predictions=["a"], references=["a", "b"])
        Traceback (most recent call last):
        giqa_datasets.errors.InputError: expected as many predictions as references, and at least one, got 1 and 2
    """
    columns = [texts_of(name, values, required=name in required) for name, values in inputs.items()]
    lengths = [len(values) for values in columns]
    if len(set(lengths)) != 1 or 0 in lengths:
        first, *others = (name.replace("_", " ") for name in inputs)
        raise InputError(
            f"expected as many {first} as {_listed(others)}, and at least one, got {_listed(map(str, lengths))}"
        )
    return columns


def texts_of(name: str, values: Any, *, required: bool = False) -> list[Any]:
    """Take a column of texts, None where one is missing.

    Raises:
        ValueError: If it is no list, or a value is no text, or missing where it is required.

    Example:
        >>> texts_of("predictions", "Yes.")
        Traceback (most recent call last):
        giqa_datasets.errors.InputError: expected a list of texts in predictions, got 'Yes.'
    """
    texts = _list_of(name, values, "texts")
    if required or not {*map(type, texts)} <= {str, type(None)}:
        texts = [None if _is_missing(text) else text for text in texts]
        for index, text in enumerate(texts):
            if not (isinstance(text, str) or (text is None and not required)):
                raise InputError(f"expected a text in {name}, got {text!r:.80} at {index}")
        texts = [text if text is None else str(text) for text in texts]  # numpy's are texts of another type
    return texts


def regions_of(name: str, values: Any, count: int) -> list[list[Region]]:
    """Take a column of regions: `Region`s, or rows of the data set's column `regions`, of which the answer's count.

    Spans are not kept there, and matching does not need them.

    Raises:
        ValueError: If there are not `count`, or one is no list of regions.
    """
    columns = column_of(name, values, "lists of regions", count)
    return [
        [region for each in _list_of(f"{name} at {index}", its, "regions") for region in _region(name, index, each)]
        for index, its in enumerate(columns)
    ]


def _region(name: str, index: int, value: Any) -> list[Region]:
    """Read one region; none if it is not in the answer."""
    if isinstance(value, Region):
        return [value]
    try:
        phrase, role, boxes = value["phrase"], value["role"], value["boxes"]
        if not isinstance(phrase, str):
            raise TypeError
        nested = [np.asarray(box, dtype=np.float64).tolist() for box in boxes]  # pandas nests arrays in arrays
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"expected regions with phrase, role and boxes in {name}, got {value!r:.80} at {index}"
        ) from error
    try:
        return [Region(phrase, (0, 0), to_boxes(nested))] if role == "answer" else []
    except ValueError as error:
        raise InputError(f"{name} at {index}: {error}") from error


def column_of(name: str, values: Any, kind: str, count: int) -> list[Any]:
    """Take a column of anything, None where pandas has one of its marks of what is missing.

    Raises:
        ValueError: If it is no list, or there are not `count` values.
    """
    column = [None if _is_missing(value) else value for value in _list_of(name, values, kind)]
    if len(column) != count:
        raise InputError(f"expected {count} {name}, got {len(column)}")
    return column


def _list_of(name: str, values: Any, kind: str) -> list[Any]:
    """Take whatever gives one value after the other, but for what is one value itself."""
    if values is None or isinstance(values, str | bytes | bytearray | Mapping) or not isinstance(values, Iterable):
        raise InputError(f"expected a list of {kind} in {name}, got {values!r:.80}")
    return list(values)


def _is_missing(value: Any) -> bool:
    """Whether it stands for nothing: None, NaN, pandas' NA."""
    return value is None or (isinstance(value, float) and value != value) or type(value).__name__ in _MISSING


def sizes_of(
    name: str,
    predictions: Sequence[str | None],
    image_sizes: Sequence[Any] | None = None,
    input_sizes: Sequence[Any] | None = None,
) -> list[Sizes]:
    """Pair each sample's sizes, and hold them to be what a box format needs.

    Args:
        name: The box format.
        predictions: One for each sample.
        image_sizes: (width, height) of each original image.
        input_sizes: (width, height) of each resized image; None for one that is not known.

    Raises:
        ValueError: If there are not as many, one is no size, or the format needs sizes and there are none.
    """
    count = len(predictions)
    needs = box_format(name).needs
    if needs == "image" and image_sizes is None:
        where = "pixels of the image" if name == "pixels" else "a padded square"
        raise InputError(f"box format {name!r} counts in {where}: expected image_sizes, got none")
    if needs == "input" and image_sizes is None and input_sizes is None:
        raise InputError(
            f"box format {name!r} counts in pixels of the resized image: expected input_sizes or image_sizes, got none"
        )
    if image_sizes is None and input_sizes is None:
        return [UNKNOWN] * count
    sides = []
    for kind, sizes in (("image_sizes", image_sizes), ("input_sizes", input_sizes)):
        given = [None] * count if sizes is None else column_of(kind, sizes, "(width, height)", count)
        sides.append(given if sizes is None else [_size(kind, index, size) for index, size in enumerate(given)])
    return [Sizes(*pair) for pair in zip(*sides, strict=True)]


def sizes_read(
    name: str, predictions: Iterable[str | None], input_sizes: Iterable[Any]
) -> Literal["given", "default", "image"] | None:
    """Say whose pixels a box format counts in: all answers name their resized image's size, or none does.

    Returns:
        `given`; or `default`, what the format's processor makes of an image unless it is told otherwise, or `image`,
        the original; None for a format whose numbers refer to no resized image.

    Raises:
        ValueError: If some answers name a size and others do not.

    Example:
        >>> sizes_read("pixels", ["a", None], [(640, 480), None]), sizes_read("qwen2_5_vl", ["a"], [None])
        ('given', 'default')
    """
    declared = box_format(name)
    if not declared.takes_input:
        return None
    known = [size is not None for text, size in zip(predictions, input_sizes, strict=True) if text]
    if any(known) and not all(known):
        raise InputError(
            f"box format {name!r} counts in pixels of the resized image: expected its size with every answer or with "
            f"none, got it with {sum(known)} of {len(known)}"
        )
    return "given" if any(known) else "default" if declared.needs == "input" else "image"


def _size(kind: str, index: int, size: Any) -> Size | None:
    """Read one size."""
    if kind == "input_sizes" and _is_missing(size):
        return None
    try:
        width, height = map(whole_number, size)
    except (TypeError, ValueError):
        width = height = 0
    if min(width, height) < 1:
        raise InputError(f"expected {kind} of (width, height), got {size!r} at {index}")
    return width, height


def _listed(words: Iterable[str]) -> str:
    """Write words with commas and a last "and"."""
    *head, last = words
    return f"{', '.join(head)} and {last}" if head else last
