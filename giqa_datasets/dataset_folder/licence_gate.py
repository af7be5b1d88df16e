"""The licence gate: pixels leave this machine only if their source is marked redistributable."""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, Field, StrictBool

from giqa_datasets.console import Progress, no_progress
from giqa_datasets.dataset_folder.columns import SOURCE, Rights, Source
from giqa_datasets.dataset_folder.parquet import GroupWriter
from giqa_datasets.dataset_folder.shards import Shard, open_shards, read_group, read_rows, refuse
from giqa_datasets.files import read_lines


SOURCES = Path("provenance", "sources.jsonl")  # in a data set folder


class Pixels(NamedTuple):
    """The source of pixels, and their licence."""

    source: str
    image_license: str


class Absent(NamedTuple):
    """The number of rows and of images without their pixels."""

    rows: int
    images: int


class Shareable(NamedTuple):
    """The part of a data set folder that may leave this machine."""

    shards: dict[str, Path]  # by name: the folder's own file, or one without some of its pixels
    absent: dict[Pixels, Absent]  # rows and images without their pixels, by source


class _Line(BaseModel):
    source: str
    image_license: str
    text_license: str
    redistributable: StrictBool
    rows: int = Field(ge=0)


def read_sources(path: Path) -> Counter[Rights]:
    """Count the rows of each source, as `provenance/sources.jsonl` has them.

    Raises:
        OSError: If there is none.
        ValueError: If a line is not valid; it is named.
    """
    stated: Counter[Rights] = Counter()
    for _, said in read_lines(path, _Line):
        stated[Rights(said.source, said.image_license, said.text_license, said.redistributable)] += said.rows
    return stated


def redistributable(folder: Path) -> frozenset[Source]:
    """Return the sources of a data set folder whose pixels may be passed on; none if its list cannot be read.

    A source is one of them only if the list marks it, and no line about the same pixels contradicts that.
    """
    try:
        stated = read_sources(folder / SOURCES)
    except (OSError, ValueError):
        return frozenset()
    kept = {Pixels(right.source, right.image_license) for right in stated if not right.redistributable}
    return frozenset(right[:3] for right in stated if Pixels(*right[:2]) not in kept)


def without_pixels(folder: Path, out: Path, progress: Progress = no_progress) -> Shareable:
    """Write each shard again that has rows which may not keep their pixels; nothing can override it.

    The image of such a row becomes null, and so does the same image in the rows of any other source. The other
    columns, the row groups and all other rows stay as they are. The same folder always gives the same bytes, and one
    row group is in memory at a time. `out` is an existing folder, and gets no unchanged shards.

    Raises:
        ValueError: If the folder holds no shards, or something else among them; if a shard is damaged.
    """
    found: dict[str, Path] = {}
    absent: defaultdict[Pixels, Counter[str]] = defaultdict(Counter)  # rows by image
    with ExitStack() as files:
        shards = []
        for shard in open_shards(folder / "data", refuse):
            files.enter_context(shard.file)
            shards.append(shard)
        kept = kept_images(shards, redistributable(folder))
        for shard in progress(shards, len(shards), "licence gate"):
            bare = [(source, sha256) for source, sha256 in images_of(shard) if sha256 in kept]
            # Even if all are null already, the file may still hold them
            found[shard.path.name] = _written(shard, kept, out) if bare else shard.path
            for source, sha256 in bare:
                absent[Pixels(*source[:2])][sha256] += 1
    return Shareable(found, counted(absent.items()))


def counted(absent: Iterable[tuple[Pixels, Counter[str]]]) -> dict[Pixels, Absent]:
    """Count rows and images without pixels, given rows by the image's sha256 for each source, also repeatedly."""
    together: defaultdict[Pixels, Counter[str]] = defaultdict(Counter)
    for pixels, rows in absent:
        together[pixels] += rows
    return {pixels: Absent(together[pixels].total(), len(together[pixels])) for pixels in sorted(together, key=repr)}


def kept_images(shards: Iterable[Shard], allowed: Container[Source]) -> frozenset[str]:
    """Return the sha256 of the images that may not leave: those that any source has which is not allowed.

    Raises:
        ValueError: If a shard is damaged.
    """
    return frozenset(
        sha256 for shard in shards for source, sha256 in images_of(shard) if source not in allowed and sha256
    )


def _written(shard: Shard, kept: Container[str], out: Path) -> Path:
    path = out / shard.path.name
    with closing(GroupWriter(path, shard.file.schema_arrow.names)) as writer:
        for number in range(shard.file.num_row_groups):
            rows = read_rows(shard, number)
            writer.write([row | {"image": None} if row["image_sha256"] in kept else row for row in rows])
    return path


def images_of(shard: Shard) -> Iterator[tuple[Source, str]]:
    """Yield the source and the sha256 of the image of each row; raise ValueError if the shard is damaged."""
    for number in range(shard.file.num_row_groups):
        table = read_group(shard, number, [*SOURCE, "image_sha256"])
        sources = zip(*(table[column].to_pylist() for column in SOURCE), strict=True)
        yield from zip(sources, table["image_sha256"].to_pylist(), strict=True)
