"""What a model is asked: the pool of questions that ask for a description, and a question in a box format's own words.

A question of a data set is GIQA text: it may end in the hint `Note positions as [label](<x, y>).`, and the boxes of a
referring question are cells. A model that writes boxes in another way is asked in that way.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from giqa_datasets.formats import box_format as format_named
from giqa_datasets.formats.frames import UNKNOWN, Sizes
from giqa_datasets.regions import Region
from giqa_datasets.text import PLACEHOLDER


_BBOX_2D = '{"bbox_2d": [x1, y1, x2, y2], "label": "label"}'
# How a hint shows an object, by box format
HINTS = {
    "giqa": PLACEHOLDER,
    "giqa_decimal": PLACEHOLDER,
    "kosmos2": "<phrase>label</phrase><object><patch_index_x><patch_index_y></object>",
    "ferret": "label [x1, y1, x2, y2]",
    "shikra": "label[x1,y1,x2,y2]",
    "groundinggpt": "label[x1, y1, x2, y2]",
    "llava": "label [x1, y1, x2, y2]",
    "qwen_vl": "<ref>label</ref><box>(x1,y1),(x2,y2)</box>",
    "qwen2_vl": "<|object_ref_start|>label<|object_ref_end|><|box_start|>(x1,y1),(x2,y2)<|box_end|>",
    "qwen2_5_vl": _BBOX_2D,
    "qwen3_vl": _BBOX_2D,
    "kimi_vl": _BBOX_2D,
    "gemini": '{"box_2d": [y1, x1, y2, x2], "label": "label"}',
    "glm_v": "<|begin_of_box|>[[x1, y1, x2, y2]]<|end_of_box|>",
    "deepseek_vl2": "<|ref|>label<|/ref|><|det|>[[x1, y1, x2, y2]]<|/det|>",
    "minicpm_v": "<ref>label</ref><box>x1 y1 x2 y2</box>",
    "internvl": "<ref>label</ref><box>[[x1, y1, x2, y2]]</box>",
    "paligemma": "<locy1><locx1><locy2><locx2> label",
    "florence2": "label<loc_x1><loc_y1><loc_x2><loc_y2>",
    "pixels": '{"bbox": [x1, y1, x2, y2], "label": "label"}',
}


@cache
def question_pool() -> tuple[str, ...]:
    """Read the 15 questions that a description answers (ours, after the two that the paper shows)."""
    path = Path(__file__).parent / "des_questions.v1.txt"
    return tuple(path.read_text(encoding="utf-8").splitlines())


def question_in(box_format: str, plain: str, regions: Iterable[Region] = (), sizes: Sizes = UNKNOWN) -> str:
    """Write a question in a box format: its hint shows the format's own form, its boxes are written as the model does.

    Args:
        box_format: A name out of `FORMATS`.
        plain: The question without boxes; its hint, if it has one, is GIQA's `[label](<x, y>)`.
        regions: The phrases that it refers to, with their boxes.
        sizes: Of the image, where the format needs them to write boxes.

    Raises:
        ValueError: If there is no such format, or it cannot write these regions; see its `write`.

    Example:
        >>> question_in("qwen_vl", "Describe it. Note positions as [label](<x, y>).")
        'Describe it. Note positions as <ref>label</ref><box>(x1,y1),(x2,y2)</box>.'
    """
    regions = tuple(regions)
    written = format_named(box_format).write(plain, regions, sizes) if regions else plain
    return written.replace(PLACEHOLDER, HINTS[box_format])
