"""Box formats by the name a user types: how a model writes its boxes (protocol section 10)."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal, NamedTuple, Protocol

from giqa_datasets.errors import InputError
from giqa_datasets.formats import giqa, inline, internvl, kosmos2, qwen2_5_vl, qwen3_vl
from giqa_datasets.formats.frames import UNKNOWN, Size, Sizes
from giqa_datasets.regions import Region
from giqa_datasets.text import GroundedText, strip


__all__ = ["FORMATS", "Format", "Read", "Size", "Sizes", "Write", "box_format"]


class Read(Protocol):
    """Reads a model's text; never raises because of the text."""

    def __call__(self, text: str, sizes: Sizes = UNKNOWN) -> GroundedText: ...  # noqa: D102


class Write(Protocol):
    """Writes regions into plain text as the model does."""

    def __call__(self, plain: str, regions: Iterable[Region], sizes: Sizes = UNKNOWN) -> str: ...  # noqa: D102


class Format(NamedTuple):
    """A box format.

    Attributes:
        read: Raises ValueError if a size that it needs is not known, never because of the text.
        write: Raises ValueError if what it writes would not be read back, or for a size as above.
        strip: The plain text alone; needs no size.
        needs: The size that `read` and `write` need; for `input`, that of the image does where the processor resizes
            by its default.
    """

    read: Read
    write: Write
    strip: Callable[[str], str]
    needs: Literal["image", "input"] | None


def _sizeless(read: Read, write: Write) -> Format:
    """A format that needs no size."""
    return Format(read, write, lambda text: read(text).plain, None)


def _inline(name: str, needs: Literal["image"] | None) -> Format:
    """A format that writes brackets after a name, in one style."""
    style = inline.STYLES[name]
    return Format(
        partial(inline.read, style=style),
        partial(inline.write, style=style),
        partial(inline.strip, style=style),
        needs,
    )


FORMATS = {
    "giqa": Format(giqa.read, giqa.write, strip, None),
    "giqa_decimal": Format(giqa.read_decimal, giqa.write_decimal, strip, None),
    "kosmos2": _sizeless(kosmos2.read, kosmos2.write),
    "ferret": _inline("ferret", None),
    "shikra": _inline("shikra", "image"),
    "groundinggpt": _inline("groundinggpt", "image"),
    "llava": _inline("llava", "image"),
    "qwen2_5_vl": Format(qwen2_5_vl.read, qwen2_5_vl.write, qwen2_5_vl.strip, "input"),
    "qwen3_vl": _sizeless(qwen3_vl.read, qwen3_vl.write),
    "internvl": _sizeless(internvl.read, internvl.write),
}


def box_format(name: str) -> Format:
    """Look a format up.

    Raises:
        ValueError: If there is none of that name.

    Example:
        >>> box_format("ferret").read("The tower [100, 200, 300, 400] is sharp.").plain
        'The tower is sharp.'
    """
    if name not in FORMATS:
        raise InputError(f"expected a box format out of {sorted(FORMATS)}, got {name!r}")
    return FORMATS[name]
