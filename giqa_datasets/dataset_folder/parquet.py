"""Rows to Parquet shards: rows of one image stand together, and each row group stores an image once."""

import base64
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from giqa_datasets.dataset_folder.columns import SetRow, SplitCounts, features, pixels_of
from giqa_datasets.errors import InputError
from giqa_datasets.files import naming


# Rows of a group. From the first number on, it ends before an image chosen by its sha256: after an insertion, groups
# soon begin at the same rows again. From the second on, it ends before any image, so that none is stored twice; at the
# third, it ends. A random row costs 15 times less to read than from groups of 1,000.
ROW_GROUP = 100
LONG_GROUP = 200
LONGEST_GROUP = 250
_ONE_IN = 16  # images, before which a group may end
SHARD_BYTES = 500 << 20  # image bytes after which a new shard begins


def write_rows(folder: Path, split: str, rows: Iterable[SetRow], ids: set[str]) -> SplitCounts:
    """Write the shards of one split, `<split>-00000-of-00001.parquet` and so on.

    Rows of one image are side by side. The split's sample ids are added to `ids`.

    Raises:
        ValueError: If an id occurs twice.
    """
    counts = SplitCounts()
    shards: list[Path] = []
    groups = _groups(_checked_columns(rows, ids, counts))
    group = next(groups, None)
    while group is not None:
        shards.append(folder / f"{split}-{len(shards):05d}.parquet")
        with closing(GroupWriter(shards[-1], group[0])) as writer:
            while group is not None and writer.image_bytes < SHARD_BYTES:
                writer.write(group)
                group = next(groups, None)
    for number, shard in enumerate(shards):
        shard.rename(folder / f"{split}-{number:05d}-of-{len(shards):05d}.parquet")
    return counts


def write_annotations(data: Path, out: Path) -> None:
    """Write each shard again without its images, under the same name, for users of the texts only.

    Next to images, reading a text over a network costs the bytes around it, and downloading it costs the whole file.
    """
    for shard in sorted(data.iterdir()):
        table = annotations_of(shard)
        with naming(out / shard.name):
            pq.write_table(table, out / shard.name, compression="ZSTD", use_content_defined_chunking=True)


def annotations_of(shard: Path) -> pa.Table:
    """Read the columns of a shard without its images."""
    from datasets import Features

    with pq.ParquetFile(shard, pre_buffer=False) as file:
        known = features(file.schema_arrow.names)
        columns = Features({name: kind for name, kind in known.items() if name != "image"})
        table: pa.Table = file.read(columns=list(columns))
    return table.cast(columns.arrow_schema)


class GroupWriter:
    """Writes a shard, a row group at a time; `image_bytes` counts the bytes of its images."""

    def __init__(self, path: Path, names: Container[str]) -> None:
        """Open the file for rows with the columns `features(names)`."""
        self.image_bytes = 0
        self._path, self._schema = path, features(names).arrow_schema
        self._file = _writer(path, self._schema)

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows as one row group, in which each image stands once."""
        table, size = _table(rows, self._schema)
        with naming(self._path):
            self._file.write_table(table, row_group_size=max(len(rows), 1))
        self.image_bytes += size

    def close(self) -> None:
        """Write the footer, without which the file cannot be read."""
        with naming(self._path):
            self._file.close()


def _checked_columns(rows: Iterable[SetRow], ids: set[str], counts: SplitCounts) -> Iterator[dict[str, Any]]:
    """Yield the columns and count them; refuse a second row of the same id, as the datasets library does not."""
    for row in rows:
        name = row.columns["id"]
        if name in ids:
            raise InputError(f"expected unique ids, got {name!r} twice")
        ids.add(name)
        counts.add(row)
        yield row.columns


def _groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
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


def _table(group: Sequence[Mapping[str, Any]], schema: pa.Schema) -> tuple[pa.Table, int]:
    """A row group in which each image stands once, and the number of its image bytes."""
    images, size = _images(list(map(pixels_of, group)), schema)
    columns = {
        name: images if name == "image" else pa.array([row[name] for row in group], schema.field(name).type)
        for name in schema.names
    }
    return pa.table(columns, schema=_stored(schema)), size


def _images(raws: Sequence[bytes | None], schema: pa.Schema) -> tuple[pa.StructArray, int]:
    """The column of images and the number of its bytes; a row without pixels has a null."""
    places: dict[bytes, int] = {}
    indices = [None if raw is None else places.setdefault(raw, len(places)) for raw in raws]
    images = pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), pa.array(list(places), pa.binary()))
    paths = pa.nulls(len(raws), pa.string())
    fields = list(_stored(schema).field("image").type)
    absent = pa.array([raw is None for raw in raws], pa.bool_())
    return pa.StructArray.from_arrays([images, paths], fields=fields, mask=absent), sum(map(len, places))


def _stored(schema: pa.Schema) -> pa.Schema:
    """The schema of the rows for the writer: image bytes as a dictionary, so that none is copied."""
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
    # Readers get the plain schema, without the dictionary of images
    stated = {b"ARROW:schema": base64.b64encode(schema.serialize().to_pybytes())}
    writer.add_key_value_metadata(dict(schema.metadata) | stated)
    return writer


def _leaves(schema: pa.Schema) -> list[str]:
    """The paths of the schema's leaf columns, as Parquet names them: `image.bytes`."""
    sink = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sink)
    leaves = pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema
    return [leaves.column(index).path for index in range(len(leaves))]
