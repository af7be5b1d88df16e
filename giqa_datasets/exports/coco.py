"""COCO's JSON: `annotations/<split>.json` beside `images/`, as pycocotools and detection trainers read it.

The categories are the names of the objects, in alphabetical order; an image without boxes stands in `images` too.
"""

import json
from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from giqa_datasets.exports.photographs import ExportedPhotograph, Read, objects_of, saved
from giqa_datasets.files import write_whole


def write_coco(out: Path, read: Read) -> None:
    """Write the files into an empty folder."""
    (out / "annotations").mkdir()
    for split, of_split in groupby(saved(read(), out / "images"), attrgetter("split")):
        write_whole(out / "annotations" / f"{split}.json", [json.dumps(_coco(of_split), ensure_ascii=False)])


def _coco(photographs: Iterable[ExportedPhotograph]) -> dict[str, Any]:
    images, boxes = [], []
    licences: dict[str, int] = {}
    for number, photograph in enumerate(photographs, start=1):
        width, height = photograph.size
        licence = licences.setdefault(photograph.rows[0]["image_license"], len(licences) + 1)
        image = {"id": number, "file_name": photograph.file, "width": width, "height": height, "license": licence}
        images.append(image)
        boxes += [(number, found) for found in objects_of(photograph)]
    names = sorted({found.category for _, found in boxes})
    ids = {name: number for number, name in enumerate(names, start=1)}
    return {
        "info": {},
        "licenses": [{"id": number, "name": name} for name, number in licences.items()],
        "images": images,
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": ids[found.category],
                "bbox": found.bbox,
                "area": found.area,
                "iscrowd": 0,
                "segmentation": found.segmentation if found.segmentation["counts"] else [],
                **({"attributes": {"severity": found.severity}} if found.severity else {}),
            }
            for number, (image, found) in enumerate(boxes, start=1)
        ],
    }
