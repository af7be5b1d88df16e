"""The images and samples of a data set folder that are reviewed, and the round that is open."""

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from giqa_datasets.boxes import Boxes, to_boxes
from giqa_datasets.dataset_folder.columns import Columns
from giqa_datasets.dataset_folder.shards import open_shards, read_rows, refuse
from giqa_datasets.errors import InputError
from giqa_datasets.files import fault_of, write_whole
from giqa_datasets.grid import boxes_to_cells
from giqa_datasets.regions import ROLES, Box, Role
from giqa_datasets.review.round_files import last_round, lock_review, name_images, read_begin, to_line
from giqa_datasets.review.states import State
from giqa_datasets.text import parse


class ImageItem(NamedTuple):
    """An image under review."""

    id: str  # the ids of new samples begin with it
    sha256: str  # of the original file
    width: int  # in pixels, as the height
    height: int
    sample_ids: tuple[str, ...]  # the samples of the round that are about it
    objects: list[tuple[str, Box]]  # what the source says is wrong, and where, normalised xyxy; nobody changes it


class _Stored(NamedTuple):
    shard: Path
    group: int
    row: int
    width: int
    height: int
    digest: bytes
    objects: list[tuple[str, Box]]


@dataclass(frozen=True, slots=True)
class Review:
    """A data set folder, and the open round of its review."""

    folder: Path
    path: Path  # `FOLDER.review`, where the rounds lie
    round: int  # the number of the round, from 1
    begin: dict[str, State]  # the samples with which it begins, by id, in the data set's order
    images: list[ImageItem]  # in the data set's order
    _stored: dict[str, _Stored] = field(repr=False)

    def image_bytes(self, sha256: str) -> bytes:
        """Return the encoded file of an image as the data set has it, a JPEG or PNG.

        Raises:
            ValueError: If it is no image of the review, or the data set folder has changed meanwhile.
        """
        if sha256 not in self._stored:
            raise InputError(f"expected the sha256 of an image of the review, got {sha256!r:.100}")
        stored = self._stored[sha256]
        with pq.ParquetFile(stored.shard, read_dictionary=["image.bytes"]) as file:  # or each row gets a copy
            column = file.read_row_group(stored.group, columns=["image.bytes"])["image"]
        raw: bytes = column[stored.row].as_py()["bytes"]
        if hashlib.sha256(raw).digest() != stored.digest:
            raise InputError(f"expected {self.folder} as it was when the review was opened, got another image")
        return raw


def open_review(folder: Path) -> Review:
    """Open the review of a data set folder; without one, make a first round of the folder's rows.

    Raises:
        OSError: If the review cannot be written beside the folder.
        ValueError: If it is no data set folder with pixels, or a row or a line of the review is not valid.
    """
    folder = folder.resolve()
    path = review_path(folder)
    states, stored = _read_folder(folder)
    if last_round(path) == 0:
        path.mkdir(exist_ok=True)
        with lock_review(path):
            if last_round(path) == 0:
                write_round(path, 1, {"begin.jsonl": states})
    image_ids = name_images(read_begin(path, 1).values())
    absent = next((name for sha256, name in image_ids.items() if sha256 not in stored), None)
    if absent is not None:
        raise InputError(f"expected the image {absent!r}, of which {path} has samples, in {folder}, found none")
    number = last_round(path)
    begin = read_begin(path, number)
    of_image: dict[str, list[str]] = {sha256: [] for sha256 in image_ids}
    for state in begin.values():
        if state.image not in of_image:
            raise InputError(f"{path} round {number}: expected an image of round 1, got that of {state.id!r}")
        of_image[state.image].append(state.id)
    images = [
        ImageItem(name, sha256, there.width, there.height, tuple(of_image[sha256]), there.objects)
        for sha256, name in image_ids.items()
        for there in [stored[sha256]]
    ]
    return Review(folder, path, number, begin, images, stored)


def review_path(folder: Path) -> Path:
    """Return the folder of a data set's review: `FOLDER.review` beside it."""
    folder = folder.resolve()
    return folder.with_name(f"{folder.name}.review")


def write_round(path: Path, number: int, files: Mapping[str, Iterable[BaseModel]]) -> None:
    """Write the files of a new round, all or none; the caller holds the review's lock.

    Raises:
        OSError: If it cannot be written.
    """
    partial = path / f".round-{number}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "votes").mkdir(parents=True)
    for name, lines in files.items():
        write_whole(partial / name, map(to_line, lines))
    partial.replace(path / f"round-{number}")


def _read_folder(folder: Path) -> tuple[list[State], dict[str, _Stored]]:
    states: list[State] = []
    stored: dict[str, _Stored] = {}
    for shard in open_shards(folder / "data", refuse):
        with shard.file:
            for group in range(shard.file.num_row_groups):
                for number, values in enumerate(read_rows(shard, group)):
                    where = f"{shard.where} {values['id']!r}"
                    raw = (values.pop("image") or {}).get("bytes")
                    try:
                        row = Columns.model_validate(values)
                        states.append(state_of(row))
                    except ValidationError as error:
                        raise InputError(f"{where}: {fault_of(error)}") from error
                    except ValueError as error:
                        raise InputError(f"{where}: {error}") from error
                    if raw is None:
                        raise InputError(f"{where}: expected an image with its pixels, got none")
                    digest = hashlib.sha256(raw).digest()
                    if row.image_sha256 not in stored:
                        there = _Stored(shard.path, group, number, row.width, row.height, digest, objects_of(row))
                        stored[row.image_sha256] = there
                    if stored[row.image_sha256].digest != digest:
                        raise InputError(f"{where}: expected one picture of each image_sha256, got another one")
    return states, stored


def objects_of(row: Columns) -> list[tuple[str, Box]]:
    """Return what a row says is wrong in its image, each in words and with its box, normalised xyxy."""
    said = row.objects
    if said is None:
        return []
    width, height = row.width, row.height
    names = [f"{how} {what}".strip() for how, what in zip(said.severity, said.category, strict=True)]
    boxes = [(x / width, y / height, (x + w) / width, (y + h) / height) for x, y, w, h in said.bbox]
    return list(zip(names, boxes, strict=True))


def state_of(row: Columns) -> State:
    """Return a row as a state, with the boxes of the column `regions`, before the grid.

    Raises:
        ValueError: If its texts and its regions differ.
    """
    left = list(row.regions)
    plain: dict[Role, str] = {}
    regions = []
    for role, written in zip(ROLES, (row.question, row.answer), strict=True):
        grounded = parse(written, forms=("cells",))
        if grounded.malformed:
            begin, end = grounded.malformed[0].span
            raise InputError(f"expected boxes on the grid in the {role}, got {written[begin:end]!r}")
        plain[role] = grounded.plain
        for region in grounded.regions:
            said = (role, region.phrase, _cells(region.boxes))
            own = next((each for each in left if (each.role, each.phrase, _cells(to_boxes(each.boxes))) == said), None)
            if own is None:
                raise InputError(f"expected a region of the {role}'s {region.phrase!r} with its boxes, got none")
            left.remove(own)
            regions.append({"phrase": region.phrase, "role": role, "span": region.span, "boxes": own.boxes})
    texts = {"question": plain["question"], "answer": plain["answer"], "regions": regions}
    names = {"id": row.id, "image": row.image_sha256, "task": row.task, "question_type": row.question_type}
    return State.model_validate(names | texts)


def _cells(xyxy: Boxes) -> list[list[int]]:
    """The cells of boxes as a text has them, without repeats."""
    return list(map(list, dict.fromkeys(map(tuple, boxes_to_cells(xyxy).tolist()))))
