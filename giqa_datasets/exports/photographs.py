"""The photographs of a data set folder with their rows and objects, as every export reads them."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple

from giqa_datasets.boxes import to_boxes
from giqa_datasets.console import Progress, no_progress
from giqa_datasets.dataset_folder.columns import pixels_of
from giqa_datasets.dataset_folder.licence_gate import kept_images, redistributable
from giqa_datasets.dataset_folder.shards import open_shards, read_rows, refuse
from giqa_datasets.files import write_whole
from giqa_datasets.grid import boxes_to_cells
from giqa_datasets.objects import Defect, Xywh
from giqa_datasets.regions import Region
from giqa_datasets.text import parse


Row = Mapping[str, Any]  # the columns of a row


class ExportedPhotograph(NamedTuple):
    """A photograph and the rows about it."""

    split: str
    file: str  # its name in an export: its sha256, and the suffix of its kind
    image: bytes
    rows: Sequence[Row]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.rows[0]["width"], self.rows[0]["height"]


class LeftOut(NamedTuple):
    """The source of rows that are left out, and the reason."""

    source: str
    image_license: str
    reason: str


Read = Callable[[], Iterable[ExportedPhotograph]]  # begins again at each call


def photographs(
    folder: Path, left_out: Counter[LeftOut], *, own_use: bool = False, progress: Progress = no_progress
) -> Iterator[ExportedPhotograph]:
    """Yield the photographs of a data set folder in the order of its shards, one row group in memory at a time.

    Args:
        folder: A data set folder.
        left_out: Counts the rows of the photographs that are left out.
        own_use: Whether photographs whose source is not redistributable are among them.
        progress: Shows how far it is, in row groups.

    Raises:
        ValueError: If the folder holds no shards, or one is damaged.
    """
    with ExitStack() as files:
        shards = []
        for shard in open_shards(folder / "data", refuse):
            files.enter_context(shard.file)
            shards.append(shard)
        held = frozenset() if own_use else kept_images(shards, redistributable(folder))
        groups = [(shard, number) for shard in shards for number in range(shard.file.num_row_groups)]
        read = (
            (shard.split, row)
            for shard, number in progress(groups, len(groups), "export")
            for row in read_rows(shard, number)
        )
        for (split, sha256), grouped in groupby(read, key=lambda each: (each[0], each[1]["image_sha256"])):
            rows = [row for _, row in grouped]
            image = pixels_of(rows[0])
            if image is None or sha256 in held:
                why = "without pixels in the set" if image is None else "not marked redistributable"
                left_out[LeftOut(rows[0]["source"], rows[0]["image_license"], why)] += len(rows)
                continue
            suffix = "png" if image.startswith(b"\x89PNG") else "jpg"
            yield ExportedPhotograph(split, f"{sha256}.{suffix}", image, rows)


def saved(photographs: Iterable[ExportedPhotograph], images: Path) -> Iterator[ExportedPhotograph]:
    """Write each photograph's file into a new folder before it is yielded."""
    images.mkdir(parents=True)
    for photograph in photographs:
        write_whole(images / photograph.file, photograph.image)
        yield photograph


def objects_of(photograph: ExportedPhotograph) -> list[Defect]:
    """List the boxes of a photograph, each once: the column `objects`, or the boxes of its rows' regions.

    A region's class is its phrase in lower case.
    """
    found: dict[tuple[str, Xywh], Defect] = {}
    for row in photograph.rows:
        if stated := row.get("objects"):
            lists = [stated[name] for name in Defect._fields]
            every = [Defect(*values)._replace(bbox=tuple(values[1])) for values in zip(*lists, strict=True)]
        else:
            every = list(_of_regions(row, photograph.size))
        for each in every:
            found.setdefault((each.category, each.bbox), each)
    return list(found.values())


def _of_regions(row: Row, size: tuple[int, int]) -> Iterator[Defect]:
    for region in row["regions"]:
        name = re.sub(r"\s+", " ", region["phrase"]).strip().lower()
        for x1, y1, x2, y2 in (to_boxes(region["boxes"]) * [*size, *size]).round(2).tolist():
            bbox = x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)
            yield Defect("", bbox, bbox[2] * bbox[3], name, region["phrase"])


def grounded(row: Row, role: Literal["question", "answer"]) -> tuple[str, list[Region]]:
    """Return the plain text of a row's question or answer, and its regions with the exact boxes of the column."""
    text = parse(row[role], forms=("cells",))
    exact: dict[tuple[str, frozenset[tuple[int, ...]]], list[Any]] = {}
    for region in row["regions"]:
        if region["role"] == role:
            exact.setdefault(_key(region["phrase"], region["boxes"]), []).append(region["boxes"])
    regions = []
    for region in text.regions:
        known = exact.get(_key(region.phrase, region.boxes))
        regions.append(Region(region.phrase, region.span, to_boxes(known.pop(0)) if known else region.boxes))
    return text.plain, regions


def _key(phrase: str, boxes: Any) -> tuple[str, frozenset[tuple[int, ...]]]:
    return phrase, frozenset(map(tuple, boxes_to_cells(to_boxes(boxes)).tolist()))
