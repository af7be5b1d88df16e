"""X-AIGD: generated pictures with polygons around what is wrong in them, of seven classes, and no texts.

    data/labeled_train-*.parquet  data/labeled_test-*.parquet

A row is {image, generator, uid, labels: [{label, points: [[x, y], ...]}], width, height, ...}; a uid occurs once for
each generator. The rows without labels in `unlabeled_*` are not read.
"""

from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from giqa_datasets.drops import Drop, DropSink
from giqa_datasets.entries import Entry, ImageSet, Refused, checked_name
from giqa_datasets.errors import InputError, MissingFileError
from giqa_datasets.files import fault_of
from giqa_datasets.sources.polygons import Outline, outlined
from giqa_datasets.sources.region_sets import Assessment, detection, read_assessed


SPLITS = ("train", "test")
RIGHTS = ImageSet("x-aigd", "cc-by-4.0", redistributable=True)
TEXT_LICENSE = "cc-by-4.0"
_COLUMNS = ("generator", "uid", "labels", "width", "height")
_reading = Lock()  # of row groups: several threads want the same one


class _Label(BaseModel):
    label: str
    points: list[tuple[float, float]]


class _Row(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)
    generator: str
    uid: str
    labels: list[_Label]
    width: int | None = None
    height: int | None = None


class _Cell(NamedTuple):
    """The picture of a row, as an image store of one file."""

    path: Path
    group: int
    row: int

    def read(self, name: str) -> bytes:
        """Return the file's bytes; see `ImageStore`."""
        with _reading:
            image = _images(self.path, self.group)[self.row].as_py()
        if not image or not image.get("bytes"):
            raise MissingFileError(f"expected the bytes of {name!r} in {self.path.name}, found none")
        raw: bytes = image["bytes"]
        return raw


def entries(root: Path, drop: DropSink) -> dict[str, list[Entry]]:
    """List the labelled pictures of each split in the files' order.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If one is not valid.
    """
    files = {split: sorted((root / "data").glob(f"labeled_{split}-*.parquet")) for split in SPLITS}
    if not any(files.values()):
        raise MissingFileError(f"expected data/labeled_train-*.parquet of X-AIGD in {root}, found none")
    return {split: [entry for path in paths for entry in _of_file(path, drop)] for split, paths in files.items()}


def category_of(label: str) -> str:
    """Write a class in words.

    Example:
        >>> category_of("low-level-edge_shape")
        'low level edge shape'
    """
    return " ".join(label.lower().replace("-", " ").replace("_", " ").split())


def _of_file(path: Path, drop: DropSink) -> Iterator[Entry]:
    for cell, raw in _rows(path):
        where = f"{path.name} row group {cell.group} row {cell.row + 1}"
        try:
            row = _Row.model_validate(raw)
            name = checked_name(f"{row.generator}/{row.uid}.png")
        except (ValidationError, Refused) as error:
            reason = error.reason if isinstance(error, Refused) else "malformed_row"
            drop(Drop(where, "source", reason, str(error) if isinstance(error, Refused) else fault_of(error)))
            continue
        outlines = tuple(
            Outline(str(number), (tuple(each.points),), category_of(each.label), each.label)
            for number, each in enumerate(row.labels, start=1)
        )
        stated = (row.width, row.height) if row.width and row.height else None
        photograph = partial(read_assessed, cell, name, RIGHTS, Assessment(partial(outlined, outlines, stated=stated)))
        identifier = f"x-aigd/{row.generator}/{row.uid}"
        yield Entry(identifier, where, name, "", TEXT_LICENSE, photograph, partial(detection, id=identifier))


def _rows(path: Path) -> Iterator[tuple[_Cell, dict[str, Any]]]:
    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                rows = file.read_row_group(group, columns=list(_COLUMNS)).to_pylist()
                yield from ((_Cell(path, group, number), row) for number, row in enumerate(rows))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"expected Parquet of X-AIGD in {path}: {error}") from error


@lru_cache(maxsize=2)
def _images(path: Path, group: int) -> pa.ChunkedArray:
    with pq.ParquetFile(path) as file:
        return file.read_row_group(group, columns=["image"])["image"]
