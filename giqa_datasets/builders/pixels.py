"""The licence gate: pixels leave this machine only where their source is marked redistributable."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pydantic import BaseModel, Field, StrictBool, ValidationError

from giqa_datasets.builders.parquet import GroupWriter, Rights
from giqa_datasets.builders.shards import Shard, open_shards, read_group, read_rows, refuse
from giqa_datasets.invalid import fault_of
from giqa_datasets.progress import Progress, no_progress


SOURCES = Path("provenance", "sources.jsonl")  # in a data set folder


class Source(NamedTuple):
    """Where rows come from, and the licences of their pixels and text."""

    source: str
    image_license: str
    text_license: str


class Pixels(NamedTuple):
    """Where pixels come from, and their licence."""

    source: str
    image_license: str


class Absent(NamedTuple):
    """How many rows and images go without their pixels."""

    rows: int
    images: int


class Shareable(NamedTuple):
    """What of a data set folder may leave this machine.

    Attributes:
        shards: The file to publish for each shard by its name: the folder's own, or one without some of its pixels.
        absent: What goes without its pixels, by where it comes from; empty where all pixels may go.
    """

    shards: dict[str, Path]
    absent: dict[Pixels, Absent]


class _Line(BaseModel):
    source: str
    image_license: str
    text_license: str
    redistributable: StrictBool
    rows: int = Field(ge=0)


def read_sources(path: Path) -> Counter[Rights]:
    """Read how many rows come from where, as `provenance/sources.jsonl` has it.

    Raises:
        OSError: If there is none.
        ValueError: If a line is not as it should be; it is named.
    """
    stated: Counter[Rights] = Counter()
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                said = _Line.model_validate_json(line)
            except ValidationError as error:
                raise ValueError(f"{path} line {number}: {fault_of(error)}") from error
            stated[Rights(said.source, said.image_license, said.text_license, said.redistributable)] += said.rows
    return stated


def redistributable(folder: Path) -> frozenset[Source]:
    """The sources of a data set folder whose pixels may be passed on; none where its list cannot be read.

    A source is one of them only if the list says so, and says nothing else of the same pixels with any text.
    """
    try:
        stated = read_sources(folder / SOURCES)
    except (OSError, ValueError):
        return frozenset()
    kept = {Pixels(right.source, right.image_license) for right in stated if not right.redistributable}
    return frozenset(Source(*right[:3]) for right in stated if Pixels(*right[:2]) not in kept)


def without_pixels(folder: Path, out: Path, progress: Progress = no_progress) -> Shareable:
    """Write the shards of a data set folder again in which rows may not keep their pixels; nothing can override it.

    The image of such a row becomes null; its other columns, the row groups and all other rows stay as they are. The
    same folder always gives the same bytes, and one row group is in memory at a time.

    Args:
        folder: A data set folder.
        out: An existing folder for what is written; shards that stay as they are do not appear there.
        progress: Wraps the shards.

    Raises:
        ValueError: If the folder holds no shards, or something else among them; if a shard is damaged.
    """
    allowed = redistributable(folder)
    found: dict[str, Path] = {}
    absent: defaultdict[Pixels, Counter[str]] = defaultdict(Counter)  # rows by image
    with ExitStack() as files:
        shards = []
        for shard in open_shards(folder / "data", refuse):
            files.enter_context(shard.file)
            shards.append(shard)
        for shard in progress(shards, len(shards), "licence gate"):
            found[shard.path.name] = _written(shard, allowed, out) if _has_barred(shard, allowed) else shard.path
            for source, sha256 in _barred(shard, allowed):
                absent[Pixels(*source[:2])][sha256] += 1
    return Shareable(found, counted(absent.items()))


def counted(absent: Iterable[tuple[Pixels, Counter[str]]]) -> dict[Pixels, Absent]:
    """Count rows and images without pixels.

    Args:
        absent: Where they come from, and the number of rows by the image's sha256; several of the same are added.
    """
    together: defaultdict[Pixels, Counter[str]] = defaultdict(Counter)
    for pixels, rows in absent:
        together[pixels] += rows
    return {pixels: Absent(together[pixels].total(), len(together[pixels])) for pixels in sorted(together, key=repr)}


def _written(shard: Shard, allowed: frozenset[Source], out: Path) -> Path:
    """Write a shard again, without the pixels that may not leave."""
    path = out / shard.path.name
    with closing(GroupWriter(path)) as writer:
        for number in range(shard.file.num_row_groups):
            rows = read_rows(shard, number)
            sources = [Source(*(row[column] for column in Source._fields)) for row in rows]
            writer.write(
                [
                    row if source in allowed else row | {"image": None}
                    for row, source in zip(rows, sources, strict=True)
                ]
            )
    return path


def _has_barred(shard: Shard, allowed: frozenset[Source]) -> bool:
    """Whether a shard holds pixels that may not leave."""
    for number in range(shard.file.num_row_groups):
        barred = [source not in allowed for source in _sources(read_group(shard, number, list(Source._fields)))]
        if any(barred):
            images = read_group(shard, number, ["image"])["image"].is_valid().to_pylist()
            if any(here and is_barred for here, is_barred in zip(images, barred, strict=True)):
                return True
    return False


def _barred(shard: Shard, allowed: frozenset[Source]) -> Iterator[tuple[Source, str]]:
    """The source and the image's sha256 of each row that goes without its pixels."""
    for number in range(shard.file.num_row_groups):
        table = read_group(shard, number, [*Source._fields, "image_sha256"])
        for source, sha256 in zip(_sources(table), table["image_sha256"].to_pylist(), strict=True):
            if source not in allowed:
                yield source, sha256


def _sources(table: pa.Table) -> list[Source]:
    """The source of each row."""
    return [Source(*each) for each in zip(*(table[column].to_pylist() for column in Source._fields), strict=True)]
