"""Any photographs: a folder with descriptions of them in a `metadata.jsonl`, or as `folder_metadata.py` reads them.

    {"file_name": "cat.jpg", "description": "A sharp cat.", "regions": [{"phrase": "cat", "boxes": [[0, 0, 1, 1]]}]}

`file_name` and `description` (or `text`, or `caption`) are needed. With `regions`, even an empty list, the line is
taken as it is; without, the pipeline looks for the boxes. `id`, `image_license`, `text_license` and `redistributable`
are optional; other columns are passed over, and named once.
"""

import logging
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path, PurePosixPath

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from giqa_datasets.console import printable
from giqa_datasets.drops import Drop, DropSink
from giqa_datasets.entries import Entry, ImageSet, Refused, by_photograph, check_text, checked_name, read_photograph
from giqa_datasets.errors import GiqaError, InputError
from giqa_datasets.files import fault_of
from giqa_datasets.image_stores import Folder, safe_name
from giqa_datasets.questions import question_pool
from giqa_datasets.records import Sample
from giqa_datasets.regions import Region, locate
from giqa_datasets.sources.folder_boxes import CORNERS, FRAMES, BoxFile, Size, to_corners, upright_size
from giqa_datasets.sources.folder_metadata import read_metadata


SOURCE = "folder"  # in the column of that name
_DESCRIPTION = ("description", "text", "caption")
logger = logging.getLogger(__name__)


class _RegionLine(BaseModel):
    model_config = ConfigDict(extra="forbid")
    phrase: str
    boxes: list[tuple[float, float, float, float]]


class _Line(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)
    file_name: str
    description: str = Field(validation_alias=AliasChoices(*_DESCRIPTION))
    regions: list[_RegionLine] | None = None
    id: str | None = None
    image_license: str = "unknown"
    text_license: str = "unknown"
    redistributable: bool | None = None


def entries(root: Path, drop: DropSink, *, boxes: str = CORNERS, redistributable: bool = False) -> list[Entry]:
    """List the folder's lines in their order, those of a photograph side by side; hand-made regions become a sample.

    The lines are the user's own, so a wrong one ends the run before anything is done. A broken photograph, or a
    description that is empty or holds markup, or control characters in a name, cost their own record.

    Args:
        root: The folder.
        drop: Takes what costs its own record.
        boxes: A name out of `FRAMES`, of the numbers in `regions`; or a file of COCO's or Label Studio's, whose names
            that stand in a description become its regions.
        redistributable: What a line without the key says.

    Raises:
        FileNotFoundError: If the folder, its descriptions or a photograph is missing.
        ValueError: If a line or a box is not valid, or an id occurs twice; the line is named.
    """
    metadata = read_metadata(root)
    known = {*_Line.model_fields, *_DESCRIPTION}
    if others := [column for column in metadata.columns if column not in known]:
        logger.warning("%s: passed over %s", metadata.path, ", ".join(map(str, others)))
    images, box_file = Folder(root), None if boxes in FRAMES else BoxFile(Path(boxes))
    made: dict[str, Entry] = {}
    for place, row in metadata.rows:
        where = str(Path(place).relative_to(root))
        try:
            line = _Line.model_validate(row)
            safe_name(printable(line.file_name))  # a path that leads out ends the run
            name = checked_name(line.file_name)  # one with control characters costs its record
            size = cache(partial(upright_size, images.find(name)))
            regions = _regions(line, size, boxes if box_file is None else CORNERS)
            if regions is None and box_file is not None:
                regions = box_file.regions(name, line.description, size) or None
            may_leave = redistributable if line.redistributable is None else line.redistributable
            rights = ImageSet(SOURCE, line.image_license, may_leave)
            entry = _entry(images, where, line, name, regions, rights)
            if entry.id in made:
                raise InputError(f"expected unique ids, got {entry.id!r} twice; a key id gives a line its own")
            made[entry.id] = entry
        except Refused as refused:
            drop(Drop(where, "source", refused.reason, str(refused)))
        except ValidationError as error:
            raise InputError(f"{place}: {fault_of(error)}") from error
        except GiqaError as error:
            raise type(error)(f"{place}: {error}") from error
    if box_file is not None:
        box_file.require_used()
        if unnamed := ", ".join(f"{name} {count}" for name, count in box_file.unnamed.most_common(10)):
            logger.warning("%s: no description names %s", boxes, unnamed)
    first_names = images.first_names({entry.file for entry in made.values()})
    return by_photograph(made.values(), key=lambda entry: first_names[entry.file])


def _regions(line: _Line, size: Callable[[], Size], frame: str) -> tuple[Region, ...] | None:
    if line.regions is None:
        return None
    return locate(line.description, [(each.phrase, to_corners(each.boxes, frame, size)) for each in line.regions])


def _entry(
    images: Folder, where: str, line: _Line, name: str, regions: tuple[Region, ...] | None, rights: ImageSet
) -> Entry:
    identifier = line.id or str(PurePosixPath(name).with_suffix(""))
    samples: tuple[Sample, ...] = ()
    if regions is None:
        check_text(line.description, name)
    else:
        question = question_pool()[0]
        samples = (Sample(f"{identifier}-des", "des", "des", question, line.description, answer_regions=regions),)
    photograph = partial(read_photograph, images, name, rights, verify=bool(samples))
    return Entry(identifier, where, name, line.description, line.text_license, photograph, samples)
