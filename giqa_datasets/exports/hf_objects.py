"""Hugging Face's convention for object detection: Parquet with the columns of its task guide, the names a ClassLabel.

`load_dataset(DIR)` gives `image, image_id, width, height, objects: {id, area, bbox: [x, y, width, height], category}`.
"""

from collections.abc import Iterable, Iterator
from itertools import count, groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from giqa_datasets.batches import batches
from giqa_datasets.exports.photographs import ExportedPhotograph, Read, objects_of
from giqa_datasets.files import naming


_GROUP = 100  # photographs of a row group


def write_hf_objects(out: Path, read: Read) -> None:
    """Write `data/<split>-00000-of-00001.parquet` into an empty folder; the photographs are read twice."""
    from datasets import ClassLabel, Features, Image, List, Value

    names = sorted({found.category for photograph in read() for found in objects_of(photograph)})
    number, numbers = Value("int64"), List(Value("int64"))
    boxes = {"id": numbers, "area": List(Value("float32")), "bbox": List(List(Value("float32"), length=4))}
    objects = boxes | {"category": List(ClassLabel(names=names))}
    schema = Features(
        {"image": Image(), "image_id": number, "width": number, "height": number, "objects": objects}
    ).arrow_schema
    ids = {name: place for place, name in enumerate(names)}
    (out / "data").mkdir()
    for split, of_split in groupby(read(), attrgetter("split")):
        path = out / "data" / f"{split}-00000-of-00001.parquet"
        with naming(path), pq.ParquetWriter(path, schema) as writer:
            for rows in batches(_rows(of_split, ids), _GROUP):
                writer.write_table(pa.Table.from_pylist(rows, schema))


def _rows(photographs: Iterable[ExportedPhotograph], ids: dict[str, int]) -> Iterator[dict[str, Any]]:
    numbers = count(1)  # of the split's boxes
    for image_id, photograph in enumerate(photographs, start=1):
        width, height = photograph.size
        found = objects_of(photograph)
        yield {
            "image": {"bytes": photograph.image, "path": photograph.file},
            "image_id": image_id,
            "width": width,
            "height": height,
            "objects": {
                "id": [next(numbers) for _ in found],
                "area": [each.area for each in found],
                "bbox": [each.bbox for each in found],
                "category": [ids[each.category] for each in found],
            },
        }
