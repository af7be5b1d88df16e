"""The shards of a data set folder as they are read: an invalid file is noted, or refused in one sentence."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

from giqa_datasets.dataset_folder.columns import features
from giqa_datasets.errors import InputError


_NAME = re.compile(r"(\w+)-([0-9]{5})-of-([0-9]{5})\.parquet")

Note = Callable[[str, str], object]  # where, what


class Shard(NamedTuple):
    """An open shard, its split, and its name for errors."""

    split: str
    where: str
    path: Path
    file: pq.ParquetFile


def refuse(where: str, what: str) -> NoReturn:
    """Raise ValueError: the `Note` for a folder that must be valid."""
    raise InputError(f"{where}: {what}")


def open_shards(data: Path, note: Note) -> Iterator[Shard]:
    """Open the shards, those of `test` first; a file that is no valid shard is noted and passed over."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(data.iterdir()) if data.is_dir() else ():
        named = _NAME.fullmatch(path.name) if path.is_file() else None
        if named:
            found[named[1]].append(path)
        else:
            note("data", f"expected files such as 'train-00000-of-00001.parquet', got {path.name!r}")
    if not found:
        note("data", "expected shards of a data set, got none")
    for split in sorted(found, key=lambda split: (split != "test", split)):
        names = [path.name for path in found[split]]
        expected = [f"{split}-{number:05d}-of-{len(names):05d}.parquet" for number in range(len(names))]
        if names != expected:
            note("data", f"expected all shards of {split}, {expected}, got {names}")
        yield from filter(None, (_open(split, path, note) for path in found[split]))


def read_group(shard: Shard, number: int, columns: list[str] | None = None) -> pa.Table:
    """Read a row group, or some of its columns.

    Raises:
        ValueError: If it is damaged.
    """
    try:
        return shard.file.read_row_group(number, columns=columns)
    except Exception as error:  # pyarrow may raise anything on a damaged file
        raise InputError(f"{shard.where}: row group {number} cannot be read: {error}") from error


def read_rows(shard: Shard, number: int) -> list[dict[str, Any]]:
    """Read the rows of a row group.

    Raises:
        ValueError: If it is damaged.
    """
    table = read_group(shard, number)
    try:
        rows: list[dict[str, Any]] = table.to_pylist()
    except ValueError as error:  # a text in another encoding
        raise InputError(f"{shard.where}: row group {number} cannot be read: {error}") from error
    return rows


def _open(split: str, path: Path, note: Note) -> Shard | None:
    where = f"data/{path.name}"
    try:
        file = pq.ParquetFile(path, pre_buffer=False)
        faults = list(_faults_of_schema(file.schema_arrow))
    except Exception as error:  # pyarrow may raise anything on a damaged file
        note(where, f"cannot be read: {error}")
        return None
    for fault in faults:
        note(where, fault)
    return Shard(split, where, path, file) if not faults else None


def _faults_of_schema(schema: pa.Schema) -> Iterator[str]:
    from datasets import Features

    expected, found = features(schema.names), Features.from_arrow_schema(schema)
    for name in dict.fromkeys((*expected, *found)):
        if expected.get(name) != found.get(name):
            yield f"expected {expected.get(name, 'no column')} as {name!r}, got {found.get(name, 'no column')}"
    if sorted(expected) == sorted(found) and list(expected) != list(found):
        yield f"expected the columns in the order {list(expected)}, got {list(found)}"
