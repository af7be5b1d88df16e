"""Records to Parquet shards: rows of one image stand together, and each row group stores an image once."""

import base64
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from giqa_datasets.records import Record, rows


# Rows; from here on a group ends with the last row of an image, so that none is stored twice. A random row then costs
# 15 times less to read than from groups of 1,000.
ROW_GROUP = 100
LONGEST_GROUP = 250  # rows, where an image has very many
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

    def add(self, record: Record, row: Mapping[str, Any]) -> None:
        """Count a row of a record."""
        photograph = record.photograph
        self.rows[row["question_type"]] += 1
        self.n_yes += row["question_type"] == "yes_no" and row["answer"].lower().startswith("yes")
        self.files[photograph.file or record.id] = photograph.sha256
        self.rights[
            Rights(photograph.source, photograph.license, record.text_license, photograph.redistributable)
        ] += 1


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
    """Write the shards of one split, `<split>-00000-of-00001.parquet` and so on.

    Args:
        folder: An existing folder.
        split: `train` or `test`.
        records: Annotated records; those without samples are passed over.
        ids: Sample ids seen so far; the split's are added.
        box_format: As in `rows`.

    Raises:
        ValueError: If an id occurs twice.
    """
    schema = features().arrow_schema
    counts = SplitCounts()
    shards: list[Path] = []
    writer: pq.ParquetWriter | None = None
    written = 0
    try:
        for group in _groups(_checked_rows(records, ids, counts, box_format)):
            if writer is None or written >= SHARD_BYTES:
                if writer is not None:
                    writer.close()
                shards.append(folder / f"{split}-{len(shards):05d}.parquet")
                writer, written = _writer(shards[-1], schema), 0
            table, size = _table(group, schema)
            writer.write_table(table, row_group_size=LONGEST_GROUP)
            written += size
    finally:
        if writer is not None:
            writer.close()
    for number, shard in enumerate(shards):
        shard.rename(folder / f"{split}-{number:05d}-of-{len(shards):05d}.parquet")
    return counts


def _checked_rows(
    records: Iterable[Record], ids: set[str], counts: SplitCounts, box_format: str
) -> Iterator[dict[str, Any]]:
    """Yield rows, refuse a second row of the same id (the datasets library does not), and count."""
    for record in records:
        for row in rows(record, box_format=box_format):
            if row["id"] in ids:
                raise ValueError(f"expected unique ids, got {row['id']!r} twice")
            ids.add(row["id"])
            counts.add(record, row)
            yield row


def _groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Cut rows into row groups."""
    group: list[dict[str, Any]] = []
    for row in rows:
        is_next_image = bool(group) and row["image"]["bytes"] != group[-1]["image"]["bytes"]
        if len(group) >= (ROW_GROUP if is_next_image else LONGEST_GROUP):
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _table(group: list[dict[str, Any]], schema: pa.Schema) -> tuple[pa.Table, int]:
    """Make a row group in which each image stands once, and the number of its image bytes."""
    places: dict[bytes, int] = {}
    indices = [places.setdefault(row["image"]["bytes"], len(places)) for row in group]
    images = pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), pa.array(list(places), pa.binary()))
    paths = pa.nulls(len(group), pa.string())
    columns = {
        name: pa.StructArray.from_arrays([images, paths], fields=list(_stored(schema).field(name).type))
        if name == "image"
        else pa.array([row[name] for row in group], schema.field(name).type)
        for name in schema.names
    }
    return pa.table(columns, schema=_stored(schema)), sum(map(len, places))


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
