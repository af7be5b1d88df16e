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
    spoken = format_named(box_format)
    written = spoken.write(plain, regions, sizes) if regions else plain
    return written.replace(PLACEHOLDER, spoken.hint)
