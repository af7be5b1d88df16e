"""Records to Parquet shards: rows of one image stand together, and each row group stores an image once."""

import base64
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from giqa_datasets.errors import InputError
from giqa_datasets.records import Record, rows


# Rows. From the first number on, a group ends before an image whose sha256 says so: after an insertion, groups soon
# begin at the same rows again. From the second on, it ends before any image, so that none is stored twice; at the
# third, it ends. A random row costs 15 times less to read than from groups of 1,000.
ROW_GROUP = 100
LONG_GROUP = 200
LONGEST_GROUP = 250
_ONE_IN = 16  # images, before which a group may end
SHARD_BYTES = 500 << 20  # image bytes after which a new shard begins


class Rights(NamedTuple):
    """Where a row comes from, and on which terms.

    Attributes:
        source: The upstream set.
        image_license: Of the pixels.
        text_license: Of the text.
        redistributable: Whether the pixels' own terms let others pass them on.
    """

    source: str
    image_license: str
    text_license: str
    redistributable: bool


class SetRow(NamedTuple):
    """A row of a data set, and what none of its columns says.

    Attributes:
        columns: By name; an `image` without bytes is written as null.
        files: The upstream names of its image.
        redistributable: Whether the pixels' own terms let others pass them on.
    """

    columns: dict[str, Any]
    files: Sequence[str]
    redistributable: bool


@dataclass(slots=True)
class SplitCounts:
    """What was written of one split.

    Attributes:
        rows: Number of rows by question type.
        n_yes: Yes/No questions that are answered Yes.
        files: sha256 of each original image by its upstream name.
        rights: Number of rows by what they may be used for.
    """

    rows: Counter[str] = field(default_factory=Counter)
    n_yes: int = 0
    files: dict[str, str] = field(default_factory=dict)
    rights: Counter[Rights] = field(default_factory=Counter)

    @property
    def images(self) -> set[str]:
        """sha256 of the distinct original images."""
        return set(self.files.values())

    def add(self, row: SetRow) -> None:
        """Count a row."""
        columns = row.columns
        self.rows[columns["question_type"]] += 1
        self.n_yes += columns["question_type"] == "yes_no" and columns["answer"].lower().startswith("yes")
        self.files |= dict.fromkeys(row.files, columns["image_sha256"])
        source, pixels, text = columns["source"], columns["image_license"], columns["text_license"]
        self.rights[Rights(source, pixels, text, row.redistributable)] += 1


def features() -> Any:
    """The columns of every GIQA data set, as `datasets.Features`."""
    from datasets import Features, Image, List, Value

    turn = List({"role": Value("string"), "content": Value("string")})
    return Features(
        {
            "id": Value("string"),
            "image": Image(),
            "width": Value("int32"),
            "height": Value("int32"),
            "task": Value("string"),
            "question_type": Value("string"),
            "question": Value("string"),
            "answer": Value("string"),
            "regions": List(
                {
                    "phrase": Value("string"),
                    "role": Value("string"),
                    "boxes": List(List(Value("float32"), length=4)),
                }
            ),
            "prompt": turn,
            "completion": turn,
            "source": Value("string"),
            "distortions": List({"name": Value("string"), "severity": Value("int32")}),
            "image_sha256": Value("string"),
            "image_license": Value("string"),
            "text_license": Value("string"),
        }
    )


def write_split(folder: Path, split: str, records: Iterable[Record], ids: set[str], *, box_format: str) -> SplitCounts:
    """Write the shards of one split out of records; see `write_rows`.

    Args:
        folder: An existing folder.
        split: `train` or `test`.
        records: Annotated records; those without samples are passed over.
        ids: Sample ids seen so far; the split's are added.
        box_format: As in `rows`.
    """
    return write_rows(folder, split, set_rows(records, box_format=box_format), ids)


def set_rows(records: Iterable[Record], *, box_format: str) -> Iterator[SetRow]:
    """Yield the rows of records; `box_format` as in `rows`."""
    for record in records:
        photograph = record.photograph
        for row in rows(record, box_format=box_format):
            yield SetRow(row, (photograph.file or record.id,), photograph.redistributable)


def write_rows(folder: Path, split: str, rows: Iterable[SetRow], ids: set[str]) -> SplitCounts:
    """Write the shards of one split, `<split>-00000-of-00001.parquet` and so on.

    Args:
        folder: An existing folder.
        split: `train` or `test`.
        rows: Those of one image side by side.
        ids: Sample ids seen so far; the split's are added.

    Raises:
        ValueError: If an id occurs twice.
    """
    counts = SplitCounts()
    shards: list[Path] = []
    groups = _groups(_checked_columns(rows, ids, counts))
    group = next(groups, None)
    while group is not None:
        shards.append(folder / f"{split}-{len(shards):05d}.parquet")
        with closing(GroupWriter(shards[-1])) as writer:
            while group is not None and writer.image_bytes < SHARD_BYTES:
                writer.write(group)
                group = next(groups, None)
    for number, shard in enumerate(shards):
        shard.rename(folder / f"{split}-{number:05d}-of-{len(shards):05d}.parquet")
    return counts


