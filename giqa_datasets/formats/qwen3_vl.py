"""Qwen3-VL's boxes: `{"bbox_2d": [120, 40, 310, 990], "label": "tower"}` beside the prose, 0-1000 of the image."""

from collections.abc import Iterable

from giqa_datasets.formats import json_boxes
from giqa_datasets.formats.frames import PER_MILLE, UNKNOWN, Sizes
from giqa_datasets.regions import Region
from giqa_datasets.text import GroundedText


def read(text: str, sizes: Sizes = UNKNOWN) -> GroundedText:
    """Read text that Qwen3-VL wrote. Never raises.

    Example:
        >>> (tower,) = read('A sharp tower. {"bbox_2d": [100, 200, 300, 400], "label": "tower"}').regions
        >>> tower.phrase, tower.span, tower.boxes.tolist()
        ('tower', (8, 13), [[0.1, 0.2, 0.3, 0.4]])
    """
    return json_boxes.read(text, PER_MILLE)


def write(plain: str, regions: Iterable[Region], sizes: Sizes = UNKNOWN) -> str:
    """Write text as Qwen3-VL does; see `json_boxes.write` for what is refused."""
    return json_boxes.write(plain, regions, PER_MILLE)
