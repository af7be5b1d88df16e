"""ms-swift's grounding rows: `<split>.jsonl` beside `images/`; the trainer writes the boxes as its model does.

`ROOT_IMAGE_DIR=DIR swift sft --dataset DIR/train.jsonl ...`. Boxes are the exact ones, from 0 to 1 (`norm1`);
`<ref-object>` and `<bbox>` stand in the text for them.
"""

from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from giqa_datasets.errors import InputError
from giqa_datasets.exports.photographs import Read, Row, grounded, saved
from giqa_datasets.files import json_line, write_whole


_MARKS = ("<image>", "<ref-object>", "<bbox>")


def write_ms_swift(out: Path, read: Read) -> None:
    """Write the files into an empty folder.

    Raises:
        ValueError: If a text holds one of the marks; the row is named.
    """
    for split, of_split in groupby(saved(read(), out / "images"), attrgetter("split")):
        lines = (json_line(_line(row, photograph.file)) for photograph in of_split for row in photograph.rows)
        write_whole(out / f"{split}.jsonl", lines)


def _line(row: Row, file: str) -> dict[str, Any]:
    ref: list[str] = []
    bbox: list[list[float]] = []
    messages = []
    for name, begin, (plain, regions) in (
        ("user", "<image>", grounded(row, "question")),
        ("assistant", "", grounded(row, "answer")),
    ):
        if found := [mark for mark in _MARKS if mark in plain]:
            raise InputError(f"{row['id']}: expected a text without ms-swift's own {found[0]}, got one")
        end, pieces = 0, [begin]
        for region in regions:
            pieces += [plain[end : region.span[0]], "<ref-object>", "<bbox>" * len(region.boxes)]
            ref.append(region.phrase)
            bbox += region.boxes.round(4).tolist()
            end = region.span[1]
        messages.append({"role": name, "content": "".join([*pieces, plain[end:]])})
    return {
        "messages": messages,
        "images": [f"images/{file}"],
        "objects": {"ref": ref, "bbox": bbox, "bbox_type": "norm1"},
    }