def write_annotations(data: Path, out: Path) -> None:
    """Write each shard again without its images, under the same name, for those who want the texts alone.

    Beside images a text costs whoever reads it over a network what lies around it, and whoever downloads it the file.

    Args:
        data: The folder of the shards.
        out: An existing folder.
    """
    for shard in sorted(data.iterdir()):
        table = annotations_of(shard)
        pq.write_table(table, out / shard.name, compression="ZSTD", use_content_defined_chunking=True)


def annotations_of(shard: Path) -> pa.Table:
    """The columns of a shard but its images."""
    from datasets import Features

    columns = Features({name: kind for name, kind in features().items() if name != "image"})
    with pq.ParquetFile(shard, pre_buffer=False) as file:
        table: pa.Table = file.read(columns=list(columns))
    return table.cast(columns.arrow_schema)


class GroupWriter:
    """Writes a shard, a row group at a time.

    Attributes:
        image_bytes: What was written of images.
    """

    def __init__(self, path: Path) -> None:
        """Open the file."""
        self.image_bytes = 0
        self._schema = features().arrow_schema
        self._file = _writer(path, self._schema)

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows as one row group, in which each image stands once."""
        table, size = _table(rows, self._schema)
        self._file.write_table(table, row_group_size=max(len(rows), 1))
        self.image_bytes += size

    def close(self) -> None:
        """End the file; without it there is none."""
        self._file.close()


def _checked_columns(rows: Iterable[SetRow], ids: set[str], counts: SplitCounts) -> Iterator[dict[str, Any]]:
    """Yield the columns, refuse a second row of the same id (the datasets library does not), and count."""
    for row in rows:
        name = row.columns["id"]
        if name in ids:
            raise InputError(f"expected unique ids, got {name!r} twice")
        ids.add(name)
        counts.add(row)
        yield row.columns


def _groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Cut rows into row groups."""
    group: list[dict[str, Any]] = []
    for row in rows:
        shortest = ROW_GROUP if int(row["image_sha256"][:8], 16) % _ONE_IN == 0 else LONG_GROUP
        is_next_image = bool(group) and pixels_of(row) != pixels_of(group[-1])
        if len(group) >= (shortest if is_next_image else LONGEST_GROUP):
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def pixels_of(row: Mapping[str, Any]) -> bytes | None:
    """The bytes of a row's image; None where it came without."""
    image: Mapping[str, bytes | None] | None = row["image"]
    return image["bytes"] if image else None


def _table(group: Sequence[Mapping[str, Any]], schema: pa.Schema) -> tuple[pa.Table, int]:
    """Make a row group in which each image stands once, and the number of its image bytes."""
    images, size = _images(list(map(pixels_of, group)), schema)
    columns = {
        name: images if name == "image" else pa.array([row[name] for row in group], schema.field(name).type)
        for name in schema.names
    }
    return pa.table(columns, schema=_stored(schema)), size


def _images(raws: Sequence[bytes | None], schema: pa.Schema) -> tuple[pa.StructArray, int]:
    """Make the column of images and the number of its bytes; without pixels a row's image is null as a whole."""
    places: dict[bytes, int] = {}
    indices = [None if raw is None else places.setdefault(raw, len(places)) for raw in raws]
    images = pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), pa.array(list(places), pa.binary()))
    paths = pa.nulls(len(raws), pa.string())
    fields = list(_stored(schema).field("image").type)
    absent = pa.array([raw is None for raw in raws], pa.bool_())
    return pa.StructArray.from_arrays([images, paths], fields=fields, mask=absent), sum(map(len, places))


def _stored(schema: pa.Schema) -> pa.Schema:
    """The schema with which rows are handed to the writer: image bytes as a dictionary, so that none is copied."""
    images = pa.struct([pa.field("bytes", pa.dictionary(pa.int32(), pa.binary())), pa.field("path", pa.string())])
    return schema.set(schema.get_field_index("image"), pa.field("image", images))


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Open a shard: images uncompressed, once per row group, and chunked so that an edit re-sends little."""
    writer = pq.ParquetWriter(
        path,
        _stored(schema),
        compression={column: "NONE" if column == "image.bytes" else "ZSTD" for column in _leaves(schema)},
        use_dictionary=True,
        dictionary_pagesize_limit=1 << 30,
        use_content_defined_chunking=True,
        write_page_index=True,
        store_schema=False,
    )
    # Readers are told of the plain schema: that its images came as a dictionary is nobody's business
    stated = {b"ARROW:schema": base64.b64encode(schema.serialize().to_pybytes())}
    writer.add_key_value_metadata(dict(schema.metadata) | stated)
    return writer


def _leaves(schema: pa.Schema) -> list[str]:
    """Paths of the schema's leaf columns, as Parquet names them: `image.bytes`."""
    sink = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sink)
    leaves = pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema
    return [leaves.column(index).path for index in range(len(leaves))]
