"""What a folder says of its photographs: the lines of a metadata file, as `datasets` names them, or a text for each.

Every line is a dict of columns after its place for an error. What the columns mean is `folder.py`'s.
"""

import csv
import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from pydantic import RootModel

from giqa_datasets.errors import InputError, MissingFileError
from giqa_datasets.files import numbered_lines, read_line
from giqa_datasets.image_stores import Folder


# What photographs are called. HEIC and raw files are among them although Pillow reads none, so that each is accounted
# for rather than passed over.
SUFFIXES = re.compile(r"\.(avif|bmp|gif|hei[cf]|jfif|jp2|jpe?g?|jxl|png|ppm|tga|tiff?|webp|arw|cr[23]|dng|nef)", re.I)

MACHINE_TEXT = "machine text of "  # begins the `text_license` of a description by a model, whose name follows

logger = logging.getLogger(__name__)

Row = tuple[str, dict[str, Any]]  # its place, and its columns without those that are null


class Metadata(NamedTuple):
    """The descriptions of a folder's photographs."""

    path: Path  # of the file, or of the folder if each photograph has a text of its own
    rows: list[Row]

    @property
    def columns(self) -> list[str]:
        """All columns of the rows, in the order of their first occurrence."""
        return list(dict.fromkeys(column for _, row in self.rows for column in row))


def read_metadata(root: Path) -> Metadata:
    """Read `metadata.jsonl`, `metadata.csv` or `metadata.parquet`, or else the `NAME.txt` beside each photograph.

    Raises:
        FileNotFoundError: If there is no such folder, or nothing of that kind in it.
        ValueError: If there are two metadata files, or one is not valid; the line is named.
    """
    if not root.is_dir():
        raise MissingFileError(f"expected a folder of photographs with a metadata.jsonl at {root}, found none")
    there = [root / name for name in _READ if (root / name).is_file()]
    if len(there) > 1:
        raise InputError(f"expected one metadata file in {root}, got {' and '.join(path.name for path in there)}")
    if not there:
        return Metadata(root, list(_captions(root)))
    (path,) = there
    if texts := _texts(root).keys() & {_without_suffix(name) for name in photographs(root)}:
        logger.warning("%s: %d texts beside photographs are passed over for %s", root, len(texts), path.name)
    rows = [(place, {key: value for key, value in row.items() if value is not None}) for place, row in _rows(path)]
    if not rows:
        raise InputError(f"expected at least one photograph in {path}, found none")
    return Metadata(path, rows)


def photographs(root: Path) -> list[str]:
    """List the photographs under a folder by their suffix, relative to it; links to folders are not followed."""
    return [name for name in _files(root) if SUFFIXES.fullmatch(PurePosixPath(name).suffix)]


def _files(root: Path) -> list[str]:
    found = (Path(folder, name) for folder, _, names in os.walk(root) for name in names if not name.startswith("."))
    return sorted(path.relative_to(root).as_posix() for path in found)


def _without_suffix(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _texts(root: Path) -> dict[str, str]:
    """The `.txt` files under a folder, relative to it, by their names without the suffix."""
    return {_without_suffix(name): name for name in _files(root) if name.lower().endswith(".txt")}


def _captions(root: Path) -> Iterator[Row]:
    names, beside = photographs(root), _texts(root)
    texts = [(name, beside[_without_suffix(name)]) for name in names if _without_suffix(name) in beside]
    if not texts:
        first, *others = [
            json.dumps({"file_name": name, "description": "..."}) for name in [*names, "a.jpg", "b.jpg"][:2]
        ]
        raise MissingFileError(
            f"expected descriptions of the {len(names)} photographs in {root}, found none: a metadata.jsonl with "
            f"lines such as {first} and {''.join(others)}, a metadata.csv with these columns, a text NAME.txt beside "
            "each photograph, or --describe MODEL"
        )
    by_text: dict[str, str] = {}
    for name, text in texts:
        if by_text.setdefault(text, name) != name:
            raise InputError(f"{root / text}: expected the text of one photograph, got {by_text[text]} and {name}")
    described = {name for name, _ in texts}
    for kind, other, lone in (
        ("photographs", "text", [name for name in names if name not in described]),
        ("texts", "photograph", sorted(set(beside.values()) - by_text.keys())),
    ):
        if lone:
            logger.warning("%s: %d %s have no %s beside them, %s for one", root, len(lone), kind, other, lone[0])
    folder = Folder(root)
    for name, text in texts:
        try:
            description = folder.read(text).decode("utf-8-sig").strip()
        except ValueError as error:  # no UTF-8, or a link that leads out of the folder
            raise InputError(f"{root / text}: {error}") from error
        yield str(root / text), {"file_name": name, "description": description}


def _rows(path: Path) -> Iterator[Row]:
    try:
        yield from _READ[path.name](path)
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"expected CSV in UTF-8 in {path}: {error}") from error


def _json_lines(path: Path) -> Iterator[Row]:
    for place, raw in numbered_lines(path):
        yield place, read_line(raw, place, RootModel[dict[str, Any]]).root


def _csv(path: Path) -> Iterator[Row]:
    """Cells are text; an empty one is null, and `regions` holds JSON."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        for row in reader:
            place = f"{path} line {reader.line_num}"
            if None in row:
                raise InputError(f"{place}: expected {len(reader.fieldnames or ())} cells, got more")
            if row.get("regions"):
                row["regions"] = read_line(row["regions"].encode(), f"{place}: regions", RootModel[list[Any]]).root
            yield place, {column: cell or None for column, cell in row.items()}


def _parquet(path: Path) -> Iterator[Row]:
    """Photographs in the file itself are not read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        kept = [field.name for field in pq.read_schema(path) if not _holds_bytes(field.type)]
        rows = pq.read_table(path, columns=kept).to_pylist()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"expected Parquet in {path}: {error}") from error
    for number, row in enumerate(rows, start=1):
        yield f"{path} row {number}", row


def _holds_bytes(kind: Any) -> bool:
    import pyarrow as pa

    nested = [kind.field(number).type for number in range(kind.num_fields)] if pa.types.is_nested(kind) else []
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or any(map(_holds_bytes, nested))


_READ: dict[str, Callable[[Path], Iterator[Row]]]
_READ = {"metadata.jsonl": _json_lines, "metadata.csv": _csv, "metadata.parquet": _parquet}
