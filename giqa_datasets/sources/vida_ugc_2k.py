"""ViDA-UGC's predecessor: 2,000 photographs with the boxes of their distortions, and no texts.

    benchmark_2k_cleaned.json, or benchmark_2k.json, in which the boxes are not merged and no sizes stand
    images/NAME, or NAME beside it

A row is {filename, mos, level, global: {CLASS: [BOX]}, local: {CLASS: [BOX]}}, and a BOX {tl: {x, y}, br: {x, y}} in
pixels. ViDA-UGC-Bench is part of it: the one must not train what the other tests.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pydantic import BaseModel, Field

from giqa_datasets.console import printable
from giqa_datasets.defect_classes import DEFECT_CLASSES, defect_class
from giqa_datasets.drops import DropSink
from giqa_datasets.entries import Entry, checked_name
from giqa_datasets.errors import InputError, MissingFileError
from giqa_datasets.formats import Size
from giqa_datasets.image_stores import FirstOf, Folder
from giqa_datasets.objects import Defect
from giqa_datasets.sources.region_sets import Assessment, detection, read_assessed
from giqa_datasets.sources.rows import entries as entries_of
from giqa_datasets.sources.vida_photographs import base_name, original


FILES = ("benchmark_2k_cleaned.json", "benchmark_2k.json")
TEXT_LICENSE = "none stated"
logger = logging.getLogger(__name__)


class _Corner(BaseModel):
    x: int
    y: int


class _Box(BaseModel):
    tl: _Corner
    br: _Corner


class _Row(BaseModel):
    filename: str
    mos: float | None = None
    level: str = ""
    width: int | None = None
    height: int | None = None
    whole: dict[str, list[_Box]] = Field({}, alias="global")
    local: dict[str, list[_Box]] = {}


def entries(root: Path, drop: DropSink) -> list[Entry]:
    """List the photographs in the file's order.

    Raises:
        FileNotFoundError: If neither file is there.
        ValueError: If it is another one.
    """
    path = next((root / name for name in FILES if (root / name).is_file()), None)
    if path is None:
        raise MissingFileError(f"expected {' or '.join(FILES)} in {root}, found neither")
    images, strange = FirstOf(Folder(root / "images"), Folder(root)), Counter[str]()

    def make(raw: object) -> Entry:
        row = _Row.model_validate(raw)
        name = checked_name(base_name(row.filename))
        strange.update(each for each in (*row.whole, *row.local) if defect_class(each) not in DEFECT_CLASSES)
        assessment = Assessment(partial(_objects, row), row.mos, row.level)
        photograph = partial(read_assessed, images, name, original(name).rights, assessment)
        identifier = f"vida-ugc-2k/{name}"
        return Entry(identifier, "", name, "", TEXT_LICENSE, photograph, partial(detection, id=identifier))

    made = entries_of(path, make, drop)
    if strange:
        logger.warning("%s: classes that are none of the known ones: %s", path, printable(", ".join(sorted(strange))))
    return made


def _objects(row: _Row, size: Size) -> Iterator[Defect]:
    if row.width and row.height and (row.width, row.height) != size:
        raise InputError(f"expected a photograph of {row.width}x{row.height}, got {size[0]}x{size[1]}")
    for scope, classes in (("global", row.whole), ("local", row.local)):
        for spelling, boxes in classes.items():
            for number, box in enumerate(boxes):
                x, y, width, height = box.tl.x, box.tl.y, box.br.x - box.tl.x, box.br.y - box.tl.y
                is_outside = min(x, y) < 0 or box.br.x > size[0] or box.br.y > size[1]
                if is_outside or min(width, height) <= 0:
                    hint = ", which may be thousandths" if is_outside and max(box.br.x, box.br.y) <= 1000 else ""
                    got = [x, y, box.br.x, box.br.y]
                    raise InputError(f"expected boxes in pixels of {size[0]}x{size[1]}, got {got}{hint}")
                name, category = f"{scope}:{spelling}:{number}", defect_class(spelling)
                yield Defect(name, (x, y, width, height), width * height, category, spelling, scope=scope)
