"""What every metric asks of its inputs: lists of one length, and at least one sample."""

from collections.abc import Iterable, Sequence, Sized
from operator import index as whole_number
from typing import Any

from giqa_datasets.errors import InputError
from giqa_datasets.formats import Size, Sizes, box_format


def require_samples(**inputs: Sized) -> None:
    """Refuse lists that differ in length, or are empty.

    Raises:
        ValueError: If they do or are.

    Example:
        >>> require_samples(predictions=["a"], references=["a", "b"])
        Traceback (most recent call last):
        giqa_datasets.errors.InputError: expected as many predictions as references, and at least one, got 1 and 2
    """
    lengths = [len(values) for values in inputs.values()]
    if len(set(lengths)) != 1 or 0 in lengths:
        first, *others = (name.replace("_", " ") for name in inputs)
        raise InputError(
            f"expected as many {first} as {_listed(others)}, and at least one, got {_listed(map(str, lengths))}"
        )


def sizes_of(
    name: str, count: int, image_sizes: Sequence[Any] | None = None, input_sizes: Sequence[Any] | None = None
) -> list[Sizes]:
    """Pair each sample's sizes, and hold them to be what a box format needs.

    Args:
        name: The box format.
        count: The number of samples.
        image_sizes: (width, height) of each original image.
        input_sizes: (width, height) of each resized image; None for one that is not known.

    Raises:
        ValueError: If there are not as many, one is no size, or the format needs sizes and there are none.
    """
    needs = box_format(name).needs
    if needs == "image" and image_sizes is None:
        where = "pixels of the image" if name == "pixels" else "a padded square"
        raise InputError(f"box format {name!r} counts in {where}: expected image_sizes, got none")
    if needs == "input" and image_sizes is None and input_sizes is None:
        raise InputError(
            f"box format {name!r} counts in pixels of the resized image: expected input_sizes or image_sizes, got none"
        )
    sides = []
    for kind, sizes in (("image_sizes", image_sizes), ("input_sizes", input_sizes)):
        if sizes is not None and len(sizes) != count:
            raise InputError(f"expected {count} {kind}, got {len(sizes)}")
        sides.append(
            [None] * count if sizes is None else [_size(kind, index, size) for index, size in enumerate(sizes)]
        )
    return [Sizes(*pair) for pair in zip(*sides, strict=True)]


def _size(kind: str, index: int, size: Any) -> Size | None:
    """Read one size."""
    if size is None and kind == "input_sizes":
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
