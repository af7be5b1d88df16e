"""The faults of the rows of a data set, read in their order."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator
from concurrent.futures import Executor
from functools import partial
from typing import Any, NamedTuple

from pydantic import ValidationError

from giqa_datasets.boxes import to_boxes
from giqa_datasets.dataset_folder.columns import Columns, Rights, Source, SplitCounts, faults_of_shape
from giqa_datasets.dataset_folder.licence_gate import Pixels
from giqa_datasets.dataset_folder.shards import Note, Shard
from giqa_datasets.grid import boxes_to_cells
from giqa_datasets.images import decode, faults_of_baked
from giqa_datasets.near_duplicates import Lookalikes, decode_small, hash_decoded
from giqa_datasets.objects import faults_of_objects
from giqa_datasets.regions import Region
from giqa_datasets.text import parse


class _Image(NamedTuple):
    raw: bytes | None
    path: str | None


class _Look(NamedTuple):
    size: tuple[int, int] | None
    hashed: bytes | None
    faults: tuple[str, ...]


class Rows:
    """Reads rows in their order, those of `test` before those of `train`, and remembers ids and images."""

    def __init__(
        self, note: Note, pool: Executor, *, balanced: bool, kept: Container[str], allowed: Container[Source]
    ) -> None:
        """Begin with no rows; `note` is told of each fault, and `pool` decodes images."""
        self.note = note
        self.pool = pool
        self.balanced = balanced  # Yes and No must be equal in number in train
        self.kept = kept  # sha256 of the images that may be missing, because nobody may pass them on
        self.allowed = allowed  # sources whose pixels may be passed on
        self.splits: dict[str, SplitCounts] = defaultdict(SplitCounts)  # an image's sha256 is its name
        self.absent: defaultdict[Pixels, Counter[str]] = defaultdict(Counter)  # rows without pixels, by sha256
        self._ids: set[str] = set()
        self._split_of: dict[str, str] = {}  # the first of each image's splits, by sha256
        self._first: dict[tuple[str, bytes], str] = {}  # id of an image's first row, by split and digest
        self._test = Lookalikes()
        self._verdicts: Counter[str] = Counter()
        self._looks: dict[bytes, _Look] = {}  # of the row group's images
        self._last: tuple[str, str, bytes | None, bool] | None = None  # the image of the row before
        self._size: tuple[int, int] | None = None  # its width and height, if it can be read

    def read(self, shard: Shard, number: int) -> None:
        """Check the rows of one row group."""
        try:
            table = shard.file.read_row_group(number)
            rows = table.drop_columns(["image"]).to_pylist()
            is_there = table["image"].is_valid().to_pylist()
            stored, paths = table["image"].flatten()
            raws, paths = _one_each(stored), paths.to_pylist()
        except Exception as error:  # pyarrow may raise anything on a damaged file
            self.note(shard.where, f"row group {number} cannot be read: {error}")
            return
        named = {raw: row["id"] for raw, row in zip(reversed(raws), reversed(rows), strict=True) if raw}
        look = partial(_look, is_hashed=shard.split == "test" or "test" in self.splits)
        self._looks = dict(zip(named, self.pool.map(look, named, named.values()), strict=True))
        for values, there, raw, path in zip(rows, is_there, raws, paths, strict=True):
            self._check(shard.split, values, _Image(raw, path) if there else None)

    def end(self) -> None:
        """Check the facts that need all rows."""
        if self.balanced and self._verdicts["yes"] != self._verdicts["no"]:
            self.note(
                "train", f"expected as many Yes as No, got {self._verdicts['yes']} and {self._verdicts['no']} answers"
            )

    def _check(self, split: str, values: dict[str, Any], image: _Image | None) -> None:
        where = f"{split} {values['id']!r}"
        counts = self.splits[split]
        counts.rows[values["question_type"]] += 1
        try:
            row = Columns.model_validate(values)
        except ValidationError as error:
            for fault in faults_of_shape(error):
                self.note(where, fault)
            return
        if row.id in self._ids:
            self.note(where, "expected an id that no other row has, got a second row of it")
        self._ids.add(row.id)
        if split == "train" and row.question_type == "yes_no":
            self._verdicts[re.split(r"\W", parse(row.answer).plain, maxsplit=1)[0].casefold()] += 1
        for fault in (*_faults_of_row(row), *self._faults_of_image(split, row, image)):
            self.note(where, fault)
        if image is None:
            self.absent[Pixels(row.source, row.image_license)][row.image_sha256] += 1
        elif image.path is not None:
            self.note(where, f"expected an image without a path, got {image.path!r}")
        counts.n_yes += row.question_type == "yes_no" and row.answer.lower().startswith("yes")
        counts.files[row.image_sha256] = row.image_sha256
        if row.objects is not None:
            counts.objects[row.image_sha256] = row.objects.category
        source = (row.source, row.image_license, row.text_license)
        counts.rights[Rights(*source, source in self.allowed)] += 1

    def _faults_of_image(self, split: str, row: Columns, image: _Image | None) -> Iterator[str]:
        """The faults of a row's image; those of the image itself only at its first row."""
        seen = (split, row.image_sha256, image and image.raw, image is None)
        if seen != self._last:
            beside = self._last is not None and self._last[2:] == seen[2:]  # two files that became one image
            self._last, self._size = seen, None
            yield from self._faults_of_new_image(split, row, image, beside=beside)
        if self._size and self._size != (row.width, row.height):
            got = "{}x{}".format(*self._size)
            yield f"expected an image of {row.width}x{row.height}, as the row says, got {got}"

    def _faults_of_new_image(self, split: str, row: Columns, image: _Image | None, *, beside: bool) -> Iterator[str]:
        """The faults of an image that the row before did not have."""
        other = self._split_of.setdefault(row.image_sha256, split)
        if other != split and row.image_sha256 not in self.splits[split].files:
            yield f"expected an image of one split, got one whose sha256 is in {other} too"
        raw = image.raw if image else None
        key = (split, hashlib.sha256(raw).digest() if raw else bytes.fromhex(row.image_sha256))
        if (raw or image is None) and self._first.setdefault(key, row.id) != row.id and not (raw and beside):
            yield f"expected the rows of an image side by side, got this one apart from {self._first[key]!r}"
        if image is None and row.image_sha256 in self.kept:
            return
        look = self._looks[raw] if raw else _look(raw, row.id)
        self._size = look.size
        yield from look.faults
        if split == "test":
            self._test.add(row.id, row.image_sha256, look.hashed)
        elif split == "train" and other == split and (match := self._test.nearest(look.hashed)):
            yield f"expected an image that is not in test, got one {match}"


