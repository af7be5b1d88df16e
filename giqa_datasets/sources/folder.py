"""Any photographs: a folder with a `metadata.jsonl`, which has at least one line per photograph.

    {"file_name": "cat.jpg", "description": "A sharp cat.", "regions": [{"phrase": "cat", "boxes": [[0, 0, 1, 1]]}]}

`file_name` and `description` are needed. With `regions`, even an empty list, the line is taken as it is; without, the
pipeline looks for the boxes. `id`, `image_license`, `text_license` and `redistributable` are optional.
"""

from functools import partial
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from giqa_datasets.boxes import to_boxes
from giqa_datasets.drops import Drop, DropSink
from giqa_datasets.entries import Entry, ImageSet, Refused, by_photograph, check_text, read_photograph
from giqa_datasets.errors import GiqaError, InputError, MissingFileError
from giqa_datasets.files import numbered_lines, read_line
from giqa_datasets.image_stores import Folder
from giqa_datasets.questions import question_pool
from giqa_datasets.records import Sample
from giqa_datasets.regions import locate


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
    redistributable: bool = False


def entries(root: Path, drop: DropSink) -> list[Entry]:
    """List the folder's lines in their order, those of a photograph side by side; hand-made regions become a sample.

    The lines are the user's own, so a wrong one ends the run before anything is done. A broken photograph, or a
    description that is empty or holds markup, costs its own record.

    Raises:
        FileNotFoundError: If the folder, its `metadata.jsonl` or a photograph is missing.
        ValueError: If a line or a box is not valid, or an id occurs twice; the line is named.
    """
    metadata = root / "metadata.jsonl"
    if not metadata.is_file():
        raise MissingFileError(f"expected {metadata} with one line per photograph, found none")
    images = Folder(root)
    made: dict[str, Entry] = {}
    n_lines = 0
    for place, raw in numbered_lines(metadata):
        n_lines += 1
        where = Path(place).name
        line = read_line(raw, place, _Line)
        try:
            entry = _entry(images, where, line)
            if entry.id in made:
                raise InputError(f"expected unique ids, got {entry.id!r} twice; a key id gives a line its own")
            made[entry.id] = entry
        except Refused as refused:
            drop(Drop(where, "source", refused.reason, str(refused)))
        except GiqaError as error:
            raise type(error)(f"{place}: {error}") from error
    if not n_lines:
        raise InputError(f"expected at least one photograph in {metadata}, found none")
    return by_photograph(made.values())


def _entry(images: Folder, where: str, line: _Line) -> Entry:
    try:
        path = (images.root / line.file_name).resolve()
        is_file = path.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # too long, a circle of links, a zero byte
        raise InputError(str(error)) from error
    if not path.is_relative_to(images.root):
        raise InputError(f"file_name {line.file_name!r} lies outside the folder")
    if Path(line.file_name).is_absolute():  # it would become the id
        raise InputError(f"expected a file_name relative to the folder, got {line.file_name!r}")
    if not is_file:
        raise MissingFileError(f"photograph {path} is missing")
    identifier = line.id or Path(line.file_name).with_suffix("").as_posix()
    samples: tuple[Sample, ...] = ()
    if line.regions is None:
        check_text(line.description, line.file_name)
    else:
        boxed = [(region.phrase, to_boxes(np.array(region.boxes))) for region in line.regions]
        regions, question = locate(line.description, boxed), question_pool()[0]
        samples = (Sample(f"{identifier}-des", "des", "des", question, line.description, answer_regions=regions),)
    rights = ImageSet("folder", line.image_license, line.redistributable)
    photograph = partial(read_photograph, images, line.file_name, rights, verify=bool(samples))
    return Entry(identifier, where, line.file_name, line.description, line.text_license, photograph, samples)
