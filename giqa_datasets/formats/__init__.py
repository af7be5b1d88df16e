"""Box formats by the name a user types: how a model writes its boxes (protocol section 10)."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal, NamedTuple, Protocol

from giqa_datasets.errors import InputError
from giqa_datasets.formats import giqa, inline, json_boxes, tagged
from giqa_datasets.formats.frames import UNIT, UNKNOWN, Size, Sizes
from giqa_datasets.formats.written import Bulk, named_split
from giqa_datasets.regions import Region
from giqa_datasets.text import PLACEHOLDER, GroundedText, Tokens, decoded, strip


__all__ = ["FORMATS", "Format", "Size", "Sizes", "Tokenize", "Write", "box_format"]


class Tokenize(Protocol):
    """Reads a model's text; never raises because of the text."""

    def __call__(self, text: str, sizes: Sizes = UNKNOWN) -> Tokens: ...  # noqa: D102


class Write(Protocol):
    """Writes regions into plain text as the model does."""

    def __call__(self, plain: str, regions: Iterable[Region], sizes: Sizes = UNKNOWN) -> str: ...  # noqa: D102


class Format(NamedTuple):
    """A box format.

    Attributes:
        tokens: Raises ValueError if a size that it needs is not known, never because of the text.
        write: Raises ValueError if what it writes would not be read back, or for a size as above.
        strip: The plain text alone; needs no size.
        needs: The size that `tokens` and `write` need; for `input`, that of the image does where the processor resizes
            by its default.
        hint: How a question shows an object called "label" whose corners have names, as the model would write it.
        takes_input: Whether the numbers are pixels of the resized image, where its size is known.
        markers: The special tokens of the family's tokenizer that decoding must keep; empty where the markup is text.
        written: Reads many texts that are as `write` writes them; None where that takes more than a pattern.
    """

    tokens: Tokenize
    write: Write
    strip: Callable[[str], str]
    needs: Literal["image", "input"] | None
    hint: str
    takes_input: bool = False
    markers: tuple[str, ...] = ()
    written: Bulk | None = None

    def read(self, text: str, sizes: Sizes = UNKNOWN) -> GroundedText:
        """Read a text; raises what `tokens` does."""
        return decoded(self.tokens(text, sizes))


def _inline(name: str, needs: Literal["image"] | None) -> Format:
    """A format that writes brackets after a name, in one style."""
    style = inline.STYLES[name]
    return Format(
        partial(inline.tokens, style=style),
        partial(inline.write, style=style),
        partial(inline.strip, style=style),
        needs,
        inline.hint(style),
        written=(inline.split_of(style), style.frame),
    )


def _tagged(name: str) -> Format:
    """A format that writes boxes in markers."""
    tags = tagged.FAMILIES[name]
    return Format(
        lambda text, sizes=UNKNOWN: tagged.tokens(text, tags),
        lambda plain, regions, sizes=UNKNOWN: tagged.write(plain, regions, tags),
        lambda text: tagged.tokens(text, tags).plain,
        None,
        tagged.hint(tags),
        markers=tags.markers,
        written=tagged.written(tags),
    )


def _json(name: str, needs: Literal["image", "input"] | None = None) -> Format:
    """A format that writes JSON objects beside the prose."""
    keys = json_boxes.FAMILIES[name]
    return Format(
        partial(json_boxes.tokens, keys=keys),
        partial(json_boxes.write, keys=keys),
        partial(json_boxes.strip, keys=keys),
        needs,
        json_boxes.hint(keys),
        takes_input=needs is not None,
        written=(json_boxes.split_of(keys), keys.frame),
    )


FORMATS = {
    "giqa": Format(giqa.tokens, giqa.write, strip, None, PLACEHOLDER),
    "giqa_decimal": Format(
        giqa.tokens_decimal,
        giqa.write_decimal,
        strip,
        None,
        PLACEHOLDER,
        written=(named_split("[{}]({})", "<{}, {}, {}, {}>", ", "), lambda sizes: UNIT),
    ),
    "kosmos2": _tagged("kosmos2"),
    "ferret": _inline("ferret", None),
    "shikra": _inline("shikra", "image"),
    "groundinggpt": _inline("groundinggpt", "image"),
    "llava": _inline("llava", "image"),
    "qwen_vl": _tagged("qwen_vl"),
    "qwen2_vl": _tagged("qwen2_vl"),
    "qwen2_5_vl": _json("qwen2_5_vl", "input"),
    "qwen3_vl": _json("qwen3_vl"),
    "kimi_vl": _json("kimi_vl"),
    "gemini": _json("gemini"),
    "glm_v": _tagged("glm_v"),
    "deepseek_vl2": _tagged("deepseek_vl2"),
    "minicpm_v": _tagged("minicpm_v"),
    "internvl": _tagged("internvl"),
    "paligemma": Format(
        lambda text, sizes=UNKNOWN: tagged.tokens_paligemma(text),
        lambda plain, regions, sizes=UNKNOWN: tagged.write_paligemma(plain, regions),
        lambda text: tagged.tokens_paligemma(text).plain,
        None,
        tagged.hint(tagged.PALIGEMMA_TAGS),
    ),
    "florence2": _tagged("florence2"),
    "pixels": _json("pixels", "image"),
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