def _one_each(stored: Iterable[Any]) -> list[bytes | None]:
    """The bytes of each row's image; neighbouring rows share one copy."""
    raws: list[bytes | None] = []
    for value in stored:
        raw = value.as_py()
        raws.append(raws[-1] if raws and raw == raws[-1] else raw)
    return raws


def _look(raw: bytes | None, name: str, *, is_hashed: bool = False) -> _Look:
    """Decode an image, whose first row has this name; its hash is needed only if the test split has images."""
    try:
        image, size = decode_small(raw or b"")
    except Exception:  # a decoder may raise anything on a hostile file
        try:
            image = decode(raw, name=name)  # names the fault
        except ValueError as error:
            return _Look(None, None, (str(error),))
        size = image.size
    return _Look(size, hash_decoded(image) if is_hashed else None, tuple(faults_of_baked(raw or b"")))


def _faults_of_row(row: Columns) -> Iterator[str]:
    if (row.task == "des") != (row.question_type == "des"):
        yield f"expected the question type to fit the task {row.task!r}, got {row.question_type!r}"
    try:
        stated = [Region(each.phrase, (0, 0), to_boxes(each.boxes)) for each in row.regions]
    except ValueError as error:
        yield f"regions: {error}"
        return
    if row.objects is not None:
        yield from faults_of_objects(row.objects.model_dump(), (row.width, row.height), len(row.regions))
    for role, text in (("question", row.question), ("answer", row.answer)):
        grounded = parse(text, forms=("cells",))
        for begin, end in (malformed.span for malformed in grounded.malformed):
            yield f"expected boxes on the grid in the {role}, got {text[begin:end]!r}"
        written = _cells(grounded.regions)
        own = _cells(region for region, each in zip(stated, row.regions, strict=True) if each.role == role)
        if written != own and not grounded.malformed:
            yield f"expected the regions of the {role} to be those of its text, {written}, got {own}"


def _cells(regions: Iterable[Region]) -> list[tuple[str, list[list[int]]]]:
    """Phrases and the cells of their boxes without repeats, sorted, as the column need not be in reading order."""
    return sorted(
        (region.phrase, [list(cells) for cells in dict.fromkeys(map(tuple, boxes_to_cells(region.boxes).tolist()))])
        for region in regions
    )
