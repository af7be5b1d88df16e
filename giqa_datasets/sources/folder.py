"""Anyone's photographs: a folder with a `metadata.jsonl` beside them, one line per photograph.

    {"file_name": "cat.jpg", "description": "A sharp cat.", "regions": [{"phrase": "cat", "boxes": [[0, 0, 1, 1]]}]}

`file_name` and `description` are needed. With `regions`, even none, the line is taken as it is; without, the pipeline
looks for the boxes.
"""

import codecs
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from giqa_datasets.boxes import to_boxes
from giqa_datasets.images import bake
from giqa_datasets.pipeline.fuse import question_pool
from giqa_datasets.records import Photograph, Record, Sample
from giqa_datasets.text import locate


class _RegionLine(BaseModel):
    model_config = ConfigDict(extra="forbid")
    phrase: str
    boxes: list[tuple[float, float, float, float]]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid")
    file_name: str
    description: str
    regions: list[_RegionLine] | None = None
    id: str | None = None
    image_license: str = "unknown"
    text_license: str = "unknown"


def read(root: Path) -> Iterator[Record]:
    """Yield the folder's records, in the order of `metadata.jsonl`; hand-made regions become a GIQA-DES sample.

    Raises:
        FileNotFoundError: If the folder, its `metadata.jsonl` or a photograph is missing.
        ValueError: If a line, a box or a photograph is not as it should be; the line is named.
    """
    metadata = root / "metadata.jsonl"
    if not metadata.is_file():
        raise FileNotFoundError(f"expected {metadata} with one line per photograph, found none")
    empty = True
    with metadata.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip():
                empty = False
                try:
                    yield _record(root, _Line.model_validate_json(line))
                except ValidationError as error:
                    first = error.errors()[0]
                    where = ".".join(map(str, first["loc"])) or "the line"
                    raise ValueError(f"{metadata} line {number}: {where}: {first['msg'].lower()}") from error
                except (FileNotFoundError, ValueError) as error:
                    raise type(error)(f"{metadata} line {number}: {error}") from error
    if empty:
        raise ValueError(f"expected at least one photograph in {metadata}, found none")


def _record(root: Path, line: _Line) -> Record:
    """Read one line's photograph and regions."""
    path = (root / line.file_name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise ValueError(f"file_name {line.file_name!r} lies outside the folder")
    if Path(line.file_name).is_absolute():  # it would become the id
        raise ValueError(f"expected a file_name relative to the folder, got {line.file_name!r}")
    if not path.is_file():
        raise FileNotFoundError(f"photograph {path} is missing")
    raw = path.read_bytes()
    photograph = Photograph(
        *bake(raw, name=line.file_name),
        sha256=hashlib.sha256(raw).hexdigest(),
        source="folder",
        license=line.image_license,
    )
    identifier = line.id or Path(line.file_name).with_suffix("").as_posix()
    samples: tuple[Sample, ...] = ()
    if line.regions is not None:
        regions = locate(
            line.description, [(region.phrase, to_boxes(np.array(region.boxes))) for region in line.regions]
        )
        samples = (
            Sample(f"{identifier}-des", "des", "des", question_pool()[0], line.description, answer_regions=regions),
        )
    return Record(identifier, photograph, line.description, line.text_license, samples=samples)
