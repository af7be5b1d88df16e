"""InternVL's boxes: `<ref>dogs</ref><box>[[120, 40, 310, 990], [400, 40, 610, 990]]</box>`, 0-1000 of the image."""

import re
from collections.abc import Iterable
from itertools import accumulate

from giqa_datasets.formats import tagged
from giqa_datasets.formats.frames import PER_MILLE, UNKNOWN, Sizes, read_list, write_boxes
from giqa_datasets.formats.spans import Found, trimmed
from giqa_datasets.regions import Region
from giqa_datasets.text import GroundedText, fill


_MARKUP = tagged.markup("ref", "box", piece=r"[-+.,0-9\[\]]", loose=r"\[\[\s*+[-+]?+\.?+[0-9]")
_LIST = re.compile(r"\s*+\[\s*+\[[^\[\]]*+\]\s*+(?:,\s*+\[[^\[\]]*+\]\s*+)*+\]\s*+")
_BOX = re.compile(r"\[([^\[\]]*+)\]")


def read(text: str, sizes: Sizes = UNKNOWN) -> GroundedText:
    """Read text that InternVL wrote. Never raises.

    Example:
        >>> (tower,) = read("The <ref>tower</ref><box>[[100, 200, 300, 400]]</box> is sharp.").regions
        >>> tower.phrase, tower.boxes.tolist()
        ('tower', [[0.1, 0.2, 0.3, 0.4]])
    """
    return tagged.read(text, _MARKUP, _read_boxes)


def write(plain: str, regions: Iterable[Region], sizes: Sizes = UNKNOWN) -> str:
    """Write text as InternVL does; see `fill` for what is refused."""
    return fill(plain, map(trimmed, regions), _phrase_with_boxes, read)


def _phrase_with_boxes(region: Region) -> str:
    """Write one phrase."""
    boxes = (f"[{', '.join(box)}]" for box in write_boxes(region.boxes, PER_MILLE, digits=0))
    return f"<ref>{region.phrase}</ref><box>[{', '.join(boxes)}]</box>"


def _read_boxes(token: re.Match[str]) -> list[Found]:
    """Read a list of boxes, in brackets that are two deep."""
    if _LIST.fullmatch(token["boxes"]):
        boxes = _BOX.finditer(token.string, *token.span("boxes"))
        return [Found(box.span(), read_list(box[1], PER_MILLE)) for box in boxes]
    depths = accumulate({"[": 1, "]": -1}.get(character, 0) for character in token["boxes"])
    return [Found(token.span(), "nested" if max(depths, default=0) > 2 else "syntax")]
